import json

from core.config import RunConfig
from core.data.sources import demo_source
from core.people.classroom import Rules
from core.runs.leaderboard import read_leaderboard
from core.runs.requests import TrainRequest
from core.storage.job import JobKind, JobState
from core.storage.store import Store


def finish(store: Store, name: str, hits: int, rows: int, config: RunConfig) -> None:
    request = TrainRequest(config=config, source=demo_source()).model_dump(mode="json")
    job = store.create(JobKind.TRAIN, name, request, name)
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    store.update(job, result_json=json.dumps({"test": {"hits": hits, "rows": rows}}))
    store.transition(job, JobState.COMPLETED)


def test_a_run_on_few_texts_is_ranked_by_its_lower_bound(store: Store) -> None:
    finish(store, "few", 10, 10, RunConfig())  # 100 %, but at least 72.2 %
    finish(store, "many", 900, 1000, RunConfig())  # 90 %, at least 88.0 %

    rows = read_leaderboard(store, Rules())

    assert [row.run.job.name for row in rows] == ["many", "few"]
    assert [round(row.test.interval[0], 3) for row in rows] == [0.880, 0.722]


def test_settings_that_differ_from_most_runs_are_named_without_the_seed(store: Store) -> None:
    configs = {
        "usual": RunConfig(seed=1),
        "same": RunConfig(seed=2),
        "varied": RunConfig(seed=3, rank=4, learning_rate=1e-3, target_modules=("all-linear",)),
    }
    for name, config in configs.items():
        finish(store, name, 90, 100, config)

    varied = {row.run.job.name: row.varied for row in read_leaderboard(store, Rules())}

    assert varied["usual"] == varied["same"] == ""
    assert varied["varied"] == "Rank 4, Target modules all-linear, Learning rate 0.001"


def test_an_empty_class_has_an_empty_leaderboard(store: Store) -> None:
    assert read_leaderboard(store, Rules()) == []
