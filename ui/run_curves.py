"""Loss, scores and the matrix of the last validation of one run."""

from dataclasses import dataclass, field

import pandas as pd
import streamlit as st

from core import charts
from core.errors import ArtifactDamaged
from core.eta import remaining_seconds
from core.jobs import artifacts
from core.jobs.expect import expect_request
from core.schema import Metric
from core.states import Job
from core.store import Store
from ui import baselines, drawing, readers
from ui.run_summary import Summary

DRAWN = ("step", "split", "loss", "accuracy", "macro_f1", "best")


@dataclass
class Curves:
    """The metrics of one attempt, kept by the fragment that draws them; each tick reads only the rows that are new."""

    store: Store
    summary: Summary
    metrics: list[Metric] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.read_new()
        request, over = self.summary.request, self.summary.job.state.over
        self._expected = expect_request(self.store, request) if request and not over else None

    def read_new(self) -> None:
        """Append the rows written since the last look."""
        after = self.metrics[-1].id if self.metrics else 0
        self.metrics += self.store.read_metrics(self.summary.job.id, after)

    def seconds_left(self, job: Job) -> float | None:
        """Seconds until the run is over; None before anything can be said."""
        return remaining_seconds(self._expected, job, self.metrics, self.store.clock())

    def draw(self, job: Job) -> None:
        """Two charts side by side and the matrix below; a line instead while there is nothing to draw."""
        if not self.metrics:
            if not job.state.over:
                st.caption("Curves appear with the first step.")
            return
        frame = pd.DataFrame({name: [getattr(metric, name) for metric in self.metrics] for name in DRAWN})
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="curves-head"):
            st.markdown("##### Learning curves", width="content")
            log = st.toggle("Logarithmic loss", key="log-loss")
        pair = st.grid(2, min_column_width=330, gap="medium")
        with pair.cell():
            drawing.draw(charts.loss_curves(frame, log=log), key="loss")
        with pair.cell():
            self._draw_scores(frame, job)
        self._draw_matrix(job)

    def _draw_scores(self, frame: pd.DataFrame, job: Job) -> None:
        if frame["accuracy"].notna().sum() == 0:
            st.caption("Accuracy appears with the first validation.")
            return
        request = self.summary.request
        assert request is not None  # a run without one is damaged and has no curves
        named = baselines.levels(baselines.read(self.store, job))
        drawing.draw(charts.score_curves(frame, request.config.validation_rows, named), key="scores")

    def _draw_matrix(self, job: Job) -> None:
        folder = self.store.folder(job)
        steps, names = artifacts.validation_steps(folder), job.result.get("classes")
        if not steps or not isinstance(names, list):
            return
        try:
            predictions = readers.predictions(folder, job.version, len(names), "validation", steps[-1])
        except ArtifactDamaged as error:
            st.caption(f"The matrix of step {steps[-1]:,} cannot be drawn. {error.message}")
            return
        st.markdown(f"##### Validation after step {steps[-1]:,}")
        pair = st.grid(2, min_column_width=330, gap="medium")
        with pair.cell():
            drawing.draw(
                charts.confusion_matrix(predictions.scores.counts, [str(name) for name in names], dark=drawing.dark()), key="matrix"
            )
        with pair.cell():
            st.caption(f"Scores on the same {len(predictions):,} validation texts.")
            drawing.per_class(predictions.scores, [str(name) for name in names], key="per-class")
