"""Classify texts with a run in this process: for the jobs, and for the command line.

Pages send single texts to the inference process instead.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Source
from core.errors import DataError
from core.evaluation.predictions import build_prediction_frame
from core.inference.classifier import load_classifier
from core.inference.messages import ClassifyRequest
from core.inference.process import classify
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.classify_texts import (
    BatchRequest,
    Classified,
    ScoreRequest,
    TextPrediction,
    assemble_table,
    map_labels,
    require_imported,
    write_classified,
    write_scores,
)
from core.jobs.tasks.text_batch import Batch, read_batch
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from core.training.fast.matmul import machine_products


def run_batch(context: JobContext) -> None:
    """Classify the stored texts of the request.

    Raises Stopped, ArtifactDamaged and ModelUnavailable.
    """
    request = read_request(context.job, BatchRequest)
    context.report(Progress(Phase.LOADING))
    batch = read_batch(context.settings, request.key, request.text, request.label, request.is_json)
    job = context.store.read_job(request.run)
    began = time.monotonic()
    hub = hub_reachable(context.settings)
    classified = classify_batch(context.store, job, batch, hub, context.report, context.should_stop)
    result = write_classified(context.folder, classified)
    classes, seconds = Run.of(context.store, job).classes, time.monotonic() - began
    context.update_result(result.model_copy(update={"classes": classes, "seconds": seconds}))


def classify_batch(
    store: Store,
    job: Job,
    batch: Batch,
    hub: bool,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Classified:
    """Classify the rows of a file with a run.

    Raises Stopped, ArtifactDamaged and ModelUnavailable.
    """
    request = build_classify_request(store, job, hub)
    onednn = machine_products(store.settings).onednn_is_faster
    classifier = load_classifier(request, onednn)
    texts = batch.filled
    report(Progress(Phase.CLASSIFYING, 0, len(texts)))
    probabilities = classifier.classify(
        job.id,
        texts,
        request.max_tokens,
        should_stop=should_stop,
        on_rows=lambda done: report(Progress(Phase.CLASSIFYING, done, len(texts))),
    )
    return assemble_table(batch, probabilities, request.classes)


def build_classify_request(store: Store, job: Job, hub: bool) -> ClassifyRequest:
    """Return the request to a run's adapter. Raises ArtifactDamaged if the run has none."""
    run = Run.of(store, job)
    return run.build_classify_request(find_model(run.config.model, store.settings, hub))


def classify_texts(store: Store, job: Job, texts: Sequence[str], hub: bool) -> list[TextPrediction]:
    """Classify single texts with a run.

    Raises DataError for an empty text, ModelUnavailable and ArtifactDamaged.
    """
    if not all(text.strip() for text in texts):
        raise DataError("One of the texts is empty.", "Give at least one word.")
    request = build_classify_request(store, job, hub)
    (probabilities,) = classify([request], list(texts))
    return [
        {
            "text": text,
            "label": request.classes[int(row.argmax())],
            "probabilities": {name: float(p) for name, p in zip(request.classes, row, strict=True)},
        }
        for text, row in zip(texts, probabilities, strict=True)
    ]


def run_scoring(context: JobContext) -> None:
    """Score the imported run of the request.

    Raises Stopped, DataError, ArtifactDamaged and ModelUnavailable.
    """
    request = read_request(context.job, ScoreRequest)
    score_run(
        context.store,
        context.store.read_job(request.run),
        request.source,
        context.report,
        context.should_stop,
    )


def score_run(
    store: Store,
    job: Job,
    source: Source,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Score an imported run on the test split of ``source``, preparing it if necessary.

    Raises the errors of ``run_scoring``, and StateConflict.
    """
    require_imported(job)
    dataset = find_prepared(store.settings, source) or prepare(
        store.settings, source, report, should_stop
    )
    run_labels = map_labels(store, dataset, job)
    report(Progress(Phase.LOADING))
    request = build_classify_request(store, job, hub_reachable(store.settings))
    onednn = machine_products(store.settings).onednn_is_faster
    classifier = load_classifier(request, onednn)
    texts = dataset.read("test", ["row", "text", "label"])
    report(Progress(Phase.EVALUATING, 0, len(texts)))
    probabilities = classifier.classify(  # (n, C)
        job.id,
        texts["text"].tolist(),
        request.max_tokens,
        should_stop=should_stop,
        on_rows=lambda done: report(Progress(Phase.EVALUATING, done, len(texts))),
    )
    labels = np.asarray(texts["label"].map(run_labels), dtype=np.int64)  # (n,)
    frame = build_prediction_frame(texts["row"].to_numpy(np.int64), labels, probabilities)
    write_scores(store, job, dataset, frame.assign(text=texts["text"].to_numpy()))
