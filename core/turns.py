"""Whose turn it is where several people wait. Free of pydantic: the supervisor stays small."""

from collections import Counter
from collections.abc import Iterable, Mapping

from core.access import GUEST_PREFIX
from core.states import Job


def in_turn(queued: Iterable[Job], started: Mapping[str, int]) -> list[Job]:
    """Queued runs in the order in which they start: by turns of their owners, who have had ``started`` runs so far.

    Nobody's second run comes before everybody's first; within a turn the one that was asked for first is first. All guests together
    are one owner: each of their visits is a new one.
    """
    turns = Counter(started)
    turns[GUEST_PREFIX] = sum(runs for owner, runs in started.items() if owner.startswith(GUEST_PREFIX))
    placed = []
    for job in sorted(queued, key=lambda job: job.created_at):
        owner = GUEST_PREFIX if job.owner.startswith(GUEST_PREFIX) else job.owner
        placed.append((turns[owner], job.created_at, job.id, job))
        turns[owner] += 1
    return [job for *_, job in sorted(placed, key=lambda place: place[:3])]
