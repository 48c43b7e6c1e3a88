"""The real AG News, if ``LORALAB_DATA`` is its folder."""

from pathlib import Path

import pandas as pd
import pytest

from core.data.load import load_rows
from core.data.preparation import find_prepared, fingerprint_of, prepare
from core.data.sources import AG_NEWS_CLASSES, SourceKind, folder_source
from core.settings import Settings
from tests.support.pet_rows import Make

pytestmark = [pytest.mark.slow, pytest.mark.realdata]


def test_ag_news_is_recognized_and_counted(settings: Settings, real_data: Path) -> None:
    source = folder_source(real_data)

    dataset = prepare(settings, source, lambda _: None, lambda: False)

    assert (dataset.name, dataset.source, dataset.classes) == (
        "AG News",
        SourceKind.FOLDER,
        AG_NEWS_CLASSES,
    )
    assert (dataset.train_rows, dataset.validation_rows, dataset.test_rows) == (
        36_000,
        3_600,
        7_600,
    )
    assert dataset.read("validation")["label"].value_counts().to_dict() == dict.fromkeys(
        range(4), 900
    )
    assert find_prepared(settings, source) == dataset


def test_a_part_has_one_fingerprint_in_each_format(
    tmp_path: Path, make_source: Make, real_data: Path
) -> None:
    raw = load_rows(folder_source(real_data), tmp_path / "cache")
    named = {
        split: pd.DataFrame(
            {"text": frame["text"], "label": [raw.classes[label] for label in frame["label"]]}
        ).head(rows)
        for split, frame, rows in (("train", raw.train, 3000), ("test", raw.test, 500))
    }

    copies = [
        load_rows(make_source(suffix, folder=suffix, **named), tmp_path / "cache")
        for suffix in ("parquet", "csv", "jsonl")
    ]

    assert len({fingerprint_of(copy) for copy in copies}) == 1
    assert copies[0].classes == AG_NEWS_CLASSES
