from pathlib import Path

import pandas as pd
import pytest

from core.data.rows import stratified_sample
from core.jobs.workers.train import draw_sample
from tests.support.indexed_data import write_rows


@pytest.mark.parametrize("rows", [0, 1, 7, 40, 99])
def test_a_sample_of_a_dataset_is_the_sample_of_its_rows(tmp_path: Path, rows: int) -> None:
    train = [(f"text {row}", row % 3) for row in range(40)]
    dataset = write_rows(tmp_path / "pets", ("a", "b", "c"), train=train)
    every = dataset.read("train", ["row", "text", "label"])

    pd.testing.assert_frame_equal(
        draw_sample(dataset, "train", rows, seed=3), stratified_sample(every, rows, seed=3)
    )
    assert draw_sample(dataset, "test", rows, seed=3).empty
