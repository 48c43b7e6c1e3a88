"""Read JSON lines and JSON documents, row by row, with a report of every decision."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from core.data.tables.delimited_table import Opener, read_lines
from core.data.tables.json_values import (
    Json,
    JsonObject,
    JsonReader,
    find_rows,
    find_utterances,
    replace_surrogates,
)
from core.data.tables.labeling_exports import flatten, is_rejected
from core.data.tables.read_report import EncodingChoice, ReadReport, describe_renamed, name_lines
from core.data.tables.record_parser import LineBuffer
from core.data.tables.text_encoding import find_text_encoding
from core.errors import DataError
from core.translation import mark

EXAMPLE = 'Write one object per line, for example {"text": "…", "label": "…"}.'
LARGEST_DOCUMENT = 300_000_000  # bytes of one document, which is held in memory as a whole
BROKEN = mark("not a JSON object")


@dataclass(frozen=True, slots=True)
class JsonTable:
    """An opened file of JSON. ``rows`` reads it once more from the start, and fills ``report``."""

    name: str
    encoding: EncodingChoice
    is_document: bool
    report: ReadReport
    open: Opener

    def rows(self) -> Iterator[tuple[int, JsonObject]]:
        """Yield the fields of each row and its line, or its number in a document.

        Raises DataError if fewer rows are JSON objects than are not.
        """
        reader, report, first = JsonReader(), self.report, 0
        damaged: list[int] = []
        renamed: dict[str, str] = {}
        for line, row in self._read(reader, renamed):
            if row is None:
                first = first or line
                report.leave_out(BROKEN, line)
            elif is_rejected(row):
                report.leave_out(mark("not accepted by the annotator"), line)
            else:
                report.rows_kept += 1
                fields = flatten(row, renamed)
                whole = {key: replace_surrogates(value) for key, value in fields.items()}
                if whole != fields:
                    damaged.append(line)
                yield line, whole
        if damaged:
            report.notes.append(
                f"Unpaired surrogates were replaced, first in line {damaged[0]:,}"
                f" (rows: {len(damaged):,})."
            )
        report.notes += describe_renamed(renamed)
        if reader.duplicates:
            names = ", ".join(map(repr, reader.duplicates))
            report.notes.append(f"The last value counts of fields that a row has twice: {names}.")
        if report.count(BROKEN) > report.rows_kept or not report.rows:
            where = f", line {first:,}, is not a JSON object" if first else " has no rows"
            raise DataError(f"{self.name}{where}.", EXAMPLE)

    def _read(
        self, reader: JsonReader, renamed: dict[str, str]
    ) -> Iterator[tuple[int, JsonObject | None]]:
        if self.is_document:
            document = _read_document(self.name, self.open, self.encoding.name, reader)
            if unread := find_utterances(document)[1]:
                listed = ", ".join(map(repr, unread))
                self.report.notes.append(f"Lists that are not read next to the texts: {listed}.")
            yield from enumerate(find_rows(document, renamed) or [], 1)
            return
        damaged: list[int] = []
        with closing(read_lines(self.name, self.open, self.encoding.name, damaged)) as lines:
            for line, value in reader.read_lines(LineBuffer(lines)):
                yield line, value if isinstance(value, dict) else None
        if damaged:
            self.report.notes.append(f"NUL characters were removed in {name_lines(damaged)}.")


def open_json(name: str, opener: Opener, encoding: str = "") -> JsonTable:
    """Detect the encoding, and whether the file is one document or a row per line. Raises
    DataError.
    """
    choice = EncodingChoice(encoding)
    if not encoding:
        with opener() as file:
            choice = find_text_encoding(name, file)
    with closing(read_lines(name, opener, choice.name)) as lines:
        start = "".join(islice(lines, 2)).strip()
    is_document = _may_be_document(start) and (
        find_rows(_read_document(name, opener, choice.name, JsonReader())) is not None
    )
    if not start:
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    return JsonTable(name, choice, is_document, ReadReport(notes=choice.notes), opener)


def _may_be_document(start: str) -> bool:
    """Whether the file may be a list, or one object over the whole file."""
    lines = start.splitlines()
    return start.startswith("[") or (start.startswith("{") and not _are_objects(lines))


def _are_objects(lines: list[str]) -> bool:
    return len(lines) > 1 and all(line.startswith("{") for line in lines)


def _read_document(name: str, opener: Opener, encoding: str, reader: JsonReader) -> Json:
    """Return the value of a document; None if the file is none."""
    with closing(read_lines(name, opener, encoding)) as lines:
        text, size = [], 0
        for line in lines:
            size += len(line)
            if size > LARGEST_DOCUMENT:
                return None
            text.append(line)
    try:
        return reader.parse("".join(text))
    except ValueError:
        return None
