from pathlib import Path

import pytest
import torch

from core.training.fast.last_layer import read_first_token_only
from core.training.load_model import load_base
from tests.support.tiny_models import WRITERS, write_bert

IDS = torch.tensor([[2, 57, 121, 125, 34, 3], [2, 60, 70, 3, 0, 0]])


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("mask", [torch.ones_like(IDS), (IDS > 0).long()], ids=["whole", "padded"])
def test_logits_and_gradients_are_those_of_the_whole_layer(
    family: str, mask: torch.Tensor, tmp_path: Path
) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=2)
    whole, short = (load_base(folder, ("a", "b"), 0).model.eval() for _ in range(2))
    read_first_token_only(short)

    outputs = [
        model(input_ids=IDS, attention_mask=mask, output_hidden_states=False).logits
        for model in (whole, short)
    ]
    for output in outputs:
        output.sum().backward()

    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)
    for (name, item), (_, other) in zip(
        whole.named_parameters(), short.named_parameters(), strict=True
    ):
        assert torch.allclose(item.grad, other.grad, atol=1e-5), name


def test_the_last_layer_gives_one_token(tmp_path: Path) -> None:
    model = load_base(write_bert(tmp_path / "model"), ("a", "b"), 0).model.eval()
    read_first_token_only(model)

    assert model.bert(input_ids=IDS).last_hidden_state.shape == (2, 1, 32)
