"""Real trainings of a tiny BERT in their own processes, killed during training and saving, and
stopped in each phase.
"""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from benchmarks.promises.lab import Lab, opened, over, processes_of
from benchmarks.promises.row import Row, Size, TooLong, share
from core.data.sources import folder_source
from core.errors import StateConflict
from core.jobs import actions
from core.jobs.worker import NICE
from core.models.catalog import find_model
from core.presets import make_config
from core.progress import Phase
from core.runs import artifacts
from core.runs.requests import TrainRequest
from core.settings import count_cores
from core.storage.job import Job, JobState
from core.storage.machine_speed import StepSeconds, decide_steps
from tests.support.faults.lab import outcome
from tests.support.faults.plan import FaultPlan
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

STUCK_SECONDS = 400.0  # a worker is nice: next to other programs importing torch takes minutes
# 27 an epoch, since a tenth of the rows is kept back; validated, and so saved, every 7: mostly in
# mid-epoch
STEPS = 54
CONFIG: dict[str, object] = {
    "train_rows": 240,
    "batch_size": 8,
    "epochs": 2,
    "evaluation_interval": 7,
    "validation_rows": 24,
}
PLAN = FaultPlan(real=True, steps=STEPS)
STOP_SECONDS = 3.0
EQUAL = 1e-6  # difference of results with two threads
STOPWATCHES = ("fp32=1,bf16=0.2,onednn=1", "fp32=1,bf16=4,onednn=0.2")  # bf16; fp32 by oneDNN
PHASES = (  # of a training's worker, in their order
    Phase.IMPORTING,
    Phase.PREPARING,
    Phase.LOADING,
    Phase.TOKENIZING,
    Phase.TRAINING,
    Phase.VALIDATING,
    Phase.UNTRAINED,
    Phase.EVALUATING,
)
CHANCES = 3  # for each meeting with a phase: some are over before they are seen
SAVING_STEPS = 130  # steps of the disk that a whole training of this size takes at least


def killed_trainings(size: Size) -> Row:
    """Send SIGKILL during training and at a write while saving; each run must end with the adapter
    and tables of an undisturbed one.
    """
    return _killed(size, Row("the same with real training"), size.of(2, 50))


def flipped_trainings(size: Size) -> Row:
    """Do as ``killed_trainings``, with the opposite choice of precision and matrix library at each
    resume.
    """
    return _killed(
        replace(size, flip=True), Row("the same under an opposite stopwatch"), size.of(2, 20)
    )


def _killed(size: Size, row: Row, runs: int) -> Row:
    with opened(_lab(size.home, size.flip)) as lab:
        expected = _undisturbed(lab)
        for number in range(runs):
            saving = size.flip or number % 2 == 0  # the moment of training may be missed
            row.count(
                *_kill_once(
                    lab,
                    number,
                    size.draw,
                    None if not saving else size.draw.randrange(20, SAVING_STEPS),
                    expected,
                )
            )
    return row


def equal_runs(size: Size) -> Row:
    """Train one configuration several times with all cores busy; all runs must end with the same
    adapter and tables.

    The stopwatch gives other results before each run; the first measurement must count.
    """
    row = Row("equal configuration = equal weights, under load")
    with opened(_lab(size.home, flip=True)) as lab, _load():
        expected = _undisturbed(lab)
        for number in range(1, size.of(2, 10)):
            lab.direct(replace(lab.plan, stopwatch=STOPWATCHES[number % 2]))
            row.count(*_finish(lab, _launch(lab, f"equal-{number}"), True, expected))
    return row


def equal_threads(size: Size) -> Row:
    """Train each kind of model again with all cores busy: with one thread, results must be
    bit-equal; with two, differ by at most 1e-6.
    """
    # it imports torch, which other rows do not need
    from tests.support.repeated_training import (  # noqa: PLC0415
        KINDS,
        RepeatedTraining,
        make_lab,
    )

    row = Row("equal configuration = equal results, one and two threads")
    lab, largest = make_lab(size.home / "tiny"), {1: 0.0, 2: 0.0}
    with _load():
        for threads, allowed in ((1, 0.0), (2, EQUAL)):
            for kind in KINDS:
                training = RepeatedTraining(lab, kind, threads)
                for _ in range(size.of(1, 20)):
                    difference = training.repeat()
                    largest[threads] = max(largest[threads], difference)
                    problem = f"{kind}, {threads} threads: {difference:.1e}"
                    row.count(problem if difference > allowed else "")
    row.figure = f"largest difference {largest[1]:.1e} with one thread, {largest[2]:.1e} with two"
    return row


@contextmanager
def _load() -> Iterator[None]:
    """Keep each core busy with a process as nice as a worker, which gets half of a core then."""
    program = f"import os; os.nice({NICE})\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(count_cores())]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def bit_equal(size: Size) -> Row:
    """Kill after a given step, for steps throughout the run."""
    row = Row("resumed = uninterrupted")
    places = size.of(1, 20)
    with opened(_lab(size.home, size.flip)) as lab:
        expected = _undisturbed(lab)
        for number in range(places):
            step = 2 + (STEPS - 6) * number // max(1, places - 1) if places > 1 else 17
            job = _launch(lab, f"place-{number}")
            lab.wait(job, partial(_has_reached, step), STUCK_SECONDS)
            row.count(*_finish(lab, job, lab.kill(job), expected))
    return row


def stops(size: Size) -> Row:
    """Stop in each phase of a MiniLM run; measure the seconds until its end, and check that no
    process is left.
    """
    row = Row("stop in each phase")
    waited = []
    with opened(_lab(size.home)) as lab:
        for phase in (Phase.IMPORTING, Phase.TRAINING) if size.small else PHASES:
            required = size.of(1, 10)
            met: list[float] = []
            for number in range(CHANCES * required):
                if len(met) == required:
                    break
                shutil.rmtree(
                    lab.settings.prepared, ignore_errors=True
                )  # so that there is something to prepare,
                shutil.rmtree(lab.settings.home / "untrained", ignore_errors=True)  # and to score
                complaint, seconds = _stop_in(lab, phase, f"{phase}-{number}")
                met += [seconds] if seconds else []
                row.count(complaint, int(seconds > 0))
            if len(met) < required:
                row.failures.append(f"{phase} was met {len(met)} times of {required}")
            waited += met
    if share(waited, 0.95) > STOP_SECONDS:
        row.failures.append(f"p95 is {share(waited, 0.95):.1f} s")
    row.figure = (
        f"p95 {share(waited, 0.95):.2f} s ({STOP_SECONDS:g}), longest"
        f" {max(waited, default=0):.2f} s"
    )
    return row


def _lab(home: Path, flip: bool = False) -> Lab:
    lab = Lab(home, PLAN)
    write_bert(home / "tiny")
    write_small_news(home / "news")
    if flip:
        _measure(lab, STOPWATCHES[0])
    return lab


def _measure(lab: Lab, stopwatch: str) -> None:
    """Use the measurements of a machine with this ``stopwatch`` from the next attempt on."""
    shutil.rmtree(lab.settings.home / "machines", ignore_errors=True)
    lab.direct(replace(lab.plan, stopwatch=stopwatch))
    settings = replace(lab.settings, stopwatch=stopwatch)
    model = find_model(str(lab.settings.home / "tiny"), settings, hub=False)
    decide_steps(settings, model.name, _unmeasured)


def _unmeasured() -> StepSeconds:
    raise AssertionError("the stopwatch says what a step takes")


def _launch(lab: Lab, key: str, model: str = "", **changes: object) -> Job:
    """Queue a real run; start the lab's own supervisor first, so that the action starts none."""
    lab.supervise()
    config = make_config(
        None, {**CONFIG, "model": model or str(lab.settings.home / "tiny"), **changes}
    )
    return actions.launch_training(
        lab.store,
        TrainRequest(config=config, source=folder_source(lab.settings.home / "news")),
        key=key,
    )


def _undisturbed(lab: Lab) -> dict[str, str]:
    job = _launch(lab, "undisturbed")
    ended = lab.wait(job, over, STUCK_SECONDS)
    if ended.state is not JobState.COMPLETED:
        raise TooLong(
            f"the undisturbed run {ended.state}:"
            f" {ended.message}\n{artifacts.read_log_tail(lab.store.get_folder(job))}"
        )
    return outcome(lab.store.get_folder(job))


def _kill_once(
    lab: Lab, number: int, draw: random.Random, write: int | None, expected: dict[str, str]
) -> tuple[str, int]:
    """Kill a run at this write, or at a random moment of training; return (error, 1 if it was
    killed).
    """
    if write is not None:
        lab.direct(replace(lab.plan, nth=write, kill=True))
    job = _launch(lab, f"kill-{number}")
    if write is None:
        lab.wait(job, lambda job: job.phase == Phase.TRAINING or over(job), STUCK_SECONDS)
        time.sleep(draw.random() * 1.5)
        return _finish(lab, job, lab.kill(job), expected)
    ended = lab.wait(job, over, STUCK_SECONDS)
    lab.direct(replace(lab.plan, nth=0, kill=False))
    return _finish(lab, job, ended.state is JobState.INTERRUPTED, expected)


def _finish(lab: Lab, job: Job, killed: bool, expected: dict[str, str]) -> tuple[str, int]:
    try:
        ended = lab.wait(job, over, STUCK_SECONDS)
        if ended.state is not JobState.COMPLETED:
            before = lab.plan.stopwatch
            if before:
                _measure(lab, STOPWATCHES[before == STOPWATCHES[0]])
            lab.resume(job)
            ended = lab.wait(job, over, STUCK_SECONDS)
            if before:
                _measure(lab, before)
    except TooLong as stuck:
        return f"stuck: {stuck}", int(killed)
    same = outcome(lab.store.get_folder(job)) == expected and artifacts.list_checkpoints(
        lab.store.get_folder(job)
    )
    return lab.complaint(job) or (
        "" if same else f"{job.name} ends with another adapter or table"
    ), int(killed)


def _stop_in(lab: Lab, phase: Phase, key: str) -> tuple[str, float]:
    """Return (error, seconds from stop to end; 0 if the phase ended before the stop)."""
    job = _launch(lab, key, model="minilm", train_rows=80, epochs=1)
    met = lab.wait(job, lambda job: job.phase == phase or over(job), STUCK_SECONDS)
    if over(met):
        return (
            "" if met.state is JobState.COMPLETED else f"{met.name} {met.state}: {met.message}",
            0.0,
        )
    began = time.monotonic()
    try:
        actions.stop(lab.store, met)
    except StateConflict:  # over in this very moment
        return "", 0.0
    try:
        ended = lab.wait(job, over, STUCK_SECONDS)
    except TooLong as stuck:
        return f"stuck: {stuck}", time.monotonic() - began
    seconds = time.monotonic() - began
    deadline = time.monotonic() + STOP_SECONDS
    while (left := processes_of(lab)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.1)
    if ended.state is not JobState.CANCELLED:
        return f"stopped while {phase}, and now {ended.state}: {ended.message}", seconds
    return (
        ("left behind: " + ", ".join(f"{process.pid} {process.status()}" for process in left))
        if left
        else ""
    ), seconds


def _has_reached(step: int, job: Job) -> bool:
    return (job.phase == Phase.TRAINING and job.done >= step) or over(job)
