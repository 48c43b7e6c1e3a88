"""Races between many processes: the owner of a run, launches per click, and the data of a killed
writer.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

from benchmarks.promises.lab import Lab, opened, over
from benchmarks.promises.row import Row, Size, TooLong
from core.runs import artifacts
from core.settings import Settings
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.locks import take_lock
from core.storage.store import Store
from tests.support.faults.plan import FaultPlan

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["core.storage.store"]
)  # imported once, or each of fifty processes would import it again
T = TypeVar("T")  # the result of one process for one item
PLAN = FaultPlan(steps=150, step_seconds=0.004, validate_every=40, checkpoint_every=10)
WARM_UP_SECONDS = 60.0


def owners(size: Size) -> Row:
    """Let processes start and lock one job: only one may win.

    Then stop workers by SIGSTOP, replace and wake them.
    """
    row = Row("one worker per run")
    rounds, racers = size.of(10, 200), size.of(8, 20)
    store = Store(Settings(home=size.home / "race", hub=False))
    jobs = [
        store.create(JobKind.TRAIN, str(number), {}, str(number)).id for number in range(rounds)
    ]
    for won in _race(_own, racers, store.settings.home, jobs):
        moved, locked = sum(first for first, _ in won), sum(second for _, second in won)
        row.count(
            "" if (moved, locked) == (1, 1) else f"{moved} started it and {locked} hold its lock"
        )
    for number in range(size.of(2, 20)):
        row.count(_wake_a_stale_worker(size.home / f"stale-{number}", lock_lost=number % 2 == 1))
    return row


def launches(size: Size) -> Row:
    """Launch from several processes at the same instant with one key."""
    row = Row("simultaneous launches with one key make one run")
    rounds, clickers = size.of(3, 20), size.of(12, 50)
    store = Store(Settings(home=size.home, hub=False))
    keys = [f"key-{number}" for number in range(rounds)]
    for number, created in enumerate(_race(_click, clickers, size.home, keys)):
        row.count(
            ""
            if len(set(created)) == 1
            else f"{len(set(created))} runs were made with {keys[number]}",
            clickers,
        )
    if len(store.list_jobs()) != rounds:
        row.failures.append(f"{len(store.list_jobs())} runs instead of {rounds}")
    return row


def committed_rows(size: Size) -> Row:
    """Kill a writer under load; every committed row must exist, and copies made meanwhile must be
    complete.
    """
    row = Row("metrics keep every committed row")
    for number in range(size.of(10, 200)):
        row.count(_kill_a_writer(size.home / str(number), size.draw))
    return row


def _race(
    act: Callable[[Store, str], T], racers: int, home: Path, things: list[str]
) -> list[list[T]]:
    """Return the result of each process for each item; all start at the same instant."""
    barrier = CONTEXT.Barrier(racers)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(racers)]
    processes = [
        CONTEXT.Process(target=_run, args=(act, barrier, home, things, sending), daemon=True)
        for _, sending in pipes
    ]
    for process in processes:
        process.start()
    answers = [receiving.recv() for receiving, _ in pipes]
    for process in processes:
        process.join()
    return [list(created) for created in zip(*answers, strict=True)]


def _run(
    act: Callable[[Store, str], object],
    barrier: Barrier,
    home: Path,
    things: list[str],
    answer: Connection,
) -> None:
    store = Store(Settings(home=home, hub=False))
    created = []
    for thing in things:
        barrier.wait(WARM_UP_SECONDS)
        created.append(act(store, thing))
    barrier.wait(
        WARM_UP_SECONDS
    )  # an ended process holds no lock, so a slower one would rightly get it
    answer.send(created)


def _own(store: Store, job_id: str) -> tuple[bool, bool]:
    """Return whether this process moved the job out of the queue, and whether it got the lock,
    which it keeps.
    """
    moved = store.transition(store.read_job(job_id), JobState.STARTING)
    return moved, take_lock(store.settings.jobs / job_id / "lock", timeout_seconds=0.0) is not None


def _click(store: Store, key: str) -> str:
    return store.create(JobKind.TRAIN, "run", {}, key).id


def _wake_a_stale_worker(home: Path, lock_lost: bool) -> str:
    """Return the error after a stopped worker was considered dead, its run was given to another
    attempt, and it woke up.

    While it holds the lock, the other attempt waits. If the lock is lost, as on a file system
    without locks, both work at the same time, and only the attempt's number rejects the first one's
    rows and files.
    """
    with opened(Lab(home, PLAN)) as lab:
        job = lab.launch()
        stale = lab.wait(job, lambda job: job.phase == "training" and job.done > 5)
        os.kill(stale.pid, signal.SIGSTOP)
        try:
            return _replace_and_wake(lab, stale, lock_lost)
        except TooLong as stuck:
            return str(stuck)
        finally:  # a stopped process would stay for ever
            with suppress(ProcessLookupError):
                os.kill(stale.pid, signal.SIGKILL)


def _replace_and_wake(lab: Lab, stale: Job, lock_lost: bool) -> str:
    if lock_lost:
        (lab.store.get_folder(stale) / "lock").unlink()
    lab.store.transition(
        stale, JobState.INTERRUPTED
    )  # as if the decision used a clock instead of the lock
    lab.resume(stale)
    if lock_lost:
        lab.wait(stale, lambda job: job.attempt == 2 and job.done > 20)
    else:
        time.sleep(1.0)
        waiting = lab.store.read_job(stale.id)
        if (waiting.state, waiting.attempt) != (JobState.QUEUED, 2):
            return (
                f"while the first worker holds the lock, attempt {waiting.attempt} is"
                f" {waiting.state}"
            )
    os.kill(stale.pid, signal.SIGCONT)
    lab.wait(stale, over)
    begun = artifacts.read_log_tail(lab.store.get_folder(stale)).count("loading the model")
    return lab.complaint(stale) or ("" if begun == 2 else f"{begun} attempts instead of two")


def _kill_a_writer(home: Path, draw: random.Random) -> str:
    """Return the rows missing from the database although the writer reported their commit."""
    store = Store(Settings(home=home, hub=False))
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    reported, sender = CONTEXT.Pipe(duplex=False)
    writer = CONTEXT.Process(target=_write_rows, args=(home, job.id, sender), daemon=True)
    writer.start()
    sender.close()
    reported.recv()  # it is writing now
    deadline = time.monotonic() + 0.1 + draw.random() * 0.4
    copies: list[str] = []
    while time.monotonic() < deadline:
        copies.append(_copy(store, home / f"copy-{len(copies)}.db"))
        time.sleep(0.05)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    last = 0
    try:
        while True:
            last = reported.recv()
    except EOFError:
        pass
    store.check()
    steps = [metric.step for metric in store.read_metrics(job.id)]
    if steps != list(range(1, len(steps) + 1)) or len(steps) % BATCH:
        return f"rows are torn: {len(steps)} of them, up to step {steps[-1]}"
    return (
        f"{last - len(steps)} committed rows are lost"
        if len(steps) < last
        else next(filter(None, copies), "")
    )


BATCH = 7


def _write_rows(home: Path, job_id: str, sender: Connection) -> None:
    store = Store(Settings(home=home, hub=False))
    job, step = store.read_job(job_id), 0
    while True:
        store.add_metrics(
            job, [Metric(step + number, "train", 0.0, 1.0, 0.0) for number in range(1, BATCH + 1)]
        )
        step += BATCH
        sender.send(step)


def _copy(store: Store, path: Path) -> str:
    """Return the error of a copy made while another process writes."""
    with (
        closing(sqlite3.connect(store.database)) as source,
        closing(sqlite3.connect(path)) as target,
    ):
        source.backup(target)
        (sound,) = target.execute("PRAGMA integrity_check").fetchone()
        count, highest = target.execute("SELECT count(*), max(step) FROM metrics").fetchone()
    return (
        ""
        if sound == "ok" and count == (highest or 0) and count % BATCH == 0
        else f"a copy is {sound} with {count} rows up to {highest}"
    )
