import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.tables.whole_table import read_whole
from core.errors import ArtifactDamaged, DataError
from core.jobs.tasks import text_batch
from core.jobs.tasks.text_batch import (
    NO_TEXT,
    batch_path,
    build_batch,
    propose,
    read_batch,
    store_batch,
)
from core.settings import Settings
from core.storage import files
from tests.support.text_batches import make_batch


def test_texts_are_chosen_and_rows_without_one_say_why() -> None:
    table = read_whole("a.tsv", b"words\tkind\nhello\t World \n\tSports\n \tx\na\tb\tc\nn\0ul\ty\n")

    batch = build_batch(table, "words", "kind")

    assert batch.texts == ["hello", "", "", "", "nul"]
    assert batch.problems == ["", NO_TEXT, NO_TEXT, "unreadable: 3 cells instead of 2", ""]
    assert batch.originals == ["", "", "", "a\tb\tc", ""]
    assert batch.labels == ["World", "Sports", "x", "b", "y"]
    assert batch.frame["words"].tolist()[-1] == "n\0ul"


def test_a_column_that_is_missing_is_refused_with_the_others() -> None:
    table = read_whole("a.csv", b"words,kind\nhello,World\n")

    with pytest.raises(DataError, match="a.csv has no column 'body'. Its columns are 'words'"):
        build_batch(table, "body")


def test_a_column_without_texts_gives_no_answers_and_no_error() -> None:
    batch = build_batch(read_whole("a.csv", b"id,text\n1,\n2, \n"), "text")

    assert (batch.filled, batch.problems) == ([], [NO_TEXT, NO_TEXT])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ('"us"', "us"),
        ('"US"', "US"),
        ("01", ""),
        ("2.00", "2.00"),
        ("true", "true"),
        ('["pos"]', "pos"),
        ('["a", "b"]', ""),
        ('{"value": "pos"}', "pos"),
        ("null", ""),
    ],
)
def test_labels_of_json_are_as_they_are_written(label: str, expected: str) -> None:
    other = '{"text": "b", "label": "z"}'
    table = read_whole("a.jsonl", f'{{"text": "a", "label": {label}}}\n{other}\n'.encode())

    assert build_batch(table, "text", "label").labels == [expected, "z"]


def test_ids_of_classes_in_parquet_have_their_names() -> None:
    features = b'{"info": {"features": {"label": {"names": ["no", "yes"]}}}}'
    content = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    buffer = io.BytesIO()
    pq.write_table(content.replace_schema_metadata({b"huggingface": features}), buffer)

    batch = build_batch(read_whole("a.parquet", buffer.getvalue()), "text", "label")

    assert batch.labels == ["yes", "no", ""]


def test_columns_are_proposed_by_name_then_by_length() -> None:
    named = read_whole("a.jsonl", b'{"id": "a longer id", "review": "good"}\n{"review": "bad"}\n')
    unnamed = read_whole("a.csv", b"k,remark\n1,a long text\n2,another text\n")

    assert propose(named).text == "review"
    assert propose(unnamed).text == "remark"


def test_stored_rows_are_read_back(settings: Settings) -> None:
    batch = make_batch(["one", "", "=two"], ["a", "b", ""])

    stored = read_batch(settings, store_batch(settings, batch), "text", "label", is_json=False)

    assert (stored.texts, stored.labels) == (batch.texts, batch.labels)
    assert (stored.problems, stored.originals) == (batch.problems, batch.originals)
    assert stored.frame.columns.tolist() == ["text", "label"]


def test_only_the_newest_files_stay(settings: Settings) -> None:
    keys = [
        store_batch(settings, make_batch([str(number)]))
        for number in range(text_batch.KEPT_BATCHES + 3)
    ]

    stored = {path.stem for path in (settings.home / "batches").glob("*.parquet")}
    assert len(stored) == text_batch.KEPT_BATCHES
    assert keys[-1] in stored


@pytest.mark.parametrize("columns", [None, {"text": ["a"]}])
def test_rows_that_are_not_stored_are_asked_for_again(
    settings: Settings, columns: dict[str, list[str]] | None
) -> None:
    if columns:  # written by the first release
        files.make_folder(settings.home / "batches")
        files.write_parquet(batch_path(settings, "0"), pd.DataFrame(columns))

    with pytest.raises(ArtifactDamaged, match="Upload the file again"):
        read_batch(settings, "0", "text", "", is_json=False)
