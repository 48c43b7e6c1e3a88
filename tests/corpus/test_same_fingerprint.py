"""Random tables in random dialects, encodings and formats: every one gives the same dataset.

``LORALAB_RANDOM_TABLES`` is the number of tables, 40 without it.
"""

import csv
import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from core.data.load import load_rows
from core.data.preparation import fingerprint_of
from core.data.rows import RawData, class_order
from core.data.saved import ImportOptions, add_files, read_saved
from core.data.sources import folder_source, named_source
from core.data.tables.read import read_table
from core.data.tables.read_report import ReadOptions
from core.errors import DataError
from core.settings import Settings

TABLES = int(os.environ.get("LORALAB_RANDOM_TABLES", "40"))
Row = tuple[str, str]  # text, label
LABELS = (
    ("01234", "1234"),
    ("2.0", "2.00", "2"),
    ("true", "1", "True"),
    ("us", "US"),
    ("NA", "null"),
    ("2024-01-01", "2024-06-30"),
    ("a,b", "c;d", "e|f"),
    ("caf\u00e9", "cafe\u0301"),
    ("-2", "-1", "+1"),
    ("New York", "New  York"),
)
WORDS = (
    *("good", "film", "NA", "007", "1.0", "1,5", "x;y", "p|q", "a\tb", "C:\\", "#tag", "=1+1"),
    *('say "hi"', '"open', 'end"', "line\nbreak", "it's", "<br/>", "{", "2024-01-01", "  two"),
)
LETTERS = {  # words of the script that an encoding can write
    "utf-8": ("naïve", "日本", "🙂", "\u2028", "\ufeffmark"),
    "utf-8-sig": ("naïve", "🙂"),
    "utf-16": ("naïve", "日本"),
    "utf-16-le": ("naïve", "český"),
    "utf-32": ("naïve", "привет"),
    "cp1252": ("naïve", "café", "Não", "ação", "Größe", "it’s"),
    "cp1251": ("привет", "хороший", "фильм", "очень", "плохо", "скучно"),
    "cp932": ("今日の試合", "勝ちました", "映画", "とても"),
}
NAMED = "cp932"  # a few words are too little evidence, so the person names it


@dataclass(frozen=True)
class Written:
    """How a table is written: everything that must not matter."""

    form: Literal["delimited", "json lines", "json", "parquet"]
    encoding: str
    separator: str
    end: str
    quote_all: bool
    columns: tuple[str, ...]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Written, list[Row], list[Row]]:
    """Draw the way of writing, training rows and test rows."""
    encoding = draw(st.sampled_from(sorted(LETTERS)))
    written = Written(
        draw(st.sampled_from(("delimited", "delimited", "json lines", "json", "parquet"))),
        encoding,
        draw(st.sampled_from(",;\t|")),
        draw(st.sampled_from(("\n", "\r\n"))),
        draw(st.booleans()),
        draw(st.sampled_from((("text", "label"), ("label", "text"), ("id", "text", "label")))),
    )
    labels = draw(st.sampled_from([names for names in LABELS if _fits(names, encoding)]))
    words = st.sampled_from((*WORDS, *(LETTERS[encoding] * 3)))
    texts = st.lists(words, min_size=2, max_size=6).map(" ".join).filter(lambda text: text.strip())
    size = 11 * len(labels)
    drawn = draw(st.lists(texts, min_size=size + 4, max_size=size + 20))
    rows = [(text, labels[number % len(labels)]) for number, text in enumerate(drawn)]
    return written, rows[:-4], rows[-4:]


def _fits(names: tuple[str, ...], encoding: str) -> bool:
    try:
        "".join(names).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def write(written: Written, rows: list[Row]) -> tuple[str, bytes]:
    """Return the suffix and the content of a file with ``rows``."""
    records = [
        {"id": f"{number}", "text": text, "label": label}
        for number, (text, label) in enumerate(rows)
    ]
    chosen = [{name: record[name] for name in written.columns} for record in records]
    if written.form == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(chosen), buffer)
        return ".parquet", buffer.getvalue()
    if written.form == "delimited":
        text = io.StringIO(newline="")
        quoting: Literal[0, 1] = csv.QUOTE_ALL if written.quote_all else csv.QUOTE_MINIMAL
        writer = csv.writer(
            text, delimiter=written.separator, lineterminator=written.end, quoting=quoting
        )
        writer.writerow(written.columns)
        writer.writerows(record.values() for record in chosen)
        suffix = ".tsv" if written.separator == "\t" else ".csv"
        return suffix, text.getvalue().encode(written.encoding)
    if written.form == "json":
        indent = 1 if written.quote_all else None
        document = json.dumps(chosen, ensure_ascii=False, indent=indent)
        return ".json", document.encode(written.encoding)
    lines = [json.dumps(record, ensure_ascii=written.quote_all) for record in chosen]
    return ".jsonl", "".join(line + written.end for line in lines).encode(written.encoding)


def expected(train: list[Row], test: list[Row]) -> str:
    """Return the fingerprint of the rows."""
    classes = class_order({label for _, label in train})
    frames = [
        pd.DataFrame(
            {"text": [text for text, _ in rows], "label": [classes.index(name) for _, name in rows]}
        )
        for rows in (train, test)
    ]
    return fingerprint_of(RawData(frames[0], frames[1], classes))


def choose_encoding(written: Written, paths: list[Path]) -> str:
    """Return the encoding if the person has to choose it: one that is offered, or ``NAMED``."""
    if written.form == "parquet":
        return ""
    if written.encoding == NAMED:
        return NAMED
    options = ReadOptions(quotes=True)
    tables = [read_table(path.name, path, options) for path in paths]
    offered = {name for table in tables for name, _ in table.encodings}
    return written.encoding if written.encoding in offered else ""


def add(home: Settings, paths: list[Path], encoding: str) -> RawData:
    """Add the files as the command line does; unclear quotes enclose texts."""
    options = ImportOptions(("text",), "label", reading=ReadOptions(encoding))
    try:
        add_files(home, paths, "random", options)
    except DataError as error:
        if "--quotes" not in error.fix:
            raise
        event("asked about quotes")
        options = ImportOptions(("text",), "label", reading=ReadOptions(encoding, quotes=True))
        add_files(home, paths, "random", options)
    return read_saved(named_source(home, "random"))


@pytest.mark.slow
@settings(
    max_examples=TABLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(tables())
def test_how_a_table_is_written_does_not_matter(
    drawn: tuple[Written, list[Row], list[Row]],
) -> None:
    written, train, test = drawn
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        paths = []
        for name, rows in (("train", train), ("test", test)):
            suffix, content = write(written, rows)
            paths.append(data / f"{name}{suffix}")
            paths[-1].write_bytes(content)

        encoding = choose_encoding(written, paths)
        raw = add(Settings(home=Path(folder) / "home"), paths, encoding)
        assert fingerprint_of(raw) == expected(train, test)
        # data folders hold JSON lines, no documents, and their encoding cannot be named
        if written.form != "json" and not encoding:
            event("folder")
            try:
                raw = load_rows(folder_source(data), Path(folder) / "cache")
            except DataError as error:
                assert "--quotes" in error.fix
            else:
                assert fingerprint_of(raw) == expected(train, test)
