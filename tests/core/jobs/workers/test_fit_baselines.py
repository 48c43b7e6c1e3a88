import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.cli.app import app
from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import demo_source
from core.errors import ArtifactDamaged, Stopped
from core.evaluation.baselines import Baseline
from core.jobs import actions
from core.jobs.context import JobContext
from core.jobs.launching import find_latest, launch, read_request
from core.jobs.workers import fit_baselines
from core.jobs.workers.train import queue_baselines
from core.runs.requests import TrainRequest
from core.runs.run_baselines import (
    BaselineRequest,
    baseline_path,
    list_missing_baselines,
    read_fitted,
)
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.small_news import prepare_small_news
from tests.support.tiny_models import write_bert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]


@pytest.fixture
def dataset(store: Store, tmp_path: Path) -> Dataset:
    return prepare_small_news(store.settings, tmp_path / "news")


@pytest.fixture
def request_(dataset: Dataset, tmp_path: Path) -> BaselineRequest:
    config = RunConfig(model=str(write_bert(tmp_path / "model")), train_rows=100)
    return BaselineRequest.of(dataset.fingerprint, config)


def make_trained(request: BaselineRequest) -> TrainRequest:
    config = RunConfig(model=request.model, train_rows=request.train_rows)
    return TrainRequest(config=config, source=demo_source(), recipe=request.recipe)


def fit(store: Store, request: BaselineRequest, stop: bool = False) -> Job:
    job = launch(store, request, "Small news")
    store.transition(job, JobState.STARTING)
    with JobContext(store, store.read_job(job.id)) as context:
        if stop:
            context._stop.set()
        context.set_running()
        fit_baselines.run(context)
        context.end(JobState.COMPLETED)
    return store.read_job(job.id)


def test_each_baseline_is_fitted_and_read_back(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    job = fit(store, request_)

    outcome = read_fitted(store.settings, request_, len(dataset.classes))

    assert [item.baseline for item in outcome] == [
        Baseline.MAJORITY,
        Baseline.TFIDF,
        Baseline.PROBE,
    ]
    assert [len(item.predictions) for item in outcome] == [dataset.test_rows] * 3
    assert outcome[1].train_rows == 100
    assert (
        job.result["tfidf"]
        == outcome[1].predictions.scores.accuracy.value
        > outcome[0].predictions.scores.accuracy.value
    )


def test_the_process_without_a_model_leaves_the_probe_to_the_next(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    job = launch(store, request_, "Small news")
    store.transition(job, JobState.STARTING)

    with JobContext(store, store.read_job(job.id)) as context:
        first, again = (fit_baselines.fit_without_model(context) for _ in range(2))
        missing = list_missing_baselines(store.settings, request_, 4)
        fit_baselines.run(context)
        last = fit_baselines.fit_without_model(context)

    assert (first, again, last) == (True, True, False)
    assert missing == [Baseline.PROBE]


def test_what_is_kept_is_not_fitted_again(
    store: Store, dataset: Dataset, request_: BaselineRequest, tmp_path: Path
) -> None:
    fit(store, request_)
    other_rows = request_.model_copy(update={"train_rows": 60})
    other_model = request_.model_copy(update={"max_tokens": 64})

    assert list_missing_baselines(store.settings, request_, 4) == []
    assert list_missing_baselines(store.settings, other_rows, 4) == [Baseline.TFIDF]
    assert list_missing_baselines(store.settings, other_model, 4) == [Baseline.PROBE]


def test_a_damaged_one_counts_as_missing(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    fit(store, request_)
    files.write_bytes(
        baseline_path(store.settings, request_, Baseline.TFIDF) / "predictions.parquet", b"nonsense"
    )

    assert list_missing_baselines(store.settings, request_, 4) == [Baseline.TFIDF]


def test_without_its_model_the_probe_is_left_out(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    job = fit(store, request_.model_copy(update={"model": "/nowhere"}))

    assert job.state is JobState.COMPLETED
    assert "nowhere" in str(job.result["left_out"])
    assert list_missing_baselines(store.settings, request_, 4) == [Baseline.PROBE]


def test_a_stop_is_heard(store: Store, dataset: Dataset, request_: BaselineRequest) -> None:
    with pytest.raises(Stopped):
        fit(store, request_, stop=True)
    assert len(list_missing_baselines(store.settings, request_, 4)) == 3


def test_all_rows_are_the_same_with_any_seed() -> None:
    item, other = (BaselineRequest.of("f", RunConfig(train_rows=0, seed=seed)) for seed in (1, 2))

    assert item == other
    assert BaselineRequest.of("f", RunConfig(train_rows=5, seed=1)) != BaselineRequest.of(
        "f", RunConfig(train_rows=5, seed=2)
    )


def test_a_guests_run_queues_none(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    run = store.create(JobKind.TRAIN, "run", {}, "run", "guest-1")
    store.update(run, fingerprint=dataset.fingerprint)

    queue_baselines(store, store.read_job(run.id), make_trained(request_), 4)

    assert store.list_jobs(JobKind.BASELINE) == []


def test_a_run_queues_them_once_and_not_after_a_stop(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    trained = make_trained(request_)
    run = store.create(JobKind.TRAIN, "run", {}, "run")
    store.transition(run, JobState.STARTING)
    store.update(
        run, fingerprint=dataset.fingerprint, result_json=json.dumps({"data": "Small news"})
    )

    for _ in range(2):
        queue_baselines(store, store.read_job(run.id), trained, 4)
    (job,) = store.list_jobs(JobKind.BASELINE)
    actions.stop(store, job)
    queue_baselines(store, store.read_job(run.id), trained, 4)

    assert job.name == "Baselines of Small news"
    assert len(store.list_jobs(JobKind.BASELINE)) == 1
    assert find_latest(store, request_) == store.read_job(job.id)


def test_a_run_on_cleaned_data_has_baselines_on_the_cleaned_texts(
    store: Store, dataset: Dataset, request_: BaselineRequest
) -> None:
    dropped = tuple(dataset.read("train", ["row"])["row"].head(30))
    recipe = Recipe(
        fingerprint=dataset.fingerprint, steps=(Step(check="odd", fix=Fix.DROP, rows=dropped),)
    )
    config = RunConfig(model=request_.model, train_rows=0)
    cleaned = BaselineRequest.of(recipe.cleaned_fingerprint(), config, recipe)

    job = fit(store, cleaned)

    tfidf = next(
        fitted
        for fitted in read_fitted(store.settings, cleaned, 4)
        if fitted.baseline is Baseline.TFIDF
    )
    assert job.fingerprint == recipe.cleaned_fingerprint()
    assert tfidf.train_rows == dataset.rows("train") - 30
    assert find_latest(store, cleaned.model_copy(update={"recipe": None})) == job


def test_a_damaged_request_is_said(store: Store) -> None:
    with pytest.raises(ArtifactDamaged, match="baselines is damaged"):
        read_request(
            store.create(JobKind.BASELINE, "baselines", {"seed": 3}, "key"), BaselineRequest
        )


def test_the_command_prints_what_is_kept(
    store: Store,
    dataset: Dataset,
    request_: BaselineRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit(store, request_)
    arguments = [
        "baselines",
        "--data",
        str(tmp_path / "news"),
        "--rows",
        "100",
        "--model",
        request_.model,
    ]

    as_json = CliRunner().invoke(app, [*arguments, "--json"])
    as_text = CliRunner().invoke(app, arguments)

    outcome = json.loads(as_json.stdout)["baselines"]
    assert [item["baseline"] for item in outcome] == ["majority class", "TF-IDF", "linear probe"]
    assert outcome[0]["accuracy"] == 0.25
    assert outcome[0]["interval"][0] < 0.25 < outcome[0]["interval"][1]
    assert "TF-IDF" in as_text.stdout
