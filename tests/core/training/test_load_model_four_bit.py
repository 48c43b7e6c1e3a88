"""Base models in 4 bits on a CPU: the refusal, and the arguments of the library. The weights
themselves need a GPU.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from core.config import RunConfig
from core.errors import ConfigError, ModelUnavailable
from core.training.adapted_model import build_model
from core.training.load_model import (
    Base,
    describe_quantization,
    load_base,
    load_in_four_bits,
    load_quantized,
    require_four_bit,
)
from tests.support.tiny_models import write_bert

CPU = torch.device("cpu")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return load_base(write_bert(tmp_path / "tiny"), ("a", "b"), 7)


class RecordedLoad:
    """Loads the model whole and records the options, as nothing here could make 4 bits of it."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def __call__(self, folder: Path, **options: Any) -> Any:
        self.options = dict(options)
        del options["quantization_config"], options["device_map"]
        return AutoModelForSequenceClassification.from_pretrained(folder, **options)


def test_a_gpu_that_pytorch_does_not_see_is_a_reason_too() -> None:
    require_four_bit(torch.device("cuda"), problem="")
    with pytest.raises(ConfigError, match="an NVIDIA GPU that PyTorch can use"):
        require_four_bit(CPU, problem="")


def test_nothing_is_loaded_where_it_cannot_be(base: Base, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A 4-bit base model needs "):
        load_in_four_bits(base, tmp_path / "tiny", "fp32", CPU)


def test_the_frozen_layers_are_asked_for_in_nf4_and_the_head_whole(base: Base) -> None:
    assert describe_quantization(base, "bf16") == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
        "llm_int8_skip_modules": ["classifier"],
    }


def test_nothing_is_downloaded_and_no_code_of_the_model_is_run(base: Base, tmp_path: Path) -> None:
    load, quantization = RecordedLoad(), object()

    load_quantized(base, tmp_path / "tiny", quantization, CPU, load)

    assert load.options["quantization_config"] is quantization
    assert load.options["device_map"] == {"": CPU}
    assert [
        load.options[name] for name in ("local_files_only", "use_safetensors", "trust_remote_code")
    ] == [True, True, False]


def test_the_head_is_that_of_the_seed_and_only_adapter_and_head_are_trained(
    base: Base, tmp_path: Path
) -> None:
    result = load_quantized(base, tmp_path / "tiny", None, CPU, RecordedLoad())

    assert torch.equal(result.model.classifier.weight, base.model.classifier.weight)
    assert not any(parameter.requires_grad for parameter in result.model.parameters())
    peft = build_model(result, RunConfig(rank=2), "local/tiny", None).peft
    trained = {
        name.split(".")[-2 if "lora" not in name else -3]
        for name, item in peft.named_parameters()
        if item.requires_grad
    }
    assert trained == {"lora_A", "lora_B", "default"}


def test_a_package_that_fails_is_said(base: Base, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise ImportError("no kernel image")

    with pytest.raises(ModelUnavailable, match="could not be loaded in 4 bits"):
        load_quantized(base, tmp_path / "tiny", None, CPU, fail)


def test_a_pooler_that_is_new_stays_whole_to_be_trained(tmp_path: Path) -> None:
    base = load_base(write_bert(tmp_path / "bare", pooler=False), ("a", "b"), 7)

    result = load_quantized(base, tmp_path / "bare", None, CPU, RecordedLoad())

    assert describe_quantization(base, "fp32")["llm_int8_skip_modules"] == [
        "bert.pooler.dense",
        "classifier",
    ]
    assert torch.equal(result.model.bert.pooler.dense.weight, base.model.bert.pooler.dense.weight)
