"""Baselines of a run: as a sentence, as rules of a chart, and the button that computes them."""

from collections.abc import Sequence

import streamlit as st

from core.access import Action, is_allowed
from core.config import RunConfig
from core.errors import ArtifactDamaged
from core.evaluation.baselines import Baseline
from core.jobs.launching import find_latest, launch, read_job_result
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import Run, read_result
from core.runs.run_baselines import (
    FITTED,
    BaselineRequest,
    BaselineResult,
    Fitted,
    baseline_path,
    read_baselines,
)
from core.storage.job import Job
from core.storage.store import Store
from core.translation import localize, mark, translate
from ui.text import format_accuracy, plain
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

WHAT = mark(
    "Majority class: always the most frequent class. TF-IDF: weighted word counts and logistic"
    " regression on the same training rows. Linear probe: logistic regression on the frozen model's"
    " vectors. Untrained: the base model with a random head."
)


def read(store: Store, job: Job) -> list[Fitted]:
    """Return the available baselines of the run, the simplest first. Shared: never change them.

    Empty if the run has not read its data yet.
    """
    try:
        run = Run.of(store, job)
        config, classes = run.config, len(run.classes)
    except ArtifactDamaged:
        return []
    request = BaselineRequest.of(job.fingerprint, config)
    paths = [baseline_path(store.settings, request, baseline) / "card.json" for baseline in FITTED]
    paths.append(artifacts.predictions_path(store.get_folder(job), "untrained"))
    written = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)
    return _read(
        str(store.get_folder(job)),
        job.version,
        tuple(map(str, paths)),
        written,
        store,
        job,
        config,
        classes,
    )


def list_levels(fitted: Sequence[Fitted]) -> dict[str, float]:
    """Map each baseline's name to its test accuracy, for the rules of a chart."""
    return {
        str(baseline.baseline): baseline.predictions.scores.accuracy.value
        for baseline in fitted
        if len(baseline.predictions)
    }


def describe(store: Store, job: Job) -> str:
    """Return ``Baselines on test texts: TF-IDF 86.8 % ± 0.8, …``.

    Empty if there is none except the untrained score.
    """
    fitted = read(store, job)
    if not any(baseline.baseline in FITTED for baseline in fitted):
        return ""
    parts = [
        f"{translate(str(baseline.baseline))}"
        f" {localize(format_accuracy(baseline.predictions.scores.accuracy))}"
        for baseline in fitted
        if len(baseline.predictions)
    ]
    return translate("Baselines on test texts: {baselines}.", baselines=", ".join(parts))


def draw_sentence(store: Store, job: Job) -> None:
    """Draw the sentence, if there is one."""
    if text := describe(store, job):
        st.caption(text, help=translate(WHAT))


def draw(store: Store, job: Job) -> None:
    """Draw the baselines of a finished run, and the progress or start of the missing ones."""
    draw_sentence(store, job)
    try:
        request = read_train_request(job)
    except ArtifactDamaged:  # the page already shows the error
        return
    present = {fitted.baseline for fitted in read(store, job)}
    if not job.fingerprint or all(baseline in present for baseline in FITTED):
        return
    baselines = BaselineRequest.of(job.fingerprint, request.config, request.recipe)
    _draw_missing(store, job, baselines, Baseline.TFIDF in present)


def _draw_missing(store: Store, job: Job, request: BaselineRequest, partly: bool) -> None:
    latest = find_latest(store, request)
    words = PanelWords(
        "stop-baselines",
        failed=translate("The baselines were not computed."),
        waiting=mark("Baselines are computed when no run is training or waiting."),
        is_optional=True,
    )
    result = (
        read_job_result(latest, BaselineResult) if latest and latest.state.is_finished else None
    )
    if partly and result and result.left_out:
        st.caption(f"{translate('Without the linear probe.')} {plain(result.left_out)}")
        return
    # not for the bundled example and for deleted data
    may_start = (
        is_allowed(store.visitor, Action.WORK)
        and (store.settings.prepared / request.original).is_dir()
    )
    start = StartButton(
        translate("Compute baselines"),
        "baselines",
        lambda: launch(store, request, read_result(job).data or job.name),
        icon=":material/horizontal_rule:",
        help=" ".join(
            (
                translate(WHAT),
                translate(
                    "Takes about a minute on two cores, in the background, once per dataset."
                ),
            )
        ),
    )
    job_panel.draw(store, latest, words, start if may_start else None)


# a comparison has up to ten runs; each takes about 2 MB at 7,600 test rows
@st.cache_resource(max_entries=16, show_spinner=False)
def _read(
    folder: str,
    version: int,
    paths: tuple[str, ...],
    written: tuple[int, ...],
    _store: Store,
    _job: Job,
    _config: RunConfig,
    _classes: int,
) -> list[Fitted]:
    return read_baselines(_store, _job, _config, _classes)
