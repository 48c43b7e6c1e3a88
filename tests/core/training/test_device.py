import math

import pytest
import torch

from core.errors import ConfigError
from core.training import device
from core.training.fast.matmul import ProductSeconds

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bf16_seconds", "onednn_seconds", "chosen"),
    [(0.1, math.inf, "bf16"), (0.1, 0.4, "fp32"), (0.3, math.inf, "fp32"), (4.0, 0.5, "fp32")],
)
def test_auto_takes_what_was_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, bf16_seconds: float, onednn_seconds: float, chosen: str
) -> None:
    monkeypatch.setattr(
        device, "product_seconds", lambda: ProductSeconds(1.0, bf16_seconds, onednn_seconds)
    )

    assert device.choose_precision("auto", CPU) == chosen


def test_a_precision_that_is_asked_for_is_taken_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(device, "product_seconds")

    assert device.choose_precision("bf16", CPU) == "bf16"


def test_on_a_gpu_auto_is_fp32_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(device, "product_seconds")

    assert device.choose_precision("auto", torch.device("cuda")) == "fp32"


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        device.choose_precision("fp16", CPU)
