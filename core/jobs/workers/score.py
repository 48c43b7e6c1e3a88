"""The job that scores an imported run on the test texts of a dataset with the same classes."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Source
from core.inference.classifier import load_classifier
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.score_import import ScoreRequest, keep_scores, ordered_labels, require_imported
from core.jobs.workers.classify import classify_request
from core.progress import Phase, Progress
from core.storage.job import Job
from core.storage.store import Store
from core.training.fast.matmul import machine_products


def run(context: JobContext) -> None:
    """Do what the request asks for. Raises Stopped, DataError, ArtifactDamaged,
    ModelUnavailable.
    """
    request = read_request(context.job, ScoreRequest)
    context.set_running()
    score_run(
        context.store,
        context.store.job(request.run),
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
    """Score the imported run on ``source``, which is prepared first where it is not. Raises as
    ``run``, and StateConflict.
    """
    require_imported(job)
    dataset = find_prepared(store.settings, source) or prepare(
        store.settings, source, report, should_stop
    )
    places = ordered_labels(store, dataset, job)
    report(Progress(Phase.LOADING))
    asked = classify_request(store, job, hub_reachable(store.settings))
    onednn = machine_products(store.settings).onednn_is_faster
    classifier = load_classifier(asked, onednn)
    texts = dataset.read("test", ["row", "text", "label"])
    report(Progress(Phase.EVALUATING, 0, len(texts)))
    shares = classifier.classify(
        job.id,
        texts["text"].tolist(),
        asked.max_tokens,
        should_stop=should_stop,
        on_rows=lambda done: report(Progress(Phase.EVALUATING, done, len(texts))),
    )
    labels = texts["label"].map(places).to_numpy(np.int64)
    columns = {f"p{index}": shares[:, index] for index in range(shares.shape[1])}
    loss = -np.log(np.maximum(shares[np.arange(len(texts)), labels], 1e-12))
    frame = pd.DataFrame(
        {
            "row": texts["row"].to_numpy(np.int64),
            "label": labels,
            **columns,
            "loss": loss,
            "text": texts["text"],
        }
    )
    keep_scores(store, job, dataset, frame)
