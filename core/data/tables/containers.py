"""Recognize the format of a file from its first bytes, and refuse what is no table."""

import re
from typing import IO, Literal

from core.errors import DataError

Format = Literal["delimited", "JSON lines", "Parquet", "texts"]

START_BYTES = 4096
ZEROS_BYTES = 1 << 16
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
    (b"\xff\xff\xff\xff", "is an Arrow stream", "Save the table as Parquet."),
)
MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16 and UTF-32, whose bytes may be any
CONTROLS = [bytes([code]) for code in range(1, 32) if code not in b"\t\n\r\f\v\x1b"]
MANY = 0.05
PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|[c}\](qX\x8a\x8c])")
MARKUP = (
    (re.compile(rb"<(!doctype html|html|table)\b", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"<\?xml\b"), "an XML document"),
    (re.compile(rb"\{\\rtf"), "a document in RTF"),
    (re.compile(rb"(%[^\n]*\n|\s)*@relation\b", re.IGNORECASE), "an ARFF file"),
)
# an object, or a list of anything but words; a text may begin with a brace, too
JSON = re.compile(rb'\x1e?(\{[\0\s]*["\'}]|\[[\0\s]*[{"\]\[])')
JSON_NAMED = re.compile(rb'\x1e?[\[{"/#]')
PADDING = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"


def find_format(name: str, file: IO[bytes]) -> Format:
    """Recognize the format of ``file``. Raises DataError, with a fix, for anything else: nothing is
    unpacked or unpickled.
    """
    data = file.read(START_BYTES)
    while data and not data.strip(PADDING):
        data = file.read(ZEROS_BYTES)
    if not data:
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
    content = data.lstrip(PADDING)
    if not data.startswith(MARKS) and _is_binary(data):
        raise DataError(
            f"{name} is not a text file: it is full of control characters.",
            "Use a table: CSV, TSV, JSON lines or Parquet.",
        )
    for pattern, description in MARKUP:
        if pattern.match(content):
            raise DataError(f"{name} is {description}.", "Save the table as CSV (UTF-8).")
    json_name = name.lower().endswith((".json", ".jsonl", ".ndjson"))
    is_json = (JSON_NAMED if json_name else JSON).match(content)
    return "JSON lines" if is_json else "delimited"


def _is_binary(data: bytes) -> bool:
    """Whether there are many control characters, and too few zeros for UTF-16."""
    share = sum(map(data.count, CONTROLS)) / len(data)
    return share > MANY and data.count(0) < MANY * len(data)


def _is_printable(data: bytes) -> bool:
    """Whether the first bytes are printable: a text may also begin with the letters PK."""
    return not any(code < 9 or 13 < code < 27 for code in data[:64]) and all(
        code < 128 for code in data[:16]
    )
