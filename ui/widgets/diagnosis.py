"""The diagnosis of a finished run: one sentence, one action, and the button that applies it."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.access import Action, is_allowed
from core.config import name_field
from core.errors import ArtifactDamaged
from core.evaluation.baselines import Baseline
from core.runs.alerts import list_alerts
from core.runs.diagnosis import Diagnosis, diagnose_run
from core.runs.run import Run, RunAlert
from core.runs.run_baselines import BaselineRequest, baseline_path
from core.storage.job import Job
from core.storage.store import Store
from core.translation import translate, translate_recorded
from ui import navigation
from ui.session.cache import BoundedCache
from ui.text import format_setting, plain

MOST_CACHED = 500
_diagnoses: BoundedCache[tuple[Path, int, int], tuple[Diagnosis | None]] = BoundedCache(MOST_CACHED)


def read(store: Store, job: Job) -> Diagnosis | None:
    """Return the diagnosis of a run; None if nothing was found, or its record is damaged.

    Cached until the record or TF-IDF's predictions change.
    """
    run = Run.of(store, job)
    try:
        request = BaselineRequest.of(run.fingerprint, run.config, run.recipe)
        card = baseline_path(store.settings, request, Baseline.TFIDF) / "card.json"
        fitted = card.stat().st_mtime_ns if card.is_file() else 0
        key = (run.folder, run.version, fitted)
        known = _diagnoses.get_or_make(key, lambda: (diagnose_run(store, run),))
    except ArtifactDamaged:  # the page shows the error
        return None
    return known[0]


def draw(store: Store, job: Job) -> None:
    """Draw the diagnosis with its action, or that no problem was found."""
    diagnosis = read(store, job)
    if diagnosis is None:
        none = translate("No problem found in the curves and predictions.")
        st.caption(f":material/check: {none}")
        return
    with st.container(border=True, key="diagnosis", gap="xsmall"):
        sentence = plain(translate_recorded(diagnosis.sentence))
        st.markdown(f":orange[:material/troubleshoot: **{translate('Diagnosis')}**] {sentence}")
        changes = ", ".join(
            f"{name_field(name)} {format_setting(name, value)}"
            for name, value in diagnosis.changes.items()
        )
        advice = [translate_recorded(diagnosis.action)]
        if changes:
            advice.append(translate("Changes: {changes}.", changes=changes))
        st.caption(plain(" ".join(advice)))
        _draw_action(store, job, diagnosis)


def read_alerts(store: Store, job: Job) -> tuple[RunAlert, ...]:
    """Return the alerts of a run; none if its record is damaged, which the page shows."""
    try:
        return tuple(list_alerts(store, job))
    except ArtifactDamaged:
        return ()


def draw_alerts(job: Job, alerts: Sequence[RunAlert]) -> None:
    """Draw what went wrong while the run trains; once it is over, in one line."""
    if job.state.is_finished and alerts:
        listed = " ".join(
            translate(
                "Step {step:,}: {alert}", step=alert.step, alert=translate_recorded(alert.message)
            )
            for alert in alerts
        )
        title = translate("Alerts while it trained.")
        st.caption(f":material/notifications: {title} {plain(listed)}")
        return
    for alert in alerts:
        step = translate("Step {step:,}.", step=alert.step)
        message, action = map(translate_recorded, (alert.message, alert.action))
        st.warning(f"**{step}** {plain(message)} {plain(action)}", icon=":material/notifications:")


def _draw_action(store: Store, job: Job, diagnosis: Diagnosis) -> None:
    if not diagnosis.changes:
        navigation.link(navigation.QUALITY, translate("Check the data"))
    elif is_allowed(store.visitor, Action.LAUNCH) and st.button(
        translate("Clone with this fix"), key="fix-run", icon=":material/build:", type="primary"
    ):
        assignments = [
            f"{name}={','.join(value) if isinstance(value, tuple) else value}"
            for name, value in diagnosis.changes.items()
        ]
        navigation.open_page(navigation.TRAIN, clone=job.id, set=assignments)
