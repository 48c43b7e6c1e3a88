import pytest
import torch

from core.errors import ConfigError
from core.training import device

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("where", [CPU, GPU], ids=str)
def test_auto_that_was_not_decided_before_is_fp32(where: torch.device) -> None:
    assert device.require_precision("auto", where) == "fp32"


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert device.require_precision("bf16", CPU) == "bf16"


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        device.require_precision("fp16", CPU)
