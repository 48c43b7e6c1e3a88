"""What the compared runs have to beat: their baselines as rows of the table, and each run against
each of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from core.evaluation.comparison import Result, compare_with
from core.storage.store import Store
from ui.compare.overview import Chosen
from ui.widgets import baselines, tables


def rows(store: Store, chosen: Sequence[Chosen]) -> list[Result]:
    """The baselines of all runs, each once, from the simplest on. Untrained heads of two seeds or
    models are two, and say whose.
    """
    found: dict[tuple[str, str, int], tuple[Result, str]] = {}
    for one in chosen:
        for fitted in baselines.read(store, one.job):
            if len(fitted.predictions):
                result = fitted.result(one.job.fingerprint, one.result.classes)
                found.setdefault(
                    (one.job.fingerprint, fitted.name, fitted.predictions.scores.accuracy.hits),
                    (result, one.result.name),
                )
    names = [result.name for result, _ in found.values()]
    return [
        replace(result, name=f"{result.name}, {run}") if names.count(result.name) > 1 else result
        for result, run in found.values()
    ]


def verdicts(store: Store, chosen: Sequence[Chosen]) -> None:
    """Each run against its own baselines, by the same tests as two runs."""
    with st.expander(
        "Against the baselines",
        key="against-baselines",
        icon=":material/horizontal_rule:",
        on_change="rerun",
    ) as section:
        if not section.open:  # nothing is tested for a table that nobody looks at
            return
        pairs = [
            pair
            for one in chosen
            for pair in compare_with([one.result], _own(store, one))
            if pair.paired
        ]
        if not pairs:
            st.caption(
                "The baselines of this data have not been computed yet. They are offered with each"
                " run on the Runs page."
            )
            return
        lines = [
            {
                "Run": pair.second.name,
                "Baseline": pair.first.name,
                "Points better": 100 * pair.paired.difference,
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
        points = {"Points better": st.column_config.NumberColumn(format="%.1f")}
        tables.plain(
            pd.DataFrame(lines),
            key="baseline-verdicts",
            columns=points,
            alt="Each run against each baseline",
        )
        st.caption(
            "Accuracy on the same texts; p by McNemar's exact test, corrected by Holm."
            f" {baselines.WHAT}"
        )


def _own(store: Store, one: Chosen) -> list[Result]:
    return [
        fitted.result(one.job.fingerprint, one.result.classes)
        for fitted in baselines.read(store, one.job)
    ]
