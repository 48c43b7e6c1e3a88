from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from core.errors import Stopped
from core.inference.classifier import encode_sentences
from tests.support.tiny_models import write_bert

TEXTS = ["the striker scored", "shares of the chip maker fell after a warning", "rain"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "model")


def test_a_vector_is_the_mean_over_the_tokens_of_a_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    heard: list[int] = []

    result = encode_sentences(folder, TEXTS, on_rows=heard.append)

    for text, vector in zip(TEXTS, result, strict=True):
        with torch.inference_mode():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    assert heard[-1] == 3


def test_bf16_vectors_have_the_same_direction(folder: Path) -> None:
    result = [encode_sentences(folder, TEXTS, in_bf16=in_bf16) for in_bf16 in (False, True)]

    assert (result[0] * result[1]).sum(axis=1) == pytest.approx(np.ones(3), abs=0.01)


def test_encoding_stops_on_request(folder: Path) -> None:
    with pytest.raises(Stopped):
        encode_sentences(folder, TEXTS, should_stop=lambda: True)
