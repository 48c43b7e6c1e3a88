"""A lesson as a YAML file: steps with a text, a page to open, a question, a guess and its answer.

Every error names the step and the line, so that a teacher can correct the file.
"""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from core.errors import ConfigError
from core.settings import PROJECT
from core.translation import ENGLISH, mark

LESSONS = Path(__file__).with_name("lessons")
LARGEST_KB = 100
DEEPEST = 6  # levels: lesson, steps, step, guess, options, option
MOST_STEPS = 40
SHOWN_PROBLEMS = 5
LONGEST_GUESS = 80  # characters

Tree = dict[str, "Tree"] | list["Tree"] | str
Path_ = tuple[str | int, ...]


class Spoiler(StrEnum):
    """Part of the app that a step hides from students until they have given their guess."""

    PRESETS = mark("preset texts")
    PARAMETERS = mark("parameter shares")
    RESULTS = mark("results")
    GUESSES = mark("guesses")
    GALLERY = mark("gallery answers")


class GuessKind(StrEnum):
    """Input with which a guess is given."""

    CHOICE = "choice"
    CLASS = "class"
    NUMBER = "number"
    TEXT = "text"


class RunReference(StrEnum):
    """Run to open with a step's page."""

    MINE = "mine"
    PREPARED = "prepared"
    EXAMPLE = "example"


def _to_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_to_tuple)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class GuessField(_Part):
    """The guess that a step requests, with its answer where there is only one."""

    kind: GuessKind
    options: Texts = ()
    choose: int = Field(1, ge=1, le=4)
    unit: str = Field("", max_length=20)
    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    answer: Texts = ()
    _labels: tuple[str, ...] = ()

    def label(self, option: str) -> str:
        """Return an option as it is shown: in the language of the reader, if it is translated."""
        return dict(zip(self.options, self._labels, strict=False)).get(option, option)

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        """Return this guess with options that are shown as ``labels``; what is stored stays."""
        shown = self.model_copy()
        shown._labels = labels
        return shown

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind is GuessKind.CHOICE) != bool(self.options):
            raise ValueError("options belong to a guess of kind choice, which needs them")
        if self.options and not 1 < len(set(self.options)) == len(self.options) <= 12:
            raise ValueError("a choice needs 2 to 12 different options")
        if any(not 0 < len(text) <= LONGEST_GUESS for text in (*self.options, *self.answer)):
            raise ValueError(f"an option or answer has 1 to {LONGEST_GUESS} characters")
        if self.options and self.choose > len(self.options):
            raise ValueError("choose is larger than the number of options")
        if self.choose > 1 and self.kind not in (GuessKind.CHOICE, GuessKind.CLASS):
            raise ValueError("choose belongs to a guess of kind choice or class")
        if self.options and not set(self.answer) <= set(self.options):
            raise ValueError("the answer is not one of the options")
        self._check_number()
        return self

    def _check_number(self) -> None:
        if self.kind is not GuessKind.NUMBER:
            if self.unit or self.low is not None or self.high is not None:
                raise ValueError("unit, low and high belong to a guess of kind number")
            return
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        for text in self.answer:
            try:
                value = float(text)
            except ValueError:
                raise ValueError(f"the answer {text!r} is not a number") from None
            if not self.is_in_range(value):
                raise ValueError("the answer is not between low and high")

    def is_in_range(self, value: float) -> bool:
        """Return whether a number is finite and between low and high."""
        low, high = self.low, self.high
        return (
            math.isfinite(value)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )


class LessonStep(_Part):
    """A step of a lesson. ``minutes`` are its time; ``reveal`` and ``meaning`` follow the guess."""

    title: str = Field(min_length=1, max_length=80)
    minutes: float = Field(gt=0, le=120, allow_inf_nan=False)
    text: str = Field("", max_length=4000)
    page: str = ""
    run: RunReference | Literal[""] = ""
    question: str = Field("", max_length=500)
    guess: GuessField | None = None
    reveal: str = Field("", max_length=4000)
    meaning: str = Field("", max_length=2000)
    hides: tuple[Spoiler, ...] = ()
    prompt: str = Field("", max_length=300)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.text or self.question):
            raise ValueError("a step needs a text or a question")
        if self.guess and not self.question:
            raise ValueError("a guess needs a question")
        if self.hides and not self.guess:
            raise ValueError("hides needs a guess, because it ends when the guess is given")
        if self.page and self.page not in list_pages():
            raise ValueError(f"there is no page {self.page!r}; pages are {', '.join(list_pages())}")
        if self.run and not self.page:
            raise ValueError("a run needs a page that opens it")
        if any("![" in text for text in (self.text, self.question, self.reveal, self.meaning)):
            raise ValueError("images are not supported")
        return self


class Lesson(_Part):
    """A lesson. ``about`` says for whom it is and what it needs."""

    title: str = Field(min_length=1, max_length=120)
    about: str = Field("", max_length=1000)
    steps: tuple[LessonStep, ...] = Field(min_length=1, max_length=MOST_STEPS)

    @property
    def minutes(self) -> float:
        """Minutes of all steps together."""
        return sum(step.minutes for step in self.steps)


def list_pages() -> tuple[str, ...]:
    """List the names of the pages that a step may open."""
    return tuple(sorted(path.stem for path in (PROJECT / "pages").glob("*.py")))


def list_bundled(language: str = ENGLISH) -> dict[str, str]:
    """Return the text of each bundled lesson by its name, in English if it is not translated."""
    return {name: texts.get(language, texts[ENGLISH]) for name, texts in _read_bundled().items()}


@cache
def _read_bundled() -> dict[str, dict[str, str]]:
    """Read the texts of each bundled lesson by language, from files named as first-lesson.de."""
    lessons: dict[str, dict[str, str]] = {}
    for path in sorted(LESSONS.glob("*.yaml")):
        name, _, language = path.stem.partition(".")
        lessons.setdefault(name, {})[language or ENGLISH] = path.read_text("utf-8")
    return lessons


@lru_cache(maxsize=16)
def read_translated(text: str, language: str) -> Lesson:
    """Read a lesson from YAML, a bundled one in this language.

    Options of a guess stay as in ``text``, because guesses are stored with them, and have labels.
    A lesson that differs from the bundled ones is another lesson. Raises ConfigError.
    """
    lesson = read_lesson(text)
    for texts in _read_bundled().values():
        if language in texts and text in texts.values():
            translated = read_lesson(texts[language])
            pairs = zip(translated.steps, lesson.steps, strict=True)
            steps = tuple(_keep_options(step, written) for step, written in pairs)
            return translated.model_copy(update={"steps": steps})
    return lesson


def _keep_options(step: LessonStep, written: LessonStep) -> LessonStep:
    if step.guess is None or written.guess is None:
        return step
    guess = written.guess.with_labels(step.guess.options)
    return step.model_copy(update={"guess": guess})


def decode_lesson(content: bytes) -> str:
    """Decode an uploaded file. Raises ConfigError if it is too large or no UTF-8."""
    if len(content) > LARGEST_KB * 1024:
        raise ConfigError(
            f"The file has {len(content) / 1024:,.0f} KB; a lesson may have {LARGEST_KB}.",
            "Shorten its texts, or divide it into two lessons.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            "The file is not text in UTF-8.", "Save it as UTF-8, and upload it again."
        ) from error


@lru_cache(maxsize=16)
def read_lesson(text: str) -> Lesson:
    """Read a lesson from YAML.

    Raises ConfigError that lists the first problems, each with its step and line.
    """
    decode_lesson(text.encode(errors="replace"))
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"Line {mark.line + 1}: " if mark else ""
        raise ConfigError(
            f"{line}{error.problem or error.context}.", "Correct the line."
        ) from error
    except yaml.YAMLError as error:
        message = "The file contains characters that YAML does not allow."
        raise ConfigError(message, "Save it as plain text.") from error
    lines: dict[Path_, int] = {}
    tree = _build(root, (), lines) if root is not None else ""
    if not isinstance(tree, dict):
        raise ConfigError("Line 1: a lesson begins with its title: and steps:.")
    try:
        return Lesson.model_validate(tree)
    except ValidationError as error:
        # a list whose items are wrong counts as empty as well
        errors = [
            problem
            for problem in error.errors()
            if problem["type"] != "too_short" or not tree.get("steps")
        ]
        problems = [_explain(problem, tree, lines) for problem in errors]
        more = len(problems) - SHOWN_PROBLEMS
        rest = [f"{more} more problems follow."] if more > 0 else []
        raise ConfigError(" ".join([*problems[:SHOWN_PROBLEMS], *rest])) from error


def _check_shape(text: str) -> None:
    """Refuse aliases, which can multiply a short file, and deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"Line {line}: anchors and aliases (& and *) are not supported.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigError(f"Line {line}: more than {DEEPEST} levels of lists and fields.")


def _build(node: yaml.Node, path: Path_, lines: dict[Path_, int]) -> Tree:
    """Return the values below a node as text, so that ``yes`` and ``1.0`` stay as they are typed,
    and note the line of each.
    """
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, number), lines) for number, item in enumerate(node.value)]
    fields: dict[str, Tree] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"Line {line}: the name of a field must be text.")
        if key.value in fields:
            raise ConfigError(f"Line {line}: the field {key.value} is there twice.")
        fields[key.value] = _build(value, (*path, key.value), lines)
        lines[(*path, key.value)] = line
    return fields


def _explain(problem: ErrorDetails, tree: dict[str, Tree], lines: dict[Path_, int]) -> str:
    """Return one sentence with step, line and field."""
    path = tuple(problem["loc"])
    line = next((lines[known] for known in _shorten(path) if known in lines), 1)
    names = [str(part) for part in path if isinstance(part, str)]
    where = f"Line {line}"
    if path[:1] == ("steps",) and len(path) > 1:
        where = f"Step {int(path[1]) + 1}, line {line}"
        names = names[1:]
    field = ".".join(names[:2])
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown field {field}."
    if problem["type"] == "missing":
        return f"{where}: {field} is missing."
    message = (
        problem["msg"]
        .removeprefix("Value error, ")
        .replace("Tuple", "List")
        .replace("tuple", "list")
    )
    return f"{where}: {field + ': ' if field else ''}{message[0].lower()}{message[1:]}."


def _shorten(path: Sequence[str | int]) -> Iterator[Path_]:
    for length in range(len(path), -1, -1):
        yield tuple(path[:length])
