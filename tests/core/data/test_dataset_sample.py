from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.dataset import write_split
from core.data.rows import stratified_sample
from core.errors import ArtifactDamaged
from tests.support.indexed_data import write_rows


@pytest.mark.parametrize("rows", [0, 1, 7, 40, 99])
def test_a_sample_of_a_dataset_is_the_sample_of_its_rows(tmp_path: Path, rows: int) -> None:
    train = [(f"text {row}", row % 3) for row in range(40)]
    dataset = write_rows(tmp_path / "pets", ("a", "b", "c"), train=train)
    every = dataset.read("train", ["row", "text", "label"])

    pd.testing.assert_frame_equal(
        dataset.draw_sample("train", rows, seed=3), stratified_sample(every, rows, seed=3)
    )
    assert dataset.draw_sample("test", rows, seed=3).empty


@pytest.mark.parametrize(("rows", "most"), [(0, 5), (20, 5), (4, 5), (0, 99)])
def test_the_first_rows_of_a_sample_need_no_other_texts(
    tmp_path: Path, rows: int, most: int
) -> None:
    train = [(f"text {row}", row % 3) for row in range(40)]
    dataset = write_rows(tmp_path / "pets", ("a", "b", "c"), train=train)

    pd.testing.assert_frame_equal(
        dataset.draw_sample("train", rows, seed=3, most=most),
        dataset.draw_sample("train", rows, seed=3).head(most),
    )


@pytest.mark.parametrize("groups", [1, 7])
def test_texts_are_taken_from_the_row_groups_that_hold_them(tmp_path: Path, groups: int) -> None:
    train = [(f"text {row}", 0) for row in range(40)]
    dataset = write_rows(tmp_path / "pets", ("a",), train=train)
    rows = dataset.read("train")
    parts = [rows.iloc[start::groups] for start in range(groups)]
    write_split(dataset.folder, "train", parts)
    order = [row for part in parts for row in part["row"]]

    for positions in ([39, 0, 17], [5, 5], [12], []):
        assert dataset.take_texts("train", np.array(positions, dtype=np.int64)) == [
            f"text {order[position]}" for position in positions
        ]
    with pytest.raises(ArtifactDamaged, match=r"train\.parquet is missing or damaged"):
        dataset.take_texts("train", np.array([40]))
