"""Runs that went wrong on purpose, trained once on the demo corpus and shipped: what failure looks
like, without training.

``python -m scripts.build_demo_runs gallery`` makes them again. They join the home folder when
somebody looks at them.
"""

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import JobNotFound
from core.storage import files
from core.storage.job import Job
from core.storage.recovery import alone
from core.storage.store import Store

GALLERY = Path(__file__).with_name("failures")  # one folder per run
USUAL: dict[str, object] = {
    "train_rows": 0,
    "rank": 8,
    "alpha": 16,
    "evaluation_interval": 10,
    "validation_rows": 100,
}


class Twist(StrEnum):
    """What was done to the data."""

    NOTHING = "nothing"
    SHUFFLED = "labels shuffled"
    LEAKED = "test leaked into train"


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that went wrong. ``done`` is the cause, ``sign`` how one sees it, ``remedy`` what mends
    it.
    """

    id: str
    title: str
    done: str
    sign: str
    remedy: str
    config: dict[str, object]
    twist: Twist = Twist.NOTHING


FAILURES = (
    Failure(
        "bad-rate-high",
        "Learning rate too high",
        "Learning rate 0.1, fifty times the usual one.",
        "The loss leaps to twice that of guessing (1.39 nats with four classes) and never gets"
        " below it; one class takes nearly all texts.",
        "Divide the rate by ten until the loss falls, and warm up.",
        {"learning_rate": 0.1},
    ),
    Failure(
        "bad-rate-low",
        "Learning rate too low",
        "Learning rate 0.00001, two hundredths of the usual one.",
        "The loss goes down so slowly that it looks flat; validation is hardly better than the"
        " untrained model.",
        "Multiply the rate by ten until the loss falls within the first tenth of the steps.",
        {"learning_rate": 1e-5},
    ),
    Failure(
        "bad-rank",
        "Rank 1 on one module",
        "Rank 1, on the value matrices alone.",
        "It learns, but later and less: the curve runs above that of the healthy run.",
        "Adapt query and value, and raise the rank until validation stops gaining.",
        {"rank": 1, "alpha": 2, "target_modules": ("value",)},
    ),
    Failure(
        "bad-short",
        "Texts cut to 8 tokens",
        "Max tokens 8: of each text, six word pieces and two special tokens are left.",
        "Training and validation fall slowly and stay high together: what would tell the classes"
        " apart was cut off, of both.",
        "Look at the share of cut texts on Explore, and choose max tokens so that few are.",
        {"max_tokens": 8},
    ),
    Failure(
        "bad-labels",
        "Labels shuffled",
        "The labels of the training texts were dealt out at random.",
        "The training loss stays at guessing, and validation moves around 25 %: there is nothing to"
        " learn but the texts by heart.",
        "Check the columns and the order of labels; Quality finds suspects.",
        {},
        Twist.SHUFFLED,
    ),
    Failure(
        "bad-leak",
        "Test leaked into train",
        "All test texts were put among the training texts. The texts are cut to 8 tokens, as in"
        " run 4.",
        "The test accuracy is above that of validation, and far above that of run 4: it has learned"
        " those texts by heart.",
        "Quality finds texts shared between splits; the cleaning recipe takes them out of the"
        " training texts.",
        {"max_tokens": 8, "epochs": 12, "evaluation_interval": 40},
        Twist.LEAKED,
    ),
)


def open_gallery(store: Store) -> dict[str, Job]:
    """Failure id to its run; those that are not in the home folder yet are copied there."""
    missing = [failure.id for failure in FAILURES if not _there(store, failure.id)]
    if missing:
        with alone(store.settings):
            for name in missing:
                if not (store.settings.jobs / name).exists():
                    _copy(GALLERY / name, store.settings.jobs / name)
                if not _there(store, name):
                    store.adopt(store.settings.jobs / name)
    return {failure.id: store.job(failure.id) for failure in FAILURES}


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all."""
    beside = target.with_name(f".{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside)
    files.disk.rename(beside, target)


def _there(store: Store, name: str) -> bool:
    try:
        store.job(name)
    except JobNotFound:
        return False
    return True
