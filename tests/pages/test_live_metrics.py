import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from core.data.sources import Source
from core.settings import Settings
from core.storage.database import Metric
from core.storage.job import Job
from core.storage.store import Store
from core.translation import use
from tests.support.app.page_app import Open
from tests.support.stored_runs import make_run
from ui.runs import learning_curves, run_list
from ui.runs.learning_curves import LiveMetrics
from ui.widgets.run_summary import summarize


class Timer:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class CountingStore(Store):
    """Store that counts its transactions."""

    transactions = 0

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        self.transactions += 1
        with super().transaction(create) as db:
            yield db


def add_step(store: Store, job: Job, step: int) -> None:
    store.add_metrics(job, [Metric(step, "train", step / 50, 0.5, store.clock())])


def test_watchers_within_a_second_read_once_and_share_their_charts(
    settings: Settings, running: Job
) -> None:
    store = CountingStore(settings)
    timer = Timer()
    live = LiveMetrics(timer)
    live.follow(store, running)
    loss = live.loss(log=False)
    add_step(store, running, 21)
    before = store.transactions

    timer.seconds = 0.9
    live.follow(store, running)

    assert store.transactions == before
    assert live.loss(log=False) is loss


def test_a_watcher_after_a_second_sees_the_new_rows(store: Store, running: Job) -> None:
    timer = Timer()
    live = LiveMetrics(timer)
    live.follow(store, running)
    loss = live.loss(log=False)
    add_step(store, running, 21)

    timer.seconds = 1.0
    live.follow(store, running)

    assert live.metrics[-1].step == 21
    assert live.loss(log=False) is not loss


def test_a_page_drawn_again_reads_at_once(store: Store, running: Job) -> None:
    live = LiveMetrics(Timer())
    live.follow(store, running)
    add_step(store, running, 21)

    live.follow(store, running, fresh=True)

    assert live.metrics[-1].step == 21


def test_scores_are_drawn_again_only_after_a_validation(store: Store, running: Job) -> None:
    live = LiveMetrics(Timer())
    live.follow(store, running)
    scores = live.scores(40, {})
    add_step(store, running, 21)
    live.follow(store, running, fresh=True)
    same = live.scores(40, {})
    store.add_metrics(running, [Metric(21, "validation", 0.4, 0.5, store.clock(), 0.9, 0.9)])

    live.follow(store, running, fresh=True)

    assert same is scores
    assert live.scores(40, {}) is not scores
    assert live.scores(40, {"TF-IDF": 0.8}) is not scores


def test_two_visitors_share_live_metrics_until_the_run_changes(
    open_app: Open, store: Store, running: Job
) -> None:
    live = learning_curves.find_live_metrics(store, running)

    for _ in range(2):
        open_app("pages/runs.py", run=running.id)

    assert live.metrics[-1].step == 20
    assert learning_curves.find_live_metrics(store, running) is live
    store.rename(running, "Another name")
    assert learning_curves.find_live_metrics(store, store.read_job(running.id)) is not live


def test_the_list_is_made_once_for_all_who_look_within_a_second(
    store: Store, running: Job, finished: Job
) -> None:
    timer = Timer()
    shared = run_list.SharedTable(timer)

    def look() -> pa.Table:
        return shared.table(store, [summarize(store, job) for job in store.list_jobs()])

    first = look()

    timer.seconds = 0.9
    assert look() is first
    store.update(running, done=21)
    changed = look()
    assert changed is not first
    timer.seconds = 2.0
    assert look() is changed
    store.clock = lambda: time.time() + 100
    timer.seconds = 4.0
    later = look()
    assert later is not changed
    assert set(later["age"].to_pylist()) == {"1 min ago"}
    assert later["time"].to_pylist()[1] == "2.2 min"


def test_those_who_look_in_another_language_have_a_list_of_their_own(
    store: Store, finished: Job
) -> None:
    shared, summaries = run_list.SharedTable(Timer()), [summarize(store, finished)]

    english = shared.table(store, summaries)
    with use("de"):
        german = shared.table(store, summaries)

    assert english["state"].to_pylist() == [["✓ Finished"]]
    assert german["state"].to_pylist() == [["✓ Fertig"]]
    assert shared.table(store, summaries) is english


def test_the_list_groups_the_digits_of_rows_as_its_language_does(
    store: Store, source: Source
) -> None:
    summaries = [summarize(store, make_run(store, source, "long", train_rows=12_000))]

    with use("de"):
        rows = run_list.SharedTable(Timer()).table(store, summaries)["rows"]

    assert rows.to_pylist() == ["12.000"]
