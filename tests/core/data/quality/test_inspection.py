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
from core.data.quality.inspection import inspect, read_sample
from core.data.sources import folder_source
from core.errors import Stopped
from core.progress import Progress
from core.settings import Settings
from tests.support.indexed_data import write_rows
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
    findings = read_findings(dataset)
    named = name_rows(findings, read_texts(dataset, findings), dataset.classes)
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


def test_a_sample_holds_all_copies_of_a_text_or_none(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(300)]
    train = [(text, 0) for text in texts] + [(text.upper(), 1) for text in texts]
    dataset = write_rows(tmp_path / "pets", ("a", "b"), train=train, test=[(texts[0], 0)])

    sample = read_sample(dataset, 200)

    drawn = sample[sample["split"] == "train"]
    assert 140 < len(sample) < 260
    assert drawn.loc[drawn["label"] == 0, "text"].str.upper().tolist() == (
        drawn.loc[drawn["label"] == 1, "text"].tolist()
    )
    assert (sample["split"] == "test").any() == (texts[0] in set(drawn["text"]))
    assert len(read_sample(dataset, 601)) == 601


def test_a_report_says_that_a_sample_was_checked(tmp_path: Path) -> None:
    train = [(f"number {number} of the many texts", number % 2) for number in range(400)]
    dataset = write_rows(tmp_path / "pets", ("a", "b"), train=train, test=train[:40])

    report, _, _ = inspect(dataset, nothing, lambda: False, most=100)

    assert report.rows < 200
    assert f"A random sample of {report.rows} of the 440 texts was checked" in report.notes[0]
    balance = next(finding for finding in report.findings if finding.check is Check.IMBALANCE)
    assert balance.summary == "Each class has 200 training texts."
