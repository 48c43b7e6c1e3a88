"""All runs of a class beside each other, best first, without an order where the texts do not decide
it.
"""

from dataclasses import dataclass

from core.errors import ArtifactDamaged
from core.evaluation.scores import Proportion
from core.people.accounts import people
from core.people.classroom import Rules
from core.runs.run import is_imported
from core.storage.job import Job, JobKind
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store

CLOSE = "too close to call"


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One finished run. ``who`` is empty where names are not shown; ``minutes`` are those of all
    threads together.
    """

    job: Job
    who: str
    test: Proportion
    minutes: float | None
    trained: int | None
    place: str
    guess: float | None = None


def read_leaderboard(store: Store, rules: Rules) -> list[LeaderboardRow]:
    """The runs that have been scored on test texts, the most accurate first.

    A run whose 95 % interval reaches into that of the first one is not ranked behind it but called
    too close to call: with so few texts another draw might turn them round. Damaged runs are left
    out.
    """
    names = {visitor.id: visitor.name for visitor in people(store)}
    found = [
        scored
        for job in store.jobs(JobKind.TRAIN)
        if job.owner not in BUNDLED_OWNERS and (scored := _scored(job))
    ]
    found.sort(key=lambda pair: pair[1].value, reverse=True)
    lines = []
    for number, (job, test) in enumerate(found):
        shown = rules.names or store.visitor.in_charge or job.owner == store.visitor.id
        lines.append(
            LeaderboardRow(
                job,
                names.get(job.owner, "") if shown else "",
                test,
                _minutes(job),
                _trained(job),
                _place(number, test, found),
                _guess(job),
            )
        )
    return lines


def _place(number: int, test: Proportion, found: list[tuple[Job, Proportion]]) -> str:
    first = found[0][1]
    close = [other for _, other in found[1:] if other.interval[1] >= first.interval[0]]
    if test.interval[1] >= first.interval[0]:
        return CLOSE if close else "first"
    return str(number + 1)


def _scored(job: Job) -> tuple[Job, Proportion] | None:
    try:
        if is_imported(job):  # its predictions are somebody's word
            return None
        match job.result.get("test"):
            case {"hits": int(hits), "rows": int(rows)} if 0 <= hits <= rows and rows:
                return job, Proportion(hits, rows)
    except ArtifactDamaged:
        pass
    return None


def _guess(job: Job) -> float | None:
    guess = job.request.get("guess")
    return float(guess) if isinstance(guess, int | float) else None


def _minutes(job: Job) -> float | None:
    seconds, cost = job.result.get("train_seconds"), job.result.get("threads")
    threads = cost if isinstance(cost, int) else 1
    return round(float(seconds) * threads / 60, 1) if isinstance(seconds, int | float) else None


def _trained(job: Job) -> int | None:
    cost = job.result.get("cost")
    trained = cost.get("trained") if isinstance(cost, dict) else None
    return int(trained) if isinstance(trained, int | float) else None
