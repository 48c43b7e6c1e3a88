"""The job that fits the baselines that a fine-tuned model has to beat."""

import time

import numpy as np
import pandas as pd

from core.data.cleaning import clean
from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.preparation import open_dataset
from core.errors import DataError, ModelUnavailable, Stopped
from core.evaluation.baselines import (
    Baseline,
    Probabilities,
    fit_tfidf,
    predict_majority,
    predict_probe,
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
# training rows of TF-IDF, and rows × classes: 10 to 20 seconds of one core
MOST_ROWS, MOST_SCORES = 100_000, 4_000_000
TEST_BATCH = 10_000  # test texts in memory
# training rows, and as many test rows, of the probe: half a minute on 2 idle cores
PROBE_ROWS = 1000


def run(context: JobContext) -> None:
    """Fit each missing baseline; the probe is left out if its model is unavailable.

    Raises Stopped, ArtifactDamaged and DataError.
    """
    request = read_request(context.job, BaselineRequest)
    context.report(Progress(Phase.LOADING))
    dataset = clean(open_dataset(context.settings, request.original), request.recipe)
    if not dataset.rows("train") or not dataset.rows("test"):
        raise DataError(f"{dataset.name} has no training or no test rows.", "Choose other data.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    for baseline in list_missing_baselines(context.settings, request, len(dataset.classes)):
        if context.should_stop():
            raise Stopped("The baselines were stopped.")
        began = time.monotonic()
        try:
            rows, used, probabilities = FITS[baseline](context, request, dataset)
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


# number of training rows, the test rows (n) and their probabilities (n, C)
Outcome = tuple[int, pd.DataFrame, Probabilities]


def _fit_majority(context: JobContext, request: BaselineRequest, dataset: Dataset) -> Outcome:
    """Count all labels: the samples of runs are drawn in equal shares."""
    context.report(Progress(Phase.FITTING))
    labels = dataset.read("train", ["label"])["label"].to_numpy(np.int64)
    test = dataset.read("test", ["row", "label"])
    return len(labels), test, predict_majority(labels, len(test), len(dataset.classes))


def _fit_tfidf(context: JobContext, request: BaselineRequest, dataset: Dataset) -> Outcome:
    context.report(Progress(Phase.FITTING))
    classes = len(dataset.classes)
    most = min(MOST_ROWS, MOST_SCORES // classes)
    drawn = dataset.draw_sample("train", request.train_rows, request.seed, most)
    labels = drawn["label"].to_numpy(np.int64)
    predict = fit_tfidf(drawn["text"].tolist(), labels, classes)
    parts = []
    for texts in dataset.iterate_texts("test", TEST_BATCH):
        if context.should_stop():
            raise Stopped("The baselines were stopped.")
        parts.append(predict(texts))
    return len(drawn), dataset.read("test", ["row", "label"]), np.concatenate(parts)


def _fit_probe(context: JobContext, request: BaselineRequest, dataset: Dataset) -> Outcome:
    fitted, scored = (
        dataset.draw_sample(split, PROBE_ROWS, SAMPLE_SEED) for split in ("train", "test")
    )
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


FITS = {
    Baseline.MAJORITY: _fit_majority,
    Baseline.TFIDF: _fit_tfidf,
    Baseline.PROBE: _fit_probe,
}
