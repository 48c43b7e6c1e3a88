"""Classify texts with a run in this process: for the jobs, and for the command line.

Pages send single texts to the inference process instead.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Source
from core.errors import ArtifactDamaged, DataError
from core.evaluation.predictions import build_prediction_frame
from core.inference.classifier import Classifier, load_classifier
from core.inference.messages import ClassifyRequest
from core.inference.process import classify
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.classify_texts import (
    LONG_FILE,
    BatchRequest,
    Classified,
    ScoreRequest,
    TextPrediction,
    assemble_table,
    leave_out_hidden,
    map_labels,
    require_imported,
    write_classified,
    write_scores,
)
from core.jobs.tasks.text_batch import Batch, read_batch
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs import artifacts
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from core.training.events import COMPARED_TEXTS, LabelAgreement
from core.training.fast.matmul import machine_products

CHECKED_TEXTS = 500  # of a run's validation texts, to compare labels: a second or two


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
    classified = classify_batch(
        context.store, job, batch, hub, context.report, context.should_stop, request.exact
    )
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
    exact: bool = False,
) -> Classified:
    """Classify the rows of a file with a run: in fp32 if ``exact``, otherwise in bf16 where that is
    faster and the labels agree. Texts of the hidden final test of the class get no answer.

    Raises Stopped, ArtifactDamaged and ModelUnavailable.
    """
    batch = leave_out_hidden(store.settings, batch)
    request = build_classify_request(store, job, hub)
    products = machine_products(store.settings)
    classifier = load_classifier(request, products.onednn_is_faster)
    texts = batch.filled
    report(Progress(Phase.CLASSIFYING, 0, len(texts)))
    is_long = len(texts) >= LONG_FILE and products.bf16_is_faster and classifier.has_bf16
    agreement = None
    if is_long and not exact:
        agreement = compare_labels(Run.of(store, job), classifier, should_stop)
    suffices = agreement is not None and agreement.suffices
    classifier.precision = "bf16" if suffices else "fp32"
    probabilities = classifier.classify(
        job.id,
        texts,
        request.max_tokens,
        should_stop=should_stop,
        on_rows=lambda done: report(Progress(Phase.CLASSIFYING, done, len(texts))),
    )
    table = assemble_table(batch, probabilities, request.classes)
    return replace(table, precision=classifier.precision, agreement=agreement)


def compare_labels(
    run: Run, classifier: Classifier, should_stop: Callable[[], bool] = lambda: False
) -> LabelAgreement | None:
    """Compare labels in bf16 and fp32 on validation texts of the run; None if it has too few.

    A training in bf16 has compared them. Of others the predictions in fp32 are stored, with their
    texts. The classifier then computes in bf16. Raises Stopped.
    """
    if run.result.agreement is not None:
        return run.result.agreement
    try:
        stored = artifacts.read_predictions(run.folder, "validation").head(CHECKED_TEXTS)
    except ArtifactDamaged:  # an imported run has none
        return None
    if len(stored) < COMPARED_TEXTS or "text" not in stored:
        return None
    exact = stored[[f"p{number}" for number in range(len(run.classes))]].to_numpy()  # (n, C)
    classifier.precision = "bf16"
    half = classifier.classify(
        run.id, stored["text"].tolist(), run.config.max_tokens, should_stop=should_stop
    )
    equal = int((half.argmax(axis=1) == exact.argmax(axis=1)).sum())
    return LabelAgreement(equal, len(stored))


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
