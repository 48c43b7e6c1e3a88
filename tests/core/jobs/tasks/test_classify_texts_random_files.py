"""Random files of every format: as many rows come out as go in, and their columns are the same.

``LORALAB_RANDOM_FILES`` is the number of files, 40 without it.
"""

import csv
import io
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.data.tables.whole_table import read_whole
from core.jobs.tasks.classify_texts import (
    WRITTEN,
    Classified,
    FileSuffix,
    assemble_table,
    write_answers,
)
from core.jobs.tasks.text_batch import build_batch, read_batch, store_batch
from core.settings import Settings

FILES = int(os.environ.get("LORALAB_RANDOM_FILES", "40"))
CLASSES = ("World", "=Sports", "Sci/Tech")
NAMES = ["id", "text", "class", "probability", "p(World)", "problem", "note", "a b", "=x"]
WORDS = ["oil", "prices", "it's", "naïve", "7", "-1", "00501", "2.00", "2024-01-01", "true", "NA"]
ODD = ["a, b", "x; y", "a\tb", "p|q", '"quoted"', 'say "hi" now', "two\nlines", "=1+1", "'=1"]
WIDE = ["🙂", "مرحبا", "\u2028", "\ufeff", "nul\0", "日本"]


@dataclass(frozen=True)
class RandomFile:
    """A file, the rows in it, and which of them cannot be read."""

    name: str
    data: bytes
    columns: list[str]
    rows: list[list[object]]
    broken: frozenset[int] = frozenset()


def make_texts(words: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=5).map(" ".join)


CELLS = make_texts(WORDS + ODD + WIDE) | st.sampled_from(["", " ", "-5", "+3", "@x", "1e5", "\t"])


@st.composite
def delimited_files(draw: st.DrawFn) -> RandomFile:
    separator = draw(st.sampled_from(",;\t|"))
    others = draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))
    names = ["id", *(name for name in others if name not in ("id", "text")), "text"]
    width = len(names)
    rows = draw(
        st.lists(st.lists(CELLS, min_size=width - 1, max_size=width - 1), min_size=6, max_size=20)
    )
    numbered = [[f"{number:03}", *cells] for number, cells in enumerate(rows)]
    broken = draw(st.sets(st.integers(0, len(rows) - 1), max_size=1))
    for position in broken:  # without line breaks, behind which another row might begin
        cells = [cell.replace("\n", " ") for cell in numbered[position]]
        numbered[position] = [*cells, "one more"]
    buffer = io.StringIO(newline="")
    quoting: Literal[0, 1] = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(buffer, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([names, *numbered])
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    suffix = draw(st.sampled_from([".csv", ".tsv"] if separator == "\t" else [".csv"]))
    shown: list[list[object]] = [list(cells[:width]) for cells in numbered]
    data = buffer.getvalue().encode(encoding)
    return RandomFile(f"a{suffix}", data, names, shown, frozenset(broken))


@st.composite
def text_files(draw: st.DrawFn) -> RandomFile:
    words = [word for word in WORDS + ODD + WIDE if "\n" not in word and "\t" not in word]
    texts = draw(st.lists(make_texts(words) | st.just(""), min_size=1, max_size=20))
    texts.append("the last text")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    data = (end.join(texts) + draw(st.sampled_from(["", end]))).encode()
    # a mark at the start of a file belongs to its encoding
    texts[0] = texts[0].removeprefix("\ufeff")
    return RandomFile("a.txt", data, ["text"], [[text] for text in texts])


VALUES = CELLS | st.integers() | st.booleans() | st.none() | st.lists(CELLS, max_size=2)


@st.composite
def json_files(draw: st.DrawFn) -> RandomFile:
    fields = st.fixed_dictionaries(
        {"text": CELLS | st.none()},
        optional={name: VALUES for name in ("id", "class", "p(World)", "note", "=x")},
    )
    objects = draw(st.lists(fields, min_size=2, max_size=20))
    columns = list(dict.fromkeys(name for fields in objects for name in fields))
    rows: list[list[object]] = [[fields.get(name) for name in columns] for fields in objects]
    if draw(st.booleans()):
        return RandomFile("a.json", json.dumps(objects).encode(), columns, rows)
    lines = [json.dumps(fields, ensure_ascii=False) for fields in objects]
    broken = draw(st.sets(st.integers(0, len(rows) - 1), max_size=1))
    for position in broken:
        lines[position] = lines[position][:-1] + "…"
        rows[position] = [None] * len(columns)
    readable = [fields for number, fields in enumerate(objects) if number not in broken]
    used = list(dict.fromkeys(name for fields in readable for name in fields))
    rows = [[row[columns.index(name)] for name in used] for row in rows]
    data = "\n".join(lines).encode()
    return RandomFile("a.jsonl", data, used, rows, frozenset(broken))


@st.composite
def parquet_files(draw: st.DrawFn) -> RandomFile:
    length = draw(st.integers(1, 12))
    kinds: dict[str, st.SearchStrategy[object]] = {
        "text": CELLS | st.none(),
        "id": st.integers(-(2**62), 2**62) | st.none(),
        "note": st.floats(allow_nan=False) | st.none(),
        "class": st.booleans() | st.none(),
        "a b": st.lists(st.integers(0, 9), max_size=3) | st.none(),
        "=x": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)) | st.none(),
    }
    others = draw(st.lists(st.sampled_from(list(kinds)[1:]), unique=True))
    columns = ["text", *others]
    content = {
        name: draw(st.lists(kinds[name], min_size=length, max_size=length)) for name in columns
    }
    content["text"][0] = "a text"
    for name in others:
        content[name][0] = draw(kinds[name].filter(lambda value: value is not None))
    buffer = io.BytesIO()
    pq.write_table(pa.table(content), buffer)
    rows = [list(cells) for cells in zip(*content.values(), strict=True)]
    return RandomFile("a.parquet", buffer.getvalue(), columns, rows)


def fake_probabilities(texts: list[str]) -> NDArray[np.float32]:
    """Return probabilities that depend on the text: the class of its length, modulo three."""
    classes = [len(text) % len(CLASSES) for text in texts]
    return np.eye(len(CLASSES), dtype=np.float32)[classes].reshape(-1, 3) * 0.4 + np.float32(0.2)


def classify(file: RandomFile, home: Path) -> Classified:
    lab = Settings(home=home)
    batch = build_batch(read_whole(file.name, file.data), "text")
    stored = read_batch(lab, store_batch(lab, batch), "text", "", batch.is_json)
    return assemble_table(stored, fake_probabilities(stored.filled), CLASSES)


def as_text(cell: object) -> str:
    """Return a cell as it is in CSV."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list):
        return json.dumps(cell, ensure_ascii=False)
    return str(cell)


def as_json(cell: object) -> object:
    """Return a cell as it is in JSON."""
    return str(cell) if isinstance(cell, datetime) else cell


def read_back(suffix: FileSuffix, data: bytes) -> list[dict[str, object]]:
    if suffix == ".csv":
        table = read_whole("b.csv", data).frame
        return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]
    if suffix == ".jsonl":
        return [json.loads(line) for line in data.decode().split("\n") if line]
    rows: list[dict[str, object]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows


@given(delimited_files() | text_files() | json_files() | parquet_files(), st.sampled_from(WRITTEN))
@settings(
    max_examples=FILES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rows_out_are_rows_in_and_other_columns_are_equal(
    tmp_path: Path, file: RandomFile, suffix: FileSuffix
) -> None:
    classified = classify(file, tmp_path)
    rows = read_back(suffix, write_answers(classified, suffix))

    assert len(rows) == len(file.rows)
    names = classified.columns
    assert len(set(names.values()) | set(file.columns)) == len(names) + len(file.columns)
    typed = suffix == ".jsonl" or (suffix == ".parquet" and file.name == "a.parquet")
    for position, (row, cells) in enumerate(zip(rows, file.rows, strict=True)):
        output = [row.get(name) for name in file.columns]
        if typed:
            expected = [as_json(cell) if suffix == ".jsonl" else cell for cell in cells]
        else:
            expected, output = list(map(as_text, cells)), list(map(as_text, output))
        assert output == expected, position
        text = as_text(cells[file.columns.index("text")]).replace("\0", "")
        answered = position not in file.broken and bool(text.strip())
        answer = row[names["class"]] or None
        assert answer == (CLASSES[len(text) % len(CLASSES)] if answered else None)
        assert bool(row.get(names.get("problem", ""))) == (not answered)
