"""The order in which queued runs of several owners start.

Free of pydantic: the supervisor imports it and stays small.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from core.access import GUEST_PREFIX
from core.storage.job import Job


def sort_fairly(queued: Iterable[Job], started: Mapping[str, int]) -> list[Job]:
    """Sort queued runs into the order in which they start.

    Owners take turns: no second run of an owner starts before the first run of every other owner.
    Within a turn the oldest run is first. All guests together count as one owner.

    Args:
        queued: Runs that wait.
        started: Number of runs of each owner that have started so far.
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
