"""An open lesson: where it is, what its step hides, guesses, and who has answered.

All members of a class follow the lesson that the teacher leads. In local mode the user goes at
their own pace.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from core.access import MACHINE_OWNER, Action, Mode, Role, is_allowed, require, sanitize_name
from core.errors import ConfigError, StateConflict
from core.lesson.lesson_file import (
    LONGEST_GUESS,
    GuessField,
    GuessKind,
    Lesson,
    LessonStep,
    RunReference,
    Spoiler,
    read_lesson,
    read_translated,
)
from core.storage import lesson_records
from core.storage.accounts import is_member, list_people, log_action
from core.storage.job import JobState
from core.storage.lesson_records import Entry, EntryKind, Place
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store
from core.translation import format_number, mark, read_language, translate, translate_plural

MOST_FILES = 50  # stored lessons
LONGEST_NOTE = 1000  # characters of a sentence in the notebook
CLASS_OWNER = ""
# hidden in earlier steps, too: New run and the gallery would give the answers away there
ASKED_ONCE = frozenset({Spoiler.PARAMETERS, Spoiler.GALLERY})
SEPARATOR = " · "  # between the options of one guess
TOLERANCE = 0.1  # a guessed number this near to the answer, relative to it, counts as right


@dataclass(frozen=True, slots=True)
class OpenLesson:
    """An open lesson with its place, in the language of the visit if it is a bundled one.

    ``revealed`` says whether the answer may be shown now.
    """

    place: Place
    lesson: Lesson
    revealed: bool

    @property
    def step(self) -> LessonStep:
        """The current step."""
        return self.lesson.steps[self.place.step]

    @property
    def spoiler_free(self) -> bool:
        """Whether the current step hides nothing."""
        return self.revealed or not self.step.hides

    @property
    def hidden_later(self) -> frozenset[Spoiler]:
        """The parts that the steps after the current one hide."""
        later = self.lesson.steps[self.place.step + 1 :]
        return frozenset(part for step in later for part in step.hides)

    @property
    def is_last(self) -> bool:
        """Whether no step follows."""
        return self.place.step == len(self.lesson.steps) - 1


@dataclass(frozen=True, slots=True)
class PersonProgress:
    """Entries of one person: steps with a guess or a mark, and the guesses by step."""

    person: str
    name: str
    finished: frozenset[int]
    guesses: dict[int, str]


def find_owner(store: Store) -> str | None:
    """Return the owner of the lesson that the visitor follows; None for guests and public pages."""
    if not is_allowed(store.visitor, Action.ANSWER) or store.settings.mode == Mode.PUBLIC:
        return None
    return CLASS_OWNER if store.settings.mode == Mode.CLASSROOM else store.visitor.id


def find_place(store: Store) -> Place | None:
    """Return the place of the visitor's open lesson; one short query, for a page that polls."""
    owner = find_owner(store)
    return None if owner is None else lesson_records.find_place(store, owner)


def read_open(store: Store) -> OpenLesson | None:
    """Read the visitor's open lesson; None if there is none.

    Raises ConfigError for a file of a version with other fields.
    """
    place = find_place(store)
    return _join_file(store, place) if place else None


def _join_file(store: Store, place: Place) -> OpenLesson:
    lesson = read_translated(lesson_records.read_content(store, place.id), read_language())
    return OpenLesson(place, lesson, place.is_revealed(store.clock()))


def list_delivered(store: Store) -> list[OpenLesson]:
    """List the lessons of the visitor's class, or their own, the newest first."""
    owner = find_owner(store)
    places = [] if owner is None else lesson_records.list_places(store, owner)
    return [_join_file(store, place) for place in places]


def find_spoilers(store: Store) -> frozenset[Spoiler]:
    """Return the parts that a screen for the whole class must not show before the answer."""
    current = read_open(store)
    return frozenset() if current is None or current.revealed else frozenset(current.step.hides)


def find_hidden(store: Store) -> frozenset[Spoiler]:
    """Return the parts that the visitor must not see before they have given their guess.

    A teacher sees everything; in local mode the user is the one who learns. In a class, parts that
    a later step asks about stay hidden until then.
    """
    in_class = store.settings.mode == Mode.CLASSROOM
    if in_class and store.visitor.role is not Role.STUDENT:
        return frozenset()
    current = read_open(store)
    if current is None:
        return frozenset()
    later = ASKED_ONCE & current.hidden_later if in_class else frozenset()
    if current.spoiler_free or read_guess(store, current.place):
        return later
    return later | frozenset(current.step.hides)


def read_guess(store: Store, place: Place) -> str:
    """Return the visitor's guess in the current step; empty before it is given."""
    return _read_own(store, place.id, place.step, "guess")


def read_note(store: Store, lesson_id: str, step: int) -> str:
    """Return the visitor's sentence about a step; empty if there is none."""
    return _read_own(store, lesson_id, step, "note")


def is_done(store: Store, place: Place) -> bool:
    """Return whether the visitor has marked the current step as done."""
    return bool(_read_own(store, place.id, place.step, "done"))


def _read_own(store: Store, lesson_id: str, step: int, kind: EntryKind) -> str:
    entries = lesson_records.list_entries(store, lesson_id, person=store.visitor.id, step=step)
    return next((entry.value for entry in entries if entry.kind == kind), "")


def start_lesson(store: Store, content: str) -> str:
    """Open a lesson at its first step and return its id.

    Ends the earlier one. Raises NotAllowed and ConfigError.
    """
    require(store.visitor, Action.TEACH)
    lesson = read_lesson(content)
    owner = CLASS_OWNER if store.settings.mode == Mode.CLASSROOM else store.visitor.id
    lesson_id = lesson_records.open_lesson(store, owner, content)
    log_action(store, "start a lesson", lesson.title)
    return lesson_id


def go_to(store: Store, place: Place, step: int) -> None:
    """Go to a step. Raises NotAllowed, and StateConflict if the lesson has moved since."""
    require(store.visitor, Action.TEACH)
    if not 0 <= step < len(_join_file(store, place).lesson.steps):
        raise StateConflict("The lesson has no such step.", "Reload the page.")
    if not lesson_records.move(store, place, step):
        raise _report_moved()
    log_action(store, "go to a step of the lesson", f"step {step + 1}")


def reveal(store: Store, place: Place) -> None:
    """Reveal the answer of the current step. Raises NotAllowed and StateConflict."""
    require(store.visitor, Action.TEACH)
    if not lesson_records.set_reveal(store, place, True, None):
        raise _report_moved()
    log_action(store, "reveal an answer of the lesson", f"step {place.step + 1}")


def set_timer(store: Store, place: Place, minutes: float | None) -> None:
    """Reveal the answer after some minutes; None stops the timer.

    Raises NotAllowed and StateConflict.
    """
    require(store.visitor, Action.TEACH)
    deadline = None if minutes is None else store.clock() + 60 * minutes
    if not lesson_records.set_reveal(store, place, False, deadline):
        raise _report_moved()
    log_action(store, "set the timer of the lesson", f"step {place.step + 1}")


def end_lesson(store: Store) -> None:
    """End the visitor's open lesson; guesses and notes are kept. Raises NotAllowed."""
    require(store.visitor, Action.TEACH)
    owner = find_owner(store)
    if owner is not None:
        lesson_records.end_lessons(store, owner)
        log_action(store, "end the lesson")


def resume_lesson(store: Store, place: Place) -> None:
    """Open an ended lesson again where it was. Raises NotAllowed and StateConflict."""
    require(store.visitor, Action.TEACH)
    if place.owner != find_owner(store):
        raise StateConflict("This lesson belongs to another visitor.", "Start one of your own.")
    lesson_records.reopen_lesson(store, place)
    log_action(store, "resume a lesson")


def store_lesson(store: Store, content: str) -> Lesson:
    """Store a lesson file, replacing the one with its title. Raises NotAllowed and ConfigError."""
    require(store.visitor, Action.TEACH)
    lesson = read_lesson(content)
    if not lesson_records.save_lesson(store, lesson.title, content, MOST_FILES):
        raise ConfigError(f"{MOST_FILES} lessons are stored, the limit.", "Delete one first.")
    log_action(store, "store a lesson", lesson.title)
    return lesson


def delete_lesson(store: Store, title: str) -> None:
    """Delete a stored lesson file; a lesson that is open continues. Raises NotAllowed."""
    require(store.visitor, Action.TEACH)
    lesson_records.remove_lesson(store, title)
    log_action(store, "delete a lesson", title)


def give_guess(
    store: Store, place: Place, values: Sequence[str], classes: Sequence[str] = ()
) -> str:
    """Store the visitor's guess and return it. It cannot be changed afterwards.

    ``classes`` are the names that a guess of kind class may have. Raises NotAllowed, ConfigError
    for a value that the step does not allow, and StateConflict.
    """
    current = _require_current(store, place)
    if current.step.guess is None or current.revealed:
        raise StateConflict(
            "The answer of this step is already shown.", "Give the next guess in time."
        )
    guess = check_guess(current.step.guess, values, classes)
    with store.together():
        if not lesson_records.add_entry(store, place.id, place.step, "guess", guess):
            raise StateConflict("You have already given this guess.", "It cannot be changed.")
        log_action(store, "give a guess in the lesson", f"step {place.step + 1}")
    return guess


def mark_done(store: Store, place: Place) -> None:
    """Mark the current step as done by the visitor. Raises NotAllowed and StateConflict."""
    _require_current(store, place)
    if lesson_records.add_entry(store, place.id, place.step, "done", "yes"):
        log_action(store, "finish a step of the lesson", f"step {place.step + 1}")


def write_note(store: Store, lesson_id: str, step: int, text: str) -> None:
    """Store the visitor's sentence about a step in the notebook, replacing an earlier one.

    Raises NotAllowed, ConfigError for a text that is too long, and StateConflict.
    """
    require(store.visitor, Action.ANSWER)
    shown = next((item for item in list_delivered(store) if item.place.id == lesson_id), None)
    if shown is None or not 0 <= step < len(shown.lesson.steps):
        raise StateConflict("This lesson is no longer stored.", "Reload the page.")
    if len(text) > LONGEST_NOTE:
        raise ConfigError(
            mark("The note has {length:,} characters; {most:,} are allowed."),
            mark("Shorten it."),
            length=len(text),
            most=LONGEST_NOTE,
        )
    note = sanitize_name(text, LONGEST_NOTE)
    with store.together():
        lesson_records.add_entry(store, lesson_id, step, "note", note, replace=True)
        log_action(store, "write a note in the lesson", f"step {step + 1}")


def _report_moved() -> StateConflict:
    return StateConflict("The lesson has moved on.", "Look at its current step.")


def _require_current(store: Store, place: Place) -> OpenLesson:
    """Return the visitor's lesson. Raises NotAllowed, and StateConflict if it is elsewhere."""
    require(store.visitor, Action.ANSWER)
    current = read_open(store)
    if current is None:
        raise StateConflict("The lesson has ended.", "Guesses are in the notebook.")
    if (current.place.id, current.place.step) != (place.id, place.step):
        raise _report_moved()
    return current


def check_guess(field: GuessField, values: Sequence[str], classes: Sequence[str] = ()) -> str:
    """Return a guess as it is stored. Raises ConfigError if the step does not allow it."""
    cleaned = [sanitize_name(value, LONGEST_GUESS) for value in values]
    if field.kind in (GuessKind.CHOICE, GuessKind.CLASS):
        options = field.options or classes
        wrong = [value for value in values if value not in options]
        if wrong or len(set(values)) != field.choose or len(values) != field.choose:
            raise ConfigError(
                mark("Choose {number} of {options}."),
                number=field.choose,
                options=", ".join(map(field.label, options)),
            )
        return SEPARATOR.join(sorted(values, key=list(options).index))
    if len(cleaned) != 1 or not cleaned[0]:
        raise ConfigError(mark("The guess is empty."), mark("Enter it first."))
    if field.kind is GuessKind.TEXT:
        return cleaned[0]
    try:
        number = float(cleaned[0])
    except ValueError:
        raise ConfigError(
            mark("{text!r} is not a number."), mark("Enter a number."), text=cleaned[0]
        ) from None
    if not field.is_in_range(number):
        raise ConfigError(
            mark("{number:g} is not between {low} and {high}."),
            number=number,
            low=_format(field.low),
            high=_format(field.high),
        )
    return f"{number:g}"


def _format(bound: float | None) -> str:
    return translate("any number") if bound is None else format_number(bound, "g")


def format_guess(field: GuessField | None, guess: str) -> str:
    """Return a stored guess or an answer as it is shown in the language of the visit."""
    if field is None or not guess:
        return guess
    if field.kind is GuessKind.NUMBER:
        return format_number(float(guess), "g")
    return SEPARATOR.join(map(field.label, guess.split(SEPARATOR)))


def judge(field: GuessField, guess: str) -> bool | None:
    """Return whether a guess matches the file's answer; None if there is none or no guess."""
    if not field.answer or not guess:
        return None
    if field.kind is GuessKind.NUMBER:
        number, answers = float(guess), [float(text) for text in field.answer]
        return any(abs(number - answer) <= TOLERANCE * abs(answer) for answer in answers)
    given, right = guess.split(SEPARATOR), set(field.answer)
    if field.kind is GuessKind.TEXT:
        return guess.casefold() in {text.casefold() for text in right}
    return set(given) == right if field.choose > 1 else set(given) <= right


def count_answered(store: Store, place: Place) -> int:
    """Return the number of people with a guess or a mark in the current step."""
    entries = lesson_records.list_entries(store, place.id, step=place.step)
    return len({entry.person for entry in entries if entry.kind in ("guess", "done")})


def find_run(store: Store, reference: RunReference) -> str:
    """Return the id of the run that a step opens; empty if there is none yet.

    ``mine`` is the visitor's newest finished run and ``prepared`` the newest of an admin.
    """
    if reference is RunReference.EXAMPLE:
        return next((job.id for job in store.list_jobs("train") if job.id == EXAMPLE_ID), "")
    admins = {person.id for person in list_people(store) if person.is_admin}
    owners = {store.visitor.id} if reference is RunReference.MINE else admins | {MACHINE_OWNER.id}
    finished = store.list_jobs("train", states=[JobState.COMPLETED])
    return next((job.id for job in finished if job.owner in owners), "")


def count_guesses(store: Store, place: Place, step: int | None = None) -> Counter[str]:
    """Count the guesses of a step, or of the current one, by value."""
    number = place.step if step is None else step
    entries = lesson_records.list_entries(store, place.id, step=number)
    return Counter(entry.value for entry in entries if entry.kind == "guess")


def summarize_guesses(field: GuessField, counts: Counter[str]) -> str:
    """Summarize the guesses of all people in one sentence, without names."""
    total = counts.total()
    if not total:
        return translate("No guesses.")
    given = translate_plural("{n:,} guess", "{n:,} guesses", total)
    if field.kind is GuessKind.NUMBER:
        numbers = [float(value) for value in counts.elements()]
        unit = f" {field.unit}" if field.unit else ""
        if len(set(numbers)) == 1:
            return translate("{given}: {value:g}{unit}.", given=given, value=numbers[0], unit=unit)
        return translate(
            "{given}: from {low:g} to {high:g}{unit}, median {median:g}{unit}.",
            given=given,
            low=min(numbers),
            high=max(numbers),
            median=median(numbers),
            unit=unit,
        )
    shown = ", ".join(
        f"{format_guess(field, value)} {number}" for value, number in counts.most_common(5)
    )
    if rest := len(counts) - min(5, len(counts)):
        return translate_plural(
            "{given}: {shown} and {n:,} other.",
            "{given}: {shown} and {n:,} others.",
            rest,
            given=given,
            shown=shown,
        )
    return f"{given}: {shown}."


def read_progress(store: Store, lesson_id: str) -> list[PersonProgress]:
    """Return the progress of students, and of others who have an entry, in the order of joining.

    In local mode, that of the visitor. Raises NotAllowed.
    """
    require(store.visitor, Action.TEACH)
    entries = lesson_records.list_entries(store, lesson_id)
    people, active = list_people(store), {entry.person for entry in entries}
    names = {
        person.id: person.name
        for person in people
        if person.id in active or (person.role is Role.STUDENT and is_member(store, person))
    }
    if store.settings.mode != Mode.CLASSROOM:
        names = {store.visitor.id: translate("You")}
    names |= {person: "–" for person in sorted(active - names.keys())}
    return [_summarize(person, name, entries) for person, name in names.items()]


def _summarize(person: str, name: str, entries: Sequence[Entry]) -> PersonProgress:
    mine = [entry for entry in entries if entry.person == person]
    return PersonProgress(
        person,
        name,
        frozenset(entry.step for entry in mine if entry.kind in ("guess", "done")),
        {entry.step: entry.value for entry in mine if entry.kind == "guess"},
    )
