"""Sweeps: the form for one run per value with its estimate, and the sweep a run belongs to."""

import secrets

import streamlit as st

from core.access import Action, is_allowed
from core.config import RunConfig
from core.errors import ConfigError, LoraLabError
from core.jobs import actions
from core.runs.sweep import Sweep, estimate_sweep, find_sweep_runs, plan_sweep
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import translate, translate_plural
from ui import navigation
from ui.session import error_boundary
from ui.text import format_duration, plain
from ui.widgets.run_summary import Summary

USUAL = ("rank", "seed", "learning_rate", "train_rows")
EXAMPLES = {
    "rank": "2, 8, 32",
    "seed": "1, 2, 3",
    "learning_rate": "0.0005, 0.001, 0.002",
    "train_rows": "500, 2000, 8000",
}
KEY = "sweep-key"


def draw(store: Store, summary: Summary) -> None:
    """Draw the form for a sweep based on this run; nothing for a run with a damaged record."""
    if summary.request is None or not is_allowed(store.visitor, Action.LAUNCH_SWEEP):
        return
    section = st.expander(
        translate("Sweep a setting"),
        key="sweep",
        icon=":material/stacked_line_chart:",
        on_change="rerun",
    )
    if not section.open:
        return
    with section:
        st.caption(
            translate(
                "Queues this configuration once for each value. Three seeds show how much of a"
                " result is due to chance."
            )
        )
        names = [*USUAL, *(name for name in RunConfig.model_fields if name not in USUAL)]
        with st.container(horizontal=True, gap="medium"):
            field = st.selectbox(
                translate("Setting"),
                names,
                format_func=lambda name: translate(RunConfig.model_fields[name].title or name),
                key="sweep-field",
            )
            values = st.text_input(
                translate("Values"),
                value=EXAMPLES.get(field, ""),
                key=f"sweep-values-{field}",
                placeholder=translate("2 to 10 values, separated by commas"),
            )
        if not values.strip():
            return
        try:
            planned = plan_sweep(
                summary.job,
                field,
                values,
                str(st.session_state.setdefault(KEY, secrets.token_hex(4))),
            )
        except ConfigError as error:
            st.warning(f"{plain(error.message)} {plain(error.fix)}", icon=":material/edit:")
            return
        _draw_launch(store, planned)


def draw_membership(store: Store, job: Job) -> None:
    """Draw the progress of the sweep that the run belongs to, and a link to its comparison."""
    sweep = job.request.get("sweep")
    if not isinstance(sweep, str) or not sweep:
        return
    runs = find_sweep_runs(store, sweep)
    done = [run for run in runs if run.state is JobState.COMPLETED]
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        st.caption(
            translate_plural(
                "Part of a sweep of {n:,} run, {done} finished.",
                "Part of a sweep of {n:,} runs, {done} finished.",
                len(runs),
                done=len(done),
            ),
            width="content",
        )
        if len(done) > 1:
            navigation.link(
                navigation.COMPARE,
                translate("Compare the sweep"),
                compared=",".join(run.id for run in done),
            )


def _draw_launch(store: Store, planned: Sweep) -> None:
    expected = estimate_sweep(store, planned)
    known = [estimate for estimate in expected if estimate]
    if len(known) == len(expected):
        total, low, high = (
            sum(getattr(estimate, f"{name}_seconds") for estimate in known)
            for name in ("likely", "low", "high")
        )
        st.markdown(
            translate(
                "**{runs} runs, about {time} in total** ({low} to {high})",
                runs=len(expected),
                time=format_duration(total),
                low=format_duration(low),
                high=format_duration(high),
            )
        )
    else:
        st.markdown(
            translate(
                "**{runs} runs.** No time estimate: the data or the model is not on this machine.",
                runs=len(expected),
            )
        )
    st.text("\n".join(planned.names))
    if st.button(
        translate_plural("Queue {n:,} run", "Queue {n:,} runs", len(expected)),
        key="launch-sweep",
        type="primary",
        icon=":material/play_arrow:",
    ):
        try:
            jobs = actions.launch_sweep(store, planned)
        except LoraLabError as error:
            error_boundary.show(error)
            return
        st.session_state.pop(KEY)  # the next click, on a redrawn page, starts a new sweep
        navigation.open_page(navigation.RUNS, jobs[0].id)
