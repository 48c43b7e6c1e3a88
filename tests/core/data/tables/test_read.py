import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from core.data.tables.read import read_table
from core.data.tables.read_report import ReadOptions
from core.data.tables.table import MAX_BYTES, MAX_FILE_BYTES, check_size
from core.errors import DataError
from tests.support.security.broken_files import CSV, READ, REFUSED, ROWS, parquet
from tests.support.security.fuzzed_files import files

SECONDS = 2  # of the processor, whatever else the machine does


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_file_is_refused_with_what_to_do(case: str) -> None:
    name, data, words = REFUSED[case]
    began = time.process_time()

    with pytest.raises(DataError) as caught:
        read_table(name, data)

    assert words in str(caught.value)
    assert caught.value.fix
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("case", READ)
def test_the_same_rows_come_out_of_every_format(case: str) -> None:
    table = read_table(*READ[case])

    assert list(table.frame.itertuples(index=False, name=None)) == ROWS
    assert not table.report.left_out


@pytest.mark.parametrize(
    ("text", "encoding", "result"),
    [
        ("Der Zug nach München fährt über Köln", "latin-1", "cp1252"),
        ("Le garçon a reçu un cœur à l’école", "cp1252", "cp1252"),
        ("Сегодня прошёл большой матч", "cp1251", "cp1251"),
        ("Сегодня прошёл большой матч", "koi8-r", "koi8_r"),
        ("今日の試合は二対一で勝ちました", "shift_jis", "cp932"),
        ("今天的比赛以二比一获胜", "gb18030", "gb18030"),
    ],
)
def test_older_encodings_are_distinguished(text: str, encoding: str, result: str) -> None:
    lines = [f"{text} {i};{'ab'[i % 2]}" for i in range(30)]

    table = read_table("a.csv", "\n".join(["text;label", *lines]).encode(encoding))

    assert (table.file.encoding, table.file.separator) == (result, ";")
    assert table.frame["text"].iloc[0] == f"{text} 0"


def test_a_wrong_guess_can_be_put_right() -> None:
    data = "name;label\nŻółw;a\n".encode("cp1250")

    assert read_table("a.csv", data, ReadOptions(encoding="cp1250")).frame["name"].tolist() == [
        "Żółw"
    ]
    assert read_table("a.csv", b"text,label\nx,a\n", ReadOptions(header=False)).rows == 2
    assert read_table("a.csv", b"text|a;label\nx|b;a\n", ReadOptions(separator=";")).columns == [
        "text|a",
        "label",
    ]
    with pytest.raises(DataError, match="is not UTF-8 after line 0. Choose another encoding"):
        read_table("a.csv", data, ReadOptions(encoding="utf-8"))


def test_quotes_can_be_read_as_ordinary_characters() -> None:
    table = read_table(
        "a.csv", b'text,label\n"so" it goes,cat\nit "never ends,dog\n', ReadOptions(quotes=False)
    )

    assert table.frame["text"].tolist() == ['"so" it goes', 'it "never ends']


def test_ragged_lines_are_left_out_and_say_where_they_are() -> None:
    table = read_table("a.csv", b"text,label\none,a\ntwo\nthree,b\n\nfour,c,d\nfive,a\nsix,a\n")

    assert table.frame["text"].tolist() == ["one", "three", "five", "six"]
    assert table.frame.index.tolist() == [2, 4, 7, 8]
    assert [(item.reason, item.lines) for item in table.report.left_out] == [
        ("wrong number of cells", [3, 6])
    ]
    assert (table.report.rows, table.report.rows_kept, table.report.blank_lines) == (6, 4, [5])


def test_the_text_na_stays_a_text_and_numbers_stay_as_written() -> None:
    table = read_table("a.csv", b"text,label\nNA,007\nnull,1\nNaN,1\n")

    assert table.frame["text"].tolist() == ["NA", "null", "NaN"]
    assert table.frame["label"].tolist() == ["007", "1", "1"]


def test_columns_of_one_name_are_distinguished() -> None:
    table = read_table("a.csv", b"text,text,,label\na,b,c,d\n")

    assert table.columns == ["text", "text (2)", "column 3", "label"]
    assert table.file.notes == ("Two columns are called 'text'; the second is 'text (2)'.",)


def test_a_cell_of_five_megabytes_is_read_in_time() -> None:
    began = time.process_time()

    table = read_table("a.csv", ("text,label\n" + "x" * 5_000_000 + ",a\nb,c\n").encode())

    assert table.frame["text"].str.len().tolist() == [5_000_000, 1]
    assert time.process_time() - began < SECONDS


def test_values_of_json_become_strings_and_halves_of_characters_are_replaced() -> None:
    lines = [
        {"text": "a", "label": 1, "x": [1]},
        {"text": None, "label": True, "x": ["b", "c"]},
    ]
    table = read_table(
        "a.jsonl",
        "\n".join(map(json.dumps, lines)).encode()
        + b'\n{"text": "\\ud800!", "label": NaN, "y": 2.50}\nno\n',
    )

    assert table.columns == ["text", "label", "x", "y"]
    assert table.frame.fillna("").to_numpy().tolist() == [
        ["a", "1", "1", ""],
        ["", "true", '["b", "c"]', ""],
        ["\ufffd!", "", "", "2.50"],
    ]
    assert table.report.left_out[0].lines == [4]
    assert table.file.notes == (
        "Unpaired surrogates were replaced, first in line 3 (rows: 1).",
        "Fields with lists or objects, read as JSON: 'x'.",
    )


def test_only_the_chosen_columns_are_read_and_texts_among_the_others_are_known() -> None:
    lines = [f"the text {i},title number {i},x,{'ab'[i % 2]}" for i in range(20)]
    data = "\n".join(["text,title,source,label", *lines]).encode()

    table = read_table("a.csv", data, choose=lambda sample: {"text", "label"})

    assert table.columns == ["text", "label"]
    assert table.texts == ("text", "title")
    assert table.rows == 20


def test_a_column_of_parquet_that_holds_no_text_is_named_in_the_error() -> None:
    table = read_table("a.parquet", parquet(text=[{"a": 1}], label=["b"]))

    assert table.unread == (("text", "struct"),)
    with pytest.raises(DataError, match="no column 'text'.*'text' holds values of the type struct"):
        table.require("text")


def test_class_ids_of_hugging_face_become_their_names() -> None:
    features = {"info": {"features": {"label": {"names": ["ham", "spam"], "_type": "ClassLabel"}}}}
    schema = pa.schema(
        [("text", pa.string()), ("label", pa.int64())],
        metadata={"huggingface": json.dumps(features)},
    )
    rows = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]}, schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)

    table = read_table("a.parquet", sink.getvalue().to_pybytes())

    assert table.frame["label"].fillna("").tolist() == ["spam", "ham", ""]
    assert table.class_names == {"label": ("ham", "spam")}


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)

    with pytest.raises(DataError, match=r"large.csv has 2,000 MB; the limit is 2,000 MB. Use"):
        read_table(path.name, path)
    with pytest.raises(DataError, match=r"has 100 MB; the limit is 100 MB. Use a sample, or add"):
        check_size("large.csv", MAX_BYTES + 1)
    with pytest.raises(DataError, match="is a folder"):
        read_table("a", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_table("a", tmp_path / "nothing")


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(files())
def test_no_file_is_too_broken_for_an_answer(file: tuple[str, bytes]) -> None:
    name, content = file
    began = time.process_time()
    try:
        table = read_table(name, content)
    except DataError as error:
        assert error.message and error.fix
    else:
        assert table.rows and table.columns
        assert len(set(table.columns)) == len(table.columns)
        assert table.report.rows_kept == table.rows
        for column in table.columns:
            "".join(table.frame[column].dropna()).encode()
    assert time.process_time() - began < SECONDS


def test_formats_and_names_may_disagree() -> None:
    assert read_table("a.jsonl", CSV.encode()).file.format == "delimited"
    assert read_table("a.csv", b'{"text": "a", "label": "b"}\n').file.format == "JSON lines"
    assert (
        read_table("PK.csv", b"PKs are many,and so on\nmore of it,too\n").file.format == "delimited"
    )
    assert parquet(text=["a"])[:4] == b"PAR1"


def test_fields_of_json_that_get_one_name_are_kept_and_noted() -> None:
    rows = (
        b'{"data": {"text": "a film", "label": "old"}, "label": "new", "a b": "1", "a  b": "2"}\n'
    )

    table = read_table("a.jsonl", rows)

    assert table.frame.iloc[0].to_dict() == {
        "text": "a film",
        "data.label": "old",
        "label": "new",
        "a b": "1",
        "a b (2)": "2",
    }
    assert table.file.notes == (
        "Two fields of a row are called 'label'; one is read as 'data.label'.",
        "Two fields of a row are called 'a b'; one is read as 'a b (2)'.",
    )


@pytest.mark.parametrize("depth", [101, 300, 900, 3000])
@pytest.mark.parametrize(("start", "end"), [('{"a": ', "}"), ("[", "]")])
def test_json_that_is_nested_deeply_is_refused(depth: int, start: str, end: str) -> None:
    row = f'{{"text": "a film", "label": {start * (depth - 1)}1{end * (depth - 1)}}}'

    with pytest.raises(DataError, match="line 1, is not a JSON object"):
        read_table("a.jsonl", row.encode())


def test_json_that_is_nested_at_most_100_deep_is_read() -> None:
    row = f'{{"text": "a film", "label": {"[" * 99}"x"{"]" * 99}}}'

    assert read_table("a.jsonl", row.encode()).frame["label"].tolist() == ["x"]
