"""The report of reading a file: how it was read, and every row that was left out."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

NAMED_LINES = 5  # in a sentence


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Choices of a person instead of the detection; empty or None keeps it."""

    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    quotes: bool | None = None


WordPairs: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """The chosen encoding, as a codec of Python.

    ``alternatives`` are other encodings that decode the file, each with pairs of words that
    differ: as the chosen encoding reads them, and as the other one does.
    ``halves`` is the number of halves of characters (surrogates), which UTF-8 does not allow.
    """

    name: str
    alternatives: tuple[tuple[str, WordPairs], ...] = ()
    halves: int = 0

    @property
    def notes(self) -> list[str]:
        """Sentences about the choice."""
        notes = [
            f"The encoding may also be {name}, with"
            f" {', '.join(f'{other!r} instead of {word!r}' for word, other in words)}."
            for name, words in self.alternatives
        ]
        if self.halves:
            notes.append(f"Halves of characters were replaced by �: {self.halves:,}.")
        return notes


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of delimited text are separated. ``skipped`` lines precede the table.

    With ``quotes`` off, double quotes are ordinary characters. An ``exported`` file was written by
    ``exported_cells``. With ``prefix``, each line is a text after labels that begin with it.
    """

    separator: str
    quotes: bool = True
    skipped: int = 0
    exported: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class HeaderChoice:
    """Whether the first record names the columns, and why. ``certain`` is off for a guess."""

    present: bool
    reason: str
    certain: bool = True


@dataclass(slots=True)
class LeftOutRows:
    """Rows that were left out for one reason, with the line number of each."""

    reason: str
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ReadReport:
    """Counts of one file. ``rows`` is complete when all batches were read.

    Rows in the file are rows kept and rows left out; lines without any character are no rows.
    ``notes`` are sentences about what was changed or decided.
    """

    rows_kept: int = 0
    left_out: list[LeftOutRows] = field(default_factory=list)
    blank_lines: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows in the file."""
        return self.rows_kept + sum(len(item.lines) for item in self.left_out)

    def count(self, reason: str) -> int:
        """Return the number of rows left out for a reason."""
        return sum(len(item.lines) for item in self.left_out if item.reason == reason)

    def describe_left_out(self) -> str:
        """Return each reason with its rows and first lines, empty if no row was left out."""
        return "; ".join(
            f"{item.reason}: {len(item.lines):,} ({name_lines(item.lines)})"
            for item in self.left_out
        )

    def leave_out(self, reason: str, line: int) -> None:
        """Count one row that is left out."""
        for item in self.left_out:
            if item.reason == reason:
                item.lines.append(line)
                return
        self.left_out.append(LeftOutRows(reason, [line]))


def name_lines(lines: Sequence[int]) -> str:
    """Return the first line numbers as part of a sentence."""
    named = ", ".join(f"{line:,}" for line in lines[:NAMED_LINES])
    more = f" and {len(lines) - NAMED_LINES:,} more" if len(lines) > NAMED_LINES else ""
    return f"line {named}{more}" if len(lines) == 1 else f"lines {named}{more}"


def find_unused(name: str, used: Container[str]) -> str:
    """Return ``name``, with a number if it is used: ``text (2)``."""
    unused, number = name, 1
    while unused in used:
        number += 1
        unused = f"{name} ({number})"
    return unused


def describe_renamed(renamed: Mapping[str, str]) -> list[str]:
    """Return a sentence for each field, new name: name, whose row has two of this name."""
    return [
        f"Two fields of a row are called {name!r}; one is read as {new!r}."
        for new, name in renamed.items()
    ]


def make_unique(names: Iterable[str], report: ReadReport) -> tuple[str, ...]:
    """Return names of columns: ``text``, ``text (2)``, ``column 3``; a change is reported."""
    used: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        stem = name or f"column {position}"
        unique = stem
        while unique in used:
            used[stem] += 1
            unique = f"{stem} ({used[stem]})"
        used[unique] = 1
        if unique != stem:
            report.notes.append(f"Two columns are called {stem!r}; the second is {unique!r}.")
    return tuple(used)
