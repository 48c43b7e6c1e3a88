"""A class on one server: its codes, its members, and the rules that the teacher sets.

Members and rules are stored in the database. A visitor joins with one of two codes, as student or
as teacher, and comes back with a key that is shown once; only its hash is stored.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import ConfigDict, Field, ValidationError

from core.access import LONGEST_NAME, Action, Role, Visitor, require, sanitize_name
from core.config import RunConfig
from core.data.hidden_test import RULES, HiddenTest, read_hidden_test
from core.errors import ArtifactDamaged, JobNotFound, NameKnown, NotAllowed, StateConflict
from core.people import allowances, names
from core.people.allowances import JOINS_OF_A_BROWSER, JOINS_OF_A_NETWORK, find_network
from core.settings import read_memory_mb
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.job import Job, JobState
from core.storage.locks import hold_lock
from core.storage.recovery import remove_job
from core.storage.store import BEGAN, SHORTEST_BETWEEN_SECONDS, Store
from core.translation import LANGUAGES, mark

# without characters that are easily confused when read from a projector, in capitals or not:
# 0/o/q, 1/i/l, 2/z, 5/s, 6/g/9, 8/b, u/v
ALPHABET = "acdefhjkmnprtuwxy347"
CODE_LENGTH = 6  # 64 million class codes
KEY_GROUPS = 4  # of four characters, 69 bits in all
WINDOW_SECONDS, WRONG_IN_WINDOW, WRONG_OF_ALL = 60, 10, 60
WRONG_CODE = "wrong code"  # kind of use
PAUSE_SECONDS = 2.0  # before a wrong code above the limit is answered
RUNNING_PER_STUDENT = 1
STUDENT = " (student)"  # added to the name of a student who has the name of a teacher
SERVER_MB = 1000  # pages of a class take up to 300, the process that classifies about 600
ENDED, ENDED_AT = "class-ended", "class-ended-at"  # options: how the last class ended, and when
CLASS_CODE, TEACHER_CODE = mark("class code"), mark("teacher's code")  # kinds of wrong tries
Pause = Callable[[float], None]  # waits for some seconds
# two people at once must not get one name, also not from two server processes
JOINING_LOCK, JOINING_TIMEOUT_SECONDS = "joining.lock", 10.0


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser of a visitor: names of it and its system, and the secret of its last member."""

    name: str = ""
    token: str = ""


UNKNOWN_BROWSER = Browser()


class Rules(HiddenTest):
    """Limits for students and the hidden final test. The teacher may change them during the class,
    except what chooses the hidden texts (``change_rules``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: bool = Field(
        True,
        title=mark("The class is open"),
        description=mark("When closed, no one can join and students cannot start runs."),
    )
    waiting: int = Field(
        2,
        ge=0,
        le=20,
        title=mark("Queued runs per student"),
        description=mark("In addition to the running one."),
    )
    rows: int = Field(
        12_000,  # Quick on few rows of many or of rare classes
        ge=100,
        le=1_000_000,
        title=mark("Training rows × epochs, at most"),
        description=mark("Bounds how long one run takes."),
    )
    max_tokens: int = Field(
        256,
        ge=8,
        le=512,
        title=mark("Max tokens, at most"),
        description=mark("Longer texts take more time and memory."),
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=256,
        title=mark("Batch size, at most"),
        description=mark("Larger batches take more memory."),
    )
    minutes: int = Field(
        30,
        ge=1,
        le=1440,
        title=mark("Minutes of a run, at most"),
        description=mark("As estimated before it begins."),
    )
    memory_mb: int = Field(
        3000,
        ge=700,
        le=1_000_000,
        title=mark("MB of memory of a run, at most"),
        description=mark("As estimated before it begins."),
    )
    disk_mb: int = Field(
        300,
        ge=10,
        le=100_000,
        title=mark("MB of disk of a run, at most"),
        description=mark("As estimated before it begins."),
    )
    joins: int = Field(
        JOINS_OF_A_NETWORK.most,
        ge=1,
        le=1000,
        title=mark("Joins an hour from one network, at most"),
        description=mark("A school often has one address for all."),
    )
    names: bool = Field(
        True,
        title=mark("Names on the leaderboard"),
        description=mark("When off, the leaderboard shows runs without their owners."),
    )
    language: str = Field(
        "",
        pattern=f"^({'|'.join(LANGUAGES)})?$",
        title=mark("Language of the class"),
        description=mark("Anyone may choose another one for themselves."),
    )


class Ending(StrEnum):
    """Treatment of finished runs when a class ends."""

    KEEP = "keep"
    ARCHIVE = "archive"  # only admins find them
    DELETE = "delete"


@dataclass(frozen=True)
class Codes:
    """The codes with which visitors join: one for students, one for teachers."""

    student: str
    teacher: str

    def find_role(self, code: str) -> Role | None:
        """Return the role that the code gives, compared in constant time; None if it is wrong."""
        given = code.strip().lower().encode(errors="replace")
        is_teacher = hmac.compare_digest(given, self.teacher.lower().encode())
        is_student = hmac.compare_digest(given, self.student.lower().encode())
        return Role.TEACHER if is_teacher else Role.STUDENT if is_student else None


def read_codes(store: Store) -> Codes:
    """Return the codes of the settings; missing ones are generated once and stored."""
    settings = store.settings
    stored = accounts.read_options(store)
    if not {"class-code", "teacher-code"} <= stored.keys():
        accounts.write_options(
            store, {"class-code": make_code(), "teacher-code": make_key(KEY_GROUPS)}, replace=False
        )
        stored = accounts.read_options(store)  # another process may have been faster
    if len(stored["class-code"]) < CODE_LENGTH:  # of an earlier version
        accounts.write_options(store, {"class-code": make_code()})
        stored = accounts.read_options(store)
    return Codes(
        settings.class_code or stored["class-code"],
        settings.teacher_code or stored["teacher-code"],
    )


def read_rules(store: Store) -> Rules:
    """Read the rules of the class; until they are set, those that fit this machine.

    Raises ArtifactDamaged if they cannot be read.
    """
    stored = accounts.read_options(store).get(RULES)
    if stored is None:
        return fit_rules(read_memory_mb())
    try:
        return Rules.model_validate_json(stored)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The rules of the class cannot be read.", "Save them again on the page Class."
        ) from error


def read_language(store: Store) -> str:
    """Return the language that the teacher has chosen for the class; empty if none."""
    try:
        return read_rules(store).language
    except ArtifactDamaged:  # the page Class reports it
        return ""


def fit_rules(machine_mb: int) -> Rules:
    """Return rules for a machine with ``machine_mb`` of memory.

    A run may use what the server, its pages and the inference process leave.
    """
    usual, least = Rules(), 700
    return usual.model_copy(
        update={"memory_mb": max(least, min(usual.memory_mb, machine_mb - SERVER_MB))}
    )


def recover_rules(store: Store) -> tuple[Rules, bool]:
    """Return rules to replace those that cannot be read, and whether the hidden test is known.

    They are the usual ones with the hidden final test of the class, if that can still be read.
    """
    usual = fit_rules(read_memory_mb())
    try:
        hidden = read_hidden_test(store.settings)
    except ArtifactDamaged:
        return usual, False
    return usual.model_copy(update=hidden.model_dump()), True


def change_rules(store: Store, rules: Rules) -> None:
    """Replace the rules of the class; the hidden final test stays as it is unless its size changes.

    A new size draws a seed; 0 switches the test off. Raises NotAllowed.
    """
    require(store.visitor, Action.MANAGE)
    lost = ""
    try:
        before = read_rules(store)
    except ArtifactDamaged:  # saving replaces rules that cannot be read
        before, hidden_known = recover_rules(store)
        lost = "" if hidden_known else "; the hidden final test before could not be read"
    if rules.hidden_percent == before.hidden_percent:
        hidden = {name: getattr(before, name) for name in HiddenTest.model_fields}
    else:
        seed = secrets.randbelow(2**31) if rules.is_on else 0
        hidden = {"hidden_seed": seed, "hidden_since": store.clock(), "hidden_revealed": 0.0}
    _write_rules(store, rules.model_copy(update=hidden), before)
    shown = rules.model_dump_json(exclude={"hidden_seed", "hidden_since", "hidden_revealed"})
    accounts.log_action(store, "change the rules", shown + lost)


def reveal_hidden_test(store: Store) -> None:
    """Reveal the scores on the hidden final test, once. Raises NotAllowed and StateConflict."""
    require(store.visitor, Action.MANAGE)
    before = read_rules(store)
    if not before.is_hiding:
        raise StateConflict("There is no hidden final test to reveal.", "Reload the page.")
    _write_rules(store, before.model_copy(update={"hidden_revealed": store.clock()}), before)
    accounts.log_action(store, "reveal the final test")


def restore_hidden_test(store: Store, hidden: HiddenTest) -> bool:
    """Take over the hidden final test of a restored class, unless this class has one.

    Returns whether it was taken over. Raises NotAllowed, and ArtifactDamaged if the rules cannot be
    read.
    """
    require(store.visitor, Action.MANAGE)
    before = read_rules(store)
    if before.is_on or not hidden.is_on:
        return False
    since = {"hidden_since": hidden.hidden_since or store.clock()}
    _write_rules(store, before.model_copy(update=hidden.model_dump() | since), before)
    accounts.log_action(store, "restore the final test")
    return True


def _write_rules(store: Store, rules: Rules, before: Rules) -> None:
    accounts.write_options(store, {RULES: rules.model_dump_json()})
    if (rules.is_hiding, rules.hidden_seed) != (before.is_hiding, before.hidden_seed):
        store.renew_versions()


def clear_class(store: Store, ending: Ending = Ending.KEEP) -> None:
    """End the class: revoke the students' keys, cancel their queued runs, replace the class code.

    Finished runs of this class are treated as ``ending`` says; those that were kept when an earlier
    class ended stay. Raises NotAllowed, and StateConflict if a run that would be deleted is active.
    Raises ArtifactDamaged, before anything changes, if the rules cannot be read.
    """
    require(store.visitor, Action.MANAGE)
    rules = read_rules(store)
    people = accounts.list_people(store)
    students = {visitor.id for visitor in people if visitor.role is Role.STUDENT}
    began = _read_last_end(store)
    jobs = [job for job in store.list_jobs() if job.owner in students]
    theirs = [job for job in jobs if job.created_at >= began]
    active = next((job for job in theirs if job.state.is_active), None)
    if ending is Ending.DELETE and active:
        raise StateConflict(
            "{name} is still {state}.",
            "Stop it first, then end the class.",
            name=active.name,
            state=active.state,
        )
    with store.together():  # a server that is killed meanwhile has ended all of it or nothing
        accounts.revoke_student_keys(store)
        cancel_queued(store, students)  # a later launch finds that they are removed
        if rules.is_on:  # the next class gets other hidden texts
            change_rules(store, rules.model_copy(update={"hidden_percent": 0}))
        # a clock that was ahead has dated some of them later than now
        last = max((job.created_at for job in jobs), default=0.0)
        now = str(max(store.clock(), last + SHORTEST_BETWEEN_SECONDS))
        options = {"class-code": make_code(), ENDED: ending, ENDED_AT: now}
        if ending is Ending.ARCHIVE:
            options[BEGAN] = now
        accounts.write_options(store, options)
        accounts.forget_uses(store, JOINS_OF_A_NETWORK.title)  # the next class may come
        if ending is Ending.DELETE:
            for job in theirs:
                with suppress(JobNotFound):  # deleted with the run that it used
                    remove_job(store, job)
        accounts.log_action(store, "end the class", ending)


def read_beginning(store: Store) -> float:
    """Return when the class began, in seconds since 1970: earlier runs are archived. 0 if none."""
    return float(accounts.read_options(store).get(BEGAN, 0.0))


def _read_last_end(store: Store) -> float:
    """Return when the class before this one ended, in seconds since 1970; 0 if there was none."""
    return float(accounts.read_options(store).get(ENDED_AT) or read_beginning(store))


def read_ending(store: Store) -> Ending:
    """Return what happened to the runs of the last class."""
    return Ending(accounts.read_options(store).get(ENDED, Ending.KEEP))


def cancel_queued(store: Store, owners: Collection[str]) -> None:
    """Cancel the queued jobs of these owners."""
    for job in store.list_jobs(states=[JobState.QUEUED]):
        if job.owner in owners:
            store.transition(
                job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=store.clock()
            )


def replace_code(store: Store) -> None:
    """Replace the class code; who has joined stays. Raises NotAllowed."""
    require(store.visitor, Action.MANAGE)
    if store.settings.class_code:
        raise NotAllowed(
            "The class code is set by LORALAB_CLASS_CODE.", "Change it there, or remove it there."
        )
    accounts.write_options(store, {"class-code": make_code()})
    accounts.log_action(store, "replace the class code")


def join(
    store: Store,
    code: str,
    name: str,
    address: str,
    browser: Browser = UNKNOWN_BROWSER,
    role: Role | None = None,
    pause: Pause = time.sleep,
) -> tuple[Visitor, str]:
    """Add a member; return the visitor and the key with which they come back.

    With ``role`` only the code of that role counts. Raises NotAllowed for a wrong code or a closed
    class.
    """
    given = read_codes(store).find_role(code)
    if given is None or role not in (None, given):
        kind = TEACHER_CODE if role is Role.TEACHER else CLASS_CODE
        _note_wrong(store, kind, address, browser, pause)
        raise NotAllowed(
            "This is not the teacher's code."
            if role is Role.TEACHER
            else "This is not the class code.",
            "`python -m core classroom` prints it."
            if role is Role.TEACHER
            else "It is on the teacher's screen.",
        )
    if given is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    tidy = names.require_name(name, given)
    with hold_names(store):
        visitor, key = _add_member(store, tidy, given, address, browser)
    accounts.log_action(store, "join", visitor.name, visitor)
    return visitor, key


@contextmanager
def hold_names(store: Store) -> Iterator[None]:
    """Let no one else join or be renamed meanwhile. Raises StateConflict."""
    with hold_lock(store.settings.home / JOINING_LOCK, JOINING_TIMEOUT_SECONDS) as held:
        if not held:
            raise StateConflict("Too many people are joining at once.", "Try again in a moment.")
        yield


def _add_member(
    store: Store, name: str, role: Role, address: str, browser: Browser
) -> tuple[Visitor, str]:
    """Add a member with a name that no one else has; return them and their key.

    A teacher with the name of a teacher becomes that one: the teacher's code says more than a key.
    Raises NotAllowed.
    """
    key = make_key(KEY_GROUPS)
    namesake = names.find_namesake(store, name)
    if namesake and role is Role.STUDENT:
        raise NameKnown(
            "{name} has joined already."
            if namesake.name == name
            else "{name} has joined already, and that name looks like yours.",
            "Is that you? Then enter your key, or ask your teacher for a new one. Otherwise choose"
            " another name.",
            name=namesake.name,
        )
    if namesake and namesake.role is Role.TEACHER:
        accounts.set_key(store, namesake, hash_key(key))
        return namesake, key
    if namesake:  # a student must not pass for the teacher
        renamed = f"{namesake.name[: LONGEST_NAME - len(STUDENT)]}{STUDENT}"
        accounts.rename_person(store, namesake, renamed)
        accounts.log_action(store, "rename a person", f"{namesake.name}: {renamed}")
    if role is Role.STUDENT:
        allowances.spend(store, *list_joins(store, address, browser))
    visitor = Visitor(secrets.token_hex(6), name, role)
    accounts.add_person(store, visitor, hash_key(key))
    return visitor, key


def list_joins(
    store: Store, address: str, browser: Browser
) -> list[tuple[allowances.Allowance, str]]:
    """List the allowances that a new student uses, with their users."""
    of_network = replace(JOINS_OF_A_NETWORK, most=read_rules(store).joins)
    uses = [(of_network, find_network(address))]
    if lineage := allowances.read_lineage(browser.token):
        uses.append((JOINS_OF_A_BROWSER, lineage))
    return uses


def sign_in(store: Store, visitor: Visitor) -> None:
    """Add a visitor who has signed in with a provider.

    Raises NotAllowed for a student if the class is closed.
    """
    if visitor.role is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    if accounts.find_standing(store, visitor) is Standing.BLOCKED:
        raise NotAllowed("Your teacher has blocked you.", "Ask your teacher.")
    with hold_names(store):
        named = replace(visitor, name=names.make_distinct(store, visitor))
        accounts.save_signed_in(store, named)
    accounts.log_action(store, "sign in", named.name, named)


def sign_in_with_key(
    store: Store,
    key: str,
    address: str,
    browser: Browser = UNKNOWN_BROWSER,
    pause: Pause = time.sleep,
) -> Visitor:
    """Return the visitor to whom the key belongs.

    Raises NotAllowed for a wrong key.
    """
    visitor = accounts.find_person(store, hash_key(key))
    if visitor is None:
        _note_wrong(store, mark("key"), address, browser, pause)
        raise NotAllowed("This key is unknown here.", "Join with the class code instead.")
    accounts.log_action(store, "come back", visitor.name, visitor)
    return visitor


def require_student_limits(
    store: Store, jobs: Iterable[Job], config: RunConfig, all_rows: int = 0
) -> None:
    """Raise NotAllowed if a student requests more than the rules allow.

    ``jobs`` are the queued and active runs. ``all_rows`` is the number of training rows of the
    data, 0 if it is unknown.
    """
    if store.visitor.role is not Role.STUDENT:
        return
    rules = read_rules(store)
    if not rules.open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    mine = sum(job.owner == store.visitor.id for job in jobs)
    if mine >= rules.waiting + RUNNING_PER_STUDENT:
        raise NotAllowed(
            "You have {runs} runs queued or running, the most that a student may have.",
            "Stop one, or wait until one ends.",
            runs=mine,
        )
    total_rows = (config.train_rows or all_rows) * config.epochs
    if not total_rows or total_rows > rules.rows:
        raise NotAllowed(
            "{rows:,} rows over all epochs are more than this class allows."
            if total_rows
            else "All rows are more than this class allows.",
            "Train on {most:,} or fewer.",
            rows=total_rows,
            most=count_allowed_rows(rules, config),
        )
    if config.max_tokens > rules.max_tokens:
        raise NotAllowed(
            "{tokens} tokens are more than this class allows.",
            "Choose {most} or fewer.",
            tokens=config.max_tokens,
            most=rules.max_tokens,
        )
    if config.batch_size > rules.batch_size:
        raise NotAllowed(
            "A batch of {size} is more than this class allows.",
            "Choose {most} or fewer.",
            size=config.batch_size,
            most=rules.batch_size,
        )


def count_allowed_rows(rules: Rules, config: RunConfig) -> int:
    """Return the most training rows that the rules allow with the configuration's epochs."""
    return rules.rows // config.epochs


def make_code() -> str:
    """Return a random class code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def make_key(groups: int) -> str:
    """Return a random key with groups of four letters and digits, 17 bits per group."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(groups))


def _note_wrong(store: Store, kind: str, address: str, browser: Browser, pause: Pause) -> None:
    """Record a wrong code or key for the teacher, and count it together with other processes.

    A right one always passes, so that no one can lock out others behind the same address. Wrong
    ones are answered late after ten of an address or sixty of all addresses within a minute: then
    it pauses and raises NotAllowed.
    """
    known_as = sanitize_name(browser.name, 60)
    accounts.add_wrong_try(store, kind, sanitize_name(address, 60), known_as)
    if excess := _count_wrong(store, find_network(address)):
        pause(PAUSE_SECONDS)
        raise NotAllowed(excess, "Check it. The right one is always accepted.")


def _count_wrong(store: Store, network: str) -> str:
    """Count a wrong code; return which limit is exceeded, or an empty string."""
    # the newest ones decide, and one more than the limit is enough: a network alone does not reach
    # the common limit
    use = accounts.Use(WRONG_CODE, network, WRONG_IN_WINDOW + 1, WINDOW_SECONDS)
    own, everyones = accounts.count_newest(store, use)
    if own > WRONG_IN_WINDOW:
        return mark("Too many wrong codes from your network.")
    if everyones > WRONG_OF_ALL:
        return mark("Too many wrong codes from all networks.")
    return ""


def hash_key(key: str) -> str:
    """Return the form in which a key is stored."""
    return hashlib.sha256(key.strip().lower().encode(errors="replace")).hexdigest()
