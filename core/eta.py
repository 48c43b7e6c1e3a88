"""Seconds until a run is over: what was estimated for it, corrected by the pace that is seen."""

from collections.abc import Sequence

from core.estimate import Estimate
from core.schema import Metric
from core.states import Job


def remaining_seconds(expected: Estimate | None, job: Job, metrics: Sequence[Metric], now: float) -> float | None:
    """Seconds until the end of ``job``, which expects ``expected`` (None where its data or model have gone).

    ``metrics`` are those of this run so far, in order; ``now`` is the time in seconds since 1970. None before anything can be said.
    """
    if expected is None or job.started_at is None or job.state.over:
        return None
    return max(0.0, expected.likely_seconds - (now - job.started_at))
