from pathlib import Path

import numpy as np
import pytest

from core.inference.attribution import SMALL_ERROR, explain
from core.inference.classifier import Classifier
from core.inference.messages import Query
from tests.support.random_adapters import CLASSES, TEXTS, Write, write_random_adapter
from tests.support.tiny_models import WRITERS


@pytest.fixture
def classifier(base_folder: Path, write_adapter: Write) -> Classifier:
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("a", write_adapter("a", 1))
    return classifier


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[3], "😀 😀"])
def test_attributions_add_up_to_the_difference_from_an_empty_text(
    classifier: Classifier, text: str
) -> None:
    result = explain(classifier, "a", text, 64, 2, 7)

    assert result.target == 2
    assert result.error <= SMALL_ERROR
    assert len(result.tokens) == len(result.gradients) == len(result.occlusion)
    assert [result.gradients[0], result.gradients[-1]] == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("family", WRITERS)
def test_each_family_is_explained(tmp_path: Path, family: str) -> None:
    base = WRITERS[family](tmp_path / "base")
    classifier = Classifier(base, CLASSES, seed=7)
    classifier.load_adapter("a", write_random_adapter(base, tmp_path / "a", seed=1))

    explanation = explain(classifier, "a", TEXTS[0], 64, 1, 7)

    assert explanation.error <= SMALL_ERROR
    assert (explanation.special[0], explanation.special[1]) == (True, False)


def test_the_predicted_class_is_explained_by_default(classifier: Classifier) -> None:
    result = explain(classifier, "a", TEXTS[1], 64, None, 7)

    assert result.target == int(
        classifier.predict_all([Query("a", 64)], TEXTS[1])[0].probabilities.argmax()
    )


def test_occlusion_is_the_decrease_of_the_logit_without_the_token(classifier: Classifier) -> None:
    zero, item = (explain(classifier, "a", "oil prices fell", 64, target, 7) for target in (0, 1))
    texts = ("oil prices fell", "[MASK] prices fell")
    whole, masked = (
        np.log(classifier.predict_all([Query("a", 64)], text)[0].probabilities) for text in texts
    )

    assert zero.tokens[1] == "oil"
    assert zero.occlusion[1] - item.occlusion[1] == pytest.approx(
        (whole - masked)[0] - (whole - masked)[1], abs=1e-4
    )
