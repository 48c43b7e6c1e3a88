"""Members of a class: browsers that stay joined, drafts, and what the teacher does with people."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from core.access import Action, Role, Visitor, require
from core.data.disputed_labels import move_disputed
from core.data.recipe import move_recipes
from core.errors import ConfigError, NotAllowed, NotEnoughRoom, StateConflict, StoreBusy
from core.people import allowances, names
from core.people.classroom import KEY_GROUPS, cancel_queued, hash_key, hold_names, make_key
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.job import JobKind, JobState
from core.storage.store import Store

MOST_BROWSERS = 10  # of a member; the oldest one is forgotten
MOST_DRAFTS, DRAFT_CHARACTERS = 100, 20_000  # of a member, of a draft
SEEN_EVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Member:
    """A person of the class as the teacher sees them.

    Times are in seconds since 1970; ``seen_at`` is None for people who have not been seen since
    they joined.
    """

    visitor: Visitor
    standing: Standing
    joined_at: float
    seen_at: float | None
    runs: int
    waiting: int


def remember_browser(store: Store, visitor: Visitor, earlier: str = "") -> str:
    """Return a secret with which the visitor's browser stays joined; only its hash is stored.

    ``earlier`` is the last secret of the browser.
    """
    token = allowances.make_token(earlier)
    accounts.add_browser(store, visitor, _hash_token(token), MOST_BROWSERS)
    return token


def find_remembered(store: Store, token: str) -> Visitor | None:
    """Return the member whose browser has the secret; None if there is none."""
    return accounts.find_by_browser(store, _hash_token(token)) if token else None


def forget_browser(store: Store, token: str) -> None:
    """Make the browser's secret invalid."""
    accounts.remove_browser(store, _hash_token(token))


def note_seen(store: Store) -> None:
    """Record that the visitor is here, at most twice a minute, if the database can be written.

    Each page does: on a full disk no one could read any.
    """
    with suppress(NotEnoughRoom, StoreBusy, ConfigError):
        accounts.note_seen(store, store.visitor, SEEN_EVERY_SECONDS)


def read_drafts(store: Store) -> dict[str, str]:
    """Read the visitor's drafts by name."""
    return accounts.read_drafts(store, store.visitor)


def write_drafts(store: Store, drafts: Mapping[str, str | None]) -> None:
    """Store drafts of the visitor; None deletes one. Longer ones than the limit are left out."""
    short = {
        name[:200]: draft
        for name, draft in drafts.items()
        if draft is None or len(draft) <= DRAFT_CHARACTERS
    }
    accounts.write_drafts(store, store.visitor, short, MOST_DRAFTS)


def list_members(store: Store) -> list[Member]:
    """List the people of the class in the order in which they joined. Raises NotAllowed."""
    require(store.visitor, Action.MANAGE)
    runs = store.list_jobs(JobKind.TRAIN)
    return [
        Member(
            visitor,
            standing,
            joined_at,
            seen_at,
            runs=sum(run.owner == visitor.id for run in runs),
            waiting=sum(run.owner == visitor.id and run.state is JobState.QUEUED for run in runs),
        )
        for visitor, standing, joined_at, seen_at in accounts.list_standings(store)
    ]


def renew_key(store: Store, member: Visitor) -> str:
    """Replace the member's key and return the new one, which their browsers do not need.

    A member may do this for themselves. Raises NotAllowed.
    """
    if store.visitor.id != member.id:
        require(store.visitor, Action.MANAGE)
    key = make_key(KEY_GROUPS)
    accounts.set_key(store, member, hash_key(key))
    accounts.log_action(store, "give a new key", member.name)
    return key


def rename_member(store: Store, member: Visitor, name: str) -> None:
    """Rename the member.

    Raises NotAllowed, also for a reserved name of a student, and StateConflict for an empty or
    known name.
    """
    require(store.visitor, Action.MANAGE)
    tidy = names.tidy_name(name)
    if not tidy:
        raise StateConflict("A name is missing.", "Type at least one character.")
    names.require_name(tidy, member.role)
    with hold_names(store):
        namesake = names.find_namesake(store, tidy, member)
        if namesake is not None:
            raise StateConflict(
                "{name} is the name of another person, or looks like it.",
                "Choose another name.",
                name=namesake.name,
            )
        with store.together():
            accounts.rename_person(store, member, tidy)
            accounts.log_action(store, "rename a person", f"{member.name}: {tidy}")


def merge_members(store: Store, member: Visitor, into: Visitor) -> int:
    """Give all of a member's runs, browsers, recipes and disputed labels to another one of the same
    role, and remove them.

    Returns the number of recipes that were dropped, because the other one has a recipe for the same
    data. Raises NotAllowed, and StateConflict for the same person or different roles.
    """
    require(store.visitor, Action.MANAGE)
    if member.id == into.id or member.role is not into.role:
        raise StateConflict("These two cannot be merged.", "Choose two people of the same role.")
    dropped: list[str] = []
    if member.folder:  # teachers share their files
        move_disputed(store, member.folder, into.folder)
        dropped = move_recipes(store.settings, member.folder, into.folder)
    note = f"; recipes dropped: {', '.join(dropped)}" if dropped else ""
    with store.together():
        accounts.merge_people(store, member, into)
        accounts.log_action(store, "merge people", f"{member.name}: {into.name}{note}")
    for job in store.list_jobs():
        if job.owner == into.id:
            store.write_record_file(job)
    return len(dropped)


def remove_member(store: Store, member: Visitor, *, block: bool = False) -> None:
    """Sign the student out for good and cancel their queued runs; finished runs stay.

    A blocked one cannot join again in the same browser or by the same name. Raises NotAllowed, also
    for a teacher, who could not come back.
    """
    require(store.visitor, Action.MANAGE)
    if member.role is not Role.STUDENT:
        raise NotAllowed("Only students can be removed.", "Teachers leave in their own browser.")
    with store.together():
        accounts.set_standing(store, member, Standing.BLOCKED if block else Standing.REMOVED)
        cancel_queued(store, {member.id})  # a later launch finds that they are removed
        accounts.log_action(store, "block a person" if block else "remove a person", member.name)


def find_standing(store: Store, token: str) -> Standing | None:
    """Return the standing of the person whose browser has the secret; None if there is none."""
    return accounts.find_browser_standing(store, _hash_token(token)) if token else None


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
