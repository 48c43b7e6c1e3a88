"""The queue of runs: when each one is expected to start.

A run waits until the running one and the queued ones before it have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.access import Visitor
from core.errors import ArtifactDamaged
from core.estimate.estimate import Estimate, remaining_seconds
from core.runs.local_estimate import (
    estimate_request,
    normalize_for_estimate,
    untrained_cache_key,
)
from core.runs.requests import TrainRequest, read_train_request
from core.settings import Settings
from core.storage.job import UNFINISHED, Job, JobKind, JobState, sort_fairly
from core.storage.store import Store

SHARED_SECONDS = 2.0  # of an estimate that visitors of a server share
# seconds until a stopped worker has saved a checkpoint; after 30 the supervisor kills it
STOPPING = (0.0, 3.0, 30.0)


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from now; between ``low`` and ``high`` in nine of ten cases."""

    low: float
    likely: float
    high: float

    def add(self, low: float, likely: float, high: float) -> "Wait":
        """Add the duration of another run.

        The ranges add up, because both depend on the speed of the same machine.
        """
        return Wait(self.low + low, self.likely + likely, self.high + high)


@dataclass(frozen=True, slots=True)
class Turn:
    """The place of a run in the queue.

    Args:
        job: The queued run.
        ahead: Number of queued and running runs before it.
        wait: Time until it starts; None if unknown.
    """

    job: Job
    ahead: int
    wait: Wait | None


def read_queue(store: Store) -> list[Turn]:
    """List the queued runs in the order in which they start.

    On a server the estimates are up to two seconds old; a change of state counts at once.
    """
    unfinished = store.list_jobs(JobKind.TRAIN, states=UNFINISHED)
    if all(job.state.is_active for job in unfinished):
        return []
    stamp = tuple((job.id, job.state, job.attempt, job.message) for job in unfinished)
    return store.share_for(
        SHARED_SECONDS, ("queue", stamp), lambda: _estimate_turns(store, unfinished)
    )


def _estimate_turns(store: Store, unfinished: Sequence[Job]) -> list[Turn]:
    waiting = [job for job in unfinished if job.state is JobState.QUEUED]
    running = [job for job in unfinished if job.state.is_active]
    wait: Wait | None = Wait(0.0, 0.0, 0.0)
    for job in running:
        left = _estimate_time_left(store, job)
        wait = wait.add(left.low, left.likely, left.high) if wait and left else None
    # if there is a wait, every running job has an estimate, so its request is readable
    training = [job for job in running if job.state is not JobState.STOPPING] if wait else []
    scored = {untrained_cache_key(_read_normalized(store, job)) for job in training}
    turns = []
    started = store.count_started(JobKind.TRAIN)
    for place, job in enumerate(sort_fairly(waiting, started), start=len(running)):
        if job.message:  # it waits for disk or memory, and so do the runs behind it
            wait = None
        turns.append(Turn(job, place, wait))
        estimate = _estimate_job(store, job) if wait else None
        if wait is None or estimate is None:
            wait = None
            continue
        key = untrained_cache_key(_read_normalized(store, job))
        wait = wait.add(*_estimate_duration(store, job, estimate, key in scored))
        scored.add(key)
    return turns


def find_turn(turns: Sequence[Turn], job: Job) -> Turn | None:
    """Find the turn of a run; None if it is not queued."""
    return next((turn for turn in turns if turn.job.id == job.id), None)


def find_next_turn(turns: Sequence[Turn], visitor: Visitor) -> Turn | None:
    """Find the visitor's run that starts first; None if none is queued."""
    return next((turn for turn in turns if turn.job.owner == visitor.id), None)


def _estimate_time_left(store: Store, job: Job) -> Wait | None:
    """Estimate the seconds until a running job ends; None if unknown."""
    if job.state is JobState.STOPPING:
        return Wait(*STOPPING)
    estimate = _estimate_job(store, job)
    left = remaining_seconds(estimate, job, store.read_metrics(job.id), store.clock())
    if estimate is None or left is None:
        return None
    return Wait(left * estimate.speed.low, left, left * estimate.speed.high)


def _estimate_duration(
    store: Store, job: Job, estimate: Estimate, scored: bool
) -> tuple[float, float, float]:
    """Return the low, likely and high seconds of a queued run without its completed steps.

    ``scored`` is whether a run before it scores the same untrained model.
    """
    likely = estimate.likely_seconds - (estimate.untrained_seconds if scored else 0.0)
    if job.attempt > 1:
        done = max((metric.step for metric in store.read_metrics(job.id)), default=0)
        likely -= estimate.train_seconds * min(1.0, done / max(1, estimate.steps))
    return likely * estimate.speed.low, likely, likely * estimate.speed.high


def _estimate_job(store: Store, job: Job) -> Estimate | None:
    """Estimate a run; None without prepared data or with a damaged record."""
    completed = store.count_completed(JobKind.TRAIN, JobKind.CALIBRATE)
    try:
        return estimate_queued(store.settings, _read_normalized(store, job), completed)
    except (ArtifactDamaged, LookupError):
        return None


def _read_normalized(store: Store, job: Job) -> TrainRequest:
    return normalize_for_estimate(store.settings, read_train_request(job))


@lru_cache(maxsize=500)  # a class of 30 has at most 90 runs in the queue
def estimate_queued(settings: Settings, request: TrainRequest, completed: int) -> Estimate:
    """Estimate a run. The result is cached, because pages read the queue every two seconds.

    Args:
        settings: Settings with the home folder of the run.
        request: The request of the run.
        completed: Number of completed runs and calibrations, each of which refines the estimates.

    Raises:
        LookupError: There is no estimate yet. It is not cached: the data may be prepared any time.
    """
    estimate = estimate_request(Store(settings, create=False), request)
    if estimate is None:
        raise LookupError("the data of the run are not prepared")
    return estimate
