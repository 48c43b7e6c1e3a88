"""The training job: it connects data, base model and the run's folder."""

import logging
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from core.access import GUEST_PREFIX
from core.data.cleaning import clean
from core.data.dataset import Dataset
from core.data.hidden_test import find_test_of, read_hidden_rows
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Split
from core.errors import (
    ArtifactDamaged,
    DataError,
    LoraLabError,
    NotEnoughRoom,
    Stopped,
    StoreDamaged,
)
from core.estimate.estimate import run_cost
from core.estimate.inputs import data_facts, model_facts
from core.estimate.workload import scaled
from core.evaluation.predictions import Predictions
from core.jobs.context import JobContext
from core.jobs.launching import enqueue, find_latest
from core.jobs.workers.recorder import Recorder
from core.jobs.workers.run_numerics import choose_numerics
from core.jobs.workers.training_watch import TrainingWatch
from core.models.catalog import ModelLocation, find_model
from core.presets import Preset, fit_to_data
from core.progress import Phase, Progress
from core.runs import artifacts, local_estimate
from core.runs.artifacts import TrainingIdentity
from core.runs.diagnosis import conclude
from core.runs.limits import limit_size
from core.runs.local_estimate import untrained_cache_path, untrained_states_path
from core.runs.requests import (
    TrainRequest,
    read_chosen_config,
    read_train_request,
)
from core.runs.run import Run, RunResult, RunSeconds, SplitScores, read_result
from core.runs.run_baselines import BaselineRequest, list_missing_baselines
from core.storage import files
from core.storage.accounts import list_people
from core.storage.files import compute_fingerprint
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.training import events
from core.training.activations import ActivationStore
from core.training.adapted_model import ALL_ON
from core.training.device import choose_device
from core.training.events import TrainResult
from core.training.session import TrainingData, TrainingSession

log = logging.getLogger("worker")

# a curve may differ between versions of these
LIBRARIES = ("torch", "transformers", "peft", "safetensors")


def run(context: JobContext) -> None:
    """Train the run of the job. Raises errors of ``core.errors``, such as Stopped.

    However it ends, its result has the seconds of each part, unless recording them fails too.
    """
    try:
        _train(context)
    except BaseException:
        try:
            _record_seconds(context)
        except LoraLabError as error:  # must not replace why the run ended
            log.warning("the seconds of each part were not recorded: %s", error)
        raise
    _record_seconds(context)


def _record_seconds(context: JobContext) -> None:
    context.update_result(RunResult(seconds=RunSeconds.of(context.phases.read())))


def _train(context: JobContext) -> None:
    request = read_train_request(context.job)
    files.write_json(context.folder / "config.json", request.config.model_dump(mode="json"))
    dataset = _read_dataset(context, request)
    if request.fitted_later:
        _fit_config(context, request, dataset)
    context.report(Progress(Phase.LOADING))
    model = find_model(request.config.model, context.settings, hub_reachable(context.settings))
    run = Run.of(context.store, context.job)
    if artifacts.list_checkpoints(context.folder):
        run.require_same_base(model)
    request, numerics = choose_numerics(context, model, choose_device())
    untrained = untrained_cache_path(
        context.settings.home, model.name, request.config, dataset.fingerprint
    )
    record = Recorder(
        context,
        _make_identity(context, dataset, model),
        lambda event: _save_split_evaluation(context, dataset, event, untrained),
    )
    data = TrainingData(
        dataset.classes,
        lambda split: dataset.read(split, ["row", "text", "label"]),
        dataset.draw_sample,
    )
    watch = TrainingWatch(context, request.config, dataset.classes, record)
    session = TrainingSession(
        request.config,
        model,
        data,
        watch,
        context.should_stop,
        replace(ALL_ON, onednn=numerics.onednn),
        _open_activations(context, request, model, dataset),
    )
    if not artifacts.list_checkpoints(context.folder):
        _record_base(context, request)
    estimate = local_estimate.estimate_run(context.store, request.config, dataset)
    context.update_result(RunResult(expected=local_estimate.summarize_estimate(estimate)))
    watch.expected = estimate
    if model.folder is not None:  # otherwise it was downloaded
        seconds = RunSeconds.of(context.phases.read())
        context.update_result(RunResult(start_seconds=seconds.imports + seconds.loading))
    scored = _use_stored_untrained(context, untrained, len(dataset.classes))
    result = session.train(record.resume(), score_untrained=not scored)
    context.report(Progress(Phase.SAVING))
    context.update_result(RunResult.model_validate(asdict(result)))
    _record_cost(context, session, dataset, result)
    if result.stopped:
        raise Stopped("The run was stopped.")
    _score_hidden(context, session, dataset)
    context.update_result(RunResult(shared_test_texts=count_shared_texts(dataset)))
    context.flush()
    run = Run.of(context.store, context.store.read_job(context.job.id))
    context.update_result(conclude(context.store, run))
    _queue_baselines(context, request, dataset)


def _open_activations(
    context: JobContext, request: TrainRequest, model: ModelLocation, dataset: Dataset
) -> ActivationStore:
    settings = context.settings
    states = untrained_states_path(settings, model.name, request.config, dataset.fingerprint)
    return ActivationStore(settings.activations, untrained_key=states.stem)


def _record_base(context: JobContext, request: TrainRequest) -> None:
    """Record the files of the base model, which is on this machine now."""
    settings = context.settings
    model = find_model(request.config.model, settings, hub_reachable(settings))
    context.update_result(RunResult(base_files=artifacts.record_base_files(model)))


def _queue_baselines(context: JobContext, request: TrainRequest, dataset: Dataset) -> None:
    """Queue the missing baselines; a failure to do so does not fail the completed run."""
    try:
        queue_baselines(
            context.store, context.store.read_job(context.job.id), request, len(dataset.classes)
        )
    except (StoreDamaged, NotEnoughRoom) as error:
        log.warning("the baselines were not queued: %s", error.message)


def queue_baselines(store: Store, job: Job, trained: TrainRequest, classes: int) -> None:
    """Queue the missing baselines of a run that has ended, except those that a user stopped.

    Not after a guest training: guests may start a Taste run and no other job.
    """
    if job.owner.startswith(GUEST_PREFIX):
        return
    request = BaselineRequest.of(job.fingerprint, trained.config, trained.recipe)
    latest = find_latest(store, request)
    if list_missing_baselines(store.settings, request, classes) and (
        latest is None or latest.state is JobState.COMPLETED
    ):
        enqueue(store, request, read_result(job).data or job.name)


def save_evaluation(
    context: JobContext, split: events.EvaluatedSplit, frame: pd.DataFrame, classes: int
) -> None:
    """Write the table of predictions and record its scores in the run's result."""
    files.write_parquet(artifacts.predictions_path(context.folder, split), frame)
    scores = SplitScores.of(Predictions.of(frame, classes))
    context.update_result(RunResult.model_validate({split: scores}))


def _read_dataset(context: JobContext, request: TrainRequest) -> Dataset:
    dataset = find_prepared(context.settings, request.source)
    if dataset is None:
        dataset = prepare(context.settings, request.source, context.report, context.should_stop)
    dataset = clean(dataset, request.recipe)
    if context.job.fingerprint and context.job.fingerprint != dataset.fingerprint:
        message = (
            f"The data changed since this run began: fingerprint {context.job.fingerprint} then,"
            f" {dataset.fingerprint} now."
        )
        raise DataError(message, "Clone the run and train it again.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    context.update_result(RunResult(classes=dataset.classes, data=dataset.name))
    return dataset


def count_shared_texts(dataset: Dataset) -> int:
    """Count the test texts that are also training texts, from 64-bit hashes of both."""
    return int(np.isin(dataset.hash_texts("test"), dataset.hash_texts("train")).sum())


def _fit_config(context: JobContext, request: TrainRequest, dataset: Dataset) -> None:
    """Fit the preset to data that were not prepared at the launch, and record the configuration."""
    people = {person.id: person for person in list_people(context.store)}
    owner = people.get(context.job.owner, context.store.visitor)
    size = limit_size(context.store, data_facts(dataset).size, owner)
    fitted = fit_to_data(Preset(request.preset), size)
    changes = {name: fitted[name] for name in request.fitted_later if name in fitted}
    changed = request.model_copy(
        update={"config": request.config.model_copy(update=changes), "fitted_later": ()}
    )
    context.set_request(changed.model_dump_json())


def _make_identity(context: JobContext, dataset: Dataset, model: ModelLocation) -> TrainingIdentity:
    versions = {name: version(name) for name in LIBRARIES}
    return TrainingIdentity(
        compute_fingerprint(read_chosen_config(context.job)),
        dataset.fingerprint,
        model.name,
        versions,
    )


def _save_split_evaluation(
    context: JobContext, dataset: Dataset, event: events.Evaluation, untrained: Path
) -> None:
    """Save an evaluation with its texts; that of the untrained model also for later runs."""
    split: Split = "validation" if event.split == "validation" else "test"
    rows = dataset.read(split, ["row", "tokens"])
    rows = rows.assign(position=range(len(rows)))[rows["row"].isin(event.predictions["row"])]
    texts = dataset.add_texts(split, rows)
    frame = event.predictions.merge(texts, on="row", how="left", validate="one_to_one")
    save_evaluation(context, event.split, frame, len(dataset.classes))
    if event.split == "untrained":
        files.write_parquet(untrained, frame)


def _use_stored_untrained(context: JobContext, path: Path, classes: int) -> bool:
    """Save the predictions of the untrained model that an earlier run computed; return whether
    there are any.
    """
    if not _is_readable(path, classes):
        return False
    save_evaluation(context, "untrained", files.read_parquet(path), classes)
    return True


def _score_hidden(context: JobContext, session: TrainingSession, dataset: Dataset) -> None:
    """Predict the hidden final test of the class, if it has one, into a file that no page reads."""
    rows = read_hidden_rows(dataset)
    if rows is not None:
        path = artifacts.hidden_path(context.folder, find_test_of(dataset))
        files.write_parquet(path, session.predict_rows(rows))


def _is_readable(path: Path, classes: int) -> bool:
    try:
        Predictions.read(path, classes)
    except ArtifactDamaged:
        return False
    return True


def _record_cost(
    context: JobContext, session: TrainingSession, dataset: Dataset, result: TrainResult
) -> None:
    """Record the work of the steps, which later estimates compare with their seconds.

    No work counts for a run with stored outputs of frozen layers: its steps did a part of it only.
    """
    config, facts, model = (
        session.config,
        data_facts(dataset),
        model_facts(session.model, result.device),
    )
    cost = run_cost(config, facts, model)
    share = result.steps / config.total_steps(facts.used_rows(config))
    cost = replace(cost, work={} if session.stores_frozen else scaled(cost.work, share))
    context.update_result(RunResult(base_model=model.name, cost=cost))
