"""The report of reading a file: how it was read, and every row that was left out."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """The chosen encoding, as a codec of Python.

    ``alternatives`` are other encodings that decode the file, each with words that differ.
    """

    name: str
    alternatives: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of delimited text are separated. ``skipped`` lines precede the table.

    With ``quotes`` off, double quotes are ordinary characters. An ``exported`` file was written by
    ``exported_cells``.
    """

    separator: str
    quotes: bool = True
    skipped: int = 0
    exported: bool = False


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

    Rows in the file are rows kept and rows left out; blank lines are no rows. ``notes`` are
    sentences about what was changed or decided.
    """

    rows_kept: int = 0
    left_out: list[LeftOutRows] = field(default_factory=list)
    blank_lines: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows in the file."""
        return self.rows_kept + sum(len(item.lines) for item in self.left_out)

    def count(self, reason: str) -> int:
        """Return the number of rows left out for a reason."""
        return sum(len(item.lines) for item in self.left_out if item.reason == reason)

    def leave_out(self, reason: str, line: int) -> None:
        """Count one row that is left out."""
        for item in self.left_out:
            if item.reason == reason:
                item.lines.append(line)
                return
        self.left_out.append(LeftOutRows(reason, [line]))
