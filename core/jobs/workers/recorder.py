"""Record the events of a training as rows and files, and find the checkpoint to resume from."""

import time
from collections.abc import Callable

from core.jobs.context import JobContext
from core.progress import Phase, Progress
from core.runs import artifacts
from core.runs.artifacts import TrainingIdentity
from core.runs.run import ResumePoint, RunResult
from core.storage import files
from core.storage.database import Metric
from core.training import events

WORKING = frozenset(
    {Phase.UNTRAINED, Phase.TRAINING, Phase.VALIDATING, Phase.EVALUATING, Phase.SAVING}
)
# a lost database loses this much of a curve; writing 7,000 points takes a tenth of a second
RECORD_SECONDS = 30.0


class Recorder:
    """Callback that writes each event of a training to where pages read it.

    A file is written before the row that refers to it, and rows before the checkpoint that is past
    them: after a crash in between, some work is repeated, but no curve has a gap.
    """

    def __init__(
        self,
        context: JobContext,
        identity: TrainingIdentity,
        keep: Callable[[events.Evaluation], None],
    ) -> None:
        self.context, self.identity, self._keep = context, identity, keep
        self._best_step = 0
        self._recorded_at = time.monotonic()

    def __call__(self, event: events.Event) -> None:
        """Record one event. Raises Stopped if another attempt of the run has begun."""
        if isinstance(event, Progress):
            if event.phase in WORKING:
                self.context.set_running()
            self.context.report(event)
            return
        if isinstance(event, events.TrainMetric):
            self._add_train_metric(event)
            return
        self.context.require_current()
        match event:
            case events.ValidationMetric():
                self._add_validation(event)
            case events.Evaluation():
                self._keep(event)
            case events.AdapterSaved():
                with self.context.phases.within(Phase.SAVING):
                    artifacts.save_adapter(self.context.folder, event.step, event.files)
                self._best_step = event.step
            case events.Checkpoint():
                with self.context.phases.within(Phase.SAVING):
                    self._save_checkpoint(event)

    def resume(self) -> dict[str, bytes] | None:
        """Return the files of the newest valid checkpoint; None to start from scratch.

        Rows past the checkpoint are dropped. Raises ConfigError, DataError or ModelUnavailable if
        the checkpoint does not belong to this run.
        """
        newest = artifacts.find_checkpoint(self.context.folder, self.identity)
        self._best_step = newest.best_step
        self.context.store.drop_metrics_after(self.context.job, newest.step)
        for later in artifacts.list_validation_steps(self.context.folder):
            if later > newest.step:
                files.disk.remove(
                    artifacts.predictions_path(self.context.folder, "validation", later)
                )
        if self.context.job.attempt > 1:
            resumed = ResumePoint(step=newest.step, skipped=newest.skipped)
            self.context.update_result(RunResult(resumed=resumed))
        return newest.files or None

    def _add_train_metric(self, event: events.TrainMetric) -> None:
        now = self.context.store.clock()
        rate, speed = event.learning_rate, event.rows_per_second
        self.context.add_metric(
            Metric(
                event.step,
                "train",
                event.epoch,
                event.loss,
                now,
                learning_rate=rate,
                rows_per_second=speed,
            )
        )

    def _add_validation(self, event: events.ValidationMetric) -> None:
        files.write_parquet(
            artifacts.predictions_path(self.context.folder, "validation", event.step),
            event.predictions,
        )
        scores = event.accuracy, event.macro_f1
        now = self.context.store.clock()
        self.context.add_metric(
            Metric(event.step, "validation", event.epoch, event.loss, now, *scores, best=event.best)
        )

    def _save_checkpoint(self, event: events.Checkpoint) -> None:
        self.context.flush()
        artifacts.save_checkpoint(
            self.context.folder, event.step, event.files, self.identity, self._best_step
        )
        if time.monotonic() - self._recorded_at > RECORD_SECONDS:
            self.context.store.write_record_file(self.context.job)
            self._recorded_at = time.monotonic()
