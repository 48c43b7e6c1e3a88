"""Launching, finding and reading jobs of every kind in the table."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import pytest

from core.config import RunConfig
from core.data.hub_download import HubFile, HubFiles
from core.data.sources import Source, SourceKind, demo_source
from core.errors import ArtifactDamaged
from core.jobs import actions
from core.jobs.kinds import KINDS, KeyRule, Kind
from core.jobs.launching import find_jobs, find_latest, launch, read_request
from core.jobs.tasks.backups import launch_backup, launch_restore
from core.jobs.tasks.classify_texts import launch_scoring
from core.jobs.tasks.embed_texts import MapRequest, MapSubject, NearestRequest
from core.jobs.tasks.prepare_data import FetchRequest
from core.runs.requests import CalibrateRequest, PrepareRequest, QualityRequest, TrainRequest
from core.runs.run_baselines import BaselineRequest
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.transfer.export.formats import ExportRequest, Format
from tests.support.text_batches import make_batch

FINGERPRINT = "0123456789ab"
FILES = HubFiles("owner/name", "default", "0" * 40, (HubFile("train.csv", "train", 100),))
MAP = MapRequest(fingerprint=FINGERPRINT, subjects=(MapSubject(model="minilm"),))
BASELINES = BaselineRequest(
    fingerprint=FINGERPRINT, train_rows=0, seed=0, model="minilm", max_tokens=128
)
LAUNCHES: dict[str, Callable[[Store, Job], Job]] = {
    "train": lambda store, run: actions.launch_training(
        store, TrainRequest(config=RunConfig(), source=demo_source()), key="the form's key"
    ),
    "prepare": lambda store, run: launch(store, PrepareRequest(source=demo_source()), "data"),
    "calibrate": lambda store, run: launch(store, CalibrateRequest(model="minilm"), "minilm"),
    "embed": lambda store, run: launch(store, MAP, "UMAP"),
    "quality": lambda store, run: launch(store, QualityRequest(fingerprint=FINGERPRINT), "data"),
    "baseline": lambda store, run: launch(store, BASELINES, "data"),
    "classify": lambda store, run: actions.launch_batch(
        store, run, "mine.csv", make_batch(["a text"])
    ),
    "export": lambda store, run: launch(
        store, ExportRequest(run=run.id, format=Format.ADAPTER), run.name
    ),
    "evaluate": lambda store, run: launch_scoring(store, run, demo_source()),
    "fetch": lambda store, run: launch(store, FetchRequest(pick=FILES), FILES.name),
    "backup": lambda store, run: launch_backup(store),
    "restore": lambda store, run: launch_restore(store, {"mine.zip": b"a zip"}),
    "nearest": lambda store, run: launch(store, NearestRequest(run=run.id), run.name),
}
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
KEYED_BY_REQUEST = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS.values() if kind.key is not KeyRule.CALLER],
    ids=lambda kind: kind.name,
)


@pytest.fixture
def run(store: Store) -> Job:
    """A finished run that was imported."""
    request = TrainRequest(config=RunConfig(), source=Source(SourceKind.IMPORTED, "x"))
    job = store.create("train", "imported", request.model_dump(mode="json"), "imported")
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.update(job, result_json=json.dumps({"imported": "x.zip", "classes": ["a", "b"]}))
    end(store, job)
    return store.read_job(job.id)


def end(store: Store, job: Job) -> None:
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    store.transition(job, JobState.COMPLETED, ended_at=2.0)


@KIND
def test_the_names_of_a_row_exist(kind: Kind) -> None:
    for name in (kind.request, kind.result):
        assert not name or resolve_name(name).model_config["frozen"]
    module, _, function = kind.worker.partition(":")
    source = Path(__file__).parents[3] / f"{module.replace('.', '/')}.py"
    assert re.search(rf"\ndef {function}\(\s*context: JobContext\b", source.read_text())


@KIND
def test_two_launches_at_the_same_moment_make_one_job(
    kind: Kind, run: Job, settings: Settings
) -> None:
    stores, barrier = [Store(settings), Store(settings)], threading.Barrier(2)
    jobs: list[Job] = []

    def click(store: Store) -> None:
        barrier.wait()
        jobs.append(LAUNCHES[kind.name](store, run))

    threads = [threading.Thread(target=click, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    first, second = jobs
    assert first.id == second.id
    assert [job.id for job in stores[0].list_jobs(kind.name) if job.id != run.id] == [first.id]


@KEYED_BY_REQUEST
def test_a_launch_after_the_end_makes_a_new_job(kind: Kind, run: Job, store: Store) -> None:
    first = LAUNCHES[kind.name](store, run)
    assert LAUNCHES[kind.name](store, run).id == first.id
    end(store, first)

    second = LAUNCHES[kind.name](store, run)
    end(store, second)

    assert len({first.id, second.id, LAUNCHES[kind.name](store, run).id}) == 3


@KEYED_BY_REQUEST
def test_a_damaged_record_says_what_to_do_and_hides_no_other_job(
    kind: Kind, run: Job, store: Store
) -> None:
    job = LAUNCHES[kind.name](store, run)
    request = read_request(job, resolve_name(kind.request))
    broken = store.create(kind.name, "broken", {"run": 3}, "broken")
    unreadable = store.create(kind.name, "unreadable", {}, "unreadable")
    with store.transaction() as db:
        db.execute("UPDATE jobs SET request_json = '{' WHERE id = ?", (unreadable.id,))

    assert [result.id for result in find_jobs(store, request)] == [job.id]
    with pytest.raises(ArtifactDamaged) as damage:
        read_request(broken, resolve_name(kind.request))
    assert (damage.value.message, damage.value.fix) == (
        f"The record of {kind.description} is damaged.",
        kind.fix,
    )


def test_a_later_job_is_launched_though_the_clock_went_back(settings: Settings) -> None:
    now = 1_000.0
    store = Store(settings, lambda: now)
    request = CalibrateRequest(model="minilm")
    end(store, first := launch(store, request, "minilm"))
    now = 500.0
    end(store, second := launch(store, request, "minilm"))

    third = launch(store, request, "minilm")

    assert len({first.id, second.id, third.id}) == 3
    assert find_latest(store, request) == store.read_job(third.id)
