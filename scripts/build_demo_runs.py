"""Train the bundled runs again.

``python -m scripts.build_demo_runs`` builds the example run, ``python -m scripts.build_demo_runs
gallery [ID …]`` the failed runs. They are trained on the demo corpus in a temporary home folder.
Only what pages read is stored: record, curve, predictions, and the adapter of the example run.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.cli import output
from core.config import RunConfig
from core.data.preparation import prepare
from core.data.sources import Source, demo_source, folder_source
from core.demo.gallery import FAILURES, GALLERY, USUAL, Failure, Twist
from core.jobs import actions
from core.presets import make_config
from core.runs.requests import TrainRequest
from core.settings import BUNDLED_RUNS, Settings
from core.storage import files
from core.storage.job import EXAMPLE_OWNER, GALLERY_OWNER, Job, JobState, to_record
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store

CONFIG = {
    "train_rows": 0,
    "epochs": 2,
    "rank": 8,
    "alpha": 16,
    "evaluation_interval": 10,
    "validation_rows": 100,
}
SEED = 7
UNLEAKED = 400  # training texts in addition to the leaked ones
LEFT_BEHIND = ("checkpoints", "lock", "worker.log", "job.json")


def main() -> None:
    """Train the requested runs and store them in the project."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        store = Store(Settings(home=Path(home), hub=False))
        if sys.argv[1:2] == ["gallery"]:
            for number, failure in enumerate(FAILURES, start=1):
                if failure.id in (sys.argv[2:] or [failure.id]):
                    _ship_failure(
                        store, failure, f"gallery-{number}"
                    )  # its title would give the answer away
            return
        job = _train(store, make_config(None, CONFIG), demo_source(), "example-minilm")
        _keep(
            store, replace(job, id=EXAMPLE_ID, owner=EXAMPLE_OWNER), job, BUNDLED_RUNS / EXAMPLE_ID
        )


def _ship_failure(store: Store, failure: Failure, name: str) -> None:
    source = demo_source()
    if failure.twist is not Twist.NOTHING:
        source = folder_source(_write_twisted(store.settings, failure.twist))
    job = _train(store, make_config(None, {**USUAL, **failure.config}), source, name)
    named = {
        "kind": "demo",
        "name": source.name if failure.twist is Twist.NOTHING else f"Demo corpus, {failure.twist}",
        "folder": None,
    }
    example = json.loads((BUNDLED_RUNS / EXAMPLE_ID / "job.json").read_text())
    earlier = (
        job.created_at - example["created_at"] + 60
    )  # the example must be the newest run, as pages open the newest first
    stored = replace(
        job,
        id=failure.id,
        owner=GALLERY_OWNER,
        created_at=job.created_at - earlier,
        started_at=(job.started_at or 0) - earlier,
        ended_at=(job.ended_at or 0) - earlier,
        request_json=files.to_json({**job.request, "source": named}).decode(),
        result_json=job.merge_result({"data": named["name"]}),
    )
    _keep(store, stored, job, GALLERY / failure.id, "adapter")


def _write_twisted(settings: Settings, twist: Twist) -> Path:
    """Write the demo corpus as CSV files with shuffled labels or with test texts among the training
    texts.
    """
    dataset = prepare(settings, demo_source(), lambda progress: None, lambda: False)
    train, test = (dataset.read(name, ["text", "label"]) for name in ("train", "test"))
    if twist is Twist.SHUFFLED:
        train = train.assign(label=np.random.default_rng(SEED).permutation(train["label"]))
    else:
        train = pd.concat([train.sample(UNLEAKED, random_state=SEED), test], ignore_index=True)
    folder = settings.home / twist.replace(" ", "-")
    folder.mkdir()
    for name, frame in (("train", train), ("test", test)):
        frame.assign(label=[dataset.classes[label] for label in frame["label"]]).to_csv(
            folder / f"{name}.csv", index=False
        )
    return folder


def _train(store: Store, config: RunConfig, source: Source, name: str) -> Job:
    job = actions.launch_training(
        store, TrainRequest(config=config, source=source, preset="example"), name=name
    )
    print(output.wait_for_run(store, job))
    job = store.read_job(job.id)
    if job.state is not JobState.COMPLETED:
        sys.exit(f"{name} ended as {job.state}: {job.message}")
    return job


def _keep(store: Store, stored: Job, job: Job, target: Path, *left_out: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        store.get_folder(job), target, ignore=shutil.ignore_patterns(*LEFT_BEHIND, *left_out)
    )
    files.write_json(
        target / "job.json", to_record(replace(stored, pid=0), store.read_metrics(job.id))
    )


if __name__ == "__main__":
    main()
