"""Baselines of the compared runs: rows of the results table, and each run against its baselines."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from core.evaluation.comparison import Result, compare_with
from core.storage.store import Store
from ui.compare.overview import Chosen
from ui.widgets import baselines, tables


def rows(store: Store, chosen: Sequence[Chosen]) -> list[Result]:
    """Return the baselines of all runs without duplicates, the simplest first.

    Untrained heads of different seeds or models are listed separately, with the run's name.
    """
    results: dict[tuple[str, str, int], tuple[Result, str]] = {}
    for chosen_run in chosen:
        for fitted in baselines.read(store, chosen_run.run.job):
            if len(fitted.predictions):
                result = fitted.result(chosen_run.run.fingerprint, chosen_run.result.classes)
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


def verdicts(store: Store, chosen: Sequence[Chosen]) -> None:
    """Draw each run against its own baselines, with the same tests as for two runs."""
    with st.expander(
        "Against the baselines",
        key="against-baselines",
        icon=":material/horizontal_rule:",
        on_change="rerun",
    ) as section:
        if not section.open:  # no tests for a table that is not shown
            return
        pairs = [
            pair
            for chosen_run in chosen
            for pair in compare_with([chosen_run.result], _own(store, chosen_run))
            if pair.paired
        ]
        if not pairs:
            st.caption(
                "The baselines of this data have not been computed yet. Start them from a run on"
                " the Runs page."
            )
            return
        lines = [
            {
                "Run": pair.second.name,
                "Baseline": pair.first.name,
                "Difference (points)": 100 * pair.paired.difference,
                "95 % interval": (
                    "{:.1f} to {:.1f}".format(
                        *(100 * edge for edge in pair.paired.interval)
                    ).replace("-", "−")
                ),
                "p": "< 0.001" if pair.p_value < 0.001 else f"{pair.p_value:.3f}",
                "Texts": pair.paired.n,
            }
            for pair in pairs
            if pair.paired
        ]
        points = {"Difference (points)": st.column_config.NumberColumn(format="%.1f")}
        tables.plain(
            pd.DataFrame(lines),
            key="baseline-verdicts",
            columns=points,
            alt="Each run against each baseline",
        )
        st.caption(
            "Accuracy on the same texts; p from McNemar's exact test with Holm correction."
            f" {baselines.WHAT}"
        )


def _own(store: Store, chosen_run: Chosen) -> list[Result]:
    return [
        fitted.result(chosen_run.run.fingerprint, chosen_run.result.classes)
        for fitted in baselines.read(store, chosen_run.run.job)
    ]
