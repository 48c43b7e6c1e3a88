from concurrent.futures import ThreadPoolExecutor

import pytest

from core.access import GUEST, Role, Visitor
from core.data.dataset import Dataset
from core.data.disputed_labels import (
    MOST_OF_A_STUDENT,
    DisputedLabel,
    change_disputed,
    count_left,
    count_other_versions,
    find_labels,
    read_disputed,
    read_own_disputed,
)
from core.data.preparation import prepare
from core.errors import ArtifactDamaged, DataError, NotAllowed
from core.jobs.actions import dispute_labels, undo_disputes
from core.settings import Settings
from core.storage.store import Store
from tests.support.pet_rows import Make

PETS, OTHER = "0123456789ab", "b" * 12
ADA, BOB = (Visitor(name, name.title(), Role.STUDENT) for name in ("ada", "bob"))


def mark(row: int, suggested: str = "") -> DisputedLabel:
    return DisputedLabel(row=row, label="cat", suggested=suggested)


@pytest.fixture
def dataset(settings: Settings, make_source: Make) -> Dataset:
    return prepare(settings, make_source(), lambda progress: None, lambda: False)


def test_marks_are_read_by_a_new_store_until_they_are_undone(store: Store) -> None:
    dispute_labels(store, PETS, "pets", [mark(7), mark(3, "dog")])
    dispute_labels(store, PETS, "pets", [mark(7, "bird")])

    marks = read_disputed(Store(Settings()), PETS)
    assert {row: label.suggested for row, label in marks.items()} == {3: "dog", 7: "bird"}

    undo_disputes(store, PETS, "pets", [3, 7])
    assert read_disputed(Store(Settings()), PETS) == {}
    assert not list((store.settings.home / "disputed").glob("*.json"))


def test_a_forged_suggestion_is_refused(store: Store) -> None:
    """Each of a thousand rows could otherwise hold some megabytes."""
    with pytest.raises(DataError, match="A label has 1,001 characters"):
        dispute_labels(store, PETS, "pets", [mark(7, "x" * 1001)])

    assert read_disputed(store, PETS) == {}


def test_another_version_of_the_data_has_no_marks_and_counts_those_of_the_first(
    store: Store,
) -> None:
    dispute_labels(store, PETS, "pets", [mark(7), mark(3)])
    changed = "ba9876543210"

    assert read_disputed(store, changed) == {}
    assert count_other_versions(store, "pets", changed) == 2
    assert count_other_versions(store, "pets", PETS) == 0
    assert count_other_versions(store, "birds", changed) == 0


def test_marks_of_a_teacher_count_for_all_and_those_of_a_student_for_one(store: Store) -> None:
    ada, bob = store.for_visitor(ADA), store.for_visitor(BOB)
    dispute_labels(store, PETS, "pets", [mark(1)])
    dispute_labels(ada, PETS, "pets", [mark(2)])
    undo_disputes(ada, PETS, "pets", [1, 2])
    dispute_labels(ada, PETS, "pets", [mark(4)])

    assert set(read_disputed(ada, PETS)) == {1, 4}
    assert set(read_own_disputed(ada, PETS)) == {4}
    assert set(read_disputed(bob, PETS)) == set(read_disputed(store, PETS)) == {1}


def test_a_student_disputes_a_limited_number_of_labels_of_all_data(store: Store) -> None:
    ada, bob = store.for_visitor(ADA), store.for_visitor(BOB)
    dispute_labels(ada, PETS, "pets", [mark(row) for row in range(600)])
    dispute_labels(ada, OTHER, "birds", [mark(row) for row in range(MOST_OF_A_STUDENT - 600)])

    with pytest.raises(NotAllowed, match="may dispute 1,000 labels"):
        dispute_labels(ada, "c" * 12, "cows", [mark(1)])
    dispute_labels(ada, PETS, "pets", [mark(7, "dog")])  # replaces one
    assert (count_left(ada), count_left(bob), count_left(store)) == (0, MOST_OF_A_STUDENT, None)

    undo_disputes(ada, PETS, "pets", [7])
    dispute_labels(ada, "c" * 12, "cows", [mark(1)])
    assert count_left(ada) == 0


def test_a_guest_marks_nothing(store: Store) -> None:
    with pytest.raises(NotAllowed, match="mark labels as disputed"):
        dispute_labels(store.for_visitor(GUEST), PETS, "pets", [mark(1)])


def test_marks_that_are_set_at_once_are_all_stored(store: Store) -> None:
    def add(row: int) -> None:
        change_disputed(store, PETS, "pets", [mark(row)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))

    assert sorted(read_disputed(store, PETS)) == list(range(12))


def test_the_label_of_a_row_comes_from_the_test_split(dataset: Dataset) -> None:
    rows = dataset.read("test")[["row", "label"]]
    row, label = (int(value) for value in rows.iloc[0])
    own, other = dataset.classes[label], dataset.classes[1 - label]

    assert find_labels(dataset, [row, row], other) == [
        DisputedLabel(row=row, label=own, suggested=other)
    ]
    for arguments, message in (
        (([9_999],), "has no row 9,999"),
        (([row], "lion"), "has no class 'lion'"),
        (([row], own), "already has the class"),
    ):
        with pytest.raises(DataError, match=message):
            find_labels(dataset, *arguments)


@pytest.mark.parametrize("fingerprint", ["", "abc", "0123456789AB", f"{PETS}\n"])
def test_data_without_a_fingerprint_have_no_disputed_labels(store: Store, fingerprint: str) -> None:
    with pytest.raises(DataError, match="has no fingerprint"):
        dispute_labels(store, fingerprint, "pets", [mark(1)])


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}'])
def test_a_damaged_file_names_itself(store: Store, content: str) -> None:
    dispute_labels(store, PETS, "pets", [mark(1)])
    (store.settings.home / "disputed" / f"{PETS}.json").write_text(content)

    with pytest.raises(ArtifactDamaged, match="are damaged") as error:
        read_disputed(store, PETS)
    assert f"Delete {PETS}.json" in error.value.fix
