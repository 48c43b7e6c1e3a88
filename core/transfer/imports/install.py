"""Install a validated run: create its folder atomically, then register it in the database."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from core.config import RunConfig
from core.storage import files, manifest
from core.storage.job import Job
from core.storage.job_record import RECORD
from core.storage.store import Store

# ends the name of a folder that is being built; another ending than that of files, which a
# supervisor sweeps
UNDER_WAY = ".importing"
STALE_SECONDS = 3600


def install_run(
    store: Store,
    job: Job,
    record: Mapping[str, object],
    config: RunConfig,
    adapter: Mapping[str, bytes] | None,
    tables: Mapping[str, pd.DataFrame],
    beside: Mapping[str, object] | None = None,
) -> None:
    """Build the folder, rename it into place, and register the run; after a crash it is recovered
    from ``job.json``.

    ``tables`` and the JSON files ``beside`` are keyed by file name. Raises OSError if the folder
    exists.
    """
    folder = store.folder(job)
    _clear_away(folder.parent)
    part = folder.with_name(f".{job.id}{UNDER_WAY}")
    try:
        if adapter is not None:
            files.write_folder(part / "adapter", manifest.seal(adapter, {"step": 0}))
        for name, frame in tables.items():
            files.write_parquet(part / name, frame)
        for name, value in {
            "config.json": config.model_dump(mode="json"),
            **(beside or {}),
            RECORD: record,
        }.items():
            files.write_json(part / name, value)
        files.disk.rename(part, folder)
    finally:
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)
    files.disk.sync(folder.parent)
    store.adopt(folder)


def _clear_away(jobs: Path) -> None:
    """Delete the leftovers of interrupted imports."""
    for leftover in jobs.glob(f".*{UNDER_WAY}"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
