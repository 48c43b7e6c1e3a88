"""The job that fits the baselines that a fine-tuned model has to beat."""

import time

import numpy as np
import pandas as pd

from core.data.cleaning import clean
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
)
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.inference.tracer import Tracer
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.diagnosis import update_conclusions
from core.runs.run_baselines import (
    BaselineRequest,
    BaselineResult,
    Fitted,
    list_missing_baselines,
    save,
)
from core.training.load_model import fetch

SAMPLE_SEED = 42  # of the rows of the probe
MOST_ROWS = 100_000  # training rows of TF-IDF, which take seconds
# training rows, and as many test rows, of the probe: half a minute on 2 idle cores
PROBE_ROWS = 1000


def run(context: JobContext) -> None:
    """Fit each missing baseline; the probe is left out if its model is unavailable.

    Raises Stopped, ArtifactDamaged and DataError.
    """
    request = read_request(context.job, BaselineRequest)
    context.report(Progress(Phase.LOADING))
    dataset = clean(open_dataset(context.settings, request.original), request.recipe)
    train, test = (
        dataset.read("train", ["row", "text", "label"]),
        dataset.read("test", ["row", "text", "label"]),
    )
    if train.empty or test.empty:
        raise DataError(f"{dataset.name} has no training or no test rows.", "Choose other data.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    for baseline in list_missing_baselines(context.settings, request, len(dataset.classes)):
        if context.should_stop():
            raise Stopped("The baselines were stopped.")
        began = time.monotonic()
        try:
            rows, used, probabilities = _fit(context, request, dataset, baseline, train, test)
        except ModelUnavailable as error:  # the other baselines do not need it
            context.update_result(BaselineResult(left_out=error.message))
            continue
        frame = build_prediction_frame(
            used["row"].to_numpy(np.int64), used["label"].to_numpy(np.int64), probabilities
        )
        predictions = Predictions.of(frame, len(dataset.classes))
        save(
            context.settings, request, Fitted(baseline, predictions, rows, time.monotonic() - began)
        )
        context.update_result(BaselineResult.of(baseline, predictions.scores.accuracy.value))
        if baseline is Baseline.TFIDF:
            update_conclusions(context.store, request)


def _fit(
    context: JobContext,
    request: BaselineRequest,
    dataset: Dataset,
    baseline: Baseline,
    train: pd.DataFrame,
    test: pd.DataFrame,
) -> tuple[int, pd.DataFrame, Probabilities]:
    """Return the number of training rows, the test rows (n) and their probabilities (n, C)."""
    classes = len(dataset.classes)
    if baseline is Baseline.PROBE:
        return _fit_probe(context, request, dataset, train, test)
    context.report(Progress(Phase.FITTING))
    drawn = stratified_sample(train, request.train_rows, request.seed)
    if baseline is Baseline.MAJORITY:
        labels = train["label"].to_numpy(np.int64)  # of all rows: samples are drawn in equal shares
        return len(labels), test, predict_majority(labels, len(test), classes)
    drawn = drawn.head(MOST_ROWS)
    probabilities = predict_tfidf(
        drawn["text"].tolist(), drawn["label"].to_numpy(np.int64), test["text"].tolist(), classes
    )
    return len(drawn), test, probabilities


def _fit_probe(
    context: JobContext,
    request: BaselineRequest,
    dataset: Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
) -> tuple[int, pd.DataFrame, Probabilities]:
    fitted, scored = (stratified_sample(frame, PROBE_ROWS, SAMPLE_SEED) for frame in (train, test))
    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    tracer = Tracer(fetch(model), dataset.classes, attention="sdpa")
    texts = [*fitted["text"], *scored["text"]]
    context.report(Progress(Phase.ENCODING, 0, len(texts)))
    states = tracer.hidden_states(
        None,
        texts,
        request.max_tokens,
        context.should_stop,
        lambda rows: context.report(Progress(Phase.ENCODING, rows, len(texts))),
    )
    features = states[-1, 1].astype(np.float32)  # (n, d), mean of all tokens after the last layer
    context.report(Progress(Phase.FITTING))
    labels = fitted["label"].to_numpy(np.int64)
    probabilities = predict_probe(
        features[: len(fitted)], labels, features[len(fitted) :], len(dataset.classes)
    )
    return len(fitted), scored, probabilities
