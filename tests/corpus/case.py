"""A case of the corpus: files, options and the acceptable outcomes, all of it data."""

from collections.abc import Callable
from dataclasses import dataclass, field

Row = tuple[str, str]  # label, text
Rows = tuple[Row, ...]
Files = dict[str, bytes]  # path below the case's folder: content
Builder = Callable[[], Files]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that are left out: a part of the reason, and the line (or row) number of each.

    ``optional`` rows may also go unmentioned: lines that hold nothing at all.
    """

    reason: str
    lines: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings of a person instead of the detected format; empty values keep the detection."""

    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    quotes: bool | None = None


@dataclass(frozen=True, slots=True)
class Exact:
    """Exactly these rows, in the order of the file, the others left out, and ``mentions`` in the
    report.
    """

    rows: Rows = field(repr=False)
    left_out: tuple[LeftOut, ...] = ()
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows per class, and texts that are among the rows: for large files."""

    classes: tuple[tuple[str, int], ...]
    texts: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """An error whose message contains every one of ``fragments``, in any case of letters."""

    fragments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Two readings are possible: an error that contains ``fragments``, and each reading, once it
    is chosen, gives exactly its rows.
    """

    fragments: tuple[str, ...]
    readings: tuple[tuple[Overrides, Rows], ...] = field(repr=False)


Outcome = Exact | Counts | Refused | Ask


@dataclass(frozen=True, slots=True)
class Case:
    """A file, or several that form one dataset, and the outcomes that are right.

    More than one outcome means that reasonable people differ; ``note`` says how. ``text`` and
    ``label`` are the columns a person names, empty where they are detected. ``folder`` marks a
    data folder, which is read in place instead of being added. ``report`` is a public bug report
    of the same symptom, as owner/repository#number.
    """

    id: str
    kind: str
    build: Builder = field(repr=False)
    outcomes: tuple[Outcome, ...]
    text: str = "text"
    label: str = "label"
    options: Overrides = Overrides()
    folder: bool = False
    report: str = ""
    note: str = ""
