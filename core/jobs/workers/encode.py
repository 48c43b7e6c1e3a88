"""The job that encodes a run's training texts, so that those nearest to a typed one can be found at
once.
"""

import pandas as pd

from core.data.cleaning import clean
from core.data.hub import hub_reachable
from core.data.preparation import prepare
from core.data.rows import stratified_sample
from core.errors import DataError
from core.inference.classifier import load_classifier
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.nearest_texts import (
    GONE,
    SAMPLE_SEED,
    NearestRequest,
    find_data,
    index_folder,
    write_index,
)
from core.jobs.workers.classify import classify_request
from core.progress import Phase, Progress
from core.runs.requests import read_train_request
from core.storage.job import Job
from core.training.fast.matmul import machine_products


def run(context: JobContext) -> None:
    """Do what the request asks for. Raises Stopped, DataError, ArtifactDamaged and
    ModelUnavailable.
    """
    request = read_request(context.job, NearestRequest)
    job = context.store.job(request.run)
    texts = stratified_sample(_trained_on(context, job), request.rows, SAMPLE_SEED)
    context.report(Progress(Phase.LOADING))
    asked = classify_request(context.store, job, hub_reachable(context.settings))
    onednn = machine_products(context.settings).onednn_is_faster
    classifier = load_classifier(asked, onednn)
    context.set_running()

    def report(done: int) -> None:
        context.report(Progress(Phase.ENCODING, done, len(texts)))

    report(0)
    states = classifier.compute_states(
        job.id, texts["text"].tolist(), asked.max_tokens, context.should_stop, report
    )
    write_index(index_folder(context.store, job), states, texts)


def _trained_on(context: JobContext, job: Job) -> pd.DataFrame:
    """The rows that the run drew from its data, as its recipe left them."""
    request = read_train_request(job)
    dataset = find_data(context.settings, job) or prepare(
        context.settings, request.source, context.report, context.should_stop
    )
    dataset = clean(dataset, request.recipe)
    if dataset.fingerprint != job.fingerprint:
        message = (
            f"{GONE}: the data changed from fingerprint {job.fingerprint} to {dataset.fingerprint}."
        )
        raise DataError(message, "Bring the data back as they were, or choose another run.")
    return stratified_sample(
        dataset.read("train", ["row", "text", "label"]),
        request.config.train_rows,
        request.config.seed,
    )
