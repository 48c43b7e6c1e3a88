"""A million texts: adding, preparing, starting a run on a sample, and every page that reads data.

    LORALAB_DATA=FOLDER python benchmarks/large_data.py --work /tmp/large

Repeats the train split of the folder with small edits until 300 MB of CSV, and 10,000 rows to
compare with. Adds both formats on the command line, prepares and indexes them in jobs of a new
home, launches a run on 1,000 rows of each size, and opens every page in a browser. Peak memory is
that of the whole process.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
import psutil
from playwright.sync_api import sync_playwright

from benchmarks.explore import read_times, settle, timed_server, write_rows
from benchmarks.interface import CHROMIUM, MB, ROOT, find_chromium, stop_all
from core.config import RunConfig
from core.data.sources import Source, saved_source
from core.jobs.actions import launch_training
from core.jobs.launching import launch
from core.runs.requests import PrepareRequest, TrainRequest
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.store import Store

ROWS, FEW_ROWS = 1_000_000, 10_000
EXTRA_CHARACTERS = 60  # of the next text, so that a million rows are 300 MB
POLL_SECONDS = 0.1
SAMPLE = RunConfig(
    model="minilm",
    train_rows=1000,
    validation_rows=100,
    test_rows=500,
    evaluation_interval=15,
    epochs=1,
)
PAGES = ("home", "explore", "quality", "tokens", "embeddings", "train", "data", "runs")
STEPS = ("add", "prepare", "start", "pages")


@dataclass(frozen=True)
class Usage:
    """Seconds, processor seconds, and peak memory in MB of a process."""

    seconds: float
    processor: float
    peak: float


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the large files")
    parser.add_argument("--work", type=Path, required=True, help="a folder for files and home")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    arguments = parser.parse_args()
    files = write_files(arguments.work, arguments.rows)
    settings = Settings(home=arguments.work / "home", data=None)
    os.environ |= {"LORALAB_HOME": str(settings.home), "LORALAB_DATA": ""}
    figures: dict[str, float] = {}
    if "add" in arguments.steps:
        shutil.rmtree(settings.home, ignore_errors=True)
        for name, path in files.items():
            figures |= describe(f"add {name}", add(name, path))
    if "prepare" in arguments.steps:
        for name in files:
            figures |= prepare(settings, name)
    if "start" in arguments.steps:
        for name in ("few", "csv", "few", "csv"):
            figures |= start(settings, name)
    if "pages" in arguments.steps:
        for name in ("few", "csv"):
            figures |= visit_pages(settings, name)
    figures["load of the machine"] = os.getloadavg()[0]
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{value:>9,.1f}  {name}" for name, value in figures.items()))


def write_files(work: Path, rows: int) -> dict[str, Path]:
    """Write ``rows`` rows as CSV and as Parquet, and the first 10,000 as CSV."""
    paths = {
        "few": work / "few.csv",
        "csv": work / "many.csv",
        "parquet": work / "many.parquet",
    }
    if not all(path.is_file() for path in paths.values()):
        frame = pd.read_parquet(write_rows(Settings(), work / "news", rows) / "train.parquet")
        following = frame["text"].shift(-1, fill_value="").str[:EXTRA_CHARACTERS]
        frame = frame.assign(text=frame["text"] + " " + following)
        frame.head(FEW_ROWS).to_csv(paths["few"], index=False)
        frame.to_csv(paths["csv"], index=False)
        # other rows: the same ones would find the dataset of the CSV file
        frame.iloc[::-1].to_parquet(paths["parquet"], index=False)
    return paths


def add(name: str, path: Path) -> Usage:
    """Add a file on the command line."""
    command = [sys.executable, "-m", "core", "data", "add", str(path), "--name", name, "--json"]
    began = time.perf_counter()
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    usage = watch(process.pid, process.is_running, began)
    if process.wait():
        sys.exit(f"{path.name} could not be added.")
    return usage


def prepare(settings: Settings, name: str) -> dict[str, float]:
    """Prepare and index a saved dataset in a job."""
    store = Store(settings)
    began = time.perf_counter()
    job = launch(store, PrepareRequest(source=find_saved(settings, name)), name)
    seen: list[tuple[float, str, int]] = []

    def is_unfinished() -> bool:
        now = store.read_job(job.id)
        if not seen or seen[-1][1:] != (now.phase, now.done):
            seen.append((time.perf_counter(), now.phase, now.done))
        return not now.state.is_finished

    while not store.read_job(job.id).pid and is_unfinished():
        time.sleep(POLL_SECONDS)
    usage = watch(store.read_job(job.id).pid, is_unfinished, began)
    require_completed(store.read_job(job.id))
    moments = [moment for moment, *_ in seen]
    longest = max(after - before for before, after in zip(moments, moments[1:], strict=False))
    return {
        **describe(f"prepare {name}", usage),
        f"prepare {name}: values of the progress": len(seen),
        f"prepare {name}: longest time without progress, s": longest,
    }


def start(settings: Settings, name: str) -> dict[str, float]:
    """Launch a run on a sample and measure the time to its first step."""
    store = Store(settings)
    request = TrainRequest(config=SAMPLE, source=find_saved(settings, name))
    began = time.perf_counter()
    job = launch_training(store, request)
    phases: dict[str, float] = {}

    def is_waiting() -> bool:
        now = store.read_job(job.id)
        phases.setdefault(now.phase, time.perf_counter() - began)
        steps = any(metric.step >= 1 for metric in store.read_metrics(job.id))
        return not (steps or now.state.is_finished)

    while not store.read_job(job.id).pid and is_waiting():
        time.sleep(POLL_SECONDS)
    usage = watch(store.read_job(job.id).pid, is_waiting, began)
    stop_all(settings)
    print(name, {phase: round(seconds, 1) for phase, seconds in phases.items()}, file=sys.stderr)
    return describe(f"start a run, {name}, to the first step", usage)


def visit_pages(settings: Settings, name: str) -> dict[str, float]:
    """Open every page with a dataset in a new server."""
    figures: dict[str, float] = {}
    with sync_playwright() as playwright, timed_server(settings) as (server, url, log):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for visited in PAGES:
            before = len(read_times(log))
            page.goto(f"{url}/{visited}?data={name}")
            page.get_by_role("heading", level=1).wait_for(timeout=120_000)
            settle(page, log, before)
            wall, processor = map(sum, zip(*read_times(log)[before:], strict=True))
            figures |= {
                f"{name}: {visited}, first view, server s": wall / 1000,
                f"{name}: {visited}, first view, processor s": processor / 1000,
                f"{name}: {visited}, server memory, MB": server.memory_info().rss / MB,
            }
    return figures


def find_saved(settings: Settings, name: str) -> Source:
    source = saved_source(settings, name)
    return source or sys.exit(f"Add {name} first.")


def require_completed(job: Job) -> None:
    if job.state is not JobState.COMPLETED:
        sys.exit(f"{job.name} is {job.state}: {job.message}")


def watch(pid: int, is_unfinished: Callable[[], bool], began: float) -> Usage:
    """Measure a process until ``is_unfinished`` returns False."""
    processor, peak = 0.0, 0.0
    while is_unfinished():
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            processor = max(processor, times.user + times.system)
            status = Path(f"/proc/{pid}/status").read_text()
            peak = max(
                peak, *(int(size) / 1024 for size in re.findall(r"VmHWM:\s+(\d+)", status)), 0
            )
            if process.status() == psutil.STATUS_ZOMBIE:
                break
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(POLL_SECONDS)
    return Usage(time.perf_counter() - began, processor, peak)


def describe(name: str, usage: Usage) -> dict[str, float]:
    return {
        f"{name}, s": usage.seconds,
        f"{name}, processor s": usage.processor,
        f"{name}, peak memory, MB": usage.peak,
    }


if __name__ == "__main__":
    main()
