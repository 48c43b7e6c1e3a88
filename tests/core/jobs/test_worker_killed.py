"""Files of killed processes: nothing of them remains after the next start of the queue."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.cleaning import clean
from core.data.dataset import Dataset
from core.data.explore.index import ensure_index
from core.data.preparation import open_dataset, prepare
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import demo_source
from core.jobs import launching, worker
from core.jobs.supervisor import Supervisor
from core.jobs.tasks import backups
from core.runs.requests import PrepareRequest
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.locks import take_lock
from core.storage.store import Store
from tests.support.faults.disks import CountingDisk, writing_to
from tests.support.stored_runs import make_finished

START = multiprocessing.get_context("fork")


class DeadlyDisk(CountingDisk):
    """Disk that kills the process before step ``nth`` in one of ``folders``."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.nth = nth

    def _meet(self) -> None:
        super()._meet()
        if self.steps == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)


def never() -> bool:
    return False


def prepared(settings: Settings) -> Dataset:
    return prepare(settings, demo_source(), lambda progress: None, never)


def kill_at(nth: int, work: Callable[[], object]) -> int | None:
    """Run ``work`` in a process that is killed at step ``nth``; return its exit code."""

    def run() -> None:
        with writing_to(DeadlyDisk(nth)):
            work()

    process = START.Process(target=run)
    process.start()
    process.join()
    return process.exitcode


def list_temporary(home: Path) -> list[str]:
    return [
        str(path.relative_to(home))
        for path in home.rglob(".*")
        if path.name.endswith(files.TEMPORARY)
    ]


def require_tidy(settings: Settings) -> None:
    Supervisor(Store(settings)).tidy()
    assert list_temporary(settings.home) == []


def start_job(store: Store, job: Job) -> Job:
    store.transition(job, JobState.STARTING, started_at=store.clock(), heartbeat_at=store.clock())
    return store.read_job(job.id)


def perform(store: Store, job: Job) -> None:
    lock = take_lock(store.get_folder(job) / "lock")
    assert lock is not None
    worker.perform(store, job)


@pytest.mark.parametrize("nth", [1, 4, 8, 12, 16, 20, 24])
def test_nothing_of_a_killed_preparation_remains(settings: Settings, nth: int) -> None:
    store = Store(settings)
    job = start_job(store, launching.launch(store, PrepareRequest(source=demo_source()), "demo"))

    assert kill_at(nth, lambda: perform(store, job)) == -signal.SIGKILL
    require_tidy(settings)

    for folder in settings.prepared.glob("[0-9a-f]*"):
        assert folder.name == "sources" or open_dataset(settings, folder.name).is_intact()


def test_a_killed_backup_leaves_no_zip_behind(settings: Settings) -> None:
    store = Store(settings)
    make_finished(store, demo_source(), "first")
    job = start_job(store, backups.launch_backup(store))

    assert kill_at(1, lambda: perform(store, job)) == -signal.SIGKILL
    Supervisor(store).step()
    require_tidy(settings)

    assert not list(store.get_folder(job).glob("*.zip"))
    assert store.read_job(job.id).state is JobState.INTERRUPTED


@pytest.mark.parametrize("nth", [2, 5, 8])
def test_nothing_of_a_killed_index_or_cleaning_remains(settings: Settings, nth: int) -> None:
    dataset = prepared(settings)
    drop = Step(check="exact duplicates", fix=Fix.DROP, rows=(0,))
    recipe = Recipe(fingerprint=dataset.fingerprint, steps=(drop,))

    for work in (
        lambda: ensure_index(dataset, lambda progress: None, never),
        lambda: clean(dataset, recipe),
        lambda: files.write_folder(dataset.folder / "quality", {"a": b"1", "b": b"2", "c": b"3"}),
    ):
        assert kill_at(nth, work) == -signal.SIGKILL
    assert list_temporary(settings.home)
    require_tidy(settings)


def test_what_a_living_process_writes_stays(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with files.scratch_folder(settings.datasets / "mine") as part:
        Supervisor(Store(settings)).tidy()
        assert part.is_dir()
    assert list_temporary(settings.home) == []
