import hmac
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.hidden_test import RULES
from core.errors import ArtifactDamaged, NotAllowed
from core.people import classroom
from core.people.classroom import (
    Browser,
    Ending,
    Rules,
    change_rules,
    clear_class,
    join,
    read_codes,
    read_rules,
    recover_rules,
    replace_code,
    require_student_limits,
    sign_in,
    sign_in_with_key,
)
from core.settings import Settings
from core.storage import accounts
from core.storage.job import JobKind, JobState
from core.storage.store import Store


@pytest.fixture
def store(home: object) -> Store:
    return Store(Settings(class_code="blue whale", teacher_code="old oak tree"))


def as_(store: Store, visitor: Visitor) -> Store:
    return store.for_visitor(visitor)


def student(store: Store, name: str = "Ada") -> Visitor:
    return join(store, "blue whale", name, "here")[0]


def test_each_code_gives_its_role_whatever_its_case_and_spaces(store: Store) -> None:
    assert read_codes(store).find_role(" Blue Whale ") is Role.STUDENT
    assert read_codes(store).find_role("old oak tree") is Role.TEACHER
    assert read_codes(store).find_role("blue") is None


def test_codes_are_compared_in_constant_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, code: bytes) -> bool:
        compared.append(code)
        return False

    # of the standard library: a result does not show how it was computed
    monkeypatch.setattr(hmac, "compare_digest", compare)
    read_codes(store).find_role("x")

    assert compared == [b"old oak tree", b"blue whale"]  # both, also when the first one fits


def test_codes_that_no_one_set_are_made_up_once(home: object) -> None:
    store = Store(Settings())

    first = read_codes(store)

    assert read_codes(store) == first
    assert len(first.teacher) > len(first.student) == 6


def test_a_short_code_of_an_earlier_version_is_replaced(home: object) -> None:
    store = Store(Settings())
    accounts.write_options(store, {"class-code": "ab34", "teacher-code": "ab34-cd34-ef34"})

    codes = read_codes(store)

    assert (len(codes.student), codes.teacher) == (6, "ab34-cd34-ef34")
    assert read_codes(store) == codes


def test_who_joined_comes_back_with_the_key_and_no_one_without(store: Store) -> None:
    visitor, key = join(store, "blue whale", "  Ada   Lovelace ", "here")

    assert visitor.name == "Ada Lovelace"
    assert sign_in_with_key(store, key.upper(), "here") == visitor
    with pytest.raises(NotAllowed, match="This key is unknown here"):
        sign_in_with_key(store, "aaaa-bbbb-cccc", "here")


def test_the_key_is_not_in_the_database(store: Store) -> None:
    _, key = join(store, "blue whale", "Ada", "here")

    assert key.encode() not in store.database.read_bytes()


def try_wrong(store: Store, address: str, pauses: list[float] | None = None) -> str:
    """Try a wrong code and return the message; ``pauses`` receives how long it would wait."""
    with pytest.raises(NotAllowed) as refusal:
        join(store, "wrong", "Ada", address, pause=(pauses if pauses is not None else []).append)
    return refusal.value.message


def test_ten_wrong_codes_of_a_school_lock_out_no_one(store: Store) -> None:
    _, key = join(store, "blue whale", "Grace", "school")
    messages = [try_wrong(store, "school") for _ in range(100)]

    assert set(messages[:10]) == {"This is not the class code."}
    assert set(messages[10:]) == {"Too many wrong codes from your network."}
    assert join(store, "blue whale", "Ada", "school")[0].name == "Ada"
    assert sign_in_with_key(store, key, "school").name == "Grace"
    assert join(store, "old oak tree", "Grace", "school")[0].role is Role.TEACHER


def test_wrong_codes_above_a_limit_are_answered_late(store: Store) -> None:
    pauses: list[float] = []
    for _ in range(12):
        try_wrong(store, "here", pauses)

    assert pauses == [classroom.PAUSE_SECONDS] * 2


def test_limit_is_over_after_a_minute(store: Store) -> None:
    store.clock = lambda: 1000.0
    for _ in range(11):
        last = try_wrong(store, "here")
    assert last == "Too many wrong codes from your network."

    store.clock = lambda: 1060.0
    assert try_wrong(store, "here") == "This is not the class code."


def test_clock_that_is_set_back_makes_no_wrong_code_late(store: Store) -> None:
    store.clock = lambda: 1e9
    for _ in range(11):
        try_wrong(store, "here")

    store.clock = lambda: 1e9 - 86_400

    assert try_wrong(store, "here") == "This is not the class code."


def test_wrong_codes_count_for_all_processes_of_a_server_and_after_its_restart(
    store: Store,
) -> None:
    for _ in range(10):
        try_wrong(Store(store.settings), "here")

    assert try_wrong(store, "here") == "Too many wrong codes from your network."


def test_wrong_codes_of_many_addresses_have_a_limit_in_common(store: Store) -> None:
    messages = [try_wrong(store, f"192.0.2.{number}") for number in range(80)]

    assert set(messages[:60]) == {"This is not the class code."}
    assert set(messages[60:]) == {"Too many wrong codes from all networks."}
    assert join(store, "blue whale", "Ada", "192.0.2.99")[0].name == "Ada"


def test_one_address_alone_does_not_reach_the_common_limit(store: Store) -> None:
    for _ in range(200):
        try_wrong(store, "elsewhere")

    assert try_wrong(store, "here") == "This is not the class code."


def test_wrong_tries_are_listed_with_kind_address_browser_and_time(store: Store) -> None:
    store.clock = lambda: 100.0
    for _ in range(3):
        with pytest.raises(NotAllowed):
            join(store, "wrong", "Eve", "192.0.2.7", Browser("Firefox on Linux"))
    with pytest.raises(NotAllowed):
        join(store, "blue whale", "Eve", "here", role=Role.TEACHER)
    store.clock = lambda: 200.0
    with pytest.raises(NotAllowed):
        sign_in_with_key(store, "wrong", "192.0.2.8", Browser("Safari on iPad"))

    tries = accounts.list_wrong_tries(store)

    assert tries[0] == accounts.WrongTries("key", "192.0.2.8", "Safari on iPad", 1, 200.0)
    assert {(each.kind, each.browser, each.tries) for each in tries[1:]} == {
        ("class code", "Firefox on Linux", 3),
        ("teacher's code", "", 1),
    }


def test_list_of_wrong_tries_is_bounded(store: Store) -> None:
    for number in range(accounts.WRONG_TRIES + 20):
        accounts.add_wrong_try(store, "key", f"address {number}", "")
    try_wrong(store, "the last one")

    tries = accounts.list_wrong_tries(store)
    assert len(tries) == accounts.WRONG_TRIES
    assert "the last one" in {each.address for each in tries}


def test_many_tries_at_once_are_no_way_round_the_limit(store: Store) -> None:
    together = Barrier(30)

    def try_code(_: int) -> str:
        together.wait()
        return try_wrong(store, "here")

    with ThreadPoolExecutor(30) as pool:
        messages = Counter(pool.map(try_code, range(30)))

    assert messages == {
        "This is not the class code.": 10,
        "Too many wrong codes from your network.": 20,
    }


def test_a_network_of_one_machine_counts_as_one_address(store: Store) -> None:
    for number in range(10):
        try_wrong(store, f"2001:db8::{number + 1:x}")

    assert try_wrong(store, "2001:db8::ffff") == "Too many wrong codes from your network."
    assert try_wrong(store, "2001:db8:0:1::1") == "This is not the class code."
    assert try_wrong(store, "192.0.2.7") == "This is not the class code."


def test_a_role_takes_its_own_code_alone(store: Store) -> None:
    with pytest.raises(NotAllowed, match="not the class code"):
        join(store, "old oak tree", "Grace", "here", role=Role.STUDENT)
    with pytest.raises(NotAllowed, match="not the teacher's code"):
        join(store, "blue whale", "Ada", "here", role=Role.TEACHER)


def test_only_the_teacher_replaces_the_class_code(home: object) -> None:
    store = Store(Settings())
    old = read_codes(store)
    ada = join(store, old.student, "Ada", "here")[0]
    with pytest.raises(NotAllowed, match="Only the teacher"):
        replace_code(as_(store, ada))

    replace_code(store)

    assert read_codes(store).find_role(old.student) is None
    assert accounts.is_member(store, ada)


def test_a_code_of_the_environment_is_not_replaced(store: Store) -> None:
    with pytest.raises(NotAllowed, match="LORALAB_CLASS_CODE"):
        replace_code(store)


def test_right_codes_are_not_counted(store: Store) -> None:
    with ThreadPoolExecutor(30) as pool:  # a class behind one address
        joined = list(
            pool.map(
                lambda number: join(store, "blue whale", f"Student {number}", "here"),
                range(30),
            )
        )

    assert len({visitor.id for visitor, _ in joined}) == 30


def test_wrong_keys_count_like_wrong_codes(store: Store) -> None:
    for _ in range(10):
        with pytest.raises(NotAllowed, match="This key is unknown"):
            sign_in_with_key(store, "wrong", "here")

    with pytest.raises(NotAllowed, match="Too many"):
        sign_in_with_key(store, "wrong", "here")


def test_a_closed_class_lets_in_the_teacher_alone(store: Store) -> None:
    change_rules(store, Rules(open=False))

    with pytest.raises(NotAllowed, match="closed"):
        student(store)
    assert join(store, "old oak tree", "Grace", "here")[0].role is Role.TEACHER


def test_only_the_teacher_changes_rules_and_ends_the_class(store: Store) -> None:
    lesson = as_(store, student(store))

    for attempt in (lambda: change_rules(lesson, Rules(rows=100_000)), lambda: clear_class(lesson)):
        with pytest.raises(NotAllowed, match="Only the teacher"):
            attempt()
    assert read_rules(store) == Rules()


@pytest.mark.parametrize(
    ("config", "page_text"),
    [
        (RunConfig(train_rows=0), "All rows"),
        (RunConfig(train_rows=5000, epochs=3), "15,000 rows over all epochs"),
        (RunConfig(train_rows=1000, max_tokens=512), "512 tokens"),
        (RunConfig(train_rows=1000, batch_size=64), "batch of 64"),
    ],
)
def test_a_student_stays_within_the_rules(store: Store, config: RunConfig, page_text: str) -> None:
    lesson = as_(store, student(store))

    with pytest.raises(NotAllowed, match=page_text):
        require_student_limits(lesson, [], config)
    require_student_limits(lesson, [], RunConfig(train_rows=12_000))
    require_student_limits(lesson, [], RunConfig(train_rows=0, epochs=2), all_rows=4000)
    require_student_limits(store, [], config)  # the teacher's own machine knows no bounds


def test_a_student_has_one_run_running_and_two_waiting(store: Store) -> None:
    lesson = as_(store, student(store))
    jobs = [lesson.create(JobKind.TRAIN, "run", {}, f"{number}") for number in range(3)]
    small = RunConfig(train_rows=1000)

    require_student_limits(lesson, jobs[:2], small)
    with pytest.raises(NotAllowed, match="3 runs queued or running"):
        require_student_limits(lesson, jobs, small)
    require_student_limits(as_(store, student(store, "Bob")), jobs, small)


def test_ending_the_class_sends_students_out_and_keeps_the_teacher(
    store: Store, home: object
) -> None:
    ada, key = join(store, "blue whale", "Ada", "here")
    grace = join(store, "old oak tree", "Grace", "here")[0]
    waiting = as_(store, ada).create(JobKind.TRAIN, "run", {}, "key")

    clear_class(store)

    assert (accounts.is_member(store, ada), accounts.is_member(store, grace)) == (False, True)
    assert store.read_job(waiting.id).state is JobState.CANCELLED
    # names stay on finished runs
    assert [visitor.name for visitor in accounts.list_people(store)] == ["Ada", "Grace"]
    with pytest.raises(NotAllowed):
        sign_in_with_key(store, key, "here")


@pytest.mark.parametrize("alike", ["0oq", "1il", "2z", "5s", "6g9", "8b", "uv"])
def test_codes_and_keys_have_no_letters_that_look_alike(alike: str) -> None:
    drawn = "".join(classroom.make_key(4) + classroom.make_code() for _ in range(400))

    assert len(set(drawn) & set(alike)) <= 1


def test_whom_a_backup_names_comes_in_by_the_sign_in_page_like_all_others(store: Store) -> None:
    ada = Visitor("oidc-1", "Ada", Role.STUDENT)
    accounts.add_restored(store, [ada])
    change_rules(store, Rules(open=False))

    assert not accounts.is_member(store, ada)
    with pytest.raises(NotAllowed, match="closed"):
        sign_in(store, ada)

    change_rules(store, Rules())
    sign_in(store, ada)
    assert accounts.is_member(store, ada)


def test_students_find_no_run_of_an_archived_class_and_the_teacher_does(store: Store) -> None:
    codes = read_codes(store)
    grace, ada = join_as(store, "Grace", codes.teacher), join_as(store, "Ada", codes.student)
    old = ada.create(JobKind.TRAIN, "old", {}, "old")
    ada.transition(old, JobState.CANCELLED)
    bundled = store.create(JobKind.TRAIN, "example", {}, "example", owner="shipped")
    store.transition(bundled, JobState.CANCELLED)

    clear_class(grace, Ending.ARCHIVE)
    bob = join_as(store, "Bob", read_codes(store).student)
    new = bob.create(JobKind.TRAIN, "new", {}, "new")

    assert {job.name for job in bob.list_jobs()} == {"new", "example"}
    assert {job.name for job in ada.list_jobs()} == {"new", "example"}
    assert {job.name for job in grace.list_jobs()} == {"new", "example", "old"}
    assert new.owner == bob.visitor.id


def test_a_class_is_archived_with_the_runs_that_a_wrong_clock_has_dated_later(
    store: Store,
) -> None:
    grace = join_as(store, "Grace", read_codes(store).teacher)
    ada = join_as(store, "Ada", read_codes(store).student)
    ada.clock = lambda: 1e12
    ada.transition(ada.create(JobKind.TRAIN, "old", {}, "old"), JobState.CANCELLED)

    clear_class(grace, Ending.ARCHIVE)
    bob = join_as(store, "Bob", read_codes(store).student)
    bob.create(JobKind.TRAIN, "new", {}, "new")

    assert [job.name for job in bob.list_jobs()] == ["new"]


def join_as(store: Store, name: str, code: str) -> Store:
    return store.for_visitor(join(store, code, name, "here")[0])


def damage_rules(store: Store, **fields: object) -> None:
    rules = json.loads(accounts.read_options(store)[RULES])
    accounts.write_options(store, {RULES: json.dumps(rules | fields)})


def test_saving_rules_that_cannot_be_read_leaves_the_hidden_test(store: Store) -> None:
    store = as_(store, Visitor("grace", "Grace", Role.TEACHER))
    change_rules(store, Rules(hidden_percent=20))
    before = read_rules(store)
    damage_rules(store, minutes="many")

    recovered, hidden_known = recover_rules(store)
    change_rules(store, recovered)

    assert hidden_known and read_rules(store) == recovered
    assert (recovered.hidden_percent, recovered.hidden_seed) == (20, before.hidden_seed)
    assert "could not be read" not in accounts.read_audit_log(store)[0][3]


def test_saving_records_that_the_hidden_test_could_not_be_read(store: Store) -> None:
    store = as_(store, Visitor("grace", "Grace", Role.TEACHER))
    change_rules(store, Rules(hidden_percent=20))
    damage_rules(store, hidden_seed="?")

    recovered, hidden_known = recover_rules(store)
    change_rules(store, recovered)

    assert not hidden_known and not read_rules(store).is_on
    assert accounts.read_audit_log(store)[0][3].endswith(
        "; the hidden final test before could not be read"
    )


def test_a_class_whose_rules_cannot_be_read_does_not_end_halfway(store: Store) -> None:
    student(store)
    change_rules(store, Rules())
    damage_rules(store, minutes="many")
    code = accounts.read_options(store)["class-code"]

    with pytest.raises(ArtifactDamaged):
        clear_class(store)

    assert len(accounts.list_people(store)) == 1
    assert accounts.read_options(store)["class-code"] == code
