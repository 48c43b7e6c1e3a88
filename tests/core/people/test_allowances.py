from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from core.access import GUEST, MACHINE_OWNER, Role, Visitor
from core.errors import NotAllowed
from core.people import allowances
from core.people.allowances import (
    EXPLANATIONS_OF_A_STUDENT,
    EXPLANATIONS_OF_GUESTS,
    JOINS_OF_A_BROWSER,
    JOINS_OF_A_NETWORK,
    find_explanations,
    find_network,
    find_text_limits,
    make_token,
    read_left,
    read_lineage,
    spend,
)
from core.people.classroom import Browser, Rules, change_rules, clear_class, join
from core.settings import Settings
from core.storage.store import Store

THREE = replace(EXPLANATIONS_OF_A_STUDENT, most=3)
TAKEN = "explanations an hour are allowed, and none is left"


@pytest.fixture
def store(home: object) -> Store:
    store = Store(Settings(class_code="whale", teacher_code="oak"))
    store.clock = lambda: 10_000.0
    return store


def add(store: Store, number: int, address: str = "192.0.2.1", token: str = "") -> None:
    join(store, "whale", f"Student {number}", address, Browser("", token))


def test_uses_are_counted_for_one_user_and_free_again_later(store: Store) -> None:
    for _ in range(3):
        spend(store, (THREE, "ada"))
    spend(store, (THREE, "bob"))

    with pytest.raises(NotAllowed, match=f"3 {TAKEN}.*Wait 60 min"):
        spend(store, (THREE, "ada"))
    assert str(read_left(store, THREE, "bob")) == (
        "2 of 3 explanations are left; one more in 60 min."
    )
    store.clock = lambda: 13_600.0
    spend(store, (THREE, "ada"))
    assert read_left(store, THREE, "ada").left == 2


def test_clock_that_is_set_back_locks_no_one_out_for_longer(store: Store) -> None:
    """A school would wait for 25 hours instead of one."""
    for _ in range(3):
        spend(store, (THREE, "ada"))
    store.clock = lambda: 10_000.0 - 86_400

    assert read_left(store, THREE, "ada").free_in_seconds == 3600
    with pytest.raises(NotAllowed, match=f"3 {TAKEN}.*Wait 60 min"):
        spend(store, (THREE, "ada"))
    store.clock = lambda: 10_000.0 - 86_400 + 3600
    spend(store, (THREE, "ada"))


def test_uses_outlive_the_server(store: Store) -> None:
    spend(store, (THREE, "ada"))

    again = Store(store.settings)
    again.clock = store.clock
    assert read_left(again, THREE, "ada").left == 2


def test_lowered_limit_counts_all_earlier_uses(store: Store) -> None:
    for seconds in range(3):
        store.clock = lambda seconds=seconds: 10_000.0 + 600 * seconds  # type: ignore[misc]
        spend(store, (THREE, "ada"))

    left = read_left(store, replace(THREE, most=1), "ada")
    assert (left.left, left.free_in_seconds) == (0, 3600)


def test_no_use_counts_if_one_of_several_is_refused(store: Store) -> None:
    none = replace(JOINS_OF_A_BROWSER, most=0)

    with pytest.raises(NotAllowed, match="0 joins a day"):
        spend(store, (THREE, "ada"), (none, "browser"))

    assert read_left(store, THREE, "ada").left == 3


def test_uses_at_the_same_time_do_not_exceed_the_limit(store: Store) -> None:
    def try_once(_: int) -> bool:
        try:
            spend(store, (THREE, "ada"))
        except NotAllowed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(try_once, range(64))) == 3


def test_a_school_of_two_classes_joins_and_a_script_does_not(store: Store) -> None:
    refused = 0
    for number in range(500):
        try:
            add(store, number)
        except NotAllowed as error:
            assert "60 joins an hour are allowed for one network" in str(error)
            refused += 1

    assert refused == 440
    add(store, 501, "192.0.2.2")
    join(store, "oak", "Grace", "192.0.2.1")


def test_the_teacher_sets_the_joins_of_a_network_and_ending_the_class_frees_them(
    store: Store,
) -> None:
    change_rules(store, Rules(joins=1))
    add(store, 1)
    with pytest.raises(NotAllowed, match="1 joins an hour"):
        add(store, 2)

    clear_class(store)

    add(store, 2)


def test_a_browser_joins_a_few_times_whatever_its_address_and_secret(store: Store) -> None:
    token = make_token()
    for number in range(JOINS_OF_A_BROWSER.most):
        add(store, number, f"192.0.2.{number}", token)
        token = make_token(token)

    with pytest.raises(NotAllowed, match="10 joins a day are allowed for one browser"):
        add(store, 99, "198.51.100.1", token)
    add(store, 99, "198.51.100.1", make_token())


@pytest.mark.parametrize("forged", ["", "x", "a" * 11, "'; DROP TABLE uses.", "\x00" * 11 + ".x"])
def test_a_forged_secret_identifies_no_browser(forged: str) -> None:
    assert read_lineage(forged) == ""
    assert read_lineage(make_token(forged))


def test_secrets_of_a_browser_differ() -> None:
    first = make_token()
    second = make_token(first)

    assert read_lineage(first) == read_lineage(second)
    assert first != second
    assert len(second) == len(first)


def test_guests_share_the_allowance_of_their_network_and_admins_have_none() -> None:
    guest = Visitor("guest-1", "", Role.GUEST_TRAINER)

    assert find_explanations(GUEST, "2001:db8::1") == find_explanations(guest, "2001:db8::2")
    assert find_explanations(GUEST, "x") == (EXPLANATIONS_OF_GUESTS, "x")
    ada = Visitor("ada", "Ada", Role.STUDENT)
    assert find_explanations(ada, "x") == (EXPLANATIONS_OF_A_STUDENT, "ada")
    assert find_explanations(MACHINE_OWNER, "x") is None
    assert find_explanations(Visitor("grace", "Grace", Role.TEACHER), "x") is None


def test_texts_of_guests_are_shorter() -> None:
    assert find_text_limits(GUEST) == allowances.OF_GUESTS
    assert find_text_limits(Visitor("ada", "Ada", Role.STUDENT)) == allowances.OF_MEMBERS


def test_network_of_an_address() -> None:
    assert find_network("2001:db8::1") == find_network("2001:db8::ffff")
    assert find_network("::ffff:192.0.2.1") != find_network("::ffff:192.0.2.2")
    assert find_network("not an address") == "not an address"
    assert JOINS_OF_A_NETWORK.most >= 30
