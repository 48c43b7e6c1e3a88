"""A class in the queue.

    LORALAB_DATA=FOLDER python benchmarks/classroom.py --students 30 --second 5

Each student launches a Taste run at the same time, the first ``--second`` of them also a second
one, in a new home folder. The runs are real and are trained one after another; no pages are open
(``benchmarks/load.py`` simulates visitors). Printed: the time until all runs are done, whether a
first run waited while another student's second run was trained, and the error of the queue's start
estimates.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.access import Role, Visitor
from core.data.preparation import find_prepared, prepare
from core.data.sources import find_source
from core.jobs import actions
from core.presets import Preset, make_config
from core.runs.requests import TrainRequest
from core.runs.waiting_times import Wait, read_queue
from core.settings import Settings
from core.storage import accounts
from core.storage.job import BUNDLED_OWNERS, Job, JobKind, JobState
from core.storage.recovery import open_store
from core.storage.store import Store

POLL_SECONDS = 2.0  # as pages do
ASKED_EVERY_SECONDS = 30.0  # interval between two estimates


@dataclass
class QueueEstimates:
    """Estimates of the queue: for each run the times of asking and the estimated waits, None
    without an estimate.
    """

    estimates: dict[str, list[tuple[float, Wait | None]]] = field(default_factory=dict)

    def ask(self, store: Store) -> None:
        """Record the current estimates."""
        for turn in read_queue(store):
            if turn.ahead:
                self.estimates.setdefault(turn.job.id, []).append((store.clock(), turn.wait))

    def report(self, jobs: list[Job]) -> str:
        """Count the starts within the estimated range, and the median error of the likely start."""
        reported = [
            (at, wait, job.started_at)
            for job in jobs
            for at, wait in self.estimates.get(job.id, [])
            if job.started_at
        ]
        known = [(wait, started - at) for at, wait, started in reported if wait]
        if not known:
            return "start times: none was estimated"
        inside = sum(wait.low <= actual <= wait.high for wait, actual in known)
        off = [
            abs(wait.likely - actual) / actual for wait, actual in known if actual > POLL_SECONDS
        ]
        return (
            f"start times: {len(reported)} asked for,"
            f" {len(reported) - len(known)} without an estimate,"
            f" {inside} of {len(known)} starts lay in the range; the likely one was off by"
            f" {statistics.median(off):.0%} (median)"
        )


def main() -> None:
    """Queue, wait and report; return 1 if a run failed or a second run was trained too early."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="classroom-") as folder:
        os.environ["LORALAB_HOME"] = str(options.home or folder)
        os.environ["LORALAB_MODE"] = "classroom"
        store = open_store(Settings())
        source = find_source(store.settings)
        find_prepared(store.settings, source) or prepare(
            store.settings, source, lambda progress: None, lambda: False
        )
        began = time.monotonic()
        queue_all(store, options.students, options.second)
        estimates = follow(store)
        jobs = [job for job in store.list_jobs(JobKind.TRAIN) if job.owner not in BUNDLED_OWNERS]
        sys.exit(report(jobs, options.students, time.monotonic() - began, estimates))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--second", type=int, default=5, help="students who queue a second run")
    parser.add_argument("--home", type=Path, help="keep the home here; it must be new")
    return parser.parse_args()


def queue_all(store: Store, students: int, second: int) -> None:
    """Launch the runs of all students; the first ones launch twice before the others launch."""
    source, config = find_source(store.settings), make_config(Preset.TASTE, {})
    for number in range(students):
        store = store.for_visitor(Visitor(f"s{number:02d}", f"Student {number}", Role.STUDENT))
        accounts.add_person(store, store.visitor, f"benchmark {number}")
        for _ in range(2 if number < second else 1):
            actions.launch_training(
                store, TrainRequest(config=config, source=source, preset=Preset.TASTE)
            )


def follow(store: Store) -> QueueEstimates:
    """Wait until nothing is queued or running, with a line for each run on stderr."""
    estimates, requests, over = QueueEstimates(), 0.0, 0
    while jobs := [job for job in store.list_jobs(JobKind.TRAIN) if not job.state.is_finished]:
        actions.resume_queue(store)
        if time.monotonic() - requests > ASKED_EVERY_SECONDS:
            estimates.ask(store)
            requests = time.monotonic()
        ended = len(store.list_jobs(JobKind.TRAIN)) - len(jobs)
        if ended != over:
            over = ended
            print(f"{len(jobs)} runs left", file=sys.stderr)
        time.sleep(POLL_SECONDS)
    return estimates


def report(jobs: list[Job], students: int, seconds: float, estimates: QueueEstimates) -> int:
    """Print the results; return 1 if a promise is broken."""
    begun = sorted(jobs, key=lambda job: job.started_at or 0.0)
    each = [job.elapsed_seconds(0.0) for job in jobs]
    firsts = len({job.owner for job in begun[:students]})
    done = sum(job.state is JobState.COMPLETED for job in jobs)
    first_round = max((job.ended_at or 0.0) for job in begun[:students]) - min(
        job.created_at for job in jobs
    )
    print(
        f"{done} of {len(jobs)} runs finished in {seconds / 60:.1f} minutes; everybody's first"
        f" after {first_round / 60:.1f}"
    )
    print(
        f"a run took {statistics.median(each):.0f} s (median), {min(each):.0f} to {max(each):.0f}"
    )
    print(f"{firsts} of {students} students had a first run before anybody had a second")
    print(estimates.report(jobs))
    return int(done < len(jobs) or firsts < students)


if __name__ == "__main__":
    main()
