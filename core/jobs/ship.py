"""Rebuild the example run that ships with the project: ``python -m core.jobs.ship``.

It trains on the demo corpus in a home of its own, then keeps what pages read: record, curve, predictions and adapter.
"""

import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from core import files
from core.data.sources import demo_source
from core.jobs import actions, waiting
from core.jobs.rebuild import SHIPPED, SHIPPED_OWNER
from core.presets import make_config
from core.settings import Settings
from core.states import JobState
from core.store import Store

EXAMPLE_ID = "example"
CONFIG = {"train_rows": 0, "epochs": 2, "rank": 8, "alpha": 16, "evaluation_interval": 10, "validation_rows": 100}


def main() -> None:
    """Train the example and put it in its place."""
    with tempfile.TemporaryDirectory() as home:
        store = Store(Settings(home=Path(home)))
        job = actions.launch_training(store, make_config(None, CONFIG), demo_source(), preset="example", name="example-minilm")
        print(waiting.wait(store, job))
        job = store.job(job.id)
        if job.state is not JobState.COMPLETED:
            sys.exit(f"The example ended as {job.state}: {job.message}")
        target = SHIPPED / EXAMPLE_ID
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(store.folder(job), target, ignore=shutil.ignore_patterns("checkpoints", "lock", "worker.log", "job.json"))
        metrics = [asdict(metric) for metric in store.read_metrics(job.id)]
        record = asdict(replace(job, id=EXAMPLE_ID, owner=SHIPPED_OWNER, pid=0))
        files.write_json(target / "job.json", {**record, "metrics": metrics})


if __name__ == "__main__":
    main()
