"""The Compare page: choice of runs, verdicts, and the details of a pair: differences in the matrix
and per class, and the texts that only one run classifies correctly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd
import streamlit as st

from core import charts
from core.errors import LoraLabError
from core.evaluation.class_scores import UndisputedScores
from core.evaluation.comparison import (
    Pair,
    Result,
    compare,
    compare_classes,
    leave_out,
    list_disagreements,
)
from core.evaluation.scores import Proportion
from core.runs.compared_runs import MOST, list_hidden_notes, make_distinct_names, make_result
from core.runs.run import Run
from core.storage.job import Job, JobKind
from core.storage.store import Store
from core.translation import localize, mark, translate, translate_plural
from ui import navigation
from ui.app import page_frame
from ui.session import cache, error_boundary
from ui.text import capitalize, plain
from ui.widgets import chart_view, disputed_labels, tables
from ui.widgets.disputed_labels import Marks

KEY, LIMIT, PAIR_KEY = "compared", MOST, "pair"
SHOWN_TEXTS = 500  # of those that only one run classifies correctly
SHOWN_VERDICTS = 6  # ten runs make 45 pairs: a table lists the rest
Key = tuple[tuple[str, int, str], ...]
HOW_TO_READ = (
    mark(
        "**The verdict** compares both runs on the same test texts. The interval comes from a"
        " paired bootstrap over texts, p from McNemar's exact test; with more than two runs, p is"
        " corrected for the number of pairs (Holm)."
    ),
    mark(
        "**One seed each:** the test covers the variation between texts, not between seeds. Train"
        " the same configuration with several seeds before you trust a small difference."
    ),
    mark(
        "**Too close to call** does not mean that the runs are equally good, only that these texts"
        " cannot decide."
    ),
    mark(
        "**A disputed label** is one that a reader of the text considers wrong. The verdict counts"
        " all texts; it is repeated without those with a disputed label."
    ),
    mark(
        "**Dashed lines** are the smoothed training loss, with each step as a thin line behind it;"
        " solid lines with points are validation."
    ),
)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A compared run: its record, its predictions, and the disputed labels of its data."""

    run: Run
    result: Result
    disputed: Marks

    @property
    def undisputed(self) -> UndisputedScores | None:
        """Scores without the disputed texts; None if none of them was scored."""
        return disputed_labels.score(self.run, self.disputed)

    @property
    def accuracy(self) -> Proportion:
        """Accuracy on the run's test texts."""
        return self.result.predictions.scores.accuracy


def choose_runs(store: Store) -> list[Chosen]:
    """Let the reader choose the runs to compare; the URL holds them. Stops with fewer than two."""
    jobs = [job for job in store.list_jobs(JobKind.TRAIN) if Run.of(store, job).has_predictions()]
    if len(jobs) < 2:
        page_frame.draw_empty(
            "There is nothing to compare yet.",
            "A comparison needs two runs with test scores.",
            navigation.TRAIN,
            "Set up a run",
        )
    names = make_distinct_names(jobs)
    listed = dict.fromkeys(filter(None, st.query_params.get(KEY, "").split(",")))
    if unknown := [run for run in listed if run not in names]:
        st.warning(
            plain(translate("No run with test scores has the id {ids}.", ids=", ".join(unknown))),
            icon=":material/search_off:",
        )
    requested = [run for run in listed if run in names][:LIMIT]
    st.session_state[KEY] = requested or list(names)[:2]
    ids = st.multiselect(
        translate("Runs"),
        list(names),
        format_func=lambda run: names.get(run, run),
        key=KEY,
        max_selections=LIMIT,
        on_change=_write,
        placeholder=translate("Choose"),
    )
    st.query_params[KEY] = ",".join(ids)
    by_id = {job.id: job for job in jobs}
    chosen = [readable for run in ids if (readable := _read(store, by_id[run], names[run]))]
    if len(chosen) < 2:
        st.info(translate("Choose at least two runs."), icon=":material/compare_arrows:")
        st.stop()
    for note in list_hidden_notes(store, [entry.run.job for entry in chosen]):
        st.caption(note)
    return chosen


def draw_verdicts(chosen: Sequence[Chosen]) -> list[Pair]:
    """Draw a sentence for each pair, with a warning for pairs that cannot be compared."""
    pairs = _compare(_make_key(chosen), chosen)
    for pair in pairs[:SHOWN_VERDICTS]:
        if pair.paired is None:
            st.warning(plain(pair.verdict), icon=":material/block:")
        elif pair.decided:
            st.success(plain(pair.verdict), icon=":material/check_circle:")
        else:
            st.info(plain(pair.verdict), icon=":material/balance:")
    if rest := pairs[SHOWN_VERDICTS:]:
        title = translate_plural("The other {n:,} pair", "The other {n:,} pairs", len(rest))
        with st.expander(title, key="other-pairs"):
            verdicts = {translate("Verdict"): [pair.verdict for pair in rest]}
            tables.draw_plain(pd.DataFrame(verdicts), key="other-verdicts")
    _draw_undisputed(chosen)
    return pairs


def _draw_undisputed(chosen: Sequence[Chosen]) -> None:
    """Draw the verdicts on the texts whose labels are not disputed, if some are."""
    if not any(entry.undisputed for entry in chosen):
        return
    pairs = _compare_undisputed(
        _make_key(chosen), tuple(tuple(sorted(entry.disputed)) for entry in chosen), chosen
    )
    numbers = {entry.undisputed.disputed for entry in chosen if entry.undisputed}
    with st.expander(
        translate_plural(
            "Without {n:,} text with a disputed label",
            "Without {n:,} texts with a disputed label",
            max(numbers),
        ),
        key="undisputed-verdicts",
        expanded=len(pairs) == 1,
        icon=":material/flag:",
    ):
        for pair in pairs:
            st.markdown(plain(pair.verdict))


# each entry holds predictions, which other caches share
@st.cache_resource(max_entries=4, show_spinner=False)
def _compare(key: Key, _chosen: Sequence[Chosen]) -> list[Pair]:
    return compare([entry.result for entry in _chosen])


@st.cache_resource(max_entries=4, show_spinner=False)
def _compare_undisputed(
    key: Key, rows: tuple[tuple[int, ...], ...], _chosen: Sequence[Chosen]
) -> list[Pair]:
    return compare([leave_out(entry.result, entry.disputed) for entry in _chosen])


def _make_key(chosen: Sequence[Chosen]) -> Key:
    return tuple((entry.run.id, entry.run.version, entry.result.name) for entry in chosen)


def _write() -> None:
    st.query_params[KEY] = ",".join(st.session_state[KEY])


def _read(store: Store, job: Job, name: str) -> Chosen | None:
    try:
        run = Run.of(store, job)
        run.require_readable()
        predictions = cache.read_predictions(run.folder, run.version, len(run.classes), "test")
    except LoraLabError as error:
        error_boundary.show(error)
        return None
    return Chosen(run, make_result(run, predictions, name), disputed_labels.read(store, run))


def choose_pair(pairs: Sequence[Pair]) -> Pair | None:
    """Let the reader choose a comparable pair; the URL holds it. None if there is no such pair."""
    comparable = {f"{pair.first.id},{pair.second.id}": pair for pair in pairs if pair.paired}
    if not comparable:
        return None
    st.markdown(f"#### {translate('Two runs in detail')}")
    if len(comparable) == 1:
        return next(iter(comparable.values()))
    requested = st.session_state.get(PAIR_KEY, st.query_params.get(PAIR_KEY))
    # the stored pair may contain runs that are no longer compared
    st.session_state[PAIR_KEY] = requested if requested in comparable else next(iter(comparable))
    names = {
        key: translate("{first} and {second}", first=pair.first.name, second=pair.second.name)
        for key, pair in comparable.items()
    }
    chosen = st.selectbox(
        translate("Pair"),
        list(comparable),
        format_func=lambda key: names.get(key, key),
        key=PAIR_KEY,
    )
    st.query_params[PAIR_KEY] = chosen
    return comparable[chosen]


def draw_pair(pair: Pair) -> None:
    """Draw the matrix and the classes side by side, then the texts."""
    columns = chart_view.count_columns(pair.first.classes)
    sides = st.grid(columns, min_column_width=400, gap="large")
    with sides.cell():
        draw_matrices(pair)
    with sides.cell():
        _classes(pair)
    _texts(pair)


def draw_matrices(pair: Pair) -> None:
    """Draw the second run's confusion matrix minus the first's, on their common texts."""
    first, second = (predictions.scores.counts for predictions in pair.align())
    names = pair.first.name, pair.second.name
    chart_view.draw(
        charts.draw_matrix_difference(
            first, second, pair.first.classes, names, chart_view.is_dark()
        ),
        key="difference",
    )


def _classes(pair: Pair) -> None:
    changes = compare_classes(pair)
    if len(changes) > charts.MOST_LABELED:
        changes = changes.sort_values("difference", kind="stable", ignore_index=True)
    # prefixed, so that no run name equals another column's name
    first, second = (translate("F1 of {name}", name=run.name) for run in (pair.first, pair.second))
    texts = translate("Texts")
    intervals = changes[["low", "high"]].to_numpy()
    shown = pd.DataFrame(
        {
            capitalize(translate("class")): changes["class"],
            texts: changes["support"],
            translate("Change in F1"): [_signed(value) for value in changes["difference"]],
            translate("95 % interval"): [
                "–"
                if isnan(low)
                else translate("{low} to {high}", low=_signed(low), high=_signed(high))
                for low, high in intervals
            ],
            "": [_decide(low, high) for low, high in intervals],
            first: changes["first"],
            second: changes["second"],
        }
    )
    f1 = st.column_config.NumberColumn(**tables.decimals(3))
    columns = {
        first: f1,
        second: f1,
        texts: st.column_config.NumberColumn(format="localized", width=60),
    }
    tables.draw_plain(
        shown,
        key="class-differences",
        columns=columns,
        alt=translate("F1 per class of both runs, and its change with the interval"),
    )
    st.caption(
        translate(
            "Paired bootstrap over the texts. With many classes, one in twenty differs by chance."
        )
    )


def _texts(pair: Pair) -> None:
    assert pair.paired
    st.markdown(f"#### {translate('Texts that only one run classifies correctly')}")
    first, second = plain(pair.first.name), plain(pair.second.name)
    st.caption(
        " ".join(
            translate_plural("Only {run}: {n:,} text.", "Only {run}: {n:,} texts.", n, run=run)
            for run, n in ((first, pair.paired.only_first), (second, pair.paired.only_second))
        )
    )
    differing = list_disagreements(pair)
    if differing.empty:
        return
    shown = differing.head(SHOWN_TEXTS)[["right", "text", "true", "first", "second"]]
    shown.columns = [
        translate("Correct run"),
        "text",
        translate("True class"),
        translate("Prediction of {name}", name=pair.first.name),
        translate("Prediction of {name}", name=pair.second.name),
    ]
    position = tables.draw_texts(
        shown,
        key="disagreements",
        alt=translate("Texts that one run classifies correctly and the other does not"),
    )
    if position is not None:
        with st.container(border=True, key="whole-text"):
            st.text(str(shown["text"].iloc[position]))


def _signed(value: float) -> str:
    return "–" if isnan(value) else localize(f"{value:+.3f}").replace("-", "−")


def _decide(low: float, high: float) -> str:
    if isnan(low):
        return translate("not compared")  # one of the runs has no score of this class
    return translate("better" if low > 0 else "worse" if high < 0 else "too close to call")
