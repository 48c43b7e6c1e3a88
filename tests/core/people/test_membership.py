import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.access import Role, Visitor
from core.data.disputed_labels import (
    DisputedLabel,
    change_disputed,
    read_own_disputed,
)
from core.data.recipe import Fix, Recipe, Step, read_recipe, save_recipe
from core.data.sources import demo_source
from core.errors import (
    ConfigError,
    LoraLabError,
    NameKnown,
    NotAllowed,
    NotEnoughRoom,
    StateConflict,
    StoreBusy,
)
from core.jobs.launching import launch
from core.people import classroom, membership
from core.people.classroom import (
    Ending,
    clear_class,
    join,
    read_beginning,
    read_ending,
    sign_in,
    sign_in_with_key,
)
from core.people.membership import (
    find_remembered,
    find_standing,
    forget_browser,
    list_members,
    merge_members,
    read_drafts,
    remember_browser,
    remove_member,
    rename_member,
    renew_key,
    write_drafts,
)
from core.runs.requests import PrepareRequest
from core.settings import Settings
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.job import JobKind, JobState
from core.storage.store import Store


@pytest.fixture
def store(home: object) -> Store:
    return Store(Settings(class_code="whale", teacher_code="oak"))


def add(store: Store, name: str, code: str = "whale") -> tuple[Visitor, str]:
    return join(store, code, name, "here")


def test_a_browser_stays_joined_until_it_leaves(store: Store) -> None:
    ada = add(store, "Ada")[0]
    token = remember_browser(store, ada)

    assert find_remembered(store, token) == ada
    assert find_remembered(store, "") is None
    assert find_remembered(store, token[:-1]) is None
    forget_browser(store, token)
    assert find_remembered(store, token) is None


def test_the_secret_of_a_browser_is_not_in_the_database(store: Store) -> None:
    token = remember_browser(store, add(store, "Ada")[0])

    files = [*store.settings.home.glob("loralab.db*")]
    assert not any(token.encode() in file.read_bytes() for file in files)


def test_only_the_newest_browsers_of_a_member_stay_joined(store: Store) -> None:
    ada = add(store, "Ada")[0]
    tokens = [remember_browser(store, ada) for _ in range(membership.MOST_BROWSERS + 2)]

    joined = [find_remembered(store, token) is not None for token in tokens]
    assert joined == [False] * 2 + [True] * membership.MOST_BROWSERS


@pytest.mark.parametrize(
    "end", [lambda store, ada: clear_class(store), lambda store, ada: remove_member(store, ada)]
)
def test_a_browser_of_someone_removed_is_not_joined(
    store: Store, end: Callable[[Store, Visitor], None]
) -> None:
    ada = add(store, "Ada")[0]
    token = remember_browser(store, ada)

    end(store, ada)

    assert find_remembered(store, token) is None


@pytest.mark.parametrize("name", ["Ada", "ADA", "  ada "])
def test_a_student_by_a_known_name_is_asked_for_the_key(store: Store, name: str) -> None:
    add(store, "Ada")

    with pytest.raises(NameKnown, match="joined already"):
        add(store, name)


def test_a_student_cannot_have_the_name_of_the_teacher(store: Store) -> None:
    add(store, "Grace", "oak")

    with pytest.raises(NameKnown):
        add(store, "grace")


def test_the_teacher_comes_back_by_name_and_code(store: Store) -> None:
    grace = add(store, "Grace", "oak")[0]

    assert add(store, "grace", "oak")[0] == grace


def test_a_name_is_free_again_after_the_class(store: Store) -> None:
    ada = add(store, "Ada")[0]
    clear_class(store)

    assert join(store, "whale", "Ada", "here")[0].id != ada.id


def test_drafts_are_of_one_person_and_bounded(store: Store) -> None:
    ada, bob = (store.for_visitor(add(store, name)[0]) for name in ("Ada", "Bob"))
    write_drafts(ada, {"guess": "83", "text": "x" * (membership.DRAFT_CHARACTERS + 1)})
    assert (read_drafts(ada), read_drafts(bob)) == ({"guess": "83"}, {})

    write_drafts(ada, {"guess": None} | {f"{n}": "1" for n in range(membership.MOST_DRAFTS + 5)})

    assert set(read_drafts(ada)) == {f"{n}" for n in range(5, membership.MOST_DRAFTS + 5)}


@pytest.mark.parametrize("error", [NotEnoughRoom, StoreBusy, ConfigError])
def test_a_database_that_cannot_be_written_keeps_no_member_from_reading(
    store: Store, error: type[LoraLabError]
) -> None:
    class Full(Store):
        is_full = False

        @contextmanager
        def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
            if self.is_full:
                raise error("No room.", "Free some.")
            with super().transaction(create) as db:
                yield db

    full = Full(store.settings)
    full.is_full = True

    membership.note_seen(full)


def test_members_are_listed_with_runs_and_when_they_were_seen(store: Store) -> None:
    store.clock = lambda: 100.0
    ada = add(store, "Ada")[0]
    lesson = store.for_visitor(ada)
    for number in range(3):
        job = lesson.create(JobKind.TRAIN, "run", {}, f"{number}")
    store.transition(job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=1.0)
    for at in (130.0, 140.0):  # the second one within half a minute
        lesson.clock = lambda at=at: at  # type: ignore[misc]
        membership.note_seen(lesson)

    (member,) = list_members(store)

    assert member == membership.Member(ada, Standing.MEMBER, 100.0, 130.0, runs=3, waiting=2)


def test_a_new_key_replaces_the_old_one(store: Store) -> None:
    ada, old = add(store, "Ada")
    bob = add(store, "Bob")[0]

    key = renew_key(store, ada)

    assert sign_in_with_key(store, key, "here") == ada
    with pytest.raises(NotAllowed):
        sign_in_with_key(store, old, "here")
    assert renew_key(store.for_visitor(ada), ada)
    with pytest.raises(NotAllowed, match="Only the teacher"):
        renew_key(store.for_visitor(bob), ada)


def test_a_renamed_member_stays_joined(store: Store) -> None:
    ada = add(store, "Ada")[0]
    add(store, "Bob")
    token = remember_browser(store, ada)

    rename_member(store, ada, " Ada  Lovelace ")

    assert find_remembered(store, token) == Visitor(ada.id, "Ada Lovelace", Role.STUDENT)
    for name in ("bob", " "):
        with pytest.raises(StateConflict):
            rename_member(store, ada, name)


def test_merged_people_are_one(store: Store) -> None:
    ada, again = add(store, "Ada")[0], add(store, "Ada 2")[0]
    job = store.for_visitor(again).create(JobKind.TRAIN, "run", {}, "1")
    token = remember_browser(store, again)

    merge_members(store, again, ada)

    assert store.read_job(job.id).owner == ada.id
    assert find_remembered(store, token) == ada
    assert [member.visitor for member in list_members(store)] == [ada]
    assert f'"{ada.id}"' in (store.get_folder(job) / "job.json").read_text()


def test_recipes_and_disputed_labels_of_merged_people_are_one(store: Store) -> None:
    ada, again = add(store, "Ada")[0], add(store, "Ada 2")[0]
    step = Step(check="leakage", fix=Fix.DROP, rows=(1,))
    for person, data in ((ada, "a" * 12), (again, "a" * 12), (again, "b" * 12)):
        save_recipe(store.settings, Recipe(fingerprint=data, steps=(step,)), person.folder)
    for person, rows in ((ada, (1, 2)), (again, (2, 3))):
        marks = [DisputedLabel(row=row, label="x", suggested=person.name[-1]) for row in rows]
        change_disputed(store.for_visitor(person), "a" * 12, "news", marks)

    grace = store.for_visitor(add(store, "Grace", "oak")[0])
    assert merge_members(grace, again, ada) == 1

    assert read_recipe(store.settings, "b" * 12, ada.folder).steps == (step,)
    marks_of_ada = read_own_disputed(store.for_visitor(ada), "a" * 12)
    assert {row: mark.suggested for row, mark in marks_of_ada.items()} == {1: "a", 2: "a", 3: "2"}
    assert not list((store.settings.home / "recipes" / again.folder).glob("*.json"))
    assert not list((store.settings.home / "disputed" / again.folder).glob("*.json"))
    assert "recipes dropped: aaaaaaaaaaaa" in accounts.read_audit_log(grace)[0][3]


def test_people_of_two_roles_are_not_merged(store: Store) -> None:
    ada, grace = add(store, "Ada")[0], add(store, "Grace", "oak")[0]

    for pair in ((ada, grace), (grace, ada), (ada, ada)):
        with pytest.raises(StateConflict):
            merge_members(store, *pair)


def test_a_removed_student_is_out_and_their_queue_is_empty(store: Store) -> None:
    ada, key = add(store, "Ada")
    job = store.for_visitor(ada).create(JobKind.TRAIN, "run", {}, "1")

    remove_member(store, ada)

    assert not accounts.is_member(store, ada)
    assert store.read_job(job.id).state is JobState.CANCELLED
    with pytest.raises(NotAllowed):
        sign_in_with_key(store, key, "here")
    assert add(store, "Ada")[0].id != ada.id, "a removed student may join again"


@pytest.mark.parametrize("remove", [remove_member, lambda store, ada: clear_class(store)])
def test_run_launched_while_someone_is_removed_does_not_wait(
    store: Store, remove: Callable[[Store, Visitor], None]
) -> None:
    """Their page was drawn before, so it still acts for them."""
    ada = add(store, "Ada")[0]
    remove(store, ada)

    with pytest.raises(NotAllowed, match="no longer in this class"):
        launch(store.for_visitor(ada), PrepareRequest(source=demo_source()), "data")

    assert [job.state for job in store.list_jobs()] == [JobState.CANCELLED]


def test_a_blocked_student_does_not_come_back_by_name_browser_or_sign_in(store: Store) -> None:
    ada = add(store, "Ada")[0]
    token = remember_browser(store, ada)

    remove_member(store, ada, block=True)

    assert find_remembered(store, token) is None
    assert find_standing(store, token) is Standing.BLOCKED
    with pytest.raises(NameKnown):
        add(store, "ada")
    with pytest.raises(NotAllowed, match="blocked"):
        sign_in(store, ada)
    clear_class(store)
    assert find_standing(store, token) is Standing.BLOCKED, "also in the next class"
    key = renew_key(store, ada)
    assert sign_in_with_key(store, key, "here") == ada


def test_a_teacher_is_not_removed(store: Store) -> None:
    grace = add(store, "Grace", "oak")[0]

    with pytest.raises(NotAllowed, match="Only students"):
        remove_member(store, grace)


def finish(store: Store, owner: Visitor, name: str) -> str:
    job = store.for_visitor(owner).create(JobKind.TRAIN, name, {}, name)
    store.transition(job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=1.0)
    return job.id


@pytest.mark.parametrize(("ending", "left"), [("keep", 2), ("archive", 2), ("delete", 1)])
def test_the_teacher_chooses_what_happens_to_finished_runs(
    store: Store, ending: str, left: int
) -> None:
    ada, grace = add(store, "Ada")[0], add(store, "Grace", "oak")[0]
    token = remember_browser(store, ada)
    finish(store, ada, "hers")
    finish(store, grace, "the teacher's")
    store.clock = lambda: 4e9

    clear_class(store, Ending(ending))

    assert len(store.list_jobs()) == left
    assert read_ending(store) == ending
    assert read_beginning(store) == (4e9 if ending == "archive" else 0.0)
    assert find_standing(store, token) is Standing.REMOVED


@pytest.mark.parametrize("earlier", ["keep", "archive"])
def test_runs_kept_from_an_earlier_class_are_not_deleted_with_those_of_this_one(
    store: Store, earlier: str
) -> None:
    old = finish(store, add(store, "Ada")[0], "of the first class")
    clear_class(store, Ending(earlier))
    finish(store, add(store, "Bob")[0], "of the second class")

    clear_class(store, Ending.DELETE)

    assert [job.id for job in store.list_jobs()] == [old]


def test_a_class_is_not_ended_by_deleting_an_active_run(store: Store) -> None:
    ada = add(store, "Ada")[0]
    job = store.for_visitor(ada).create(JobKind.TRAIN, "hers", {}, "1")
    store.transition(job, JobState.STARTING, started_at=1.0)

    with pytest.raises(StateConflict, match="still starting"):
        clear_class(store, Ending.DELETE)
    assert accounts.is_member(store, ada)


def test_keys_of_students_survive_elsewhere(store: Store, tmp_path: Path) -> None:
    ada, key = add(store, "Ada")
    add(store, "Grace", "oak")
    elsewhere = Store(Settings(home=tmp_path / "elsewhere"))

    accounts.add_restored(elsewhere, [ada], accounts.read_keys(store))

    assert accounts.read_keys(store).keys() == {ada.id}
    assert sign_in_with_key(elsewhere, key, "here") == ada
    renewed = renew_key(elsewhere, ada)
    accounts.add_restored(elsewhere, [ada], accounts.read_keys(store))
    assert sign_in_with_key(elsewhere, renewed, "here") == ada


def test_a_name_is_checked_while_no_one_else_can_join(store: Store) -> None:
    ada, teacher = add(store, "Ada")[0], add(store, "Grace", "oak")[0]
    leading = store.for_visitor(teacher)
    with ThreadPoolExecutor(1) as pool:
        with classroom.hold_names(store):  # someone joins
            renaming = pool.submit(rename_member, leading, ada, "Bob")
            with pytest.raises(TimeoutError):
                renaming.result(timeout=0.3)
            accounts.add_person(store, Visitor("bob", "Bob", Role.STUDENT), "key of bob")

        with pytest.raises(StateConflict, match="Bob is the name of another person"):
            renaming.result()
