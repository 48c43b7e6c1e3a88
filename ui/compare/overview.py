"""Choice of runs and verdicts of the Compare page."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.errors import LoraLabError
from core.evaluation.comparison import Pair, Result, compare
from core.evaluation.scores import Proportion
from core.runs.compared_runs import MOST, make_distinct_names, make_result
from core.runs.run import Run
from core.storage.job import Job, JobKind
from core.storage.store import Store
from ui import navigation
from ui.app import page_frame
from ui.session import cache, error_boundary
from ui.text import count, plain
from ui.widgets import tables

KEY, LIMIT = "compared", MOST
SHOWN_VERDICTS = 6  # ten runs make 45 pairs: a table lists the rest
HOW_TO_READ = """
- **The verdict** compares both runs on the same test texts. The interval comes from a paired
  bootstrap over texts, p from McNemar's exact test; with more than two runs, p is corrected for
  the number of pairs (Holm).
- **One seed each:** the test covers the variation between texts, not between seeds. Train the
  same configuration with several seeds before you trust a small difference.
- **Too close to call** does not mean that the runs are equally good, only that these texts
  cannot decide.
- **Dashed lines** are the smoothed training loss, with each step as a thin line behind it; solid
  lines with points are validation.
"""


@dataclass(frozen=True, eq=False)
class Chosen:
    """A compared run: its record and its predictions."""

    run: Run
    result: Result

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
    pairs = _compare(
        tuple((entry.run.id, entry.run.version, entry.result.name) for entry in chosen), chosen
    )
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
    return pairs


# each entry holds predictions, which other caches share
@st.cache_resource(max_entries=4, show_spinner=False)
def _compare(key: tuple[tuple[str, int, str], ...], _chosen: Sequence[Chosen]) -> list[Pair]:
    return compare([entry.result for entry in _chosen])


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
    return Chosen(run, make_result(run, predictions, name))
