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
from core.training import load_model
from core.training.adapted_model import build_model
from core.training.load_model import Base, load_base, load_in_four_bits
from tests.support.tiny_models import write_bert

CPU = torch.device("cpu")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return load_base(write_bert(tmp_path / "tiny"), ("a", "b"), 7)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_model, "require_four_bit", lambda device: None)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record the options for transformers; it then loads the model whole, as there is nothing here
    that could make 4 bits of it.
    """
    stored: dict[str, Any] = {}
    load = AutoModelForSequenceClassification.from_pretrained

    def loading(folder: Path, **options: Any) -> object:
        if "quantization_config" in options:
            stored.update(
                options,
                quantization=options.pop("quantization_config"),
                device_map=options.pop("device_map"),
            )
        return load(folder, **options)

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", loading)
    monkeypatch.setattr(
        load_model, "BitsAndBytesConfig", lambda **settings: settings
    )  # it refuses to be made without the package
    return stored


def test_a_gpu_that_pytorch_does_not_see_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_model, "find_four_bit_problem", lambda: "")

    load_model.require_four_bit(torch.device("cuda"))
    with pytest.raises(ConfigError, match="an NVIDIA GPU that PyTorch can use"):
        load_model.require_four_bit(CPU)


def test_nothing_is_loaded_where_it_cannot_be(base: Base, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A 4-bit base model needs "):
        load_in_four_bits(base, tmp_path / "tiny", "fp32", CPU)


@pytest.mark.usefixtures("allowed")
def test_the_frozen_layers_are_asked_for_in_nf4_and_the_head_whole(
    base: Base, tmp_path: Path, requests: dict[str, Any]
) -> None:
    load_in_four_bits(base, tmp_path / "tiny", "bf16", CPU)

    assert requests["quantization"] == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
        "llm_int8_skip_modules": ["classifier"],
    }
    assert requests["device_map"] == {"": CPU}
    assert (
        requests["local_files_only"],
        requests["use_safetensors"],
        requests["trust_remote_code"],
    ) == (
        True,
        True,
        False,
    )


@pytest.mark.usefixtures("allowed", "requests")
def test_the_head_is_that_of_the_seed_and_only_adapter_and_head_are_trained(
    base: Base, tmp_path: Path
) -> None:
    result = load_in_four_bits(base, tmp_path / "tiny", "fp32", CPU)

    assert torch.equal(result.model.classifier.weight, base.model.classifier.weight)
    assert not any(parameter.requires_grad for parameter in result.model.parameters())
    peft = build_model(result, RunConfig(rank=2), "local/tiny", None).peft
    trained = {
        name.split(".")[-2 if "lora" not in name else -3]
        for name, item in peft.named_parameters()
        if item.requires_grad
    }
    assert trained == {"lora_A", "lora_B", "default"}


@pytest.mark.usefixtures("allowed")
def test_a_package_that_fails_is_said(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ImportError("no kernel image")

    monkeypatch.setattr(load_model, "BitsAndBytesConfig", lambda **settings: settings)
    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", fail)

    with pytest.raises(ModelUnavailable, match="could not be loaded in 4 bits"):
        load_in_four_bits(base, tmp_path / "tiny", "fp32", CPU)


@pytest.mark.usefixtures("allowed")
def test_a_pooler_that_is_new_stays_whole_to_be_trained(
    tmp_path: Path, requests: dict[str, Any]
) -> None:
    base = load_base(write_bert(tmp_path / "bare", pooler=False), ("a", "b"), 7)

    result = load_in_four_bits(base, tmp_path / "bare", "fp32", CPU)

    assert requests["quantization"]["llm_int8_skip_modules"] == ["bert.pooler.dense", "classifier"]
    assert torch.equal(result.model.bert.pooler.dense.weight, base.model.bert.pooler.dense.weight)
