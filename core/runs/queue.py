"""When each waiting run is expected to start: its turn, what is left of the run under way, and what
those before it should take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from core.access import Visitor
from core.errors import ArtifactDamaged
from core.estimate.estimate import Estimate
from core.estimate.eta import remaining_seconds
from core.people.fair_order import fair_order
from core.runs.expected import expect_request, untrained_cache_key
from core.runs.requests import read_train_request
from core.storage.accounts import started_by_owner
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.store import Store

STOPPING = (
    0.0,
    3.0,
    30.0,
)  # seconds: a part of a step and a checkpoint; after 30 the supervisor kills
MOST_KNOWN = 500  # estimates kept; a class of 30 has at most 90 runs in the queue


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from now, meant to be between ``low`` and ``high`` nine times in ten."""

    low: float
    likely: float
    high: float

    def then(self, low: float, likely: float, high: float) -> "Wait":
        """Followed by something that takes so long. Both have the same machine's speed, so the
        ranges add up.
        """
        return Wait(self.low + low, self.likely + likely, self.high + high)


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting run: how many runs are before it, those under way included, and when it starts;
    None where nobody can tell.
    """

    job: Job
    ahead: int
    wait: Wait | None


def read_queue(store: Store) -> list[Turn]:
    """The waiting runs in the order in which they start."""
    waiting = store.jobs(JobKind.TRAIN, JobState.QUEUED)
    if not waiting:
        return []
    at_work = store.jobs(JobKind.TRAIN, *ACTIVE)
    wait: Wait | None = Wait(0.0, 0.0, 0.0)
    for job in at_work:
        left = _left(store, job)
        wait = wait.then(left.low, left.likely, left.high) if wait and left else None
    known = (
        [job for job in at_work if job.state is not JobState.STOPPING] if wait else []
    )  # an estimate has read their requests
    scored = {untrained_cache_key(read_train_request(job)) for job in known}
    turns = []
    for place, job in enumerate(fair_order(waiting, started_by_owner(store)), start=len(at_work)):
        if job.message:  # held back until there is room, and so are those behind it
            wait = None
        turns.append(Turn(job, place, wait))
        expected = _expected(store, job) if wait else None
        if wait is None or expected is None:
            wait = None
            continue
        shared = untrained_cache_key(read_train_request(job))
        wait = wait.then(*_whole(store, job, expected, shared in scored))
        scored.add(shared)
    return turns


def find_turn(turns: Sequence[Turn], job: Job) -> Turn | None:
    """The turn of that run; None where it does not wait."""
    return next((turn for turn in turns if turn.job.id == job.id), None)


def next_turn(turns: Sequence[Turn], visitor: Visitor) -> Turn | None:
    """The visitor's own run that starts first."""
    return next((turn for turn in turns if turn.job.owner == visitor.id), None)


def _left(store: Store, job: Job) -> Wait | None:
    """What is left of a run under way."""
    if job.state is JobState.STOPPING:
        return Wait(*STOPPING)
    expected = _expected(store, job)
    left = remaining_seconds(expected, job, store.read_metrics(job.id), store.clock())
    if expected is None or left is None:
        return None
    return Wait(left * expected.speed.low, left, left * expected.speed.high)


def _whole(store: Store, job: Job, expected: Estimate, scored: bool) -> tuple[float, float, float]:
    """Seconds of a run that has not begun, less the steps that an earlier attempt has taken.

    ``scored``: a run before it scores the untrained model for it, too.
    """
    likely = expected.likely_seconds - (expected.untrained_seconds if scored else 0.0)
    if job.attempt > 1:
        taken = max((metric.step for metric in store.read_metrics(job.id)), default=0)
        likely -= expected.train_seconds * min(1.0, taken / max(1, expected.steps))
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
            found = expect_request(store, read_train_request(job))
        except ArtifactDamaged:  # its worker will say so
            return None
        if found is None:  # its data may be prepared at any time
            return None
        known[key] = found
    return known[key]


@cache  # of one home, at most ``MOST_KNOWN``
def _estimates(home: str) -> dict[tuple[str, int], Estimate]:
    return {}
