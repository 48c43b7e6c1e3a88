"""Compare the predictions of the app with those of transformers and PEFT."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.config import RunConfig
from core.inference.classifier import Classifier
from core.training.adapted_model import (
    TrainableModel,
    build_model,
    list_trainable,
    quiet_peft,
    serialize_adapter,
)
from core.training.batches import Encoded, encode
from core.training.load_model import Base, quiet
from core.training.predict import predict
from core.transfer.export.write_files import write_tokenizer

CLASSES = ("Sports", "Business", "World")
TEXTS = (
    "The team won the final.",
    "oil PRICES fell after the vote, Ministers said!",
    "a",
    "final [SEP] match [MASK] of </s> the <mask> cup",
    " ".join(["The minister said troops would leave the country after the vote, police said."] * 3),
)
MAX_TOKENS, SEED = 40, 3
CONFIG = RunConfig(max_tokens=MAX_TOKENS, seed=SEED, rank=4, precision="fp32")
TOLERANCE = 1e-4
Scores = NDArray[np.float64]


def list_differences(base: Base, folder: Path, adapter: Path) -> dict[str, float]:
    """List where the app differs from transformers and PEFT, by more than the tolerance.

    ``base`` is the app's model of ``folder``; a random adapter is written to ``adapter``.
    """
    plain, tokenizer = _load_plain(folder, base), AutoTokenizer.from_pretrained(folder)
    untrained = _predict_plain(plain, tokenizer, TEXTS)
    network = build_model(base, CONFIG, "local/base", None)
    own: dict[str, NDArray[np.floating]] = {"untrained": _predict_own(network, base)}
    with torch.no_grad():
        generator = torch.Generator().manual_seed(SEED)
        for parameter in list_trainable(network.peft).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    adapter.mkdir()
    for name, content in serialize_adapter(network.peft).items():
        (adapter / name).write_bytes(content)
    own["trained"] = _predict_own(network, base)
    classifier = Classifier(folder, CLASSES, SEED)
    classifier.load_adapter("run", adapter)
    own["classified together"] = classifier.classify("run", TEXTS, MAX_TOKENS)
    own["classified alone"] = np.concatenate(
        [classifier.classify("run", [text], MAX_TOKENS) for text in TEXTS]
    )
    with quiet_peft():
        peft = PeftModel.from_pretrained(plain, adapter).eval()
    trained = _predict_plain(peft, tokenizer, TEXTS)
    own["transformers alone"] = np.concatenate(
        [_predict_plain(peft, tokenizer, [text]) for text in TEXTS]
    )
    assert np.abs(trained - untrained).max() > 100 * TOLERANCE
    differences = {
        name: float(np.abs(scores - (untrained if name == "untrained" else trained)).max())
        for name, scores in own.items()
    }
    write_tokenizer(base.tokenizer, MAX_TOKENS, adapter)
    exported = Tokenizer.from_file(str(adapter / "tokenizer.json"))
    ids = [encoding.ids for encoding in exported.encode_batch(TEXTS)]
    limit = {"truncation": True, "max_length": MAX_TOKENS}
    differences["exported tokens"] = float(ids != tokenizer(list(TEXTS), **limit)["input_ids"])
    return {name: value for name, value in differences.items() if not value <= TOLERANCE}


def list_leaks(base: Base) -> list[str]:
    """List fields of the loaded configuration that are about another task than these classes."""
    content = base.model.config.to_dict()
    expected = {
        "id2label": dict(enumerate(CLASSES)),
        "label2id": {name: index for index, name in enumerate(CLASSES)},
        "problem_type": "single_label_classification",
        "finetuning_task": None,
        "task_specific_params": None,
    }
    return [
        *(name for name, value in expected.items() if content.get(name) != value),
        *(name for name in content if name.startswith(("sbert", "sentence_transformers"))),
        *(name for name in content["architectures"] if "SequenceClassification" not in name),
    ]


def _load_plain(folder: Path, base: Base) -> PreTrainedModel:
    """Load the model by transformers alone, with the drawn head of ``base``."""
    with quiet():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(CLASSES), dtype=torch.float32, ignore_mismatched_sizes=True
        )
    drawn = base.model.state_dict()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(f".{part}." in f".{name}" for part in base.head):
                parameter.copy_(drawn[name])
    return model.eval()


def _predict_plain(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Scores:
    batch = tokenizer(
        list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    scores: Scores = torch.softmax(logits.double(), -1).numpy()
    return scores


def _predict_own(network: TrainableModel, base: Base) -> Scores:
    tokens = encode(base.tokenizer, TEXTS, MAX_TOKENS)
    zeros = np.zeros(len(TEXTS), np.int64)
    encoded = Encoded(tokens, zeros, zeros, base.tokenizer.pad_token_id)
    scores: Scores = np.exp(predict(network, encoded).astype(np.float64))
    return scores
