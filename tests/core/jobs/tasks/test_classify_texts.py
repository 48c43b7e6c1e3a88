import numpy as np
import pandas as pd
import pytest

from core.data.files.read import read_table
from core.errors import DataError
from core.jobs.tasks import classify_texts
from core.settings import Settings

CLASSES = ("World", "Sci/Tech")


def test_blank_rows_have_no_answer_and_unknown_labels_no_score() -> None:
    frame = pd.DataFrame(
        {"text": ["one", " ", "two", "three"], "label": ["world", "World", "sci/tech", "Cooking"]}
    )
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], dtype=np.float32)

    result = classify_texts.assemble_table(frame, probabilities, CLASSES)

    assert result.frame["class"].tolist()[:1] == ["World"]
    assert result.frame["class"].isna().tolist() == [False, True, False, False]
    assert result.frame["p(Sci/Tech)"].dropna().tolist() == pytest.approx([0.1, 0.3, 0.8])
    assert result.counts is not None
    assert result.counts.tolist() == [[1, 0], [1, 0]]
    assert (result.unknown, result.blank) == ({"Cooking": 1}, 1)
    assert result.scores is not None
    assert result.scores.accuracy.value == 0.5


def test_without_labels_there_are_no_scores() -> None:
    result = classify_texts.assemble_table(
        pd.DataFrame({"text": ["one"]}), np.array([[0.4, 0.6]], dtype=np.float32), CLASSES
    )

    assert (result.scores, result.frame["class"].tolist()) == (None, ["Sci/Tech"])


def test_columns_are_chosen_and_cleaned() -> None:
    table = read_table("a.tsv", b"words\tkind\nhello\t World \n\tSports\n")

    assert classify_texts.choose_columns(table, "words", "kind").to_dict("list") == {
        "text": ["hello", ""],
        "label": ["World", "Sports"],
    }
    with pytest.raises(DataError, match="no column 'body'"):
        classify_texts.choose_columns(table, "body")


def test_a_column_without_texts_is_refused() -> None:
    table = read_table("a.csv", b"words,kind\n,World\n,Sports\n")

    with pytest.raises(DataError, match="'words' of a.csv holds no text"):
        classify_texts.choose_columns(table, "words")


def test_only_that_many_files_are_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify_texts, "KEPT_BATCHES", 2)

    keys = [
        classify_texts.store_texts(settings, pd.DataFrame({"text": [text]}))
        for text in ("a", "b", "c")
    ]

    assert (
        len({path.stem for path in (settings.home / "batches").glob("*.parquet")} & set(keys)) == 2
    )
    assert classify_texts.texts_path(settings, keys[-1]).is_file()
