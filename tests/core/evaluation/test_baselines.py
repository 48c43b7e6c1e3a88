import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.evaluation.baselines import (
    fit_tfidf,
    predict_majority,
    predict_probe,
)

TRAIN = [
    "goal match team",
    "team wins the match",
    "stocks fall",
    "shares and stocks rise",
    "the match ends",
]
LABELS = np.array([0, 0, 1, 1, 0])
TEST = ["a match", "stocks", "nothing known"]


def test_the_majority_class_is_always_predicted_with_its_frequency() -> None:
    shares = predict_majority(np.array([1, 1, 0, 2]), 2, 4)

    assert shares.tolist() == [[0.25, 0.5, 0.25, 0.0]] * 2


def test_tfidf_equals_a_pipeline_of_scikit_learn() -> None:
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    reference = make_pipeline(words, LogisticRegression(max_iter=300)).fit(TRAIN, LABELS)

    assert fit_tfidf(TRAIN, LABELS, 2)(TEST) == pytest.approx(
        reference.predict_proba(TEST), abs=1e-12
    )


def test_the_probe_equals_a_pipeline_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    train, test = (
        random.normal(size=(30, 5)).astype(np.float32),
        random.normal(size=(7, 5)).astype(np.float32),
    )
    labels = np.arange(30) % 3
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(train, labels)

    assert predict_probe(train, labels, test, 3) == pytest.approx(
        reference.predict_proba(test), abs=1e-12
    )


def test_a_class_without_training_rows_is_never_predicted() -> None:
    shares = fit_tfidf(TRAIN, LABELS * 2, 4)(TEST)

    assert shares.shape == (3, 4)
    assert shares[:, [1, 3]].tolist() == [[0.0, 0.0]] * 3
    assert shares.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("texts", "labels"), [(["…", "!"], [0, 1]), (["one", "two"], [1, 1])])
def test_texts_without_words_or_a_single_class_fall_back_to_the_majority(
    texts: list[str], labels: list[int]
) -> None:
    expected = predict_majority(np.array(labels), 3, 2)

    assert fit_tfidf(texts, np.array(labels), 2)(TEST).tolist() == expected.tolist()
