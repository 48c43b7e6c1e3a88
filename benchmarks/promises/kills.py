"""Workers of simulated runs in their own processes, killed at random moments and at any write, or
kept alive.
"""

import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.promises.lab import Lab, opened, over
from benchmarks.promises.row import Row, Size, TooLong, share
from core.storage.job import Job, JobState
from tests.support.faults.disks import CountingDisk
from tests.support.faults.lab import InProcessLab, outcome
from tests.support.faults.plan import FaultPlan

STUCK_SECONDS = 30.0
LABS = 3  # in parallel: they mostly wait for processes
RANDOM_PLAN = FaultPlan(steps=300, step_seconds=0.002, validate_every=40, checkpoint_every=13)
ENDLESS_PLAN = FaultPlan(steps=10**6, step_seconds=0.01, validate_every=10**6, checkpoint_every=50)
WRITES_PLAN = FaultPlan(steps=12, step_seconds=0.0, validate_every=5, checkpoint_every=3)
TICK_SECONDS = 2.0  # polling interval of pages


def killed_workers(size: Size) -> Row:
    """Send SIGKILL at random moments, repeatedly in the same runs, and at each write of a run's
    files.
    """
    row = Row("no run lost, corrupt or stuck over 30 s")
    kills = size.of(24, 1000)
    seeds = [size.draw.randrange(2**32) for _ in range(LABS)]
    writes, expected = _writes(size.home / "undisturbed")
    stride = size.of(20, 1)
    places = list(range(1 + size.draw.randrange(stride), writes, stride))
    with ThreadPoolExecutor(LABS) as pool:
        rows = [
            pool.submit(
                _kill_at_random, size.home / f"random-{seed}", random.Random(seed), kills // LABS
            )
            for seed in seeds
        ]
        rows += [
            pool.submit(_kill_at_writes, size.home / f"writes-{n}", places[n::LABS], expected)
            for n in range(LABS)
        ]
        for part in rows:
            output = part.result()
            row.tries, row.injected, row.failures = (
                row.tries + output.tries,
                row.injected + output.injected,
                row.failures + output.failures,
            )
    return row


def noticed_deaths(size: Size) -> Row:
    """Measure the time from SIGKILL until a page that polls every two seconds reports it, including
    its whole tick.
    """
    row = Row("dead workers are noticed")
    waited = []
    with opened(Lab(size.home, ENDLESS_PLAN)) as lab:
        job = lab.launch()
        for _ in range(size.of(8, 100)):
            lab.wait(job, _trains)
            time.sleep(size.draw.random() * 0.3)
            began, killed = time.monotonic(), lab.kill(job)
            ended = lab.wait(job, over)
            waited.append(time.monotonic() - began + TICK_SECONDS)
            row.count(
                "" if ended.state is JobState.INTERRUPTED else f"it is {ended.state}", int(killed)
            )
            lab.resume(job)
    if share(waited, 0.95) > 5.0:
        row.failures.append(f"p95 is {share(waited, 0.95):.1f} s")
    row.figure = f"p95 {share(waited, 0.95):.2f} s, of them {TICK_SECONDS:g} s a page's tick (5)"
    return row


def living_workers(size: Size) -> Row:
    """Move the wall clock by an hour, forth and back, with all cores busy; the worker must not be
    considered dead.
    """
    row = Row("live workers are never declared dead")
    clock = size.home / "clock"
    size.home.mkdir(parents=True)
    clock.write_text("0")
    busy = [
        multiprocessing.Process(target=_spin, daemon=True)
        for _ in range(multiprocessing.cpu_count())
    ]
    with opened(Lab(size.home / "lab", replace(ENDLESS_PLAN, clock_file=str(clock)))) as lab:
        job = lab.launch()
        lab.wait(job, _trains)
        for process in busy:
            process.start()
        deadline = time.monotonic() + size.of(10, 300)
        while time.monotonic() < deadline:
            jump = size.draw.choice((-3600, 0, 3600))
            _write(clock, str(jump))
            time.sleep(0.5)
            now = lab.store.read_job(job.id)
            row.count(
                ""
                if (now.state, now.attempt) == (JobState.RUNNING, 1)
                else f"{now.state} in attempt {now.attempt}",
                int(jump != 0),
            )
        for process in busy:
            process.kill()
    return row


def _kill_at_random(home: Path, draw: random.Random, kills: int) -> Row:
    row = Row("")
    with opened(Lab(home, RANDOM_PLAN)) as lab:
        number = 0
        while row.injected < kills:
            number += 1
            job = lab.launch(str(number))
            _kill_again_and_again(lab, job, draw, row, kills)
    return row


def _kill_again_and_again(lab: Lab, job: Job, draw: random.Random, row: Row, kills: int) -> None:
    try:
        while row.injected < kills:
            lab.wait(job, lambda job: job.pid > 0 or over(job), STUCK_SECONDS)
            time.sleep(draw.random() ** 2 * 1.5)  # from the start of a worker to its end
            if not lab.kill(job):
                break
            row.injected += 1
            row.tries += 1
            ended = lab.wait(job, over, STUCK_SECONDS)
            if ended.state not in (JobState.INTERRUPTED, JobState.COMPLETED):
                row.failures.append(f"killed, and now {ended.state}: {ended.message}")
            if ended.state is JobState.COMPLETED:
                break
            lab.resume(job)
        lab.wait(job, over, STUCK_SECONDS)
    except TooLong as stuck:
        row.failures.append(f"stuck: {stuck}")
    if complaint := lab.complaint(job):
        row.failures.append(complaint)


def _kill_at_writes(home: Path, places: list[int], expected: dict[str, str]) -> Row:
    row = Row("")
    with opened(Lab(home, WRITES_PLAN)) as lab:
        for nth in places:
            lab.direct(replace(WRITES_PLAN, nth=nth, kill=True))
            job = lab.launch(str(nth))
            try:
                killed = lab.wait(job, over, STUCK_SECONDS).state is JobState.INTERRUPTED
                lab.direct(WRITES_PLAN)
                if killed:
                    lab.resume(job)
                    lab.wait(job, over, STUCK_SECONDS)
                different = (
                    ""
                    if outcome(lab.store.get_folder(job)) == expected
                    else f"killed at write {nth}: another adapter or table"
                )
                row.count(lab.complaint(job) or different, int(killed))
            except TooLong as stuck:
                row.count(f"stuck after write {nth}: {stuck}")
    return row


def _writes(home: Path) -> tuple[int, dict[str, str]]:
    """Count the disk steps of a whole run in its worker, and return its results."""
    stage, disk = InProcessLab(home, WRITES_PLAN), CountingDisk()
    job = stage.launch()
    stage.play(disk)
    return disk.steps, outcome(stage.store.get_folder(job))


def _trains(job: Job) -> bool:
    return job.state is JobState.RUNNING and job.phase == "training" and job.done > 0


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def _spin() -> None:
    while True:
        pass
