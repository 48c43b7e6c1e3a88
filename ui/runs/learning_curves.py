"""Loss, scores and the confusion matrix of the last validation of one run."""

import streamlit as st

from core.errors import ArtifactDamaged
from core.runs import artifacts
from core.runs.expected import expect_request
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from ui.runs.live_metrics import course_of
from ui.session import cache
from ui.widgets import baselines, chart_view
from ui.widgets.run_summary import Summary


class Curves:
    """A run's curves and matrix on one visitor's page; all visitors of the run share the data."""

    def __init__(self, store: Store, summary: Summary) -> None:
        """Read all metrics written so far."""
        self.store, self.summary = store, summary
        job, request = summary.job, summary.request
        self.course = course_of(store, job)
        if request and not job.state.over and self.course.expected is None:
            self.course.expected = expect_request(store, request)
        self.course.follow(store, job, fresh=True)

    def draw(self, job: Job) -> None:
        """Draw two charts side by side and the matrix below, or a note while there are no
        metrics.
        """
        if not self.course.metrics:
            if not job.state.over:
                st.caption("Curves appear after the first step.")
            return
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            key="curves-head",
        ):
            st.markdown("##### Learning curves", width="content")
            log = st.toggle("Logarithmic loss", key="log-loss")
        pair = st.grid(2, min_column_width=330, gap="medium")
        with pair.cell():
            chart_view.draw(self.course.loss(log), key="loss")
        with pair.cell():
            self._draw_scores(job)
        self._draw_matrix(job)

    def _draw_scores(self, job: Job) -> None:
        request = self.summary.request
        assert request is not None  # a run without one is damaged and has no curves
        chart = self.course.scores(
            request.config.validation_rows, baselines.levels(baselines.read(self.store, job))
        )
        if chart is None:
            st.caption("Accuracy appears after the first validation.")
        else:
            chart_view.draw(chart, key="scores")

    def _draw_matrix(self, job: Job) -> None:
        run = Run.of(self.store, job)
        steps, classes = artifacts.validation_steps(run.folder), run.result.classes
        if not steps or classes is None:
            return
        try:
            predictions = cache.predictions(
                run.folder, run.version, len(classes), "validation", steps[-1]
            )
        except ArtifactDamaged as error:
            st.caption(f"The matrix of step {steps[-1]:,} cannot be drawn. {error.message}")
            return
        st.markdown(f"##### Validation after step {steps[-1]:,}")
        pair = st.grid(2, min_column_width=330, gap="medium")
        with pair.cell():
            chart_view.draw(
                self.course.matrix(steps[-1], predictions, classes, chart_view.dark()), key="matrix"
            )
        with pair.cell():
            st.caption(f"Scores on the same {len(predictions):,} validation texts.")
            chart_view.per_class(predictions.scores, classes, key="per-class")
