import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.errors import ArtifactDamaged
from core.inference.classifier import MAX_ADAPTERS, Classifier
from core.inference.messages import Query
from core.training.load_model import load_base
from tests.support.random_adapters import CLASSES, TEXTS, Write

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)  # PEFT, where the tests call it themselves


@pytest.fixture
def classifier(base_folder: Path) -> Classifier:
    return Classifier(base_folder, CLASSES, seed=7)


def probabilities(model: torch.nn.Module, base_folder: Path) -> NDArray[np.float32]:
    """Predict each text in a batch of its own, without padding."""
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    with torch.inference_mode():
        logits = [
            model.eval()(
                **tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
            ).logits
            for text in TEXTS
        ]
    return torch.cat(logits).softmax(-1).numpy()


def by_peft(base_folder: Path, adapter: Path) -> NDArray[np.float32]:
    base = AutoModelForSequenceClassification.from_pretrained(base_folder, num_labels=3)
    return probabilities(PeftModel.from_pretrained(base, adapter), base_folder)


def test_each_adapter_predicts_with_its_own_weights_and_head(
    classifier: Classifier, base_folder: Path, write_adapter: Write
) -> None:
    item, other = (
        write_adapter("one", 1),
        write_adapter("other", 2, target_modules=("all-linear",), dora=True),
    )
    classifier.load_adapter("a", item)
    classifier.load_adapter("b", other)

    for run_id, folder in (("a", item), ("b", other), ("a", item)):
        assert classifier.classify(run_id, TEXTS, 64) == pytest.approx(
            by_peft(base_folder, folder), abs=1e-5
        )


def test_the_untrained_base_is_the_same_with_and_without_adapters(
    classifier: Classifier, base_folder: Path, write_adapter: Write
) -> None:
    before = classifier.classify(None, TEXTS, 64)
    classifier.load_adapter("a", write_adapter("one", 1))
    classifier.classify("a", TEXTS, 64)

    assert classifier.classify(None, TEXTS, 64) == pytest.approx(before, abs=1e-6)
    assert before == pytest.approx(
        probabilities(load_base(base_folder, CLASSES, 7).model, base_folder), abs=1e-5
    )


def test_a_seed_initializes_the_untrained_head(
    classifier: Classifier, base_folder: Path, write_adapter: Write
) -> None:
    classifier.load_adapter("a", write_adapter("one", 1))

    requests = {seed: classifier.classify(None, TEXTS, 64, seed) for seed in (8, 7, 8)}

    for seed, answer in requests.items():
        assert answer == pytest.approx(
            probabilities(load_base(base_folder, CLASSES, seed).model, base_folder), abs=1e-5
        )


def test_long_texts_are_truncated(classifier: Classifier) -> None:
    assert classifier.classify(None, ["goal " * 500], 16) == pytest.approx(
        classifier.classify(None, ["goal " * 14], 16), abs=1e-6
    )


def test_no_texts_give_no_rows(classifier: Classifier) -> None:
    assert classifier.classify(None, [], 64).shape == (0, 3)


def test_an_adapter_that_changed_on_disk_is_read_again(
    classifier: Classifier, base_folder: Path, write_adapter: Write
) -> None:
    classifier.load_adapter("a", write_adapter("one", 1))
    folder = write_adapter("one", 2)
    os.utime(folder / "adapter_model.safetensors", ns=(1, 1))
    classifier.load_adapter("a", folder)

    assert classifier.classify("a", TEXTS, 64) == pytest.approx(
        by_peft(base_folder, folder), abs=1e-5
    )


def test_the_number_of_loaded_adapters_is_limited(
    classifier: Classifier, write_adapter: Write
) -> None:
    folder = write_adapter("adapter", 1)
    for number in range(MAX_ADAPTERS + 1):
        classifier.load_adapter(f"run{number}", folder)

    for run_id in ("run1", f"run{MAX_ADAPTERS}"):
        assert classifier.classify(run_id, TEXTS, 64).shape == (4, 3)
    with pytest.raises(ArtifactDamaged, match="run0 is not loaded"):
        classifier.classify("run0", TEXTS, 64)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "adapter_model.safetensors").unlink(),
        lambda f: (f / "adapter_model.safetensors").write_bytes(b"no"),
        lambda f: (f / "adapter_config.json").write_text("{"),
        lambda f: (f / "adapter_config.json").write_text("[]"),
        lambda f: (f / "adapter_config.json").write_text('{"peft_type": "IA3"}'),
        lambda f: rewrite(f, r=2),
        lambda f: rewrite(f, target_modules=["query"]),
        lambda f: rewrite(f, target_modules=["query", "value", "key"]),
        lambda f: rewrite(f, target_modules=["q_lin"]),
        lambda f: rewrite(f, unheard_of=1),
        lambda f: fill(f, float("nan")),
        lambda f: fill(f, float("-inf")),
    ],
)
@pytest.mark.parametrize("temporary", [False, True], ids=["first", "second"])
def test_a_damaged_adapter_does_not_affect_others(
    classifier: Classifier, write_adapter: Write, spoil: Callable[[Path], object], temporary: bool
) -> None:
    good, bad = write_adapter("good", 1), write_adapter("bad", 2)
    expected = None
    if temporary:
        classifier.load_adapter("good", good)
        expected = classifier.classify("good", TEXTS, 64)
    spoil(bad)

    with pytest.raises(ArtifactDamaged, match="The adapter of bad is"):
        classifier.load_adapter("bad", bad)

    classifier.load_adapter("good", good)
    assert classifier.classify("good", TEXTS, 64) == pytest.approx(
        expected if temporary else classifier.classify("good", TEXTS, 64), abs=1e-6
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(
    classifier: Classifier, write_adapter: Write, value: float
) -> None:
    folder = write_adapter("bad", 2)
    fill(folder, value)

    with pytest.raises(ArtifactDamaged, match=r"NaN or infinite values in base_model\.\S+weight"):
        classifier.load_adapter("bad", folder)


@pytest.mark.parametrize("batched", [False, True])
def test_probabilities_that_are_not_numbers_are_refused(
    base_folder: Path, write_adapter: Write, batched: bool
) -> None:
    classifier = Classifier(base_folder, CLASSES, seed=7, batched=batched)
    folder = write_adapter("large", 2)
    fill(folder, 1e38)
    classifier.load_adapter("large", folder)
    expected = "with the adapter of large computes NaN or infinite values for 4 of 4 texts"

    with pytest.raises(ArtifactDamaged, match=expected):
        classifier.classify("large", TEXTS, 64)
    with pytest.raises(ArtifactDamaged, match="with the adapter of large computes NaN"):
        classifier.predict_all([Query("large", 64)], TEXTS[0])


def fill(folder: Path, value: float) -> None:
    """Fill the first tensor of the adapter's head with ``value``."""
    tensors = load_file(folder / "adapter_model.safetensors")
    next(tensor for name, tensor in tensors.items() if "classifier.weight" in name).fill_(value)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_an_adapter_for_other_classes_is_rejected(base_folder: Path, write_adapter: Write) -> None:
    with pytest.raises(ArtifactDamaged, match="trained for another model"):
        Classifier(base_folder, ("a", "b")).load_adapter("a", write_adapter("one", 1))


def rewrite(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
