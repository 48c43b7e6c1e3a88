"""A text's prediction depends on no other text, and follows the tokenizer of the base model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import (
    AutoModel,
    AutoTokenizer,
    CamembertConfig,
    ElectraConfig,
    MPNetConfig,
    PretrainedConfig,
)

from core.config import RunConfig
from core.inference.classifier import Classifier
from core.inference.messages import Query
from core.models.families import FAMILIES
from core.training.adapted_model import build_model, list_trainable, quiet_peft
from core.training.batches import encode_each
from core.training.load_model import load_base
from core.training.predict import predict
from tests.support.random_adapters import CLASSES, write_random_adapter
from tests.support.tiny_models import WRITERS, write_bert, write_roberta

LIMIT = 100
SHORT = ["a", "Oil prices fell.", "The team won the final."]
LONG = [f"{'the market and the team said ' * words}year" for words in (4, 9, 15, 40)]
MIXED = [LONG[3], SHORT[0], LONG[0], SHORT[1], LONG[2], SHORT[2], LONG[1]]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "embedding_size": 16,
}
CONFIGS: dict[str, Callable[..., PretrainedConfig]] = {
    "camembert": CamembertConfig,
    "electra": ElectraConfig,
    "mpnet": MPNetConfig,
}
Probabilities = NDArray[np.float32]


def write_base(folder: Path, family: str) -> Path:
    """Write a tiny model of the family with random weights and its tokenizer."""
    if family in WRITERS:
        return WRITERS[family](folder)
    (write_bert if family == "electra" else write_roberta)(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = CONFIGS[family](
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=130,
        **SIZES,
    )
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.5)
    model.save_pretrained(folder)
    return folder


def change_tokenizer(folder: Path, **changes: object) -> None:
    """Write fields into ``tokenizer_config.json``; None removes one."""
    path = folder / "tokenizer_config.json"
    content = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def predict_alone(base: Path, adapter: Path, text: str, max_tokens: int = LIMIT) -> Probabilities:
    """Predict a text with transformers and PEFT only."""
    with quiet_peft():
        model = PeftModel.from_pretrained(load_base(base, CLASSES, 7).model, adapter).eval()
    batch = AutoTokenizer.from_pretrained(base)(
        text, truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    result: Probabilities = torch.softmax(logits, -1)[0].numpy()
    return result


def predict_in_training(base: Path, texts: list[str], together: bool) -> Probabilities:
    """Predict with an adapter that is being trained, all texts in a batch or each alone."""
    loaded = load_base(base, CLASSES, 7)
    network = build_model(loaded, RunConfig(max_tokens=LIMIT, precision="fp32"), "base", None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in list_trainable(network.peft).values():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    parts = [texts] if together else [[text] for text in texts]
    scores = [
        predict(network, encode_each(loaded.tokenizer, [(text, LIMIT) for text in part]))
        for part in parts
    ]
    result: Probabilities = np.exp(np.concatenate(scores))
    return result


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_has_the_same_prediction_alone_and_among_others(
    family: str, batched: bool, tmp_path: Path
) -> None:
    base = write_base(tmp_path / "base", family)
    classifier = Classifier(base, CLASSES, 7, batched=batched)
    adapters = {
        name: write_random_adapter(base, tmp_path / name, seed) for seed, name in enumerate("ab")
    }
    for name, folder in adapters.items():
        classifier.load_adapter(name, folder)
    expected = {
        name: np.stack([predict_alone(base, folder, text) for text in MIXED])
        for name, folder in adapters.items()
    }
    assert np.ptp(expected["a"], axis=0).max() > 0.02  # the texts have different answers

    for name, probabilities in expected.items():
        together = classifier.classify(name, MIXED, LIMIT)
        alone = [classifier.classify(name, [text], LIMIT)[0] for text in MIXED]
        again = classifier.classify(name, MIXED[::-1], LIMIT)[::-1]
        for result in (together, np.stack(alone), again):
            assert result == pytest.approx(probabilities, abs=1e-5)
    for row, text in enumerate(MIXED):
        queries = [Query("a", LIMIT), Query("b", 8), Query("b", LIMIT)]
        first, short, second = classifier.predict_all(queries, text)
        assert first.probabilities == pytest.approx(expected["a"][row], abs=1e-5)
        assert second.probabilities == pytest.approx(expected["b"][row], abs=1e-5)
        assert short.probabilities == pytest.approx(
            predict_alone(base, adapters["b"], text, 8), abs=1e-5
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_evaluates_a_text_alone_as_among_others(family: str, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", family)

    together, alone = (predict_in_training(base, MIXED, together) for together in (True, False))

    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"truncation_side": "left"}, "bert"),
        ({"truncation_side": "left"}, "roberta"),
        ({"pad_token": None}, "bert"),
        ({"pad_token": None}, "roberta"),
        ({"pad_token": "[MASK]"}, "distilbert"),
        ({"pad_token": "</s>"}, "xlm-roberta"),
        ({"padding_side": "left"}, "bert"),
        ({"model_max_length": 1e30}, "bert"),
        ({"model_max_length": None}, "roberta"),
    ],
)
def test_texts_are_padded_and_truncated_as_the_tokenizer_says(
    changes: dict[str, object], family: str, tmp_path: Path
) -> None:
    base = write_base(tmp_path / "base", family)
    change_tokenizer(base, **changes)
    adapter = write_random_adapter(base, tmp_path / "a", 1)
    classifier = Classifier(base, CLASSES, 7)
    classifier.load_adapter("a", adapter)

    expected = np.stack([predict_alone(base, adapter, text, 20) for text in MIXED])

    assert classifier.classify("a", MIXED, 20) == pytest.approx(expected, abs=1e-5)
