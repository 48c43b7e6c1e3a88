"""The job that fits the baselines that a fine-tuned model has to beat.

Those without a model come first, in a process without PyTorch; a new process takes over for the
linear probe. The next run trains meanwhile, so memory is short.
"""

import time
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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

SAMPLE_SEED = 42  # of the rows of the probe
# training rows of TF-IDF, and rows × classes: 10 to 20 seconds of one core
MOST_ROWS, MOST_SCORES = 100_000, 4_000_000
TEST_BATCH = 10_000  # test texts in memory
# training rows, and as many test rows, of the probe: half a minute on 2 idle cores
PROBE_ROWS = 1000


def fit_without_model(context: JobContext) -> bool:
    """Fit the missing baselines that need no model; return whether the probe is missing, too.

    Raises Stopped, ArtifactDamaged and DataError.
    """
    context.set_running()
    request, dataset = _open(context)
    _fit_missing(context, request, dataset, FITS.keys() - {Baseline.PROBE})
    return Baseline.PROBE in list_missing_baselines(context.settings, request, len(dataset.classes))


def run(context: JobContext) -> None:
    """Fit each missing baseline; the probe is left out if its model is unavailable.

    Raises Stopped, ArtifactDamaged and DataError.
    """
    _fit_missing(context, *_open(context), FITS.keys())


def _open(context: JobContext) -> tuple[BaselineRequest, Dataset]:
    request = read_request(context.job, BaselineRequest)
    context.report(Progress(Phase.LOADING))
    dataset = clean(open_dataset(context.settings, request.original), request.recipe)
    if not dataset.rows("train") or not dataset.rows("test"):
        raise DataError(f"{dataset.name} has no training or no test rows.", "Choose other data.")
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    return request, dataset


def _fit_missing(
    context: JobContext, request: BaselineRequest, dataset: Dataset, baselines: Collection[Baseline]
) -> None:
    for baseline in list_missing_baselines(context.settings, request, len(dataset.classes)):
        if baseline not in baselines:
            continue
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
    texts = [*fitted["text"], *scored["text"]]
    features = _encode(context, request, texts, dataset.classes)
    context.report(Progress(Phase.FITTING))
    labels = fitted["label"].to_numpy(np.int64)
    probabilities = predict_probe(
        features[: len(fitted)], labels, features[len(fitted) :], len(dataset.classes)
    )
    return len(fitted), scored, probabilities


def _encode(
    context: JobContext, request: BaselineRequest, texts: list[str], classes: tuple[str, ...]
) -> NDArray[np.float32]:
    """Compute the mean of all tokens after the last layer (n, d)."""
    # these import PyTorch, and the other baselines need no model
    from core.inference.tracer import Tracer  # noqa: PLC0415
    from core.training.load_model import fetch  # noqa: PLC0415

    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    tracer = Tracer(fetch(model), classes, attention="sdpa")
    context.report(Progress(Phase.ENCODING, 0, len(texts)))
    states = tracer.hidden_states(
        None,
        texts,
        request.max_tokens,
        context.should_stop,
        lambda rows: context.report(Progress(Phase.ENCODING, rows, len(texts))),
    )
    features: NDArray[np.float32] = states[-1, 1].astype(np.float32)
    return features


FITS = {
    Baseline.MAJORITY: _fit_majority,
    Baseline.TFIDF: _fit_tfidf,
    Baseline.PROBE: _fit_probe,
}
