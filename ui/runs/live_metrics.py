"""The metrics and charts of a run, shared by all its viewers and refreshed at most once a
second.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import pandas as pd
import streamlit as st

from core import charts
from core.charts import Chart
from core.estimate.estimate import Estimate
from core.estimate.eta import remaining_seconds
from core.evaluation.predictions import Predictions
from core.storage.job import Job
from core.storage.schema import Metric
from core.storage.store import Store

SHARED_SECONDS = 1.0  # each viewer refreshes every 2 s, at different moments
DRAWN = ("step", "split", "loss", "accuracy", "macro_f1", "best")


@dataclass
class Course:
    """The metrics, remaining time and charts of one run between two changes of state;
    thread-safe.
    """

    timer: Callable[[], float] = time.monotonic
    metrics: list[Metric] = field(default_factory=list)
    expected: Estimate | None = None
    seconds_left: float | None = None  # None until it can be estimated
    _read_at: float | None = None
    _charts: dict[str, tuple[object, Chart]] = field(
        default_factory=dict
    )  # by name, with the inputs of each chart
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
        return self._kept(
            f"loss, log {log}",
            len(self.metrics),
            lambda: charts.loss_curves(self._frame(), log=log),
        )

    def scores(self, rows: int, baselines: Mapping[str, float]) -> Chart | None:
        """Return accuracy and macro-F1 on ``rows`` validation texts, with ``baselines`` as rules.

        None before the first validation.
        """
        validations = sum(metric.accuracy is not None for metric in self.metrics)
        if not validations:
            return None
        made_from = validations, rows, dict(baselines)
        return self._kept(
            "scores", made_from, lambda: charts.score_curves(self._frame(), rows, baselines)
        )

    def matrix(
        self, step: int, predictions: Predictions, classes: Sequence[str], dark: bool
    ) -> Chart:
        """Return the confusion matrix of the validation after ``step``."""
        return self._kept(
            f"matrix, dark {dark}",
            step,
            lambda: charts.confusion_matrix(predictions.scores.counts, classes, dark=dark),
        )

    def _kept(self, name: str, made_from: object, make: Callable[[], Chart]) -> Chart:
        with self._lock:
            known = self._charts.get(name)
            if known is None or known[0] != made_from:
                known = self._charts[name] = (made_from, make())
            return known[1]

    def _frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            {name: [getattr(metric, name) for metric in self.metrics] for name in DRAWN}
        )


def course_of(store: Store, job: Job) -> Course:
    """Return the shared course of the run in its current state."""
    return _course(
        str(store.database), store.database.stat().st_ino, job.id, job.version
    )  # a rebuilt database renumbers its rows


@st.cache_resource(max_entries=8, show_spinner=False)  # 10,000 steps take some 3 MB
def _course(database: str, inode: int, run_id: str, version: int) -> Course:
    return Course()
