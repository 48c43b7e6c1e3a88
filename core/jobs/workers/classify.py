"""Classify texts with a run, in this process: the job for files, and the command line. Pages ask
the inference host for single texts.
"""

import time
from collections.abc import Callable, Sequence

import pandas as pd

from core.data.hub import hub_reachable
from core.errors import ArtifactDamaged, DataError
from core.inference.classifier import load_classifier
from core.inference.messages import ClassifyRequest
from core.inference.process import classify
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.classify_file import (
    AGAIN,
    BatchRequest,
    Classified,
    put_together,
    texts_path,
    write_classified,
)
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.run import Run
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store
from core.training.fast.matmul import machine_products


def run(context: JobContext) -> None:
    """Classify the kept texts that the request names. Raises Stopped, ArtifactDamaged and
    ModelUnavailable.
    """
    request = read_request(context.job, BatchRequest)
    context.report(Progress(Phase.LOADING))
    path = texts_path(context.settings, request.key)
    if not path.is_file():
        raise ArtifactDamaged("The texts of this file are no longer kept.", AGAIN)
    frame = files.read_parquet(path)
    job = context.store.job(request.run)
    context.set_running()
    began = time.monotonic()
    hub = hub_reachable(context.settings)
    found = classify_frame(context.store, job, frame, hub, context.report, context.should_stop)
    context.set_result(
        **write_classified(context.folder, found).model_dump(),
        classes=list(Run.of(context.store, job).classes),
        seconds=time.monotonic() - began,
    )


def classify_frame(
    store: Store,
    job: Job,
    frame: pd.DataFrame,
    hub: bool,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Classified:
    """The rows of ``frame`` (text, and label where there is one) by the run. Raises Stopped,
    ArtifactDamaged, ModelUnavailable.
    """
    request = classify_request(store, job, hub)
    onednn = machine_products(store.settings).onednn_is_faster
    classifier = load_classifier(request, onednn)
    texts = [text for text in frame["text"] if text.strip()]
    report(Progress(Phase.CLASSIFYING, 0, len(texts)))
    probabilities = classifier.classify(
        job.id,
        texts,
        request.max_tokens,
        should_stop=should_stop,
        on_rows=lambda done: report(Progress(Phase.CLASSIFYING, done, len(texts))),
    )
    return put_together(frame, probabilities, request.classes)


def classify_request(store: Store, job: Job, hub: bool) -> ClassifyRequest:
    """What asks a run's adapter. Raises ArtifactDamaged if the run has none."""
    run = Run.of(store, job)
    return run.classify_request(find_model(run.config.model, store.settings, hub))


def classify_texts(
    store: Store, job: Job, texts: Sequence[str], hub: bool
) -> list[dict[str, object]]:
    """Text, label and probability per class of each text. Raises DataError on an empty one,
    ModelUnavailable, ArtifactDamaged.
    """
    if not all(text.strip() for text in texts):
        raise DataError("One of the texts is empty.", "Give at least one word.")
    request = classify_request(store, job, hub)
    (probabilities,) = classify([request], list(texts))
    return [
        {
            "text": text,
            "label": request.classes[int(row.argmax())],
            "probabilities": {name: float(p) for name, p in zip(request.classes, row, strict=True)},
        }
        for text, row in zip(texts, probabilities, strict=True)
    ]
