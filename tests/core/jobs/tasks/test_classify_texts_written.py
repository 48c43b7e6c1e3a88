import csv
import io
import json

import numpy as np
import pandas as pd

from core.data.tables.exported_cells import count_escaped, to_csv
from core.data.tables.whole_table import read_whole
from core.jobs.tasks.classify_texts import Classified, assemble_table, write_answers
from core.jobs.tasks.text_batch import build_batch


def answered(name: str, data: str) -> Classified:
    batch = build_batch(read_whole(name, data.encode()), "text")
    probabilities = np.tile(np.array([0.3, 0.7], dtype=np.float32), (len(batch.filled), 1))
    return assemble_table(batch, probabilities, ["=A", "B"])


def test_a_table_is_escaped_with_its_header_and_its_numbers_stay() -> None:
    frame = pd.DataFrame(
        {
            "=text": ["=HYPERLINK(1)", 'a "quote", and\nmore', None],
            "number": [-1, 2, 3],
            "share": [-0.5, 0.25, np.nan],
        }
    )
    frame["class"] = pd.Categorical(["@a", "b", "b"])

    data = to_csv(frame)

    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [
        ["'=text", "number", "share", "class"],
        ["'=HYPERLINK(1)", "-1", "-0.5", "'@a"],
        ['a "quote", and\nmore', "2", "0.25", "b"],
        ["", "3", "", "b"],
    ]
    assert count_escaped(frame) == 2


def test_excel_recognizes_the_encoding_by_the_mark() -> None:
    assert to_csv(pd.DataFrame({"é": ["ü"]})) == b'\xef\xbb\xbf"\xc3\xa9"\r\n\xc3\xbc\r\n'


def test_answers_as_csv_are_read_back_unchanged() -> None:
    classified = answered("a.csv", "id,text\n01,=1+1\n02,'=1\n03,a,b\n04,-5\n")

    table = read_whole("out.csv", write_answers(classified, ".csv"))

    assert table.columns == classified.frame.columns.tolist()
    assert table.frame["text"].tolist() == ["=1+1", "'=1", "a", "-5"]
    assert table.frame["class"].tolist() == ["B", "B", "", "B"]


def test_answers_as_json_lines_keep_the_fields_of_each_row() -> None:
    data = '{"text": "a", "n": 1.50}\n{"id": 1, "text": "b"}\nnope\n{"text": "c", "k": null}\n'

    lines = write_answers(answered("a.jsonl", data), ".jsonl").decode().splitlines()

    assert lines[0].startswith('{"text": "a", "n": 1.50, "class": "B", "probability": 0.7,')
    assert [json.loads(line).get("k", "missing") for line in lines] == [*["missing"] * 3, None]
    assert json.loads(lines[2])["original line"] == "nope"
    assert json.loads(lines[2])["p(=A)"] is None


def test_answers_as_parquet_are_texts_where_the_file_had_json() -> None:
    data = '{"text": "a", "n": 1.50}\n{"text": "b", "tags": ["x"]}\n'

    frame = pd.read_parquet(io.BytesIO(write_answers(answered("a.jsonl", data), ".parquet")))

    assert frame["n"].tolist()[0] == "1.50"
    assert frame["tags"].tolist()[1] == '["x"]'
    assert frame["probability"].tolist() == [0.7, 0.7]
