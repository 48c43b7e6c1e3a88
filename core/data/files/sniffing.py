"""Detect format, encoding, separator and header of a file from its content."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from itertools import islice
from typing import Literal

from charset_normalizer import from_bytes

from core.errors import DataError

Format = Literal["delimited", "JSON lines", "Parquet"]

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
# Python's name: display name; text that is not Unicode is tried in this order
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Western European (Windows-1252, Latin-1)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC-JP)",
    "gb18030": "Chinese (GB 18030)",
    "big5": "Chinese (Big5)",
    "cp949": "Korean (EUC-KR)",
}
LEGACY_ENCODINGS = list(ENCODINGS)[2:]
BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
CONTAINERS = (  # first bytes, description, fix
    (b"\x1f\x8b", "is compressed with gzip", "Unpack it and choose the file inside."),
    (b"BZh", "is compressed with bzip2", "Unpack it and choose the file inside."),
    (b"\xfd7zXZ", "is compressed with xz", "Unpack it and choose the file inside."),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Unpack it and choose the file inside."),
    (
        b"PK",
        "is a ZIP archive or an Excel workbook",
        "Unpack it, or save the sheet as CSV (UTF-8).",
    ),
    (b"\xd0\xcf\x11\xe0", "is an old Office document", "Save the sheet as CSV (UTF-8)."),
    (b"%PDF", "is a PDF", "Use a table: CSV, TSV, JSON lines or Parquet."),
    (b"\x89PNG", "is a picture", "Use a table: CSV, TSV, JSON lines or Parquet."),
    (b"SQLite format 3", "is a database", "Export the table as CSV."),
    (b"ARROW1", "is an Arrow file", "Save the table as Parquet."),
)
PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|[c}\](qX\x8a\x8c])")
SAMPLE_BYTES = 65_536
SAMPLE_RECORDS = 60
HEADER_LENGTH = 64  # characters: a longer cell is a text, not a column name
USUAL_NAMES = frozenset(
    (
        "text",
        "label",
        "class",
        "category",
        "sentence",
        "review",
        "content",
        "body",
        "message",
        "title",
        "description",
        "comment",
    )
    + (
        "tweet",
        "headline",
        "topic",
        "sentiment",
        "target",
        "tag",
        "split",
        "set",
        "id",
        "index",
        "idx",
        "row",
        "rating",
    )
)


def find_format(name: str, data: bytes) -> Format:
    """Detect the format. Raises DataError, with a fix, for anything else: nothing is unpacked or
    unpickled.
    """
    if not data.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    for start, description, fix in CONTAINERS:
        if data.startswith(start) and not (start in {b"PK", b"BZh"} and _is_printable(data)):
            raise DataError(f"{name} {description}.", fix)
    if PICKLE.match(data) and not _is_printable(data):
        raise DataError(
            f"{name} is a Python pickle, which can run code when it is opened.",
            "Save the table as Parquet or CSV.",
        )
    if data.startswith(b"PAR1"):
        return "Parquet"
    first = data[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1]
    json_suffix = name.lower().endswith((".json", ".jsonl", ".ndjson"))
    return "JSON lines" if first == b"{" or (json_suffix and first == b"[") else "delimited"


def find_encoding(data: bytes) -> str:
    """Detect the encoding: byte order mark, zero bytes of UTF-16, valid UTF-8, otherwise the
    likeliest legacy encoding.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return encoding
    sample = data[:SAMPLE_BYTES]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) / 8 and min(even, odd) < max(even, odd) / 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _find_legacy_encoding(data, error.start)
    return "utf-8"


def decode(name: str, data: bytes, encoding: str) -> str:
    """Decode ``data``. Raises DataError if the encoding does not fit."""
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(
            f"{name} is not {ENCODINGS.get(encoding, encoding)}.",
            "Choose another encoding, or save the file as UTF-8.",
        ) from error
    controls = sum(map(text[:SAMPLE_BYTES].count, _CONTROLS))
    if controls > len(text[:SAMPLE_BYTES]) / 20:
        raise DataError(
            f"{name} is not a text file: it is full of control characters.",
            "Use a table: CSV, TSV, JSON lines or Parquet.",
        )
    return text


def find_separator(text: str, suffix: str = "") -> str:
    """Find the character that splits most lines into the same number of cells, at least two.

    Ties go to the tab in a .tsv file, otherwise to the comma.
    """
    preferred = "\t" if suffix == ".tsv" else ","
    order = [preferred, *(separator for separator in SEPARATORS if separator != preferred)]
    return max(order, key=lambda separator: _measure_regularity(text[:SAMPLE_BYTES], separator))


def has_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record contains column names: usual names, or short cells that do not occur
    again below.
    """
    if not records:
        return False
    first, rest = [cell.strip() for cell in records[0]], records[1:]
    if {cell.lower() for cell in first} & USUAL_NAMES:
        return True
    if any(
        not cell or len(cell) > HEADER_LENGTH or re.fullmatch(r"[-+]?[0-9.,]+", cell)
        for cell in first
    ):
        return False
    repeated = any(
        cell == record[number].strip()
        for record in rest
        for number, cell in enumerate(first)
        if number < len(record)
    )
    return len(set(first)) == len(first) and not repeated


def first_records(text: str, separator: str, count: int = SAMPLE_RECORDS) -> list[list[str]]:
    """Return the first non-empty records, as far as they can be parsed."""
    records = filter(
        any, csv.reader(StringIO(text[: 16 * SAMPLE_BYTES], newline=""), delimiter=separator)
    )
    try:
        return list(islice(records, count))
    except csv.Error:
        return []


_CONTROLS = [chr(code) for code in range(32) if chr(code) not in "\t\n\r\f\v\0\x1b"]


def _is_printable(data: bytes) -> bool:
    """Whether the first bytes are printable: a text may also begin with the letters PK."""
    return not any(code < 9 or 13 < code < 27 for code in data[:64]) and all(
        code < 128 for code in data[:16]
    )


def _find_legacy_encoding(data: bytes, first: int) -> str:
    start = max(0, first - 1024)
    best = from_bytes(data[start : start + SAMPLE_BYTES], cp_isolation=LEGACY_ENCODINGS).best()
    if best is None:
        return "latin-1"  # decodes any bytes; errors are visible in the preview
    likely = [
        name for name in LEGACY_ENCODINGS if name in {best.encoding, *best.could_be_from_charset}
    ]
    for encoding in likely:
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _measure_regularity(text: str, separator: str) -> tuple[float, int]:
    """Return the proportion of records with the most common number of cells, and that number; zeros
    for one cell.
    """
    records = first_records(text, separator)
    widths = Counter(
        len(record) for record in records[:-1] or records
    )  # the sample may end within the last one
    if not widths:
        return 0.0, 0
    width, records_of_width = max(widths.items(), key=lambda item: (item[1], item[0]))
    return (round(records_of_width / widths.total(), 1), width) if width > 1 else (0.0, 0)
