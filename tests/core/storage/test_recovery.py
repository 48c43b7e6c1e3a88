import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ConfigError, StoreBusy, StoreDamaged
from core.settings import Settings
from core.storage import recovery
from core.storage.database import Metric
from core.storage.files import Disk
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from tests.support.faults.disks import writing_to


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> Settings:
    """Settings whose new homes start empty."""
    return Settings(bundled_runs=tmp_path / "nothing")


def finished(store: Store, name: str = "run") -> str:
    job = store.create(JobKind.TRAIN, name, {}, launch_key=name)
    for state in (JobState.STARTING, JobState.RUNNING, JobState.COMPLETED):
        store.transition(job, state)
    return job.id


def test_a_damaged_database_is_set_aside_and_rebuilt_from_the_folders(
    store: Store, settings: Settings
) -> None:
    run = finished(store)
    settings.database.write_bytes(b"\x00random\xff" * 1000)
    with pytest.raises(StoreDamaged):
        recovery.open_store(settings)

    result, aside = recovery.repair(settings)

    assert result == 1
    assert aside is not None
    assert aside.read_bytes().startswith(b"\x00random")
    assert recovery.open_store(settings).read_job(run).state is JobState.COMPLETED


def test_a_home_folder_that_vanishes_is_reported_and_not_replaced(
    settings: Settings, tmp_path: Path
) -> None:
    """Otherwise everyone is signed out, and finds no run, until the server starts again."""
    run = finished(recovery.open_store(settings))
    settings.home.rename(tmp_path / "away")

    for _ in range(2):
        with pytest.raises(ConfigError, match="home folder of this server is missing"):
            recovery.open_store(settings)
        settings.home.mkdir(exist_ok=True)  # where a disk is mounted stays an empty folder

    settings.home.rmdir()
    (tmp_path / "away").rename(settings.home)
    assert recovery.open_store(settings).read_job(run).name == "run"


def test_a_database_on_a_disk_that_became_read_only_is_not_called_damaged(
    settings: Settings,
) -> None:
    store = Store(settings)
    with (
        pytest.raises(ConfigError, match="cannot be written"),
        store.transaction() as db,
    ):
        db.execute("PRAGMA query_only = 1")
        try:
            db.execute("DELETE FROM jobs")
        finally:
            db.execute("PRAGMA query_only = 0")


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_in_the_file_loses_no_run(
    seed: int, store: Store, settings: Settings
) -> None:
    runs = {finished(store, f"run-{number}") for number in range(5)}
    content = bytearray(settings.database.read_bytes())
    draw = random.Random(seed)
    start = draw.randrange(len(content))
    content[start : start + 3000] = draw.randbytes(3000)
    settings.database.write_bytes(content)

    recovery.repair(settings)

    stored = {job.id: job.state for job in recovery.open_store(settings).list_jobs()}
    assert stored.keys() >= runs
    assert all(stored[run] is JobState.COMPLETED for run in runs)


def test_a_database_that_someone_holds_is_copied_and_set_aside(
    settings: Settings,
) -> None:
    settings = replace(settings, busy_seconds=0.1)
    store = Store(settings)
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    store.add_metrics(job, [Metric(1, "train", 0.1, 0.5, 0.0)])
    holder = sqlite3.connect(settings.database)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="Another program holds"):
        store.rename(job, "other")

    result, aside = recovery.repair(settings)
    store.rename(job, "other")

    assert (result, aside is not None) == (1, True)
    assert store.read_job(job.id).name == "other"
    # not in job.json yet: from the old file
    assert [metric.step for metric in store.read_metrics(job.id)] == [1]
    holder.close()


def test_a_repair_that_is_cut_short_is_done_again(store: Store, settings: Settings) -> None:
    run = finished(store)
    settings.database.write_bytes(b"\x00random\xff" * 1000)

    class Cut(Disk):
        def rename(self, source: Path, target: Path) -> None:
            raise OSError(5, "Input/output error")

    with writing_to(Cut()), pytest.raises(OSError, match="Input/output"):
        recovery.repair(settings)

    assert recovery.open_store(settings).read_job(run).state is JobState.COMPLETED


def test_while_the_database_is_away_no_one_makes_an_empty_one(
    store: Store, settings: Settings
) -> None:
    run = finished(store)
    settings.database.unlink()

    with pytest.raises(StoreDamaged, match="unable to open"):
        store.list_jobs()
    assert [job.id for job in recovery.open_store(settings).list_jobs()] == [run]


def test_a_healthy_database_is_left_alone(store: Store, settings: Settings) -> None:
    finished(store)

    assert recovery.repair(settings) == (1, None)


def test_one_damaged_folder_does_not_take_the_others_along(
    store: Store, settings: Settings
) -> None:
    good, bad = finished(store, "good"), finished(store, "bad")
    (settings.jobs / bad / "job.json").write_bytes(b"{")
    settings.database.unlink()

    assert [job.id for job in recovery.open_store(settings).list_jobs()] == [good]


def test_a_run_that_worked_when_the_database_was_lost_is_interrupted(
    store: Store, settings: Settings
) -> None:
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    settings.database.unlink()

    rebuilt = recovery.open_store(settings).read_job(job.id)

    assert rebuilt.state is JobState.INTERRUPTED
    assert "database was lost" in rebuilt.message


def test_a_new_home_starts_with_the_bundled_run(settings: Settings, tmp_path: Path) -> None:
    maker = Store(Settings(home=tmp_path / "maker"))
    run = finished(maker)
    maker.add_metrics(maker.read_job(run), [Metric(1, "train", 0.1, 0.5, 0.0)])
    maker.write_record_file(maker.read_job(run))
    settings = replace(settings, bundled_runs=tmp_path / "maker" / "jobs")

    store = recovery.open_store(settings)
    assert [job.id for job in store.list_jobs()] == [run]
    assert len(store.read_metrics(run)) == 1

    store.delete(store.read_job(run))
    assert recovery.open_store(settings).list_jobs() == []
