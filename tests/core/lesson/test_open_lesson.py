from collections import Counter

import pytest

from core.access import GUEST, Role, Visitor
from core.errors import ConfigError, NotAllowed, StateConflict
from core.lesson import open_lesson
from core.lesson.lesson_file import GuessField, RunReference, Spoiler, list_bundled
from core.settings import Settings
from core.storage.job import JobState
from core.storage.store import Store
from core.translation import use
from tests.support.led_lessons import TEACHER, lead_lesson, place_of

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
LESSON = """\
title: Small
steps:
  - title: Guess
    minutes: 3
    question: How many?
    guess: {kind: number, low: 0, high: 100, answer: 50}
    hides: [results]
  - title: Look
    minutes: 2
    text: Look.
  - title: Choose
    minutes: 1
    question: Which?
    guess: {kind: class, choose: 2}
"""
CLASSES = ["World", "Sports", "Business"]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Store:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    return lead_lesson(LESSON, (ADA, BOB), clock)


def test_all_members_follow_the_lesson_of_the_teacher(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    assert place_of(ada) == place_of(teacher)

    open_lesson.go_to(teacher, place_of(teacher), 1)

    current = open_lesson.read_open(ada)
    assert current is not None and current.step.title == "Look"


def test_a_guest_and_a_public_page_have_no_lesson(
    teacher: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_lesson.find_place(teacher.for_visitor(GUEST)) is None
    monkeypatch.setenv("LORALAB_MODE", "public")
    assert open_lesson.find_place(Store(Settings(), visitor=TEACHER)) is None


def test_a_part_is_hidden_until_the_guess_is_given(teacher: Store) -> None:
    ada, bob = teacher.for_visitor(ADA), teacher.for_visitor(BOB)
    assert open_lesson.find_hidden(ada) == {Spoiler.RESULTS}

    open_lesson.give_guess(ada, place_of(ada), ["12"])

    assert open_lesson.find_hidden(ada) == frozenset()
    assert open_lesson.find_hidden(bob) == {Spoiler.RESULTS}
    assert open_lesson.find_hidden(teacher) == frozenset()
    open_lesson.reveal(teacher, place_of(teacher))
    assert open_lesson.find_hidden(bob) == frozenset()


def test_a_screen_for_the_class_hides_a_part_until_the_answer(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    open_lesson.give_guess(ada, place_of(ada), ["12"])
    assert open_lesson.find_spoilers(teacher) == {Spoiler.RESULTS}

    open_lesson.reveal(teacher, place_of(teacher))

    assert open_lesson.find_spoilers(teacher) == frozenset()


def test_a_guess_is_given_once_and_not_after_the_answer(teacher: Store) -> None:
    ada, bob = teacher.for_visitor(ADA), teacher.for_visitor(BOB)
    open_lesson.give_guess(ada, place_of(ada), ["12"])

    with pytest.raises(StateConflict, match="already given"):
        open_lesson.give_guess(ada, place_of(ada), ["50"])
    assert open_lesson.read_guess(ada, place_of(ada)) == "12"
    open_lesson.reveal(teacher, place_of(teacher))
    with pytest.raises(StateConflict, match="already shown"):
        open_lesson.give_guess(bob, place_of(bob), ["50"])


def test_the_timer_reveals_the_answer(teacher: Store, clock: Clock) -> None:
    open_lesson.set_timer(teacher, place_of(teacher), 2)
    assert not open_lesson.list_delivered(teacher)[0].revealed

    clock.now += 120

    assert open_lesson.list_delivered(teacher)[0].revealed
    open_lesson.go_to(teacher, place_of(teacher), 2)
    assert place_of(teacher).deadline is None
    assert not open_lesson.list_delivered(teacher)[0].revealed


def test_a_stopped_timer_reveals_nothing(teacher: Store, clock: Clock) -> None:
    open_lesson.set_timer(teacher, place_of(teacher), 2)
    open_lesson.set_timer(teacher, place_of(teacher), None)

    clock.now += 1000

    assert not open_lesson.list_delivered(teacher)[0].revealed


def test_the_second_of_two_clicks_skips_no_step(teacher: Store) -> None:
    place = place_of(teacher)
    open_lesson.go_to(teacher, place, 1)

    with pytest.raises(StateConflict, match="moved on"):
        open_lesson.go_to(teacher, place, 1)
    with pytest.raises(StateConflict, match="moved on"):
        open_lesson.reveal(teacher, place)
    with pytest.raises(StateConflict, match="moved on"):
        open_lesson.give_guess(teacher.for_visitor(ADA), place, ["12"])
    with pytest.raises(StateConflict, match="no such step"):
        open_lesson.go_to(teacher, place_of(teacher), 3)
    assert place_of(teacher).step == 1


def test_progress_counts_guesses_and_marks_of_each_person(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    open_lesson.give_guess(ada, place_of(ada), ["12"])
    assert open_lesson.count_answered(teacher, place_of(teacher)) == 1
    open_lesson.go_to(teacher, place_of(teacher), 1)
    open_lesson.mark_done(ada, place_of(ada))
    open_lesson.mark_done(ada, place_of(ada))

    people = open_lesson.read_progress(teacher, place_of(teacher).id)

    assert [(person.name, person.finished, person.guesses) for person in people] == [
        ("Ada", {0, 1}, {0: "12"}),
        ("Bob", frozenset(), {}),
    ]
    with pytest.raises(NotAllowed):
        open_lesson.read_progress(ada, place_of(ada).id)


def test_a_note_can_be_changed_and_stays_after_the_end(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    lesson_id = place_of(ada).id
    open_lesson.write_note(ada, lesson_id, 0, "first")
    open_lesson.end_lesson(teacher)

    open_lesson.write_note(ada, lesson_id, 0, "second")

    assert open_lesson.read_note(ada, lesson_id, 0) == "second"
    assert open_lesson.read_note(teacher.for_visitor(BOB), lesson_id, 0) == ""
    with pytest.raises(StateConflict):
        open_lesson.write_note(ada, "other", 0, "x")
    with pytest.raises(ConfigError, match="1,001 characters"):
        open_lesson.write_note(ada, lesson_id, 0, "x" * 1001)


def test_an_ended_lesson_is_resumed_where_it_was(teacher: Store) -> None:
    open_lesson.go_to(teacher, place_of(teacher), 1)
    open_lesson.end_lesson(teacher)
    assert open_lesson.find_place(teacher) is None

    open_lesson.resume_lesson(teacher, open_lesson.list_delivered(teacher)[0].place)

    assert place_of(teacher).step == 1


def test_in_local_mode_the_user_leads_and_learns(store: Store) -> None:
    open_lesson.start_lesson(store, LESSON)

    assert open_lesson.find_hidden(store) == {Spoiler.RESULTS}
    open_lesson.give_guess(store, place_of(store), ["12"])
    assert open_lesson.find_hidden(store) == frozenset()


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["Sports", "World"], "World · Sports"), (["Business", "World"], "World · Business")],
)
def test_a_choice_of_two_classes_is_stored_in_their_order(values: list[str], expected: str) -> None:
    field = GuessField.model_validate({"kind": "class", "choose": 2})

    assert open_lesson.check_guess(field, values, CLASSES) == expected


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ({"kind": "class", "choose": 2}, ["World"]),
        ({"kind": "class", "choose": 2}, ["World", "World"]),
        ({"kind": "class", "choose": 2}, ["World", "Cooking"]),
        ({"kind": "choice", "options": ["a", "b"]}, ["c"]),
        ({"kind": "choice", "options": ["a", "b"]}, []),
        ({"kind": "number", "low": 0, "high": 1}, ["2"]),
        ({"kind": "number"}, ["nan"]),
        ({"kind": "number"}, ["many"]),
        ({"kind": "text"}, [" \u200b "]),
        ({"kind": "text"}, []),
    ],
)
def test_a_guess_that_the_step_does_not_allow_is_refused(
    field: dict[str, object], values: list[str]
) -> None:
    with pytest.raises(ConfigError):
        open_lesson.check_guess(GuessField.model_validate(field), values, CLASSES)


@pytest.mark.parametrize(
    ("field", "guess", "right"),
    [
        ({"kind": "number", "answer": "0.65"}, "0.7", True),
        ({"kind": "number", "answer": "0.65"}, "5", False),
        ({"kind": "text", "answer": ["cup", "coach"]}, "Coach", True),
        ({"kind": "class", "choose": 2, "answer": ["A", "B"]}, "B · A", True),
        ({"kind": "class", "choose": 2, "answer": ["A", "B"]}, "A · C", False),
        ({"kind": "class"}, "A", None),
        ({"kind": "class", "answer": "A"}, "", None),
    ],
)
def test_a_guess_is_compared_with_the_answer(
    field: dict[str, object], guess: str, right: bool | None
) -> None:
    assert open_lesson.judge(GuessField.model_validate(field), guess) is right


def test_each_member_follows_an_included_lesson_in_their_own_language(teacher: Store) -> None:
    ada, bob = teacher.for_visitor(ADA), teacher.for_visitor(BOB)
    open_lesson.start_lesson(teacher, list_bundled("es")["first-lesson"])
    open_lesson.go_to(teacher, place_of(teacher), 5)
    with use("de"):
        (field,) = (current.step.guess for current in open_lesson.list_delivered(ada)[:1])
        assert field is not None and field.label("Nadie puede saberlo") == "Das kann niemand sagen"
        with pytest.raises(ConfigError, match="Sicher, Wahrscheinlich, Das kann niemand sagen"):
            open_lesson.give_guess(ada, place_of(ada), ["Das kann niemand sagen"])
        open_lesson.give_guess(ada, place_of(ada), ["Nadie puede saberlo"])
    open_lesson.give_guess(bob, place_of(bob), ["Seguro"])

    counts = open_lesson.count_guesses(teacher, place_of(teacher))

    assert counts == {"Nadie puede saberlo": 1, "Seguro": 1}
    assert open_lesson.judge(field, open_lesson.read_guess(ada, place_of(ada)))
    for language, summary in (
        ("en", "2 guesses: No one can say 1, Certainly 1."),
        ("de", "2 Tipps: Das kann niemand sagen 1, Sicher 1."),
    ):
        with use(language):
            current = open_lesson.read_open(bob)
            assert current is not None and current.step.guess is not None
            assert open_lesson.summarize_guesses(current.step.guess, counts) == summary


def test_guesses_are_summarized_without_names(teacher: Store) -> None:
    number = GuessField.model_validate({"kind": "number", "unit": "%"})
    text = GuessField.model_validate({"kind": "text"})

    assert (
        open_lesson.summarize_guesses(number, Counter({"10": 2, "90": 1}))
        == "3 guesses: from 10 to 90 %, median 10 %."
    )
    assert open_lesson.summarize_guesses(number, Counter({"40": 2})) == "2 guesses: 40 %."
    assert (
        open_lesson.summarize_guesses(text, Counter({"cup": 2, "goal": 1}))
        == "3 guesses: cup 2, goal 1."
    )
    assert open_lesson.summarize_guesses(text, Counter()) == "No guesses."
    six = Counter({"a": 2, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1})
    assert open_lesson.summarize_guesses(text, six).endswith(" e 1 and 1 other.")
    assert open_lesson.summarize_guesses(text, six + Counter("g")).endswith(" e 1 and 2 others.")


def test_a_step_opens_the_newest_finished_run(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    assert open_lesson.find_run(ada, RunReference.MINE) == ""
    for store, key in ((teacher, "prepared"), (ada, "mine"), (ada, "queued")):
        job = store.create("train", key, {}, key)
        if key != "queued":
            store.transition(job, JobState.STARTING, started_at=1.0)
            store.transition(job, JobState.RUNNING)
            store.transition(job, JobState.COMPLETED)
    names = {job.id: job.name for job in teacher.list_jobs()}

    assert names[open_lesson.find_run(ada, RunReference.MINE)] == "mine"
    assert names[open_lesson.find_run(ada, RunReference.PREPARED)] == "prepared"
    assert open_lesson.find_run(ada, RunReference.EXAMPLE) == ""
