import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.numpy import load_file

from core.config import RunConfig
from core.inference.batched_lora import BatchedLora
from core.inference.classifier import Classifier
from core.inference.messages import Query, Variant
from core.inference.tracer import Tracer
from core.training.adapted_model import add_adapter, quiet_peft, serialize_adapter
from core.training.load_model import load_base
from tests.support.random_adapters import CLASSES, TEXTS, Write, write_random_adapter
from tests.support.tiny_models import WRITERS

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)
Predict = Callable[[Query, str], NDArray[np.float32]]
QUERY, VALUE = "attention.self.query", "attention.self.value"


def load(base_folder: Path, write_adapter: Write, batched: bool) -> Classifier:
    classifier = Classifier(base_folder, CLASSES, seed=7, batched=batched)
    classifier.load_adapter("a", write_adapter("a", 1))
    classifier.load_adapter("b", write_adapter("b", 2, rank=2, target_modules=("all-linear",)))
    return classifier


@pytest.fixture
def classifier(base_folder: Path, write_adapter: Write) -> Classifier:
    return load(base_folder, write_adapter, batched=True)


@pytest.fixture
def by_peft(base_folder: Path, write_adapter: Write) -> Predict:
    """Predict with PEFT's own layers and the same adapters."""
    reference = load(base_folder, write_adapter, batched=False)

    def predict(query: Query, text: str) -> NDArray[np.float32]:
        result: NDArray[np.float32] = reference.classify(
            query.run_id, [text], query.max_tokens, query.seed, query.variant
        )[0]
        return result

    return predict


def predict_together(
    classifier: Classifier, requests: list[Query], text: str
) -> NDArray[np.float32]:
    return np.array(
        [prediction.probabilities for prediction in classifier.predict_all(requests, text)]
    )


def test_a_batch_of_different_adapters_equals_each_on_its_own(
    classifier: Classifier, by_peft: Predict
) -> None:
    half = Variant(0.5, frozenset({(0, QUERY)}))
    requests = [
        Query("a", 64),
        Query("b", 8),
        Query(None, 64, 7),
        Query(None, 64, 8),
        Query("b", 64, variant=half),
    ]

    for text in TEXTS:
        expected = [by_peft(item, text) for item in requests]

        assert predict_together(classifier, requests, text) == pytest.approx(
            np.array(expected), abs=1e-5
        )


@pytest.mark.parametrize("batched", [True, False])
def test_a_state_is_the_first_token_after_the_last_layer(
    base_folder: Path, write_adapter: Write, tmp_path: Path, batched: bool
) -> None:
    classifier = load(base_folder, write_adapter, batched)
    tracer = Tracer(classifier.folder, CLASSES, seed=7)
    tracer.load_adapter("b", tmp_path / "b")
    expected = tracer.hidden_states("b", TEXTS, 64)[-1, 0]  # (n, d)

    assert classifier.compute_states("b", TEXTS, 64) == pytest.approx(
        expected, abs=3e-3
    )  # these are half floats
    for text, state in zip(TEXTS, expected, strict=True):
        assert classifier.predict_all([Query("a", 64), Query("b", 64)], text)[
            1
        ].state == pytest.approx(state, abs=3e-3)


@pytest.mark.parametrize(
    "variant",
    [Variant(), Variant(2.0), Variant(1.0, frozenset({(1, VALUE), (0, QUERY)}))],
    ids=["as trained", "twice the scale", "two modules off"],
)
@pytest.mark.parametrize(
    "onednn", [False, pytest.param(True, marks=needs_onednn)], ids=["mkl", "onednn"]
)
def test_many_texts_with_one_adapter_give_the_same(
    classifier: Classifier, by_peft: Predict, variant: Variant, onednn: bool
) -> None:
    classifier._onednn = onednn
    expected = [by_peft(Query("b", 64, variant=variant), text) for text in TEXTS]

    assert classifier.classify("b", TEXTS, 64, variant=variant) == pytest.approx(
        np.array(expected), abs=1e-5
    )


def test_an_adapter_without_its_changes_leaves_the_base_under_the_trained_head(
    classifier: Classifier,
) -> None:
    everywhere = frozenset((layer, module) for layer in (0, 1) for module in (QUERY, VALUE))

    answers = predict_together(
        classifier,
        [Query("a", 64, variant=Variant(0.0)), Query("a", 64, variant=Variant(1.0, everywhere))],
        TEXTS[3],
    )

    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    assert answers[0] != pytest.approx(
        predict_together(classifier, [Query("a", 64)], TEXTS[3])[0], abs=1e-3
    )


def test_dora_at_scale_zero_is_the_base_model(base_folder: Path, write_adapter: Write) -> None:
    folder = write_adapter("d", 4, dora=True)
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("d", folder)
    base, merged = (load_base(base_folder, CLASSES, 7).model.eval() for _ in range(2))
    with quiet_peft():
        merged = PeftModel.from_pretrained(merged, folder).merge_and_unload()
    ids = classifier.tokenizer(TEXTS[3], return_tensors="pt")
    trained = dict(merged.named_parameters())
    for share in (0.0, 0.5, 2.0):
        with torch.no_grad():
            for name, weight in base.named_parameters():
                there = trained[name]
                weight.copy_(there if "classifier" in name else weight + share * (there - weight))
            expected = torch.softmax(base(input_ids=ids["input_ids"]).logits, -1)[0]
        base = load_base(base_folder, CLASSES, 7).model.eval()

        result = classifier.classify("d", [TEXTS[3]], 64, variant=Variant(share))[0]

        assert result == pytest.approx(expected.numpy(), abs=1e-5)


def test_an_adapter_that_is_loaded_later_is_used(
    base_folder: Path, write_adapter: Write, by_peft: Predict
) -> None:
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("a", write_adapter("a", 1))
    predict_together(classifier, [Query("a", 64)], TEXTS[3])
    # on modules that had none
    classifier.load_adapter("b", write_adapter("b", 2, rank=2, target_modules=("all-linear",)))
    expected = by_peft(Query("b", 64), TEXTS[3])

    assert predict_together(classifier, [Query("b", 64)], TEXTS[3])[0] == pytest.approx(
        expected, abs=1e-5
    )


@pytest.mark.parametrize("family", WRITERS)
def test_each_family_predicts_as_transformers_and_peft(tmp_path: Path, family: str) -> None:
    base = WRITERS[family](tmp_path / "base")
    classifier = Classifier(base, CLASSES, seed=7)
    expected = [probabilities(load_base(base, CLASSES, 7).model, classifier)]
    for name, changes in (("a", {}), ("b", {"rank": 2, "target_modules": ("all-linear",)})):
        folder = write_random_adapter(base, tmp_path / name, seed=3, **changes)
        classifier.load_adapter(name, folder)
        with quiet_peft():
            model = PeftModel.from_pretrained(load_base(base, CLASSES, 7).model, folder)
        expected.append(probabilities(model, classifier))
    assert BatchedLora.fits(load_base(base, CLASSES, 7).model)

    together = [
        predict_together(classifier, [Query(None, 64, 7), Query("a", 64), Query("b", 64)], text)
        for text in TEXTS
    ]
    each = [classifier.classify(run, TEXTS, 64, 7) for run in (None, "a", "b")]

    assert np.stack(together, axis=1) == pytest.approx(np.stack(expected), abs=3e-5)
    assert np.stack(each) == pytest.approx(np.stack(expected), abs=3e-5)


def probabilities(model: torch.nn.Module, classifier: Classifier) -> NDArray[np.float32]:
    """Predict ``TEXTS`` (n, C) with the model's own layers."""
    batch = classifier.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
    return torch.softmax(logits, -1).numpy()


def test_the_spectrum_equals_that_of_the_full_product(
    base_folder: Path, write_adapter: Write
) -> None:
    folder = write_adapter("c", 3, rank=3, target_modules=("query",))
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("c", folder)
    tensors, scale = (
        load_file(folder / "adapter_model.safetensors"),
        json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] / 3,
    )
    at = "base_model.model.bert.encoder.layer.1.attention.self.query"
    whole = scale * tensors[f"{at}.lora_B.weight"] @ tensors[f"{at}.lora_A.weight"]
    values = np.linalg.svd(whole, compute_uv=False)[:3]
    frozen = load_file(base_folder / "model.safetensors")[
        "encoder.layer.1.attention.self.query.weight"
    ]
    shares = values / values.sum()

    matrix = classifier.compute_spectra("c")[1]

    assert (matrix.layer, matrix.module, matrix.inputs, matrix.outputs) == (1, QUERY, 32, 32)
    assert matrix.singular == pytest.approx(values, rel=1e-4)
    assert matrix.change == pytest.approx(np.linalg.norm(whole) / np.linalg.norm(frozen), rel=1e-4)
    assert matrix.effective_rank == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum()), rel=1e-4
    )


def test_an_adapter_before_training_changes_nothing(base_folder: Path, tmp_path: Path) -> None:
    model = add_adapter(load_base(base_folder, CLASSES, 1), RunConfig(rank=4), "local/base", None)
    for file, content in serialize_adapter(model).items():
        (tmp_path / file).write_bytes(content)
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("new", tmp_path)

    assert {
        (matrix.change, matrix.effective_rank) for matrix in classifier.compute_spectra("new")
    } == {(0.0, 0.0)}
