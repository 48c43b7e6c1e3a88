"""The gallery: bundled runs that fail on purpose, to show failures without training.

``python -m scripts.build_demo_runs gallery`` trains them again on the demo corpus. They are copied
to the home folder when the page is first opened.
"""

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.config import ConfigFields
from core.errors import JobNotFound
from core.runs.diagnosis import conclude
from core.runs.run import Run
from core.storage import files
from core.storage.job import Job
from core.storage.recovery import hold_repair_lock
from core.storage.store import Store

GALLERY = Path(__file__).with_name("failures")  # one folder per run
USUAL: ConfigFields = {
    "train_rows": 0,
    "rank": 8,
    "alpha": 16,
    "evaluation_interval": 10,
    "validation_rows": 100,
}


class Twist(StrEnum):
    """Change of the data that makes a run fail."""

    NOTHING = "nothing"
    SHUFFLED = "labels shuffled"
    LEAKED = "test leaked into train"


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that fails. ``done`` is the cause, ``sign`` the symptom, ``remedy`` the fix."""

    id: str
    title: str
    done: str
    sign: str
    remedy: str
    config: ConfigFields
    twist: Twist = Twist.NOTHING


FAILURES = (
    Failure(
        "gallery-1",
        "Learning rate too high",
        "Learning rate 0.1, fifty times the usual rate.",
        "The loss jumps to twice the loss of guessing (1.39 nats with four classes) and never falls"
        " below it; nearly all texts are predicted as one class.",
        "Divide the rate by ten until the loss falls, and use a warm-up.",
        {"learning_rate": 0.1},
    ),
    Failure(
        "gallery-2",
        "Learning rate too low",
        "Learning rate 0.00001, 1/200 of the usual rate.",
        "The loss falls so slowly that it looks flat; validation is hardly better than the"
        " untrained model.",
        "Multiply the rate by ten until the loss falls within the first tenth of the steps.",
        {"learning_rate": 1e-5},
    ),
    Failure(
        "gallery-3",
        "Rank 1 on one module",
        "Rank 1, on the value matrices only.",
        "It learns later and less: its loss stays above the loss of the healthy run.",
        "Adapt query and value, and raise the rank until validation stops improving.",
        {"rank": 1, "alpha": 2, "target_modules": ("value",)},
    ),
    Failure(
        "gallery-4",
        "Texts truncated to 8 tokens",
        "Max tokens 8: six tokens of each text and two special tokens are left.",
        "Training and validation loss fall slowly and both stay high: the words that distinguish"
        " the classes are truncated in both.",
        "Look at the proportion of truncated texts on Explore, and choose max tokens so that few"
        " are.",
        {"max_tokens": 8},
    ),
    Failure(
        "gallery-5",
        "Labels shuffled",
        "The labels of the training texts were shuffled at random.",
        "The training loss stays at the level of guessing, and validation accuracy around 25 %: the"
        " model can only memorize the texts.",
        "Check the columns and the order of labels; Quality finds label errors.",
        {},
        Twist.SHUFFLED,
    ),
    Failure(
        "gallery-6",
        "Test leaked into train",
        "All test texts were added to the training texts. The texts are truncated to 8 tokens, as"
        " in run 4.",
        "Test accuracy is above validation accuracy, and far above the one of run 4: the model has"
        " memorized the test texts.",
        "Quality finds texts shared between splits; the cleaning recipe removes them from the"
        " training texts.",
        {"max_tokens": 8, "epochs": 12, "evaluation_interval": 40},
        Twist.LEAKED,
    ),
)


def open_gallery(store: Store) -> dict[str, Job]:
    """Map failure ids to runs, and copy the missing ones to the home folder."""
    missing = [failure.id for failure in FAILURES if not _exists(store, failure.id)]
    if missing:
        with hold_repair_lock(store.settings):
            for name in missing:
                if not (store.settings.jobs / name).exists():
                    _copy(GALLERY / name, store.settings.jobs / name)
                if not _exists(store, name):
                    store.insert_from_folder(store.settings.jobs / name)
    return {failure.id: _read_diagnosed(store, failure.id) for failure in FAILURES}


def _read_diagnosed(store: Store, name: str) -> Job:
    """Read a run of the gallery; one that an earlier version copied gets its diagnosis, which the
    list of runs shows.
    """
    job = store.read_job(name)
    if "diagnosis" not in job.result:
        result = job.merge_result(conclude(store, Run.of(store, job)).to_dict())
        store.replace_scores(job, result, job.request_json, job.fingerprint)
    return store.read_job(name)


def _copy(source: Path, target: Path) -> None:
    """Copy the folder completely or not at all."""
    part = target.with_name(f".{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    files.disk.rename(part, target)


def _exists(store: Store, name: str) -> bool:
    try:
        store.read_job(name)
    except JobNotFound:
        return False
    return True
