"""What a list says of a run, also of one whose record or files are damaged."""

from dataclasses import dataclass

import streamlit as st

from core.config import RunConfig
from core.data.recipe import describe_effect
from core.errors import ArtifactDamaged
from core.evaluation.scores import Proportion
from core.jobs import artifacts
from core.jobs.importing import is_imported
from core.jobs.rebuild import SHIPPED_OWNER
from core.jobs.requests import TrainRequest, read_proposal, read_train_request
from core.states import Job, JobState
from core.store import Store
from ui.states import DAMAGED, LOOKS, Look
from ui.words import plain

EXAMPLE = "Example, shipped with the project"


@dataclass(frozen=True, slots=True)
class Summary:
    """One run as lists and headers show it; ``problem`` says what is damaged, ``proposed`` what a retry would be."""

    job: Job
    request: TrainRequest | None
    test: Proportion | None
    untrained: Proportion | None
    problem: ArtifactDamaged | None = None
    proposed: RunConfig | None = None

    @property
    def look(self) -> Look:
        """Its state's word, icon and colour."""
        return DAMAGED if self.problem else LOOKS[self.job.state]

    @property
    def shipped(self) -> bool:
        """Whether it came with the project."""
        return self.job.owner == SHIPPED_OWNER

    @property
    def name(self) -> str:
        """Its name, or its id where it has none."""
        return self.job.name or self.job.id


def summarise(store: Store, job: Job) -> Summary:
    """What is known of the run; damage is a value here, so that one run never takes the list down."""
    try:
        request, result, proposed = read_train_request(job), job.result, read_proposal(job)
        test, untrained = _proportion(result.get("test")), _proportion(result.get("untrained"))
    except ArtifactDamaged as error:
        return Summary(job, None, None, None, error)
    finished = job.state is JobState.COMPLETED and not (is_imported(job) and test is None)
    if finished and not artifacts.predictions_path(store.folder(job), "test").is_file():
        problem = ArtifactDamaged("The predictions of this finished run are missing.", "Delete the run, or clone it and train again.")
        return Summary(job, request, test, untrained, problem)
    return Summary(job, request, test, untrained, proposed=proposed)


def accuracies(store: Store, job: Job) -> list[float]:
    """Validation accuracy over time, for a sparkline; empty while the run is at work, whose own curves are live."""
    return _accuracies(str(store.settings.home), job.id, job.version, store) if job.state.over else []


def badge(summary: Summary) -> None:
    """The state as a coloured badge."""
    st.badge(summary.look.word, icon=summary.look.icon, color=summary.look.colour)  # type: ignore[arg-type]


def draw_origin(summary: Summary) -> None:
    """Where the run comes from and on what it was trained, in one line."""
    job, request = summary.job, summary.request
    parts = [EXAMPLE] if summary.shipped else []
    if request and is_imported(job):
        parts.append(f"Imported from {plain(str(job.result['imported']))}")
    if request:
        data = f"{plain(request.source.name)}{f' `{job.fingerprint[:8]}`' if job.fingerprint else ''}"
        cleaned = f", cleaned: {plain(describe_effect(request.recipe))}" if request.recipe else ""
        parts += [plain(request.config.model), data + cleaned, *([f"preset {plain(request.preset)}"] if request.preset else [])]
    st.caption(" · ".join([*parts, f"id `{job.id}`", *([f"attempt {job.attempt}"] if job.attempt > 1 else [])]))


@st.cache_data(max_entries=200, show_spinner=False)  # a few dozen numbers each
def _accuracies(home: str, job_id: str, version: int, _store: Store) -> list[float]:
    return [metric.accuracy for metric in _store.read_metrics(job_id) if metric.accuracy is not None]


def _proportion(scores: object) -> Proportion | None:
    match scores:
        case {"hits": int(hits), "rows": int(rows)} if 0 <= hits <= rows and rows:
            return Proportion(hits, rows)
        case {"accuracy": int() | float() as accuracy, "rows": int(rows)} if 0 <= accuracy <= 1 and rows > 0:
            return Proportion(round(accuracy * rows), rows)
    return None
