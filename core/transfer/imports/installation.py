"""Install validated runs: each becomes a folder of the home folder and a row of the database.

The folder of a run is created atomically and then registered in the database.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from core.config import RunConfig
from core.evaluation.error_analysis import Tag
from core.storage import files
from core.storage.database import Metric
from core.storage.job import RECORD, Job, to_record
from core.storage.store import Store

# suffix of a folder that is being built; not the suffix of files, which a supervisor deletes
IMPORTING = ".importing"
STALE_SECONDS = 3600  # no import takes an hour


@dataclass(frozen=True, eq=False)
class ValidatedRun:
    """A run that can be installed.

    Args:
        job: Its record.
        config: Its configuration, with a base model that exists on this machine.
        adapter: The files that PEFT saves; None for a run without an adapter.
        metrics: The points of its curves.
        tables: Predictions by file name.
        tags: The tags of its texts.
    """

    job: Job
    config: RunConfig
    adapter: Mapping[str, bytes] | None
    metrics: Sequence[Metric] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tags: Sequence[Tag] = ()


def install_run(store: Store, run: ValidatedRun) -> None:
    """Build the run's folder, rename it into place, and register the run.

    After a crash between the two the run is recovered from ``job.json``. Raises OSError if the
    folder exists.
    """
    folder = store.get_folder(run.job)
    _delete_leftovers(folder.parent)
    part = folder.with_name(f".{run.job.id}{IMPORTING}")
    try:
        if run.adapter is not None:
            files.write_folder(part / "adapter", files.add_manifest(run.adapter, {"step": 0}))
        for name, frame in run.tables.items():
            files.write_parquet(part / name, frame)
        files.write_json(part / "config.json", run.config.model_dump(mode="json"))
        if run.tags:
            files.write_json(part / "tags.json", [asdict(tag) for tag in run.tags])
        files.write_json(part / RECORD, to_record(run.job, run.metrics))
        files.disk.rename(part, folder)
    finally:
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)
    files.disk.sync(folder.parent)
    store.insert_from_folder(folder)


def _delete_leftovers(jobs: Path) -> None:
    """Delete the folders of interrupted imports."""
    for leftover in jobs.glob(f".*{IMPORTING}"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
