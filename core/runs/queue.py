"""The queue of runs: when each one is expected to start.

A run waits for the rest of the running one, and for the estimated time of those before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from core.access import Visitor
from core.errors import ArtifactDamaged
from core.estimate.estimate import Estimate, remaining_seconds
from core.people.fair_order import sort_fairly
from core.runs.local_estimate import estimate_request, untrained_cache_key
from core.runs.requests import read_train_request
from core.storage.accounts import count_started_runs
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.store import Store

# seconds of a part of a step and a checkpoint; after 30 the supervisor kills the worker
STOPPING = (0.0, 3.0, 30.0)
MOST_KNOWN = 500  # estimates kept; a class of 30 has at most 90 runs in the queue


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from now; between ``low`` and ``high`` in nine of ten cases."""

    low: float
    likely: float
    high: float

    def then(self, low: float, likely: float, high: float) -> "Wait":
        """Add the duration of another run. Both depend on the same machine's speed, so the ranges
        add up.
        """
        return Wait(self.low + low, self.likely + likely, self.high + high)


@dataclass(frozen=True, slots=True)
class Turn:
    """A queued run, the number of runs before it (running ones included), and its wait; None if
    unknown.
    """

    job: Job
    ahead: int
    wait: Wait | None


def read_queue(store: Store) -> list[Turn]:
    """List the queued runs in the order in which they start."""
    waiting = store.jobs(JobKind.TRAIN, JobState.QUEUED)
    if not waiting:
        return []
    running = store.jobs(JobKind.TRAIN, *ACTIVE)
    wait: Wait | None = Wait(0.0, 0.0, 0.0)
    for job in running:
        rest = _estimate_rest(store, job)
        wait = wait.then(rest.low, rest.likely, rest.high) if wait and rest else None
    # with a wait, the requests of running jobs are readable: their estimates have read them
    known = [job for job in running if job.state is not JobState.STOPPING] if wait else []
    scored = {untrained_cache_key(read_train_request(job)) for job in known}
    turns = []
    for place, job in enumerate(
        sort_fairly(waiting, count_started_runs(store)), start=len(running)
    ):
        if job.message:  # it waits for disk or memory, and so do the runs behind it
            wait = None
        turns.append(Turn(job, place, wait))
        expected = _expected(store, job) if wait else None
        if wait is None or expected is None:
            wait = None
            continue
        shared = untrained_cache_key(read_train_request(job))
        wait = wait.then(*_estimate_whole(store, job, expected, shared in scored))
        scored.add(shared)
    return turns


def find_turn(turns: Sequence[Turn], job: Job) -> Turn | None:
    """Find the turn of a run; None if it is not queued."""
    return next((turn for turn in turns if turn.job.id == job.id), None)


def next_turn(turns: Sequence[Turn], visitor: Visitor) -> Turn | None:
    """Find the visitor's run that starts first; None if none is queued."""
    return next((turn for turn in turns if turn.job.owner == visitor.id), None)


def _estimate_rest(store: Store, job: Job) -> Wait | None:
    """Estimate the time left of a running job."""
    if job.state is JobState.STOPPING:
        return Wait(*STOPPING)
    expected = _expected(store, job)
    left = remaining_seconds(expected, job, store.read_metrics(job.id), store.clock())
    if expected is None or left is None:
        return None
    return Wait(left * expected.speed.low, left, left * expected.speed.high)


def _estimate_whole(
    store: Store, job: Job, expected: Estimate, scored: bool
) -> tuple[float, float, float]:
    """Estimate the seconds of a queued run, without the steps of an earlier attempt.

    ``scored``: a run before it scores the same untrained model.
    """
    likely = expected.likely_seconds - (expected.untrained_seconds if scored else 0.0)
    if job.attempt > 1:
        done = max((metric.step for metric in store.read_metrics(job.id)), default=0)
        likely -= expected.train_seconds * min(1.0, done / max(1, expected.steps))
    return likely * expected.speed.low, likely, likely * expected.speed.high


def _expected(store: Store, job: Job) -> Estimate | None:
    """The estimate for a run, kept until another run or measurement ends: pages ask for all of them
    every two seconds.
    """
    known = _estimates(str(store.settings.home))
    key = (job.request_json, store.count_completed(JobKind.TRAIN, JobKind.CALIBRATE))
    if key not in known:
        if len(known) >= MOST_KNOWN:
            known.clear()
        try:
            expected = estimate_request(store, read_train_request(job))
        except ArtifactDamaged:  # its worker will say so
            return None
        if expected is None:  # its data may be prepared at any time
            return None
        known[key] = expected
    return known[key]


@cache  # of one home, at most ``MOST_KNOWN``
def _estimates(home: str) -> dict[tuple[str, int], Estimate]:
    return {}
