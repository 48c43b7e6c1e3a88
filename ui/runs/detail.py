"""The details of one run below the list: summary, live progress or result, and next actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import streamlit as st

from core.access import Action, is_allowed
from core.config import RunConfig, find_display
from core.evaluation.scores import Proportion, compare_guess, is_inside
from core.lesson.lesson_file import Spoiler
from core.lesson.open_lesson import find_hidden
from core.runs import artifacts
from core.runs.requests import describe_precision
from core.runs.run import ResumePoint, Run, RunAlert, read_result
from core.runs.waiting_times import find_turn, read_queue
from core.storage.job import GALLERY_OWNER, Job, JobState
from core.storage.store import Store
from core.transfer.imports.import_run import ADAPTER_FIELDS
from core.translation import localize, mark, translate, translate_recorded
from ui import navigation
from ui.lesson import hiding
from ui.runs import actions, learning_curves, sweeps, transfer
from ui.session import visitors
from ui.session.error_boundary import boundary
from ui.text import format_accuracy, format_duration, format_per_cent, format_setting, plain
from ui.widgets import baselines, diagnosis, job_state, tables
from ui.widgets.run_summary import Summary, draw_origin


def draw(store: Store, summary: Summary) -> None:
    """Draw everything about the run; the lower part is live while the run is active."""
    if _draw_hidden(store, summary.job):
        return
    _draw_head(store, summary)
    if summary.problem:
        _draw_damage(summary)
        _draw_log(store, summary.job)
    elif summary.job.state is JobState.QUEUED or summary.job.state.is_active:
        curves = learning_curves.Curves(store, summary)
        st.fragment(_draw_live, run_every=job_state.LIVE_SECONDS)(
            store, summary.job, curves, job_state.read_offset()
        )
    else:
        _draw_ending(store, summary)
        actions.draw_resumed(summary.run)
        learning_curves.Curves(store, summary).draw(summary.job)
        _draw_log(store, summary.job)
    sweeps.draw(store, summary)
    _draw_seconds(summary)
    _draw_config(summary)


def _draw_hidden(store: Store, job: Job) -> bool:
    """Draw a notice and return true for a run of others that the lesson hides."""
    hidden = find_hidden(store)
    if job.owner == store.visitor.id:
        return False
    part = Spoiler.GALLERY if job.owner == GALLERY_OWNER else Spoiler.RESULTS
    parts = [part for part in (part, Spoiler.RESULTS, Spoiler.GUESSES) if part in hidden]
    for part in parts[:1]:
        hiding.draw_notice(part, "hidden-run")
    return bool(parts)


def _draw_head(store: Store, summary: Summary) -> None:
    with st.container(key="run-head", gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.subheader(plain(summary.name), anchor=False, width="content")
            finished = summary.job.state is JobState.COMPLETED and not summary.problem
            diagnosed = finished and diagnosis.read(store, summary.job) is not None
            job_state.draw_badge(job_state.DIAGNOSED if diagnosed else summary.look)
        draw_origin(summary)
    actions.draw(store, summary)
    if summary.request:
        sweeps.draw_membership(store, summary.job)


@dataclass(frozen=True, slots=True)
class Live:
    """Everything that the live part of a run is drawn from; ``job`` holds more than that."""

    job: Job = field(compare=False)
    state: JobState
    attempt: int
    log_bytes: int
    waits: str = ""
    progress: job_state.Progress | None = None
    resumed: ResumePoint | None = None
    alerts: tuple[RunAlert, ...] = ()
    metrics: int = 0
    levels: Mapping[str, float] = field(default_factory=dict)
    steps: Sequence[int] = ()


def _read_live(
    store: Store, run_id: str, curves: learning_curves.Curves, offset: int | None
) -> Live:
    job = store.read_job(run_id)
    known = partial(Live, job, job.state, job.attempt)
    if job.state is JobState.QUEUED:
        # set while it waits for memory or disk space
        waits = plain(translate_recorded(f"{job.message} {job.fix}".strip()))
        turn = find_turn(read_queue(store), job)
        waits = waits or job_state.describe_waiting(turn, store.clock(), offset)
        return known(artifacts.measure_log(store.get_folder(job)), waits)
    live = curves.live
    live.follow(store, job)
    return known(
        live.read_each_second("log", lambda: artifacts.measure_log(store.get_folder(job))),
        progress=job_state.describe_progress(job, store.clock(), live.seconds_left),
        resumed=read_result(job).resumed,
        alerts=live.read_each_second("alerts", lambda: diagnosis.read_alerts(store, job)),
        metrics=len(live.metrics),
        levels=curves.read_levels(job),
        steps=curves.list_steps(job),
    )


def _draw_live(
    store: Store, drawn: Job, curves: learning_curves.Curves, offset: int | None
) -> None:
    read = partial(_read_live, run_id=drawn.id, curves=curves, offset=offset)
    with boundary(), visitors.show_live(store, read) as live:
        if live.state is not drawn.state or live.attempt != drawn.attempt:
            st.rerun()  # the buttons and the refresh rate depend on the state
        if live.waits:
            st.info(live.waits, icon=":material/schedule:")
        if live.progress:
            job_state.draw_progress(live.progress)
            diagnosis.draw_alerts(live.job, live.alerts)
            actions.draw_resumed(Run.of(store, live.job))
            curves.draw(live.job)
        _draw_log(store, live.job)


def _draw_ending(store: Store, summary: Summary) -> None:
    job = summary.job
    diagnosis.draw_alerts(job, diagnosis.read_alerts(store, job))
    if job.state is JobState.COMPLETED:
        _draw_result(store, summary)
        if not summary.run.imported:
            diagnosis.draw(store, job)
        baselines.draw(store, job)
    elif job.state is JobState.CANCELLED:
        _draw_stopped(store, summary)
    else:
        actions.draw_failure(store, summary)


def _draw_stopped(store: Store, summary: Summary) -> None:
    learned = artifacts.has_adapter(store.get_folder(summary.job))
    st.info(
        translate(
            "Stopped on request. The adapter trained so far is saved."
            if learned
            else "Stopped on request. No adapter was saved."
        ),
        icon=":material/stop_circle:",
    )
    if is_allowed(store.visitor, Action.RESUME, summary.job.owner):
        st.caption(actions.describe_saved_step(store, summary.job))
    if learned:
        _draw_next(summary)


def _draw_result(store: Store, summary: Summary) -> None:
    test, untrained = summary.test, summary.untrained
    if not test and summary.run.imported:
        transfer.draw_scoring(store, summary.job)
    if test:
        _draw_accuracy(summary, test, untrained)
        if note := summary.run.result.precision_note:
            st.caption(translate_recorded(note))
        if summary.request and summary.request.guess is not None:
            hit = is_inside(summary.request.guess, test)
            (st.success if hit else st.info)(
                compare_guess(summary.request.guess, test), icon=":material/psychology_alt:"
            )
    if note := summary.run.hidden_note:
        st.caption(note)
    _draw_next(summary)


def _draw_accuracy(summary: Summary, test: Proportion, untrained: Proportion | None) -> None:
    headline = translate(
        "{accuracy} accuracy on {n:,} test texts",
        accuracy=localize(format_accuracy(test)),
        n=test.n,
    )
    st.markdown(f"#### {headline}")
    sentences = [translate("± is the 95 % interval.")]
    if untrained:
        sentences.append(
            translate(
                "Untrained: {accuracy} ({n:,} texts).",
                accuracy=localize(format_per_cent(untrained.value)),
                n=untrained.n,
            )
        )
    st.caption(" ".join(filter(None, [*sentences, _cost(summary), _against_estimate(summary)])))


def _cost(summary: Summary) -> str:
    result = summary.run.result
    parts = []
    if result.train_seconds is not None:
        parts.append(translate("{time} of training", time=format_duration(result.train_seconds)))
    if result.rows_per_second is not None:
        parts.append(translate("{rows:.0f} rows/s", rows=result.rows_per_second))
    if result.peak_memory_mb is not None:
        parts.append(translate("peak memory {memory:,.0f} MB", memory=result.peak_memory_mb))
    return f"{', '.join(parts)}." if parts else ""


def _against_estimate(summary: Summary) -> str:
    """Compare the time taken with the estimate; empty for a resumed run, whose time has gaps."""
    job, expected = summary.job, summary.run.result.expected
    if expected is None or job.started_at is None or job.attempt > 1:
        return ""
    low, high = expected.low_seconds, expected.high_seconds
    if low is None or high is None:
        return ""
    return translate(
        "Took {time} (estimate: {low} to {high})."
        if expected.measured
        else "Took {time} (estimate: {low} to {high}, based on a typical machine).",
        time=format_duration(job.elapsed_seconds(0)),
        low=format_duration(low),
        high=format_duration(high),
    )


def _draw_next(summary: Summary) -> None:
    with st.container(horizontal=True, gap="medium"):
        if summary.test:
            navigation.link(
                navigation.EVALUATE,
                translate("See which texts it misclassifies"),
                run_id=summary.job.id,
            )
        own = translate("Classify your own text")
        navigation.link(navigation.CLASSIFY, own, run_id=summary.job.id)


def _draw_damage(summary: Summary) -> None:
    assert summary.problem
    st.error(
        f"**{plain(summary.problem.message)}** {plain(summary.problem.fix)}",
        icon=":material/broken_image:",
    )


TIME_PARTS = {  # of ``RunSeconds``, in their order
    "imports": mark("Start and imports"),
    "preparing": mark("Preparing data"),
    "loading": mark("Loading the base model"),
    "tokenizing": mark("Tokenizing"),
    "frozen": mark("Computing frozen layers, which are stored"),
    "training": mark("Training steps"),
    "validations": mark("Validations"),
    "untrained": mark("Scoring the untrained model"),
    "evaluation": mark("Final evaluation"),
    "saving": mark("Saving adapter and results"),
}


def _draw_seconds(summary: Summary) -> None:
    """Draw the table of the seconds of each part; nothing for a run that recorded none."""
    seconds = None if summary.problem else summary.run.result.seconds
    if seconds is None or summary.job.state.is_active or not seconds.total:
        return
    spent = seconds.model_dump()
    title = translate("Time: {time}", time=format_duration(seconds.total))
    with st.expander(title, key="seconds", icon=":material/timer:"):
        if summary.job.attempt > 1:
            st.caption(translate("The time of the last attempt."))
        st.dataframe(
            [
                {
                    translate("Part"): translate(words),
                    translate("Seconds"): round(spent[part], 1),
                    translate("Proportion"): spent[part] / seconds.total,
                }
                for part, words in TIME_PARTS.items()
                if spent[part]
            ],
            hide_index=True,
            height="content",
            key="seconds-table",
            column_config={
                translate("Seconds"): st.column_config.NumberColumn(**tables.decimals(1), width=90),
                translate("Proportion"): st.column_config.ProgressColumn(
                    format="percent", width=160
                ),
            },
        )


def _draw_config(summary: Summary) -> None:
    if summary.request is None:
        return
    with st.expander(translate("Configuration"), key="configuration", icon=":material/tune:"):
        values = summary.request.config.model_dump()
        if not summary.run.result.config_known:
            st.caption(translate("The adapter does not record its other training settings."))
            values = {name: values[name] for name in ADAPTER_FIELDS}
        words = {name: format_setting(name, values[name]) for name in values}
        words["precision"] = describe_precision(summary.job, summary.request)
        rows = [
            {
                translate("Group"): translate(find_display(name).group.value),
                translate("Field"): translate(str(RunConfig.model_fields[name].title)),
                translate("Value"): words[name],
            }
            for name in values
        ]
        st.dataframe(rows, hide_index=True, height="content", key="configuration-table")


def _draw_log(store: Store, job: Job) -> None:
    """Draw the end of the log: expanded after a failure, otherwise read only when opened."""
    if not is_allowed(store.visitor, Action.READ_LOG, job.owner):
        return
    went_wrong = job.state in (JobState.FAILED, JobState.INTERRUPTED)
    log = st.expander(
        translate("Log"),
        key=f"log-{job.id}-{went_wrong}",
        icon=":material/notes:",
        expanded=went_wrong,
        on_change="rerun",
    )
    if not log.open:
        return
    with log:
        if tail := artifacts.read_job_log_tail(store, job):
            st.code(tail, language=None, height=320)
        else:
            st.caption(
                translate(
                    "The log is empty." if job.state.is_finished else "The log is still empty."
                )
            )
        if tail and not went_wrong:  # a failed run has this button next to its fix
            actions.draw_log_download(store, job)
