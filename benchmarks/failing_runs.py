"""Diagnoses and alerts of small runs that go wrong on purpose, each trained for real.

    python benchmarks/failing_runs.py --fixes
    python benchmarks/failing_runs.py --runs overfitting stalled --home RUNS

Each run is queued as a page queues it, with MiniLM on some hundred generated texts. It prints the
expected diagnosis or alert, the one that was given, and its changes; with ``--fixes`` also the
diagnosis of the run that the button of the page clones with these changes. It fails if a diagnosis
is not the expected one, or if a fix changes nothing.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd

from benchmarks.first_model import train
from benchmarks.small_data import (
    BLAME,
    INTENTS,
    OPINIONS,
    PLOT,
    PRAISE,
    draw_intent,
    draw_ticket,
)
from core.config import ConfigFields
from core.data.sources import Source, folder_source
from core.jobs import actions
from core.presets import make_config
from core.runs.alerts import list_alerts
from core.runs.diagnosis import Diagnosis, diagnose_run
from core.runs.requests import TrainRequest, read_train_request
from core.runs.run import Run
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.recovery import open_store
from core.storage.store import Store

Rows = list[tuple[str, str]]  # text and label
Write = Callable[[random.Random], tuple[Rows, Rows]]  # training and test rows
POLL_SECONDS = 0.5
STALL_SECONDS = 75.0  # longer than the pause after which a run counts as stalled
RUNNING_SHARE = 0.15  # of the time that a slow run may compute


def draw_intents(rng: random.Random, rows: int = 40) -> tuple[Rows, Rows]:
    """Draw short requests of six intents, ``rows`` for training of each."""
    train_rows, test_rows = (
        [(draw_intent(label, rng), label) for label in INTENTS for _ in range(amount)]
        for amount in (rows, 30)
    )
    return train_rows, test_rows


def shuffle_labels(rng: random.Random) -> tuple[Rows, Rows]:
    """Draw intents whose training labels are shuffled."""
    train_rows, test_rows = draw_intents(rng)
    labels = [label for _, label in train_rows]
    rng.shuffle(labels)
    return [(text, label) for (text, _), label in zip(train_rows, labels, strict=True)], test_rows


def spoil_labels(rng: random.Random) -> tuple[Rows, Rows]:
    """Draw intents of which a third has a random label, in training and test texts."""

    def spoil(rows: Rows) -> Rows:
        labels = list(INTENTS)
        return [
            (text, rng.choice(labels) if rng.random() < 0.35 else label) for text, label in rows
        ]

    train_rows, test_rows = draw_intents(rng, 60)
    return spoil(train_rows), spoil(test_rows)


def draw_opinions(rng: random.Random, rows: int = 70) -> tuple[Rows, Rows]:
    """Draw three sentences of which one is an opinion, which agrees with its class in 7 of 10."""

    def draw(label: str) -> tuple[str, str]:
        agreeing, other = (PRAISE, BLAME) if label == "positive" else (BLAME, PRAISE)
        words = agreeing if rng.random() < 0.7 else other
        sentences = [rng.choice(OPINIONS).format(rng.choice(words.split("|")))]
        return " ".join(rng.sample([*sentences, *rng.sample(PLOT, 2)], 3)), label

    labels = ("positive", "negative")
    train_rows, test_rows = (
        [draw(label) for label in labels for _ in range(amount)] for amount in (rows, 100)
    )
    return train_rows, test_rows


def copy_texts(rng: random.Random) -> tuple[Rows, Rows]:
    """Draw opinions of which each training text occurs eight times, in validation too."""
    train_rows, test_rows = draw_opinions(rng, 20)
    return train_rows * 8, test_rows


def draw_tickets(rng: random.Random) -> tuple[Rows, Rows]:
    """Draw tickets of which 5 in 100 are urgent."""
    train_rows, test_rows = (
        [
            (draw_ticket(label, rng), label)
            for label, rows in (("ordinary", 95 * times), ("urgent", 5 * times))
            for _ in range(rows)
        ]
        for times in (5, 3)
    )
    return train_rows, test_rows


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that goes wrong: ``expected`` is the id of its diagnosis or alert, ``disturb`` is
    called while it trains.
    """

    name: str
    expected: str
    write: Write
    config: ConfigFields
    disturb: Callable[[Job], None] | None = None
    alert: bool = field(default=False)


def pause_worker(job: Job) -> None:
    """Stop the worker process for longer than a stall."""
    os.kill(job.pid, signal.SIGSTOP)
    time.sleep(STALL_SECONDS)
    os.kill(job.pid, signal.SIGCONT)


def slow_worker(job: Job) -> None:
    """Let the worker process compute a part of the time, until it has taken far too long."""
    for _ in range(120):
        os.kill(job.pid, signal.SIGSTOP)
        time.sleep(1 - RUNNING_SHARE)
        os.kill(job.pid, signal.SIGCONT)
        time.sleep(RUNNING_SHARE)


ALL_LINEAR: ConfigFields = {"target_modules": ("all-linear",)}
FAILURES = (
    Failure("shuffled labels", "labels do not follow", shuffle_labels, {"epochs": 4}),
    Failure("one epoch", "too few steps", draw_intents, {}),
    Failure("four epochs", "still improving", draw_intents, {"epochs": 4, "learning_rate": 7e-4}),
    Failure(
        "overfitting",
        "overfitting",
        draw_opinions,
        {"epochs": 30, "learning_rate": 1e-3, **ALL_LINEAR},
    ),
    Failure("rare class", "one class", draw_tickets, {"epochs": 2}),
    Failure(
        "copied texts",
        "test below validation",
        copy_texts,
        {"epochs": 8, "learning_rate": 1e-3, **ALL_LINEAR},
    ),
    Failure("wrong labels", "doubtful labels", spoil_labels, {"epochs": 8}),
    Failure(
        "non-finite",
        "diverged",
        draw_intents,
        {"epochs": 2, "learning_rate": 1.0, "warmup": 0.0, **ALL_LINEAR},
    ),
    # before the stalled run, whose pause raises the estimates of later ones
    Failure("slow", "slow", draw_intents, {"epochs": 12}, slow_worker, alert=True),
    Failure("stalled", "stalled", draw_intents, {"epochs": 6}, pause_worker, alert=True),
)


def main() -> None:
    """Train the chosen runs, print a line per run, and exit with the ones that are not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [failure.name for failure in FAILURES]
    parser.add_argument("--runs", nargs="+", choices=names, default=names)
    parser.add_argument("--home", type=Path, help="home folder of the runs; default: a new one")
    parser.add_argument("--fixes", action="store_true", help="train the proposed fixes too")
    arguments = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        store = open_store(Settings(home=arguments.home or Path(temporary) / "home", hub=False))
        for failure in (each for each in FAILURES if each.name in arguments.runs):
            source = write_data(failure, Path(temporary))
            job = launch(store, failure, source)
            given, diagnosis = read_problems(store, job)
            print(f"{failure.name:<16} expected {failure.expected!r}, given {given}", flush=True)
            if diagnosis:
                print(f"    {diagnosis.sentence} {diagnosis.action} {dict(diagnosis.changes)}")
            wrong += [failure.name] if failure.expected not in given else []
            if arguments.fixes and diagnosis and diagnosis.changes:
                wrong += apply_fix(store, failure, job, diagnosis)
    if wrong:
        sys.exit(f"not as expected: {', '.join(wrong)}")


def write_data(failure: Failure, folder: Path) -> Source:
    """Write the texts of a run as ``train.csv`` and ``test.csv``."""
    rng = random.Random(failure.name)
    target = folder / failure.name.replace(" ", "-")
    target.mkdir()
    train_rows, test_rows = failure.write(rng)
    known = {text for text, _ in train_rows}
    test_rows = [(text, label) for text, label in test_rows if text not in known]
    for split, rows in (("train", train_rows), ("test", test_rows)):
        rng.shuffle(rows)
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(target / f"{split}.csv", index=False)
    return folder_source(target)


def launch(store: Store, failure: Failure, source: Source) -> Job:
    """Train a run, and disturb it meanwhile."""
    config = make_config(None, {"train_rows": 0, "evaluation_interval": 15, **failure.config})
    request = TrainRequest(config=config, source=source, preset="failing")
    if failure.disturb is None:
        return train(store, request, failure.name)
    job = actions.launch_training(store, request, name=failure.name)
    while store.read_job(job.id).phase != "training" or store.read_job(job.id).done < 25:
        time.sleep(POLL_SECONDS)
    failure.disturb(store.read_job(job.id))
    while not store.read_job(job.id).state.is_finished:
        time.sleep(POLL_SECONDS)
    return store.read_job(job.id)


def read_problems(store: Store, job: Job) -> tuple[list[str], Diagnosis | None]:
    """Return the ids of a run's diagnosis and alerts, and the diagnosis."""
    diagnosis = diagnose_run(store, Run.of(store, job))
    alerts: Iterable[str] = (f"{alert.id}" for alert in list_alerts(store, job))
    return [*([diagnosis.id] if diagnosis else []), *alerts], diagnosis


def apply_fix(store: Store, failure: Failure, job: Job, diagnosis: Diagnosis) -> list[str]:
    """Train the clone with the fix; return the name of the failure if the problem remains."""
    request = read_train_request(job)
    config = make_config(None, {**request.config.model_dump(), **diagnosis.changes})
    fixed = train(store, request.model_copy(update={"config": config}), f"{failure.name}, fixed")
    remaining = diagnose_run(store, Run.of(store, fixed))
    print(f"    fixed: {remaining.id if remaining else 'no problem'}", flush=True)
    still = remaining is not None and remaining.id == diagnosis.id
    return [f"{failure.name}, fixed"] if still or fixed.state is not JobState.COMPLETED else []


if __name__ == "__main__":
    main()
