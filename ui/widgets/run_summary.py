"""Summary of a run for lists and headers, also where its record or files are damaged, and the
download of its report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.config import RunConfig
from core.data.recipe import describe_effect
from core.errors import ArtifactDamaged, LoraLabError
from core.evaluation.scores import Proportion
from core.reports.run_report import HtmlReport, render, write_in_process
from core.runs.requests import TrainRequest, describe_precision, read_proposal
from core.runs.run import Run
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import localize, mark, translate
from ui.session.cache import BoundedCache
from ui.text import format_per_cent, plain
from ui.widgets.job_state import DAMAGED, DIAGNOSED, LOOKS, Look

EXAMPLE = mark("Example, included with the project")
MOST_CACHED = 2000  # runs; a summary takes about 1 KB, a curve some dozens of numbers
REPORT_HELP = mark(
    "One HTML file with scores, charts and configuration. It opens offline and without this app."
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in lists and headers; its damage is a value.

    ``readable`` is False where the record is damaged. Then ``request`` and the scores are None,
    and ``run.result`` raises ArtifactDamaged. ``proposed`` is the configuration of the retry that
    a failure proposes.
    """

    run: Run
    readable: bool = True
    problem: ArtifactDamaged | None = None
    proposed: RunConfig | None = None

    @property
    def job(self) -> Job:
        """The record of the run."""
        return self.run.job

    @property
    def request(self) -> TrainRequest | None:
        """The request; None where the record is damaged."""
        return self.run.request if self.readable else None

    @property
    def test(self) -> Proportion | None:
        """Accuracy on the test split."""
        return self.run.test if self.readable else None

    @property
    def tfidf(self) -> Proportion | None:
        """Accuracy of TF-IDF on the test split, once the baselines are fitted."""
        return self.run.result.find_accuracy("tfidf") if self.readable else None

    @property
    def untrained(self) -> Proportion | None:
        """Accuracy of the untrained model."""
        return self.run.untrained if self.readable else None

    @property
    def look(self) -> Look:
        """Word, icon and color of the run's state."""
        if self.problem:
            return DAMAGED
        finished = self.job.state is JobState.COMPLETED
        return DIAGNOSED if finished and self.run.result.diagnosis else LOOKS[self.job.state]

    @property
    def bundled(self) -> bool:
        """Whether the run is bundled with the project."""
        return self.run.bundled

    @property
    def name(self) -> str:
        """The run's name, or its id if it has no name."""
        return self.run.name


_summaries: BoundedCache[Path, tuple[bool, Summary]] = BoundedCache(MOST_CACHED)
_accuracies: BoundedCache[tuple[Path, int], list[float]] = BoundedCache(MOST_CACHED)


def summarize(store: Store, job: Job) -> Summary:
    """Summarize the run; damage is a value here, so that one run cannot break the whole list.

    Cached until its record changes: a class has hundreds of runs, and every page lists them.
    """
    run = Run.of(store, job)
    complete = job.state is not JobState.COMPLETED or run.has_predictions()
    known = _summaries.get(run.folder)
    if known is None or known[0] != complete or known[1].job != job:
        known = _summaries.put(run.folder, (complete, _summarize(run, complete)))
    return known[1]


def _summarize(run: Run, complete: bool) -> Summary:
    try:
        run.require_readable()
        proposed = read_proposal(run.job)
    except ArtifactDamaged as error:
        return Summary(run, False, error)
    if not complete and not (run.imported and run.test is None):
        problem = ArtifactDamaged(
            "The predictions of this finished run are missing.",
            "Delete the run, or clone it and train again.",
        )
        return Summary(run, problem=problem)
    return Summary(run, proposed=proposed)


def read_accuracies(store: Store, jobs: Sequence[Job]) -> dict[str, list[float]]:
    """Return validation accuracies over time by run id, for sparklines; finished runs only."""
    over = [job for job in jobs if job.state.is_finished]
    curves = {job.id: _accuracies.get((store.get_folder(job), job.version)) for job in over}
    if missing := [job for job in over if curves[job.id] is None]:
        read = store.read_accuracies([job.id for job in missing])
        for job in missing:
            curve = read.get(job.id, [])
            curves[job.id] = _accuracies.put((store.get_folder(job), job.version), curve)
    return {run_id: curve for run_id, curve in curves.items() if curve is not None}


def draw_origin(summary: Summary) -> None:
    """Draw where the run comes from and what it was trained on, in one line."""
    job, request = summary.job, summary.request
    parts = [translate(EXAMPLE)] if summary.bundled else []
    if request and summary.run.imported:
        parts.append(f"Imported from {plain(str(summary.run.result.imported))}")
        if not summary.run.result.base_known:
            parts.append("the adapter does not record the weights of its base model")
    if request:
        data = (
            f"{plain(request.source.name)}{f' `{job.fingerprint[:8]}`' if job.fingerprint else ''}"
        )
        cleaned = f", cleaned: {plain(describe_effect(request.recipe))}" if request.recipe else ""
        parts += [
            plain(request.config.model),
            data + cleaned,
            *([translate("preset {value}", value=plain(request.preset))] if request.preset else []),
        ]
        precision = describe_precision(job, request)
        parts += [translate("precision {format}", format=precision)] if request.numerics else []
        if request.guess is not None:
            guess = localize(format_per_cent(request.guess))
            parts.append(translate("guess {accuracy}", accuracy=guess))
    st.caption(
        " · ".join(
            [
                *parts,
                f"id `{job.id}`",
                *([translate("attempt {n}", n=job.attempt)] if job.attempt > 1 else []),
            ]
        )
    )


def draw_report_button(store: Store, jobs: Sequence[Job]) -> None:
    """Draw the download button; the report of several runs is their comparison."""
    name = jobs[0].name or jobs[0].id
    stem = (
        "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]
        if len(jobs) == 1
        else "comparison"
    )
    st.download_button(
        translate("Download report"),
        data=lambda: _write_report(store, jobs),
        file_name=f"{stem}.html",
        mime="text/html",
        key="report",
        on_click="ignore",
        icon=":material/description:",
        help=translate(REPORT_HELP),
    )


def _write_report(store: Store, jobs: Sequence[Job]) -> bytes:
    """Return the report or, since the download has already begun, a page with the error."""
    try:
        return write_in_process(store, jobs)
    except LoraLabError as error:
        return render(HtmlReport("No report", [error.message, error.fix], "", []))
