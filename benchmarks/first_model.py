"""Accuracy of the preset Quick against TF-IDF and logistic regression on small data of many shapes.

    python benchmarks/first_model.py --seeds 1 2 3
    LORALAB_DATA=FOLDER python benchmarks/first_model.py --sets real-news --home RUNS

The runs and their baselines are queued as a page queues them, in a new home folder, or in
``--home``, where they can be looked at afterwards. For each run it prints both accuracies on the
same test texts, the paired 95 % interval of the difference, the minutes and the diagnosis. It fails
if a run is significantly worse than TF-IDF, or has a diagnosis.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.small_data import SHAPES, write_news, write_shape
from core.cli.output import wait_for_run
from core.data.preparation import prepare
from core.data.sources import Source, demo_source, folder_source
from core.estimate.inputs import data_facts
from core.jobs import actions
from core.jobs.launching import find_latest
from core.presets import Preset, make_config
from core.runs.diagnosis import diagnose
from core.runs.evidence import read_evidence
from core.runs.requests import TrainRequest, read_train_request
from core.runs.run import Run
from core.runs.run_baselines import BaselineRequest
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.recovery import open_store
from core.storage.store import Store

SETS = ("demo", "real-news", *(name.replace(" ", "-") for name in SHAPES))
POLL_SECONDS = 1.0


def main() -> None:
    """Train the chosen sets with the chosen seeds, compare, and print one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--home", type=Path, help="home folder of the runs; default: a new one")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        store = open_store(Settings(home=arguments.home or Path(temporary) / "home", hub=False))
        failed = []
        for name in arguments.sets:
            source = make_source(name, Path(temporary) / "data")
            if source is None:
                print(f"{name}: left out, LORALAB_DATA is not set", file=sys.stderr)
                continue
            for seed in arguments.seeds:
                line = compare_with_tfidf(store, train_quick(store, source, name, seed))
                print(json.dumps(asdict(line)) if arguments.json else line, flush=True)
                failed += [line.run] if line.high < 0 or line.diagnosis else []
    if failed:
        sys.exit(f"worse than TF-IDF, or diagnosed: {', '.join(failed)}")


def make_source(name: str, folder: Path) -> Source | None:
    """Write the data of a set and return its source; None without real news texts."""
    if name == "demo":
        return demo_source()
    if name == "real-news":
        written = write_news(folder)
        return folder_source(written) if written else None
    return folder_source(write_shape(name.replace("-", " "), folder))


def train_quick(store: Store, source: Source, name: str, seed: int) -> Job:
    """Train the preset Quick and wait for the run and its baselines."""
    dataset = prepare(store.settings, source, lambda progress: None, lambda: False)
    config = make_config(Preset.QUICK, {"seed": seed}, data_facts(dataset).size)
    request = TrainRequest(config=config, source=source, preset=Preset.QUICK)
    return train(store, request, f"{name}-{seed}")


def train(store: Store, request: TrainRequest, name: str) -> Job:
    """Train a run and wait for its end and for TF-IDF."""
    job = actions.launch_training(store, request, name=name)
    wait_for_run(store, job)
    job = store.read_job(job.id)
    if job.state is not JobState.COMPLETED:
        return job
    baselines = BaselineRequest.of(job.fingerprint, read_train_request(job).config)
    while (latest := find_latest(store, baselines)) is None or not latest.state.is_finished:
        if latest and "tfidf" in store.read_job(job.id).result:
            actions.stop(store, latest)  # the linear probe takes longer and is not compared
            break
        actions.resume_queue(store)
        time.sleep(POLL_SECONDS)
    return store.read_job(job.id)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracies of a run and of TF-IDF on the same test texts, the paired 95 % interval of their
    difference, and the run's diagnosis, which is empty if no problem was found.
    """

    run: str
    rows: int
    steps: int
    accuracy: float
    tfidf: float
    low: float
    high: float
    minutes: float
    diagnosis: str

    def __str__(self) -> str:
        return (
            f"{self.run:<16} {self.rows:>6,} rows {self.steps:>5,} steps {self.accuracy:>6.1%}"
            f" against {self.tfidf:.1%}, difference {self.low:+.1%} to {self.high:+.1%},"
            f" {self.minutes:.1f} min{f', {self.diagnosis}' if self.diagnosis else ''}"
        )


def compare_with_tfidf(store: Store, job: Job) -> Comparison:
    """Compare the run with TF-IDF on the same test texts."""
    run = Run.of(store, job)
    evidence = read_evidence(store, run)
    paired, test, tfidf = evidence.against_tfidf, evidence.test, evidence.tfidf
    if paired is None or test is None or tfidf is None:
        sys.exit(f"{job.name} or its baselines did not finish: {job.state} {job.message}")
    diagnosis = diagnose(evidence)
    return Comparison(
        job.name,
        run.result.trained_rows or 0,
        run.result.steps or 0,
        test.scores.accuracy.value,
        tfidf.scores.accuracy.value,
        *paired.interval,
        round(job.elapsed_seconds(0) / 60, 2),
        diagnosis.id if diagnosis else "",
    )


if __name__ == "__main__":
    main()
