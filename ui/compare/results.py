"""Results of the compared runs: tables, baselines, learning curves, and accuracy against cost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.config import RunConfig
from core.evaluation.comparison import Pair, Result, compare_with
from core.evaluation.scores import Proportion
from core.evaluation.significance import Paired
from core.runs.compared_runs import read_curve
from core.runs.sweep import Spread
from core.storage.store import Store
from core.translation import localize, mark, translate
from ui.compare.overview import Chosen
from ui.text import (
    capitalize,
    format_accuracy,
    format_duration,
    format_per_cent,
    format_setting,
    plain,
)
from ui.widgets import baselines, chart_view, tables

UNDISPUTED = mark("Accuracy without disputed")
COLUMNS = (  # of the table of results, from the second on
    mark("Accuracy"),
    mark("Macro-F1"),
    mark("Test loss"),
    mark("Training time"),
    mark("Peak memory"),
    mark("Trained parameters"),
)
MEASURE_NAMES = {
    "loss": mark("loss"),
    "accuracy": mark("accuracy"),
    "macro_f1": mark("macro-F1"),
}
AXIS_NAMES = {"step": mark("step"), "rows": mark("rows"), "seconds": mark("seconds")}
COST_NAMES = {"minutes": mark("minutes"), "memory": mark("memory"), "trained": mark("trained")}
RUN_WIDTH = 190  # px: a phone also shows the accuracy


def draw_table(chosen: Sequence[Chosen], baselines: Sequence[Result] = ()) -> None:
    """Draw one row per run with the best value of each column marked, and the baselines below; the
    accuracy without disputed labels, if there are any, is a column of its own.
    """
    st.markdown(f"#### {translate('Results')}")
    frame_ = pd.DataFrame([_row(entry) for entry in chosen])
    best = {
        name: frame_[name].max() if name in ("Accuracy", "Macro-F1") else frame_[name].min()
        for name in frame_.columns[2:]
    }
    shown = frame_[["Run"]].copy()
    for name in best:
        shown[name] = [_marked(name, value, value == best[name]) for value in frame_[name]]
    shown.insert(2, mark("Interval"), frame_["Interval"])
    if any(entry.undisputed for entry in chosen):
        shown.insert(3, UNDISPUTED, [_describe_undisputed(entry) for entry in chosen])
    shown = pd.concat(
        [shown, pd.DataFrame([_baseline_row(entry) for entry in baselines], columns=shown.columns)],
        ignore_index=True,
    ).fillna("–")
    tables.draw_plain(
        shown.rename(columns=translate),
        key="results",
        columns={translate("Run"): st.column_config.TextColumn(width=RUN_WIDTH)},
        alt=translate("Results of each run; a star marks the best value of a column"),
    )
    st.caption(
        translate(
            "★ marks the best value of a column. Interval: 95 % (Wilson), on each run's own test"
            " texts. Macro-F1: {averages}.",
            averages=_describe_averages(chosen),
        )
    )


def _describe_undisputed(entry: Chosen) -> str:
    """Return the accuracy without disputed labels, and on how many texts."""
    if entry.undisputed is None:
        return "–"
    accuracy = entry.undisputed.scores.accuracy
    share = localize(format_accuracy(accuracy))
    return translate("{share} of {n:,}", share=share, n=accuracy.n)


def _describe_averages(chosen: Sequence[Chosen]) -> str:
    """Describe over how many classes the macro-F1 of each run is the mean."""
    described = {
        entry.result.name: entry.result.predictions.scores.described_classes for entry in chosen
    }
    if len(set(described.values())) == 1:
        return translate("mean {classes}", classes=next(iter(described.values())))
    each = (
        translate("{classes} for {run}", classes=text, run=plain(name))
        for name, text in described.items()
    )
    return translate("mean {classes}", classes=", ".join(each))


def draw_configurations(chosen: Sequence[Chosen]) -> None:
    """Draw the settings in which the runs differ, or all of them."""
    st.markdown(f"#### {translate('Configurations')}")
    everything = not st.toggle(translate("Differences only"), value=True, key="differences-only")
    values = [entry.run.config.model_dump() for entry in chosen]
    names = [
        name
        for name in values[0]
        if everything or any(other[name] != values[0][name] for other in values)
    ]
    if not names:
        st.caption(translate("The configurations are identical."))
        return
    rows = [
        {
            translate("Setting"): translate(RunConfig.model_fields[name].title or name),
            **{
                entry.result.name: format_setting(name, each[name])
                for entry, each in zip(chosen, values, strict=True)
            },
        }
        for name in names
    ]
    tables.draw_plain(
        pd.DataFrame(rows),
        key="configurations",
        alt=translate("Settings of the configurations, one column per run"),
    )


def draw_seeds(chosen: Sequence[Chosen]) -> None:
    """Draw the spread of accuracy over runs that differ only in their seed, if there are any."""
    groups: dict[tuple[str, RunConfig], list[Chosen]] = {}
    for entry in chosen:
        groups.setdefault(
            (entry.run.fingerprint, entry.run.config.model_copy(update={"seed": 0})), []
        ).append(entry)
    repeated = [
        group for group in groups.values() if len({entry.run.config.seed for entry in group}) > 1
    ]
    if not repeated:
        return
    st.markdown(f"#### {translate('Spread over seeds')}")
    rows = []
    for group in repeated:
        spread = Spread.of([entry.accuracy.value for entry in group])
        rows.append(
            {
                translate("Runs"): ", ".join(entry.result.name for entry in group),
                translate("Seeds"): spread.n,
                translate("Mean accuracy"): localize(format_per_cent(spread.mean)),
                translate("Standard deviation"): translate(
                    "{points:.2f} points", points=100 * spread.deviation
                ),
                translate("Lowest"): localize(format_per_cent(spread.low)),
                translate("Highest"): localize(format_per_cent(spread.high)),
            }
        )
    tables.draw_plain(
        pd.DataFrame(rows),
        key="seeds",
        alt=translate("Test accuracy of runs that differ only in their seed"),
    )


def draw_classes(chosen: Sequence[Chosen]) -> None:
    """Draw F1 per class of each run."""
    names = {entry.result.classes for entry in chosen}
    if len(names) > 1:
        return
    st.markdown(f"#### {translate('F1 per class')}")
    (labels,) = names
    frame_ = pd.DataFrame(
        {
            capitalize(translate("class")): list(labels),
            **{entry.result.name: entry.result.predictions.scores.f1 for entry in chosen},
        }
    )
    number = {
        entry.result.name: st.column_config.NumberColumn(**tables.decimals(3)) for entry in chosen
    }
    tables.draw_plain(
        frame_,
        key="f1-per-class",
        columns=number,
        alt=translate("F1 per class, one column per run"),
    )


def _baseline_row(result: Result) -> dict[str, str]:
    scores, loss = result.predictions.scores, result.predictions.mean_loss
    figures = {"Accuracy": scores.accuracy.value, "Macro-F1": scores.macro_f1, "Test loss": loss}
    return {
        "Run": translate("baseline: {name}", name=result.name),
        "Interval": _interval(scores.accuracy),
        **{name: _marked(name, figures.get(name), False) for name in COLUMNS},
    }


def _interval(accuracy: Proportion) -> str:
    low, high = accuracy.interval
    return translate(
        "{low} to {high} of {n:,}",
        low=localize(format_per_cent(low)),
        high=localize(format_per_cent(high)),
        n=accuracy.n,
    )


def _row(entry: Chosen) -> dict[str, object]:
    scores = entry.result.predictions.scores
    return {
        mark("Run"): entry.result.name,
        "Interval": _interval(entry.accuracy),
        "Accuracy": entry.accuracy.value,
        "Macro-F1": scores.macro_f1,
        "Test loss": entry.result.predictions.mean_loss,
        "Training time": entry.run.result.train_seconds,
        "Peak memory": entry.run.result.peak_memory_mb,
        "Trained parameters": entry.run.result.trained_parameters,
    }


def _marked(name: str, value: float | None, best: bool) -> str:
    if value is None or np.isnan(value):
        return "–"
    words = {
        "Accuracy": format_per_cent,
        "Training time": format_duration,
        "Peak memory": "{:,.0f} MB".format,
        "Trained parameters": "{:,.0f}".format,
    }.get(name, "{:.3f}".format)
    figure = words(value) if name == "Training time" else localize(words(value))
    return f"★ {figure}" if best else figure


def read_baselines(store: Store, chosen: Sequence[Chosen]) -> list[Result]:
    """Return the baselines of all runs without duplicates, the simplest first.

    Untrained heads of different seeds or models are listed separately, with the run's name.
    """
    results: dict[tuple[str, str, int], tuple[Result, str]] = {}
    for chosen_run in chosen:
        for fitted in baselines.read(store, chosen_run.run.job):
            if len(fitted.predictions):
                result = fitted.to_result(chosen_run.run.fingerprint, chosen_run.result.classes)
                result = replace(result, name=translate(result.name))
                results.setdefault(
                    (
                        chosen_run.run.fingerprint,
                        fitted.name,
                        fitted.predictions.scores.accuracy.hits,
                    ),
                    (result, chosen_run.result.name),
                )
    names = [result.name for result, _ in results.values()]
    return [
        replace(result, name=f"{result.name}, {run}") if names.count(result.name) > 1 else result
        for result, run in results.values()
    ]


def draw_baseline_verdicts(store: Store, chosen: Sequence[Chosen]) -> None:
    """Draw each run against its own baselines, with the same tests as for two runs."""
    with st.expander(
        translate("Against the baselines"),
        key="against-baselines",
        icon=":material/horizontal_rule:",
        on_change="rerun",
    ) as section:
        if not section.open:  # no tests for a table that is not shown
            return
        pairs = [
            pair
            for chosen_run in chosen
            for pair in compare_with([chosen_run.result], _own_baselines(store, chosen_run))
            if pair.paired
        ]
        if not pairs:
            st.caption(
                translate(
                    "The baselines of this data have not been computed yet. Start them from a run"
                    " on the Runs page."
                )
            )
            return
        difference = translate("Difference (points)")
        lines = [_describe_pair(pair, pair.paired) for pair in pairs if pair.paired]
        points = {difference: st.column_config.NumberColumn(**tables.decimals(1))}
        tables.draw_plain(
            pd.DataFrame(lines),
            key="baseline-verdicts",
            columns=points,
            alt=translate("Each run against each baseline"),
        )
        st.caption(
            translate(
                "Accuracy on the same texts; p from McNemar's exact test with Holm correction."
            )
            + f" {translate(baselines.WHAT)}"
        )


def _describe_pair(pair: Pair, paired: Paired) -> dict[str, object]:
    low, high = (100 * edge for edge in paired.interval)
    interval = translate("{low:.1f} to {high:.1f}", low=low, high=high)
    return {
        translate("Run"): pair.second.name,
        translate("Baseline"): pair.first.name,
        translate("Difference (points)"): 100 * paired.difference,
        translate("95 % interval"): interval.replace("-", "−"),
        "p": localize("< 0.001" if pair.p_value < 0.001 else f"{pair.p_value:.3f}"),
        translate("Texts"): paired.n,
    }


def _own_baselines(store: Store, chosen_run: Chosen) -> list[Result]:
    results = [
        fitted.to_result(chosen_run.run.fingerprint, chosen_run.result.classes)
        for fitted in baselines.read(store, chosen_run.run.job)
    ]
    return [replace(result, name=translate(result.name)) for result in results]


def draw_curves(store: Store, chosen: Sequence[Chosen]) -> None:
    """Draw the curves of all runs on one axis."""
    st.markdown(f"#### {translate('Curves')}")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        measure = st.segmented_control(
            translate("Show"),
            list(charts.MEASURES),
            format_func=_measure_name,
            default="loss",
            required=True,
            key="measure",
        )
        axis = st.segmented_control(
            translate("Against"),
            list(charts.AXES),
            format_func=lambda axis: translate(AXIS_NAMES[axis]),
            default="step",
            required=True,
            key="axis",
        )
        log = st.toggle(translate("Logarithmic"), key="log-curves", disabled=measure != "loss")
    metrics = pd.concat(
        [read_curve(store, entry.run.job, entry.result.name, entry.run.config) for entry in chosen],
        ignore_index=True,
    )
    if metrics.empty:
        st.caption(translate("No curves were recorded for these runs."))
        return
    names = [entry.result.name for entry in chosen]
    chart_view.draw(
        charts.draw_run_curves(
            metrics, names, axis or "step", measure or "loss", log and measure == "loss"
        ),
        key="curves",
    )


def draw_costs(chosen: Sequence[Chosen]) -> None:
    """Draw accuracy against cost."""
    st.markdown(f"#### {translate('Accuracy and cost')}")
    cost = (
        st.segmented_control(
            translate("Cost"),
            list(charts.COSTS),
            format_func=lambda cost: translate(COST_NAMES[cost]),
            default="minutes",
            required=True,
            key="cost-of-accuracy",
        )
        or "minutes"
    )
    rows = []
    for entry in chosen:
        low, high = entry.accuracy.interval
        seconds = entry.run.result.train_seconds
        amounts = {
            "minutes": seconds / 60 if seconds else None,
            "memory": entry.run.result.peak_memory_mb,
            "trained": entry.run.result.trained_parameters,
        }
        rows.append(
            {
                "run": entry.result.name,
                "accuracy": entry.accuracy.value,
                "low": low,
                "high": high,
                cost: amounts[cost],
            }
        )
    results = pd.DataFrame(rows)
    if results[cost].notna().sum() < 2:
        st.caption(
            translate(
                "Fewer than two of these runs recorded this: {cost}.",
                cost=translate(charts.COSTS[cost]),
            )
        )
        return
    chart_view.draw(charts.draw_cost_and_accuracy(results, cost), key="cost-and-accuracy")


def _measure_name(measure: str) -> str:
    return translate(MEASURE_NAMES[measure])
