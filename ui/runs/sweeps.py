"""One run per value: the field and its values, what the set would take, and the set that a run
belongs to.
"""

import secrets

import streamlit as st

from core.access import Action, may
from core.config import RunConfig
from core.errors import ConfigError, LoraLabError
from core.jobs import actions
from core.runs.sweep import Sweep, expect_sweep, plan_sweep, runs_of
from core.storage.job import Job, JobState
from core.storage.store import Store
from ui import navigation
from ui.session import error_boundary
from ui.text import count, duration, plain
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
    """The form for a set like this run; nothing for a run whose record is damaged."""
    if summary.request is None or not may(store.visitor, Action.LAUNCH_SET):
        return
    section = st.expander(
        "One run per value", key="sweep", icon=":material/stacked_line_chart:", on_change="rerun"
    )
    if not section.open:
        return
    with section:
        st.caption(
            "Queues this configuration once for each value, one after the other. Three seeds show"
            " how much of a result is luck."
        )
        names = [*USUAL, *(name for name in RunConfig.model_fields if name not in USUAL)]
        with st.container(horizontal=True, gap="medium"):
            field = st.selectbox(
                "Field",
                names,
                format_func=lambda name: RunConfig.model_fields[name].title or name,
                key="sweep-field",
            )
            values = st.text_input(
                "Values",
                value=EXAMPLES.get(field, ""),
                key=f"sweep-values-{field}",
                placeholder="2 to 10, with commas",
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
    """For a run of a set: how far the set is, and the way to its comparison."""
    sweep = job.request.get("sweep")
    if not isinstance(sweep, str) or not sweep:
        return
    runs = runs_of(store, sweep)
    done = [one for one in runs if one.state is JobState.COMPLETED]
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        st.caption(
            f"One of {count(len(runs), 'runs')} of a set, {len(done)} finished.", width="content"
        )
        if len(done) > 1:
            navigation.link(
                navigation.COMPARE, "Compare the set", compared=",".join(one.id for one in done)
            )


def _draw_launch(store: Store, planned: Sweep) -> None:
    expected = expect_sweep(store, planned)
    known = [one for one in expected if one]
    if len(known) == len(expected):
        total, low, high = (
            sum(getattr(one, f"{name}_seconds") for one in known)
            for name in ("likely", "low", "high")
        )
        st.markdown(
            f"**{len(expected)} runs, about {duration(total)} in all** ({duration(low)} to"
            f" {duration(high)})"
        )
    else:
        st.markdown(
            f"**{len(expected)} runs.** Their time cannot be told: data or model are not on this"
            " machine."
        )
    st.text("\n".join(planned.names))
    if st.button("Queue the set", key="launch-sweep", type="primary", icon=":material/play_arrow:"):
        try:
            jobs = actions.launch_sweep(store, planned)
        except LoraLabError as error:
            error_boundary.show(error)
            return
        st.session_state.pop(KEY)  # the next click, on a page drawn anew, is another wish
        navigation.open_page(navigation.RUNS, jobs[0].id)
