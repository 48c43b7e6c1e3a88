import pandas as pd
import pytest

from core.data.splits.columns import ColumnProposal, propose_columns, read_splits
from core.data.tables.read import read_table


def proposal(header: str, *rows: str) -> ColumnProposal:
    return propose_columns(read_table("a.csv", "\n".join([header, *rows]).encode()))


def test_usual_names_are_taken_where_they_fit() -> None:
    rows = [
        f"{i},a review that is long enough"
        f" {i},{'good' if i % 2 else 'bad'},{'train' if i else 'test'}"
        for i in range(4)
    ]

    assert proposal("id,text,label,split", *rows) == ColumnProposal("text", "label", "split")


def test_without_usual_names_the_longest_cells_are_texts_and_the_fewest_values_labels() -> None:
    rows = [
        f"{i},ein ziemlich langer Satz {i},{'gut' if i % 2 else 'schlecht'},x" for i in range(60)
    ]

    assert proposal("nr,satz,urteil,quelle", *rows) == ColumnProposal("satz", "urteil", "")


def test_one_column_leaves_no_label() -> None:
    assert proposal("text", "a", "b").label == ""


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        (["train", "Dev", "TEST "], {"train": "train", "Dev": "validation", "TEST ": "test"}),
        (["train", "other"], {}),
        (["test", "dev"], {}),
    ],
)
def test_a_split_column_is_known_by_its_words(values: list[str], meant: dict[str, str]) -> None:
    assert read_splits(pd.Series(values, dtype=object)) == meant
