import numpy as np
import pandas as pd
import pytest

from core.data.quality.label_errors import NEAREST, find_neighbors, word_features
from core.errors import Stopped

TEXTS = [
    "oil price rises",
    "oil price rises again",
    "oil price falls",
    "oil of olives",
    "team wins final",
    "oil price rises",
]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"split": ["train"] * 5 + ["test"], "row": [10, 11, 12, 13, 14, 0]})


def test_the_texts_with_most_words_in_common_come_first_and_copies_not_at_all(
    frame: pd.DataFrame,
) -> None:
    result = find_neighbors(
        word_features(TEXTS), frame, np.array([0]), np.array([0, 1, 2, 3, 4, 0]), lambda: False
    )

    assert result["near_row"].tolist() == [11, 12, 13]
    assert result["near_split"].tolist() == ["train"] * NEAREST
    assert result[["split", "row"]].drop_duplicates().to_numpy().tolist() == [["train", 10]]
    assert result["similarity"].is_monotonic_decreasing


def test_a_copy_of_another_split_is_a_neighbor_where_it_is_in_no_group(
    frame: pd.DataFrame,
) -> None:
    result = find_neighbors(
        word_features(TEXTS), frame, np.array([0]), np.array([0, 0, 2, 3, 4, 5]), lambda: False
    )

    assert result.iloc[0][["near_split", "near_row"]].tolist() == ["test", 0]
    assert result["similarity"].iloc[0] == pytest.approx(1)


def test_a_text_without_a_shared_word_has_no_neighbors(frame: pd.DataFrame) -> None:
    assert find_neighbors(
        word_features(TEXTS), frame, np.array([4]), np.arange(6), lambda: False
    ).empty
    assert find_neighbors(None, frame, np.array([0]), np.arange(6), lambda: False).empty


def test_a_stop_is_followed(frame: pd.DataFrame) -> None:
    with pytest.raises(Stopped):
        find_neighbors(word_features(TEXTS), frame, np.array([0]), np.arange(6), lambda: True)
