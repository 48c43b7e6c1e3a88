"""Summary of a run for lists and headers, also where its record or files are damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import streamlit as st

from core.config import RunConfig
from core.data.recipe import describe_effect
from core.errors import ArtifactDamaged
from core.evaluation.scores import Proportion
from core.runs import artifacts
from core.runs.requests import TrainRequest, describe_precision, read_proposal, read_train_request
from core.runs.run import is_imported
from core.runs.run_results import read_accuracies
from core.storage.job import Job, JobState
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store
from ui.text import per_cent, plain
from ui.widgets.job_state import DAMAGED, LOOKS, Look

EXAMPLE = "Example, included with the project"


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in lists and headers; ``problem`` is the damage, ``proposed`` the retry's
    settings.
    """

    job: Job
    request: TrainRequest | None
    test: Proportion | None
    untrained: Proportion | None
    problem: ArtifactDamaged | None = None
    proposed: RunConfig | None = None

    @property
    def look(self) -> Look:
        """Word, icon and colour of the run's state."""
        return DAMAGED if self.problem else LOOKS[self.job.state]

    @property
    def shipped(self) -> bool:
        """Whether the run is bundled with the project."""
        return self.job.owner in BUNDLED_OWNERS

    @property
    def name(self) -> str:
        """The run's name, or its id if it has no name."""
        return self.job.name or self.job.id


def summarise(store: Store, job: Job) -> Summary:
    """Summarise the run; damage is a value here, so that one run cannot break the whole list.

    Cached until its record changes: a class has hundreds of runs, and every page lists them.
    """
    complete = (
        job.state is not JobState.COMPLETED
        or artifacts.predictions_path(store.folder(job), "test").is_file()
    )
    known = _summaries(str(store.settings.home))
    cached = known.get(job.id)
    if cached is None or cached[0] != complete or cached[1].job != job:
        cached = known[job.id] = (complete, _summarise(job, complete))
    return cached[1]


def _summarise(job: Job, complete: bool) -> Summary:
    try:
        request, result, proposed = read_train_request(job), job.result, read_proposal(job)
        test, untrained = proportion(result.get("test")), proportion(result.get("untrained"))
    except ArtifactDamaged as error:
        return Summary(job, None, None, None, error)
    if not complete and not (is_imported(job) and test is None):
        problem = ArtifactDamaged(
            "The predictions of this finished run are missing.",
            "Delete the run, or clone it and train again.",
        )
        return Summary(job, request, test, untrained, problem)
    return Summary(job, request, test, untrained, proposed=proposed)


def accuracies(store: Store, jobs: Sequence[Job]) -> dict[str, list[float]]:
    """Return validation accuracies over time by run id, for sparklines; finished runs only."""
    known = _accuracies(str(store.settings.home))
    over = [job for job in jobs if job.state.over]
    if new := [job for job in over if (job.id, job.version) not in known]:
        curves = read_accuracies(store, [job.id for job in new])
        known.update({(job.id, job.version): curves.get(job.id, []) for job in new})
    return {job.id: known[job.id, job.version] for job in over}


def badge(summary: Summary) -> None:
    """Draw the state as a coloured badge."""
    st.badge(summary.look.word, icon=summary.look.icon, color=summary.look.colour)


def draw_origin(summary: Summary) -> None:
    """Draw where the run comes from and what it was trained on, in one line."""
    job, request = summary.job, summary.request
    parts = [EXAMPLE] if summary.shipped else []
    if request and is_imported(job):
        parts.append(f"Imported from {plain(str(job.result['imported']))}")
    if request:
        data = (
            f"{plain(request.source.name)}{f' `{job.fingerprint[:8]}`' if job.fingerprint else ''}"
        )
        cleaned = f", cleaned: {plain(describe_effect(request.recipe))}" if request.recipe else ""
        parts += [
            plain(request.config.model),
            data + cleaned,
            *([f"preset {plain(request.preset)}"] if request.preset else []),
        ]
        parts += [f"precision {describe_precision(job, request)}"] if request.numerics else []
        parts += [] if request.guess is None else [f"prediction {per_cent(request.guess)}"]
    st.caption(
        " · ".join(
            [*parts, f"id `{job.id}`", *([f"attempt {job.attempt}"] if job.attempt > 1 else [])]
        )
    )


@cache  # one home, and a kilobyte or so for each of its runs
def _summaries(home: str) -> dict[str, tuple[bool, Summary]]:
    return {}


@cache  # a few dozen numbers for each run
def _accuracies(home: str) -> dict[tuple[str, int], list[float]]:
    return {}


def proportion(scores: object) -> Proportion | None:
    """Read the accuracy of a split from a result; None if the values are invalid."""
    match scores:
        case {"hits": int(hits), "rows": int(rows)} if 0 <= hits <= rows and rows:
            return Proportion(hits, rows)
        case {"accuracy": int() | float() as accuracy, "rows": int(rows)} if (
            0 <= accuracy <= 1 and rows > 0
        ):
            return Proportion(round(accuracy * rows), rows)
    return None
