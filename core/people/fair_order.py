"""The order in which queued jobs of several owners start.

Free of pydantic: the supervisor imports it and stays small.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from core.access import GUEST_PREFIX
from core.storage.job import Job


def sort_fairly(queued: Iterable[Job], started: Mapping[str, int]) -> list[Job]:
    """Sort queued jobs into the order in which they start.

    The next job is one of the owner with the fewest started jobs, each job before it in the order
    included; among equals, the oldest. All guests together count as one owner.

    Args:
        queued: Jobs that wait.
        started: Number of jobs of each owner that have started so far, ever.
    """
    turns = Counter(started)
    turns[GUEST_PREFIX] = sum(
        runs for owner, runs in started.items() if owner.startswith(GUEST_PREFIX)
    )
    placed = []
    for job in sorted(queued, key=lambda job: job.created_at):
        owner = GUEST_PREFIX if job.owner.startswith(GUEST_PREFIX) else job.owner
        placed.append((turns[owner], job.created_at, job.id, job))
        turns[owner] += 1
    return [job for *_, job in sorted(placed, key=lambda entry: entry[:3])]
