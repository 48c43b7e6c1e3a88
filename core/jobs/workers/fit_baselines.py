"""The job that fits what a fine-tuned model has to beat."""

import time

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.preparation import open_dataset
from core.data.rows import stratified_sample
from core.errors import DataError, ModelUnavailable, Stopped
from core.evaluation.baselines import (
    Baseline,
    Probabilities,
    predict_majority,
    predict_probe,
    predict_tfidf,
    prediction_frame,
)
from core.evaluation.predictions import Predictions
from core.inference.tracer import Tracer
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.run_baselines import (
    BaselineRequest,
    BaselineResult,
    Fitted,
    missing_baselines,
    save,
)
from core.training.load_model import fetch

SAMPLE_SEED = 42  # of what the probe reads, and of a run's test rows
MOST_ROWS = 100_000  # training rows that TF-IDF reads: seconds, whatever the data
# training rows, and as many test rows, that the model reads: half a minute on 2 idle cores
PROBE_ROWS = 1000


def run(context: JobContext) -> None:
    """Fit each baseline that is missing. Raises Stopped, ArtifactDamaged, DataError; without its
    model the probe is left out.
    """
    request = read_request(context.job, BaselineRequest)
    context.report(Progress(Phase.LOADING))
    dataset = open_dataset(context.settings, request.fingerprint)
    train, test = (
        dataset.read("train", ["row", "text", "label"]),
        dataset.read("test", ["row", "text", "label"]),
    )
    if train.empty or test.empty:
        raise DataError(f"{dataset.name} has no training or no test rows.", "Choose other data.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    context.set_running()
    for baseline in missing_baselines(context.settings, request, len(dataset.classes)):
        if context.should_stop():
            raise Stopped("The baselines were stopped.")
        began = time.monotonic()
        try:
            rows, used, shares = _fit(context, request, dataset, baseline, train, test)
        except ModelUnavailable as error:  # the others hold without it
            context.set_result(**BaselineResult(left_out=error.message).model_dump())
            continue
        frame = prediction_frame(
            used["row"].to_numpy(np.int64), used["label"].to_numpy(np.int64), shares
        )
        predictions = Predictions.of(frame, len(dataset.classes))
        save(
            context.settings, request, Fitted(baseline, predictions, rows, time.monotonic() - began)
        )
        context.set_result(**{baseline.name.lower(): predictions.scores.accuracy.value})


def _fit(
    context: JobContext,
    request: BaselineRequest,
    dataset: Dataset,
    baseline: Baseline,
    train: pd.DataFrame,
    test: pd.DataFrame,
) -> tuple[int, pd.DataFrame, Probabilities]:
    """How many rows it learned from, the test rows (n) that it was asked, and its probabilities (n,
    C).
    """
    classes = len(dataset.classes)
    if baseline is Baseline.PROBE:
        return _fit_probe(context, request, dataset, train, test)
    context.report(Progress(Phase.FITTING))
    drawn = stratified_sample(train, request.train_rows, request.seed)
    if baseline is Baseline.MAJORITY:
        labels = train["label"].to_numpy(np.int64)  # of all rows: samples are drawn in equal shares
        return len(labels), test, predict_majority(labels, len(test), classes)
    drawn = drawn.head(MOST_ROWS)
    shares = predict_tfidf(
        drawn["text"].tolist(), drawn["label"].to_numpy(np.int64), test["text"].tolist(), classes
    )
    return len(drawn), test, shares


def _fit_probe(
    context: JobContext,
    request: BaselineRequest,
    dataset: Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
) -> tuple[int, pd.DataFrame, Probabilities]:
    learned, asked = (stratified_sample(frame, PROBE_ROWS, SAMPLE_SEED) for frame in (train, test))
    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    walker = Tracer(fetch(model), dataset.classes, attention="sdpa")
    texts = [*learned["text"], *asked["text"]]
    context.report(Progress(Phase.ENCODING, 0, len(texts)))
    states = walker.hidden_states(
        None,
        texts,
        request.max_tokens,
        context.should_stop,
        lambda rows: context.report(Progress(Phase.ENCODING, rows, len(texts))),
    )
    features = states[-1, 1].astype(np.float32)  # (n, d), mean of all tokens after the last layer
    context.report(Progress(Phase.FITTING))
    labels = learned["label"].to_numpy(np.int64)
    shares = predict_probe(
        features[: len(learned)], labels, features[len(learned) :], len(dataset.classes)
    )
    return len(learned), asked, shares
