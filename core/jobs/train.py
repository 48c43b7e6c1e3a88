"""The job that trains: it brings data and model together, and turns what the training reports into rows and files."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from core import files
from core.catalog import find_model
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.prepared import Dataset, find_prepared, prepare
from core.errors import ArtifactDamaged, DataError, Stopped
from core.estimate import run_cost
from core.evaluation.predictions import Predictions
from core.facts import data_facts, model_facts
from core.jobs import artifacts
from core.jobs.context import JobContext
from core.jobs.requests import TrainRequest, read_train_request
from core.schema import Metric
from core.training import events
from core.training.events import Phase, Progress, TrainResult
from core.training.session import TrainingData, TrainingSession
from core.work import times

WORKING = frozenset({Phase.UNTRAINED, Phase.TRAINING, Phase.VALIDATING, Phase.EVALUATING, Phase.SAVING})


def run(context: JobContext) -> None:
    """Train what the job's request names. Raises the errors of ``core.errors`` that a training can meet, Stopped among them."""
    request = read_train_request(context.job)
    files.write_json(context.folder / "config.json", request.config.model_dump(mode="json"))
    dataset = _read_dataset(context, request)
    record = Recorder(context, dataset)
    session = _open_session(context, request.config, dataset, record)
    _score_untrained(context, session, dataset, record)
    result = session.train(_newest_checkpoint(context))
    context.set_result(**asdict(result))
    _record_cost(context, session, dataset, result)
    if result.stopped:
        raise Stopped("The run was stopped.")


class Recorder:
    """Called with each event of a training; writes it where pages look for it."""

    def __init__(self, context: JobContext, dataset: Dataset) -> None:
        self.context = context
        self.dataset = dataset

    def __call__(self, event: events.Event) -> None:
        """Record one event."""
        match event:
            case Progress():
                if event.phase in WORKING:
                    self.context.set_running()
                self.context.report(event)
            case events.TrainMetric() | events.ValidationMetric():
                self._add_metric(event)
            case events.Evaluation():
                self._add_evaluation(event)
            case events.AdapterSaved():
                files.write_folder(self.context.folder / "adapter", event.files)
            case events.Checkpoint():
                artifacts.save_checkpoint(self.context.folder, event.step, event.files)

    def _add_metric(self, event: events.TrainMetric | events.ValidationMetric) -> None:
        now = self.context.store.clock()
        if isinstance(event, events.TrainMetric):
            rate, speed = event.learning_rate, event.rows_per_second
            self.context.add_metric(Metric(event.step, "train", event.epoch, event.loss, now, learning_rate=rate, rows_per_second=speed))
            return
        files.write_parquet(artifacts.predictions_path(self.context.folder, "validation", event.step), event.predictions)
        scores = event.accuracy, event.macro_f1
        self.context.add_metric(Metric(event.step, "validation", event.epoch, event.loss, now, *scores, best=event.best))

    def _add_evaluation(self, event: events.Evaluation) -> None:
        texts = self.dataset.read("validation" if event.split == "validation" else "test", ["row", "text"])
        frame = event.predictions.merge(texts, on="row", how="left", validate="one_to_one")
        save_evaluation(self.context, event.split, frame, len(self.dataset.classes))


def save_evaluation(context: JobContext, split: events.Split, frame: pd.DataFrame, classes: int) -> None:
    """Keep the table and put its scores into the run's result."""
    files.write_parquet(artifacts.predictions_path(context.folder, split), frame)
    scores = Predictions.of(frame, classes).scores
    context.set_result(
        **{split: {"accuracy": scores.accuracy.value, "macro_f1": scores.macro_f1, "rows": len(frame), "hits": scores.accuracy.hits}}
    )


def _read_dataset(context: JobContext, request: TrainRequest) -> Dataset:
    dataset = find_prepared(context.settings, request.source)
    if dataset is None:
        dataset = prepare(context.settings, request.source, context.report, context.should_stop)
    if context.job.fingerprint and context.job.fingerprint != dataset.fingerprint:
        message = f"The data changed since this run began: fingerprint {context.job.fingerprint} then, {dataset.fingerprint} now."
        raise DataError(message, "Clone the run and train it anew.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    context.set_result(classes=list(dataset.classes), data=dataset.name)
    return dataset


def _open_session(context: JobContext, config: RunConfig, dataset: Dataset, record: Recorder) -> TrainingSession:
    context.report(Progress(Phase.LOADING))
    model = find_model(config.model, context.settings, hub_reachable(context.settings))
    data = TrainingData(dataset.classes, dataset.read("train"), dataset.read("validation"), dataset.read("test"))
    return TrainingSession(config, model, data, record, context.should_stop)


def _score_untrained(context: JobContext, session: TrainingSession, dataset: Dataset, record: Recorder) -> None:
    """The untrained scores are the same for each run on this model, seed and data, so they are computed once and kept."""
    config = session.config
    identity = "|".join((session.model.id, session.model.revision, str(config.seed), dataset.fingerprint, str(config.max_tokens)))
    kept = context.settings.home / "untrained" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"
    if not _is_readable(kept, len(dataset.classes)):
        record(session.score_untrained())
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(kept, artifacts.predictions_path(context.folder, "untrained").read_bytes())
    else:
        save_evaluation(context, "untrained", files.read_parquet(kept), len(dataset.classes))


def _is_readable(path: Path, classes: int) -> bool:
    try:
        Predictions.read(path, classes)
    except ArtifactDamaged:
        return False
    return True


def _record_cost(context: JobContext, session: TrainingSession, dataset: Dataset, result: TrainResult) -> None:
    """What the steps that were taken had to compute: later estimates compare it with the seconds that they took."""
    config, facts, model = session.config, data_facts(dataset), model_facts(session.model, result.device)
    cost = run_cost(config, facts, model)
    share = result.steps / config.total_steps(facts.used_rows(config))
    context.set_result(base_model=model.name, cost=asdict(replace(cost, work=times(cost.work, share))))


def _newest_checkpoint(context: JobContext) -> dict[str, bytes] | None:
    steps = artifacts.checkpoint_steps(context.folder)
    if not steps:
        context.store.drop_metrics_after(context.job, 0)
        return None
    context.store.drop_metrics_after(context.job, steps[-1])
    for later in artifacts.validation_steps(context.folder):
        if later > steps[-1]:
            artifacts.predictions_path(context.folder, "validation", later).unlink()
    return artifacts.read_checkpoint(context.folder, steps[-1])
