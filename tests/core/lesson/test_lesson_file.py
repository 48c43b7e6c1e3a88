import pytest

from core.errors import ConfigError
from core.lesson.lesson_file import (
    LARGEST_KB,
    GuessField,
    GuessKind,
    LessonStep,
    Spoiler,
    decode_lesson,
    list_bundled,
    list_pages,
    read_lesson,
    read_translated,
)

SMALL = """\
title: Small
steps:
  - title: Look
    minutes: 2.5
    text: Look at **it**.
    page: explore
  - title: Guess
    minutes: 3
    question: How many?
    guess:
      kind: number
      unit: "%"
      low: 0
      high: 100
      answer: 12
    hides: [results, preset texts]
"""


def replace(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


def test_a_lesson_is_read_with_its_times_and_guess() -> None:
    lesson = read_lesson(SMALL)

    assert lesson.minutes == 5.5
    guess = lesson.steps[1].guess
    assert guess is not None
    assert (guess.kind, guess.unit, guess.high, guess.answer) == (
        GuessKind.NUMBER,
        "%",
        100,
        ("12",),
    )
    assert lesson.steps[1].hides == (Spoiler.RESULTS, Spoiler.PRESETS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replace("minutes: 2.5", "minutes: two"), "Step 1, line 4: minutes: "),
        (replace("minutes: 2.5", "minutes: 0"), "Step 1, line 4: minutes: "),
        (replace("minutes: 2.5", "minutes: nan"), "Step 1, line 4: minutes: "),
        (replace("    minutes: 3\n", ""), "Step 2, line 7: minutes is missing."),
        (replace("    text: Look", "    txet: Look"), "Step 1, line 5: unknown field txet."),
        (replace("page: explore", "page: explor"), "there is no page 'explor'; pages are adapter"),
        (replace("unit:", "untis:"), "Step 2, line 12: unknown field guess.untis."),
        (replace("answer: 12", "answer: 112"), "Step 2, line 10: guess: the answer is not between"),
        (replace("answer: 12", "answer: x"), "Step 2, line 10: guess: the answer 'x' is not a"),
        (replace("low: 0", "low: 100"), "Step 2, line 10: guess: low must be below high"),
        (replace("kind: number", "kind: choice"), "Step 2, line 10: guess: options belong to"),
        (replace("results", "result"), "Step 2, line 16: hides: "),
        (replace("question: How many?", "text: x"), "Step 2, line 7: a guess needs a question"),
        (replace("**it**", "![it](https://x.org/y.png)"), "Step 1, line 3: images are not"),
        (replace("title: Small", "title: Small\ntitle: Big"), "Line 2: the field title is there"),
        (replace("title: Small", "title: &a Small"), "Line 1: anchors and aliases"),
        (replace("  - title: Look", "  - - title: Look"), "Line 4: "),
        ("title: x\nsteps: []", "Line 2: steps: list should have at least 1 item"),
        ("title: x\nsteps: many", "Line 2: steps: "),
        ("- a", "Line 1: a lesson begins with its title: and steps:."),
        ("", "Line 1: a lesson begins with its title: and steps:."),
        ("a: [", "Line 1: "),
        ("a: \x07", "characters that YAML does not allow"),
        ("[" * 50_000, "Line 1: more than 6 levels"),
        ("x" * (LARGEST_KB * 1024 + 1), "a lesson may have 100"),
    ],
)
def test_an_error_names_step_and_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_lesson(text)

    assert message in str(caught.value)


def test_words_that_yaml_reads_as_true_and_false_stay_options() -> None:
    text = replace("kind: number", "kind: choice").replace(
        '      unit: "%"\n      low: 0\n      high: 100\n      answer: 12',
        "      options: [yes, no, 1.0]\n      answer: no",
    )

    guess = read_lesson(text).steps[1].guess

    assert guess is not None and guess.options == ("yes", "no", "1.0")
    assert guess.answer == ("no",)


def test_many_problems_are_counted() -> None:
    step = "  - title: x\n    minutes: 0\n"

    with pytest.raises(ConfigError, match="3 more problems follow"):
        read_lesson("title: x\nsteps:\n" + step * 8)


def test_the_bundled_lessons_can_be_read() -> None:
    lessons = {name: read_lesson(text) for name, text in list_bundled().items()}

    assert next(iter(lessons)) == "first-lesson"
    assert lessons["first-lesson"].minutes == 45
    assert lessons["tour"].minutes == 20
    assert {step.page for lesson in lessons.values() for step in lesson.steps} <= set(list_pages())


@pytest.mark.parametrize("language", ["de", "es"])
@pytest.mark.parametrize("name", list_bundled())
def test_a_translated_lesson_has_the_steps_of_the_english_one(name: str, language: str) -> None:
    lesson, english = (read_lesson(list_bundled(code)[name]) for code in (language, "en"))

    assert list_bundled("fr") == list_bundled()
    assert lesson.title != english.title
    for step, original in zip(lesson.steps, english.steps, strict=True):
        assert list_texts(step) == list_texts(original)
        for field in ("minutes", "page", "run", "hides"):
            assert getattr(step, field) == getattr(original, field)
        for field in ("kind", "choose", "unit", "low", "high"):
            assert getattr(step.guess, field, None) == getattr(original.guess, field, None)
        if step.guess and original.guess:
            assert find_answers(step.guess) == find_answers(original.guess)
        assert step.title != original.title


def find_answers(guess: GuessField) -> list[int | str]:
    """Return the places of the answers among the options; answers without options as they are."""
    if not guess.options:
        return list(guess.answer)
    return [len(guess.options), *map(guess.options.index, guess.answer)]


def test_an_included_lesson_is_translated_and_stores_the_options_of_its_file() -> None:
    german = list_bundled("de")["first-lesson"]

    english = read_translated(german, "en")

    assert english.title == read_lesson(list_bundled()["first-lesson"]).title
    guess = english.steps[5].guess
    assert guess is not None
    assert guess.options == ("Sicher", "Wahrscheinlich", "Das kann niemand sagen")
    assert [guess.label(option) for option in guess.options] == [
        "Certainly",
        "Probably",
        "No one can say",
    ]
    assert guess.answer == ("Das kann niemand sagen",)
    assert read_translated(german, "de").title == read_lesson(german).title


def test_a_lesson_that_a_teacher_has_changed_stays_as_written() -> None:
    changed = list_bundled("de")["first-lesson"].replace("45 Minuten", "40 Minuten")

    assert read_translated(changed, "es") == read_lesson(changed)
    assert read_translated(SMALL, "es") == read_lesson(SMALL)


def list_texts(step: LessonStep) -> list[str]:
    """List the texts that a step has."""
    names = ("text", "question", "reveal", "meaning", "prompt")
    return [name for name in names if getattr(step, name)]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * (LARGEST_KB * 1024 + 1)])
def test_a_file_that_is_no_text_or_too_large_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError):
        decode_lesson(content)


def test_a_byte_order_mark_is_removed() -> None:
    assert decode_lesson(b"\xef\xbb\xbftitle: x") == "title: x"
