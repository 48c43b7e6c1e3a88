import re
from collections import Counter
from itertools import combinations

import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from core.data.load import read_demo_corpus
from core.data.preparation import prepare
from core.data.rows import RawData
from core.data.sources import SourceKind, demo_source
from core.settings import Settings


@pytest.fixture(scope="module")
def corpus() -> RawData:
    return read_demo_corpus()


@pytest.fixture(scope="module")
def texts(corpus: RawData) -> list[str]:
    return [*corpus.train["text"], *corpus.test["text"]]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def most_alike(texts: list[str]) -> tuple[float, str, str]:
    """The pair with the largest Jaccard of word 3-grams. Only pairs that share one are looked
    at.
    """
    grams = [{*zip(w, w[1:], w[2:], strict=False)} for w in map(words, texts)]
    holders: dict[tuple[str, str, str], list[int]] = {}
    for place, result in enumerate(grams):
        for gram in result:
            holders.setdefault(gram, []).append(place)
    shared = Counter(pair for places in holders.values() for pair in combinations(places, 2))
    alike = (
        (count / (len(grams[a]) + len(grams[b]) - count), texts[a], texts[b])
        for (a, b), count in shared.items()
    )
    return max(alike, default=(0.0, "", ""))


def test_corpus_is_large_enough_and_balanced(corpus: RawData, texts: list[str]) -> None:
    assert corpus.classes == ("World", "Sports", "Business", "Sci/Tech")
    assert len(texts) >= 1200
    assert len(corpus.test) >= 300
    for frame in (corpus.train, corpus.test):
        assert frame["label"].value_counts(normalize=True).between(0.23, 0.27).all()


def test_words_are_many(texts: list[str]) -> None:
    assert len({word for text in texts for word in words(text)}) >= 6000


def test_no_two_items_are_alike(texts: list[str]) -> None:
    likeness, item, other = most_alike(texts)

    assert likeness <= 0.4, (item, other)


def test_items_are_clean_lines(texts: list[str]) -> None:
    assert [
        text
        for text in texts
        if text != text.strip() or not 5 <= len(text.split()) <= 80 or "\ufffd" in text
    ] == []


@pytest.mark.slow
def test_the_texts_are_hard_but_not_broken(corpus: RawData) -> None:
    vectors = TfidfVectorizer(ngram_range=(1, 2))
    model = LogisticRegression().fit(
        vectors.fit_transform(corpus.train["text"]), corpus.train["label"]
    )

    accuracy = model.score(vectors.transform(corpus.test["text"]), corpus.test["label"])

    assert 0.80 <= accuracy <= 0.95


def test_every_fourth_item_of_a_class_is_test(corpus: RawData) -> None:
    counts = pd.concat([corpus.train, corpus.test])["label"].value_counts()

    assert corpus.test["label"].value_counts().to_dict() == {
        label: count // 4 for label, count in counts.items()
    }
    assert corpus.train["row"].tolist() == list(range(len(corpus.train)))


def test_the_demo_corpus_cannot_be_taken_for_ag_news(settings: Settings) -> None:
    dataset = prepare(settings, demo_source(), lambda _: None, lambda: False)

    assert (dataset.source, dataset.name) == (SourceKind.DEMO, "Demo corpus")
