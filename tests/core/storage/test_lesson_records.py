from core.storage import lesson_records
from core.storage.lesson_records import KEPT_OPEN
from core.storage.store import Store


def test_a_stored_file_is_replaced_by_its_title_and_their_number_is_limited(store: Store) -> None:
    assert lesson_records.save_lesson(store, "a", "first", 2)
    assert lesson_records.save_lesson(store, "b", "other", 2)
    assert lesson_records.save_lesson(store, "a", "second", 2)
    assert not lesson_records.save_lesson(store, "c", "third", 2)

    assert lesson_records.list_lessons(store) == {"a": "second", "b": "other"}
    lesson_records.remove_lesson(store, "a")
    assert lesson_records.list_lessons(store) == {"b": "other"}


def test_a_new_lesson_ends_the_earlier_one_of_its_owner_only(store: Store) -> None:
    lesson_records.open_lesson(store, "", "first")
    other = lesson_records.open_lesson(store, "ada", "hers")
    second = lesson_records.open_lesson(store, "", "second")

    place, hers = lesson_records.find_place(store, ""), lesson_records.find_place(store, "ada")

    assert place and place.id == second and hers and hers.id == other
    ended = [place.ended_at is not None for place in lesson_records.list_places(store, "")]
    assert ended == [False, True]


def test_the_oldest_ended_lessons_are_removed_with_their_entries(store: Store) -> None:
    first = lesson_records.open_lesson(store, "", "0")
    lesson_records.add_entry(store, first, 0, "note", "x")
    for number in range(KEPT_OPEN + 1):
        lesson_records.open_lesson(store, "", str(number + 1))

    assert len(lesson_records.list_places(store, "")) == KEPT_OPEN + 1
    assert lesson_records.list_entries(store, first) == []
    assert lesson_records.read_content(store, first) == ""
