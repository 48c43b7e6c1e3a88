from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.data.quality.findings import read_findings, read_report
from core.errors import ArtifactDamaged, Stopped
from core.jobs.context import JobContext
from core.jobs.launching import launch
from core.jobs.workers import check_quality
from core.runs.requests import QualityRequest
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.small_news import prepare_small_news
from tests.support.stopped_context import StoppedContext


@pytest.fixture
def dataset(store: Store, tmp_path: Path) -> Dataset:
    return prepare_small_news(store.settings, tmp_path / "news")


def start(store: Store, fingerprint: str) -> Job:
    """Return a quality job that a worker has started."""
    job = store.create(
        JobKind.QUALITY,
        "Check",
        QualityRequest(fingerprint=fingerprint).model_dump(mode="json"),
        "key",
    )
    store.transition(job, JobState.STARTING, started_at=store.clock())
    return store.read_job(job.id)


@pytest.mark.slow
def test_a_check_leaves_report_and_findings_with_the_data(store: Store, dataset: Dataset) -> None:
    job = start(store, dataset.fingerprint)

    check_quality.run(JobContext(store, job))

    report = read_report(dataset)
    assert report is not None and report.rows == 320
    assert sum(
        finding.texts for finding in report.findings if finding.check.value != "imbalance"
    ) == len(read_findings(dataset))
    assert report.notes[-1] == "Label check used TF-IDF and frozen-encoder features."
    ended = store.read_job(job.id)
    assert ended.fingerprint == dataset.fingerprint
    assert ended.result["found"] == {
        finding.check.value: finding.texts for finding in report.findings
    }


@pytest.mark.slow
def test_without_an_encoder_the_words_judge_alone_and_the_report_says_so(
    store: Store, dataset: Dataset
) -> None:
    context = JobContext(store, start(store, dataset.fingerprint))

    check_quality.run(context, find_judge=lambda settings: None)

    report = read_report(dataset)
    assert report is not None and report.notes[-1].startswith(
        "Label check used TF-IDF features only"
    )


def test_a_stopped_check_leaves_no_report(store: Store, dataset: Dataset) -> None:
    job = start(store, dataset.fingerprint)
    context = StoppedContext(store, job)
    store.transition(job, JobState.RUNNING)

    with pytest.raises(Stopped):
        check_quality.run(context)

    assert read_report(dataset) is None


def test_data_that_have_gone_are_said(store: Store) -> None:
    with pytest.raises(ArtifactDamaged, match="is not on this machine"):
        check_quality.run(JobContext(store, start(store, "ffffffffffff")))


def test_two_who_ask_get_one_check(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:

    first, second = (
        launch(store, QualityRequest(fingerprint=dataset.fingerprint), dataset.name),
        launch(store, QualityRequest(fingerprint=dataset.fingerprint), dataset.name),
    )

    assert first.id == second.id
