"""Choice of runs and verdicts of the Compare page."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.errors import LoraLabError
from core.evaluation.class_scores import UndisputedScores
from core.evaluation.comparison import Pair, Result, compare, leave_out
from core.evaluation.scores import Proportion
from core.runs.compared_runs import MOST, make_distinct_names, make_result
from core.runs.run import Run
from core.storage.job import Job, JobKind
from core.storage.store import Store
from ui import navigation
from ui.app import page_frame
from ui.session import cache, error_boundary
from ui.text import count, plain
from ui.widgets import disputed_labels, tables
from ui.widgets.disputed_labels import Marks

KEY, LIMIT = "compared", MOST
SHOWN_VERDICTS = 6  # ten runs make 45 pairs: a table lists the rest
Key = tuple[tuple[str, int, str], ...]
HOW_TO_READ = """
- **The verdict** compares both runs on the same test texts. The interval comes from a paired
  bootstrap over texts, p from McNemar's exact test; with more than two runs, p is corrected for
  the number of pairs (Holm).
- **One seed each:** the test covers the variation between texts, not between seeds. Train the
  same configuration with several seeds before you trust a small difference.
- **Too close to call** does not mean that the runs are equally good, only that these texts
  cannot decide.
- **A disputed label** is one that a reader of the text considers wrong. The verdict counts all
  texts; it is repeated without those with a disputed label.
- **Dashed lines** are the smoothed training loss, with each step as a thin line behind it; solid
  lines with points are validation.
"""


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
        why = "A comparison needs two runs with test scores."
        page_frame.draw_empty(
            "There is nothing to compare yet.", why, navigation.TRAIN, "Set up a run"
        )
    names = make_distinct_names(jobs)
    listed = dict.fromkeys(filter(None, st.query_params.get(KEY, "").split(",")))
    if unknown := [run for run in listed if run not in names]:
        st.warning(
            plain(f"No run with test scores has the id {', '.join(unknown)}."),
            icon=":material/search_off:",
        )
    requested = [run for run in listed if run in names][:LIMIT]
    st.session_state[KEY] = requested or list(names)[:2]
    ids = st.multiselect(
        "Runs",
        list(names),
        format_func=lambda run: names.get(run, run),
        key=KEY,
        max_selections=LIMIT,
        on_change=_write,
        placeholder="Choose",
    )
    st.query_params[KEY] = ",".join(ids)
    by_id = {job.id: job for job in jobs}
    chosen = [readable for run in ids if (readable := _read(store, by_id[run], names[run]))]
    if len(chosen) < 2:
        st.info("Choose at least two runs.", icon=":material/compare_arrows:")
        st.stop()
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
        with st.expander(f"The other {count(len(rest), 'pairs')}", key="other-pairs"):
            tables.draw_plain(
                pd.DataFrame({"Verdict": [pair.verdict for pair in rest]}), key="other-verdicts"
            )
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
        f"Without {count(max(numbers), 'texts')} with a disputed label",
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
