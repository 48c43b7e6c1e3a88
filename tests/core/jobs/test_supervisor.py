"""Decisions of the supervisor, with stand-in processes that are alive, dead, or ignore signals."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from core.jobs.supervisor import KILL_AFTER_SECONDS, TERM_AFTER_SECONDS, Supervisor
from core.settings import Settings
from core.storage.job import FailureCause, Job, JobKind, JobState, read_record
from core.storage.locks import take_lock
from core.storage.store import Store
from tests.support.clock import Clock
from tests.support.faults.disks import FailingDisk, writing_to

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf',"
        " flush=True); time.sleep(60)"
    ),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(settings: Settings, clock: Clock) -> Iterator[Supervisor]:
    supervisor = Supervisor(Store(settings, clock), timer=clock)
    yield supervisor
    for child in supervisor.children.values():
        child.kill()
        child.wait()


def working(supervisor: Supervisor, command: list[str]) -> tuple[Job, "subprocess.Popen[bytes]"]:
    store = supervisor.store
    job = store.create(
        JobKind.TRAIN, "run", {"config": {"batch_size": 16}}, launch_key=str(len(store.list_jobs()))
    )
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    supervisor.children[job.id] = child
    return job, child


def finish(child: "subprocess.Popen[bytes]") -> None:
    child.wait()
    if child.stdout:
        child.stdout.close()


def test_a_killed_worker_leaves_an_interrupted_run_that_names_the_signal(
    supervisor: Supervisor,
) -> None:
    job, child = working(supervisor, SLEEP)
    child.kill()
    finish(child)

    supervisor.step()

    ended = supervisor.store.read_job(job.id)
    assert ended.state is JobState.INTERRUPTED
    assert "SIGKILL" in ended.message
    assert ended.cause == FailureCause.KILLED
    assert ended.ended_at == 1_000.0


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux reports the end of a process")
def test_the_next_job_does_not_wait_for_a_poll_when_a_worker_ends(supervisor: Supervisor) -> None:
    _, child = working(supervisor, ["true"])
    began = time.monotonic()

    supervisor.wait(seconds=60)

    assert time.monotonic() - began < 30
    finish(child)
    supervisor.step()
    began = time.monotonic()
    supervisor.wait(seconds=0.1)  # of no worker
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("inferred", [False, True])
def test_a_kill_for_want_of_memory_is_reported_from_the_kernels_count(
    inferred: bool, supervisor: Supervisor
) -> None:
    supervisor.count_kills = lambda: 3
    job, child = working(supervisor, SLEEP)
    lock = take_lock(supervisor.store.get_folder(job) / "lock")
    assert lock is not None
    if inferred:
        supervisor.children.clear()  # as seen by one that took over
    supervisor.step()

    supervisor.count_kills = lambda: 4
    child.kill()
    finish(child)
    os.close(lock)
    supervisor.step()

    ended = supervisor.store.read_job(job.id)
    assert (ended.state, ended.cause, ended.proposal) == (
        JobState.INTERRUPTED,
        FailureCause.OUT_OF_MEMORY,
        {"batch_size": 8},
    )
    assert ("inferred" in ended.message) == inferred


def test_a_worker_that_could_not_write_its_end_reports_the_cause_by_its_code(
    supervisor: Supervisor,
) -> None:
    job, child = working(supervisor, [sys.executable, "-c", f"raise SystemExit({errno.ENOSPC})"])
    finish(child)

    supervisor.step()

    assert supervisor.store.read_job(job.id).cause == FailureCause.DISK_FULL


def test_owners_take_turns_in_each_slot_whatever_they_started_in_others(
    supervisor: Supervisor, clock: Clock
) -> None:
    store = supervisor.store
    supervisor.start = lambda settings, job_id, attempt: subprocess.Popen(SLEEP)
    trained = store.create(JobKind.TRAIN, "trained", {}, "trained", owner="ada")
    store.transition(trained, JobState.STARTING, started_at=1.0)
    store.transition(trained, JobState.RUNNING)
    store.transition(trained, JobState.COMPLETED)
    for place, owner in enumerate(["bob", "bob", "ada", "ada"]):
        clock.now += 1
        store.create(JobKind.EXPORT, f"export {place}", {}, f"{place}", owner=owner)

    started = []
    for _ in range(4):
        supervisor.step()
        (job,) = store.list_jobs(states=[JobState.STARTING])
        started.append(job.name)
        store.transition(job, JobState.RUNNING)
        store.transition(job, JobState.COMPLETED)

    assert started == ["export 0", "export 2", "export 1", "export 3"]


def test_a_clock_that_is_set_kills_no_worker(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.timer = lambda: 0.0
    job, child = working(supervisor, SLEEP)
    supervisor.store.transition(job, JobState.STOPPING, stop_at=clock.now)
    for now in (clock.now + 3600, clock.now - 3600):
        clock.now = now
        supervisor.step()

    assert child.poll() is None
    assert supervisor.store.read_job(job.id).state is JobState.STOPPING
    child.kill()
    finish(child)


def test_a_run_waits_in_the_queue_until_there_is_room(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = supervisor.store
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    supervisor.start = lambda settings, job_id, attempt: subprocess.Popen(SLEEP)
    full = SimpleNamespace(free=10 * 2**20)
    with monkeypatch.context() as patch:
        # of the operating system: a test cannot fill the disk
        patch.setattr(shutil, "disk_usage", lambda path: full)
        supervisor.step()
    waiting = store.read_job(job.id)
    supervisor.step()

    assert waiting.state is JobState.QUEUED
    assert "Only 10 MB of disk are free" in waiting.message
    assert (store.read_job(job.id).state, store.read_job(job.id).message) == (JobState.STARTING, "")


def test_a_record_that_fell_behind_is_written_again(supervisor: Supervisor) -> None:
    store = supervisor.store
    job, child = working(supervisor, [sys.executable, "-c", ""])
    store.transition(job, JobState.COMPLETED)
    (store.get_folder(job) / "job.json").write_bytes(b"{")
    finish(child)

    supervisor.step()

    assert read_record(store.get_folder(job))[0].state is JobState.COMPLETED


def test_what_a_power_cut_restored_in_a_finished_run_is_swept(supervisor: Supervisor) -> None:
    job, child = working(supervisor, SLEEP)
    supervisor.store.transition(job, JobState.COMPLETED)
    child.kill()
    finish(child)
    leftover = supervisor.store.get_folder(job) / "checkpoints" / ".00000012.abcd1234.part"
    leftover.mkdir(parents=True)

    supervisor.tidy()

    assert not leftover.exists()


def test_a_folder_that_cannot_be_swept_does_not_end_the_supervisor(
    supervisor: Supervisor,
) -> None:
    job, child = working(supervisor, SLEEP)
    supervisor.store.transition(job, JobState.COMPLETED)
    child.kill()
    finish(child)
    (supervisor.store.get_folder(job) / ".adapter.12345678.part").mkdir()

    with writing_to(FailingDisk(1, errno.EIO, lasting=True)):
        supervisor.tidy()


def test_a_job_whose_lock_is_damaged_does_not_hold_up_the_others(supervisor: Supervisor) -> None:
    store = supervisor.store
    bad, good = (
        store.create(JobKind.TRAIN, "bad", {}, "1"),
        store.create(JobKind.TRAIN, "good", {}, "2"),
    )
    (store.get_folder(bad) / "lock").mkdir()

    supervisor.step()
    assert store.read_job(bad.id).state is JobState.FAILED
    supervisor.start = lambda settings, job_id, attempt: subprocess.Popen(SLEEP)
    supervisor.step()

    assert store.read_job(good.id).state is JobState.STARTING


def test_a_worker_that_died_with_a_code_is_shown_with_it(supervisor: Supervisor) -> None:
    job, child = working(supervisor, [sys.executable, "-c", "raise SystemExit(3)"])
    finish(child)

    supervisor.step()

    assert "code 3" in supervisor.store.read_job(job.id).message


def test_a_living_worker_is_left_alone(supervisor: Supervisor) -> None:
    job, child = working(supervisor, SLEEP)

    assert supervisor.step()

    assert supervisor.store.read_job(job.id).state is JobState.RUNNING
    child.kill()
    finish(child)


def test_an_orphan_is_alive_as_long_as_its_lock_is_held(supervisor: Supervisor) -> None:
    store = supervisor.store
    job = store.create(JobKind.TRAIN, "orphan", {}, "key")
    store.transition(job, JobState.STARTING)
    lock = take_lock(store.get_folder(job) / "lock")
    assert lock is not None

    supervisor.step()
    assert store.read_job(job.id).state is JobState.STARTING

    os.close(lock)
    supervisor.step()
    assert store.read_job(job.id).state is JobState.INTERRUPTED
    assert "inferred" in store.read_job(job.id).message


def test_a_worker_that_ignores_a_stop_is_terminated_then_killed(
    supervisor: Supervisor, clock: Clock
) -> None:
    job, child = working(supervisor, DEAF)
    assert child.stdout is not None
    assert child.stdout.readline() == b"deaf\n"
    supervisor.store.transition(job, JobState.STOPPING, stop_at=clock.now)
    supervisor.step()

    clock.now += TERM_AFTER_SECONDS + 1
    supervisor.step()
    assert child.poll() is None

    clock.now += KILL_AFTER_SECONDS
    supervisor.step()
    finish(child)
    assert child.returncode == -signal.SIGKILL
    supervisor.step()
    assert supervisor.store.read_job(job.id).state is JobState.CANCELLED


def test_one_training_at_a_time_and_a_light_job_next_to_it(supervisor: Supervisor) -> None:
    store = supervisor.store
    started: list[str] = []

    def start(settings: Settings, job_id: str, attempt: int) -> "subprocess.Popen[bytes]":
        started.append(job_id)
        return subprocess.Popen(SLEEP)

    supervisor.start = start
    first = store.create(JobKind.TRAIN, "first", {}, "1")
    store.create(JobKind.TRAIN, "second", {}, "2")
    light = store.create(JobKind.PREPARE, "light", {}, "3")

    supervisor.step()
    supervisor.step()

    assert started == [first.id, light.id]


@pytest.fixture
def started(supervisor: Supervisor) -> list[str]:
    """Ids of the jobs whose workers were started, in order."""
    ids: list[str] = []

    def start(settings: object, job_id: str, attempt: int) -> "subprocess.Popen[bytes]":
        ids.append(job_id)
        return subprocess.Popen(SLEEP, start_new_session=True)

    supervisor.start = start
    return ids


@pytest.mark.parametrize("other", [JobKind.TRAIN, JobKind.PREPARE])
def test_a_calibration_waits_until_nothing_else_is_queued_or_running(
    supervisor: Supervisor, started: list[str], other: JobKind
) -> None:
    store = supervisor.store
    calibration = store.create(JobKind.CALIBRATE, "measure", {}, "1")
    before = store.create(other, "other", {}, "2")

    supervisor.step()
    supervisor.step()
    assert started == [before.id]

    store.transition(before, JobState.RUNNING)
    store.transition(before, JobState.COMPLETED)
    supervisor.step()
    assert started == [before.id, calibration.id]


def test_nothing_starts_next_to_a_calibration(supervisor: Supervisor, started: list[str]) -> None:
    calibration = supervisor.store.create(JobKind.CALIBRATE, "measure", {}, "1")
    supervisor.step()
    supervisor.store.create(JobKind.PREPARE, "light", {}, "2")
    supervisor.store.create(JobKind.CALIBRATE, "measure another", {}, "3")

    supervisor.step()

    assert started == [calibration.id]


def test_a_calibration_makes_way_for_a_training(
    supervisor: Supervisor, started: list[str], clock: Clock
) -> None:
    store = supervisor.store
    calibration = store.create(JobKind.CALIBRATE, "measure", {}, "1")
    supervisor.step()
    run = store.create(JobKind.TRAIN, "run", {}, "2")

    supervisor.step()
    assert store.read_job(calibration.id).state is JobState.STOPPING

    supervisor.step()  # sees the stop
    clock.now += 0.1
    supervisor.step()
    supervisor.children[calibration.id].wait(timeout=60)  # ended at once: it has nothing to save
    supervisor.step()
    supervisor.step()
    assert store.read_job(calibration.id).state is JobState.CANCELLED
    assert "Start it again" in store.read_job(calibration.id).fix
    assert started == [calibration.id, run.id]


def test_a_queue_with_nothing_in_it_is_idle(supervisor: Supervisor) -> None:
    assert not supervisor.step()


def test_a_resumed_run_waits_until_its_last_worker_has_gone(supervisor: Supervisor) -> None:
    store = supervisor.store
    job = store.create(JobKind.TRAIN, "run", {}, "1")
    leaving = take_lock(store.get_folder(job) / "lock")
    assert leaving is not None
    supervisor.start = lambda settings, job_id, attempt: subprocess.Popen(SLEEP)

    supervisor.step()
    assert store.read_job(job.id).state is JobState.QUEUED

    os.close(leaving)
    supervisor.step()
    assert store.read_job(job.id).state is JobState.STARTING


def test_a_worker_that_recorded_its_own_end_is_reaped(supervisor: Supervisor) -> None:
    job, child = working(supervisor, [sys.executable, "-c", ""])
    supervisor.store.transition(job, JobState.COMPLETED)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert not supervisor.step()

    assert child.returncode == 0
    assert supervisor.children == {}
    finish(child)
