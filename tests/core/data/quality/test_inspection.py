from pathlib import Path

import pandas as pd
import pytest

from core.data.dataset import Dataset
from core.data.preparation import prepare
from core.data.quality.findings import (
    Check,
    name_rows,
    read_findings,
    read_neighbors,
    read_report,
    read_texts,
    save_report,
)
from core.data.quality.inspection import inspect
from core.data.sources import folder_source
from core.errors import Stopped
from core.progress import Progress
from core.settings import Settings
from tests.support.small_news import write_small_news

LEAKED = "the coach praised the goal that the club had waited for all season long"


def nothing(progress: Progress) -> None:
    """No progress is reported."""


@pytest.fixture
def dataset(tmp_path: Path, settings: Settings) -> Dataset:
    """Small news with a text in train and test, one of two labels, an entity, a number instead of a
    text, and one class more often.
    """
    folder = write_small_news(tmp_path / "news")
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    planted = [
        (LEAKED, "Sports"),
        ("talks of the two ministers end without a word to the press tonight", "World"),
        ("TALKS of the two ministers end, without a word to the press tonight", "Business"),
        ("oil prices rise &amp; fall again today", "Business"),
        ("12345 678", "World"),
        *[
            (
                f"the {name} match of the evening ended in a draw once more, say {name} fans",
                "Sports",
            )
            for name in map(str, range(100, 160))
        ],
    ]
    pd.concat([train, pd.DataFrame(planted, columns=["text", "label"])]).to_csv(
        folder / "train.csv", index=False
    )
    pd.concat([test, pd.DataFrame([(LEAKED.upper(), "Sports")], columns=["text", "label"])]).to_csv(
        folder / "test.csv", index=False
    )
    return prepare(settings, folder_source(folder), nothing, lambda: False)


@pytest.mark.slow
def test_each_planted_fault_is_found_and_kept(dataset: Dataset) -> None:
    report, findings, neighbors = inspect(dataset, nothing, lambda: False)
    save_report(dataset, report, findings, neighbors)

    assert read_report(dataset) == report
    named = name_rows(read_findings(dataset), read_texts(dataset), dataset.classes)
    texts = {check: named.loc[named["check"] == check, "text"].tolist() for check in Check}
    assert LEAKED.upper() in texts[Check.LEAKAGE]
    assert len(texts[Check.CONFLICT]) == 2
    assert texts[Check.DEBRIS] == ["oil prices rise &amp; fall again today"]
    assert texts[Check.EMPTY] == ["12345 678"]
    assert {LEAKED, LEAKED.upper()} <= set(texts[Check.NEAR])
    message = {finding.check: finding for finding in report.findings}
    assert list(message) == list(Check)
    assert (
        message[Check.IMBALANCE].summary == "Sports has 109 training texts, Sci/Tech 54: 2.0 to 1."
    )
    assert message[Check.CONFLICT].texts == 2
    for suspect in named[named["check"] == Check.SUSPECT].itertuples():
        near = neighbors[(neighbors["split"] == suspect.split) & (neighbors["row"] == suspect.row)]
        stored = read_neighbors(dataset, str(suspect.split), int(str(suspect.row)))
        assert stored["row"].tolist() == near["near_row"].tolist()


def test_a_stop_is_followed_and_nothing_is_kept(dataset: Dataset) -> None:
    with pytest.raises(Stopped):
        inspect(dataset, nothing, lambda: True)

    assert read_report(dataset) is None


def test_a_damaged_report_counts_as_none(dataset: Dataset) -> None:
    (dataset.folder / "quality").mkdir()
    (dataset.folder / "quality" / "report.json").write_text("{")

    assert read_report(dataset) is None
