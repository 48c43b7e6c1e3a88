"""Loss, scores and the last validation matrix of a run.

All viewers of a run share its metrics and charts, which are refreshed at most once a second.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import streamlit as st

from core import charts
from core.charts import Chart
from core.errors import ArtifactDamaged
from core.estimate.estimate import Estimate, remaining_seconds
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.local_estimate import estimate_request
from core.runs.run import Run
from core.storage.database import Metric
from core.storage.job import Job
from core.storage.store import Store
from core.translation import read_language, translate
from ui.session import cache
from ui.widgets import baselines, chart_view
from ui.widgets.run_summary import Summary

T = TypeVar("T")
SHARED_SECONDS = 1.0  # each viewer refreshes every 2 s, at different moments
DRAWN = ("step", "split", "loss", "accuracy", "macro_f1", "best")


@dataclass
class LiveMetrics:
    """The metrics, remaining time and charts of one run between two changes of state;
    thread-safe.
    """

    timer: Callable[[], float] = time.monotonic
    metrics: list[Metric] = field(default_factory=list)
    expected: Estimate | None = None
    seconds_left: float | None = None  # None until it can be estimated
    _read_at: float | None = None
    # by name, with the inputs of each chart
    _drawn: dict[str, tuple[object, object]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def follow(self, store: Store, job: Job, fresh: bool = False) -> None:
        """Read the rows written since the last read, at most once a second unless ``fresh``."""
        with self._lock:
            now = self.timer()
            if not fresh and self._read_at is not None and now - self._read_at < SHARED_SECONDS:
                return
            if new := store.read_metrics(job.id, self.metrics[-1].id if self.metrics else 0):
                self.metrics = [*self.metrics, *new]
            self.seconds_left = remaining_seconds(self.expected, job, self.metrics, store.clock())
            self._read_at = now

    def loss(self, log: bool) -> Chart:
        """Return the loss chart so far."""
        return self._cached(
            f"loss, log {log}",
            len(self.metrics),
            lambda: charts.draw_loss_curves(self._frame(), log=log),
        )

    def scores(self, rows: int, baselines: Mapping[str, float]) -> Chart | None:
        """Return accuracy and macro-F1 on ``rows`` validation texts, with ``baselines`` as rules.

        None before the first validation.
        """
        validations = sum(metric.accuracy is not None for metric in self.metrics)
        if not validations:
            return None
        made_from = validations, rows, dict(baselines)
        return self._cached(
            "scores", made_from, lambda: charts.draw_score_curves(self._frame(), rows, baselines)
        )

    def matrix(
        self, step: int, predictions: Predictions, classes: Sequence[str], dark: bool
    ) -> Chart:
        """Return the confusion matrix of the validation after ``step``."""
        return self._cached(
            f"matrix, dark {dark}",
            step,
            lambda: charts.draw_confusion_matrix(predictions.scores.counts, classes, dark=dark),
        )

    def class_table(self, step: int, predictions: Predictions, classes: Sequence[str]) -> pa.Table:
        """Return the scores of each class at the validation after ``step``."""
        return self._cached(
            "classes", step, lambda: chart_view.tabulate_classes(predictions.scores, classes)
        )

    def read_each_second(self, name: str, read: Callable[[], T]) -> T:
        """Return what ``read`` returned for any watcher since the rows were last read."""
        return self._cached(name, self._read_at, read)

    def _cached(self, name: str, made_from: object, make: Callable[[], T]) -> T:
        name = f"{name}, {read_language()}"
        with self._lock:
            known = self._drawn.get(name)
            if known is None or known[0] != made_from:
                known = self._drawn[name] = (made_from, make())
            drawn: T = known[1]  # type: ignore[assignment]
            return drawn

    def _frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            {name: [getattr(metric, name) for metric in self.metrics] for name in DRAWN}
        )


def find_live_metrics(store: Store, job: Job) -> LiveMetrics:
    """Return the shared metrics of the run in its current state."""
    # a rebuilt database renumbers its rows
    return _live_metrics(str(store.database), store.database.stat().st_ino, job.id, job.version)


@st.cache_resource(max_entries=8, show_spinner=False)  # 10,000 steps take some 3 MB
def _live_metrics(database: str, inode: int, run_id: str, version: int) -> LiveMetrics:
    return LiveMetrics()


class Curves:
    """A run's curves and matrix on one visitor's page; all visitors of the run share the data."""

    def __init__(self, store: Store, summary: Summary) -> None:
        """Read all metrics written so far."""
        self.store, self.summary = store, summary
        job, request = summary.job, summary.request
        self.live = find_live_metrics(store, job)
        if request and not job.state.is_finished and self.live.expected is None:
            self.live.expected = estimate_request(store, request)
        self.live.follow(store, job, fresh=True)

    def draw(self, job: Job) -> None:
        """Draw two charts side by side and the matrix below, or a note while there are no
        metrics.
        """
        if not self.live.metrics:
            if not job.state.is_finished:
                st.caption(translate("Curves appear after the first step."))
            return
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            key="curves-head",
        ):
            st.markdown(f"##### {translate('Learning curves')}", width="content")
            log = st.toggle(translate("Logarithmic loss"), key="log-loss")
        pair = st.grid(2, min_column_width=330, gap="medium")
        with pair.cell():
            chart_view.draw(self.live.loss(log), key="loss")
        with pair.cell():
            self._draw_scores(job)
        self._draw_matrix(job)

    def read_levels(self, job: Job) -> dict[str, float]:
        """Return the accuracies of the baselines by name."""
        return self.live.read_each_second(
            "levels", lambda: baselines.list_levels(baselines.read(self.store, job))
        )

    def list_steps(self, job: Job) -> list[int]:
        """List the steps with stored validation predictions."""
        folder = self.store.get_folder(job)
        return self.live.read_each_second("steps", lambda: artifacts.list_validation_steps(folder))

    def _draw_scores(self, job: Job) -> None:
        request = self.summary.request
        assert request is not None  # a run without one is damaged and has no curves
        chart = self.live.scores(
            request.config.validation_rows,
            {translate(name): level for name, level in self.read_levels(job).items()},
        )
        if chart is None:
            st.caption(translate("Accuracy appears after the first validation."))
        else:
            chart_view.draw(chart, key="scores")

    def _draw_matrix(self, job: Job) -> None:
        run = Run.of(self.store, job)
        steps, classes = self.list_steps(job), run.result.classes
        if not steps or classes is None:
            return
        try:
            predictions = cache.read_predictions(
                run.folder, run.version, len(classes), "validation", steps[-1]
            )
        except ArtifactDamaged as error:
            missing = translate("The matrix of step {step:,} cannot be drawn.", step=steps[-1])
            st.caption(f"{missing} {error.message}")
            return
        st.markdown(f"##### {translate('Validation after step {step:,}', step=steps[-1])}")
        columns = chart_view.count_columns(classes)
        pair = st.grid(columns, min_column_width=330, gap="medium")
        with pair.cell():
            chart_view.draw(
                self.live.matrix(steps[-1], predictions, classes, chart_view.is_dark()),
                key="matrix",
            )
        with pair.cell():
            st.caption(translate("Scores on the same {n:,} validation texts.", n=len(predictions)))
            table = self.live.class_table(steps[-1], predictions, classes)
            chart_view.draw_class_table(table, key="per-class")
