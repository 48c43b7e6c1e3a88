"""The base's linear layers in 4 bits while an adapter is trained on them: NF4 with double
quantisation, by bitsandbytes.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs".
"""

from dataclasses import replace
from pathlib import Path

import torch
from peft import prepare_model_for_kbit_training
from torch import nn
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

from core.config import Precision
from core.errors import ConfigError, ModelUnavailable
from core.quantization import unsupported_reason
from core.training.load_model import Base, quiet

COMPUTED_IN = {"bf16": torch.bfloat16, "fp16": torch.float16}  # fp32 otherwise


def require_four_bit(device: torch.device) -> None:
    """Raise ConfigError, with the reason, where a base cannot be held in 4 bits."""
    why = unsupported_reason()
    if not why and device.type != "cuda":
        why = "needs an NVIDIA GPU that PyTorch can use, and it finds none here"
    if why:
        raise ConfigError(f"A base in 4 bits {why}.", "Switch off the base in 4 bits.")


def in_four_bits(base: Base, folder: Path, precision: Precision, device: torch.device) -> Base:
    """The model in ``folder`` once more with its layers in 4 bits, frozen, and the head of ``base``
    as it is.

    Raises ConfigError where that cannot be, and ModelUnavailable where the package fails.
    """
    require_four_bit(device)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=COMPUTED_IN.get(precision, torch.float32),
        llm_int8_skip_modules=_whole(base),
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=base.model.config,
                quantization_config=settings,
                device_map={"": device},
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            message = (
                f"The base could not be loaded in 4 bits ({type(error).__name__}:"
                f" {str(error)[:200]})."
            )
            raise ModelUnavailable(message, "Switch off the base in 4 bits.") from error
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    _copy_head(base, model)
    return replace(base, model=model)


def _whole(base: Base) -> list[str]:
    """Full names of the head's linear modules: transformers looks for a name at the start or the
    end, and a pooler is in the middle.
    """
    return [
        name
        for name, module in base.model.named_modules()
        if isinstance(module, nn.Linear) and _in_head(base, name)
    ]


def _in_head(base: Base, name: str) -> bool:
    return any(f".{module}." in f".{name}." for module in base.head)


def _copy_head(base: Base, model: nn.Module) -> None:
    """One seed gives the same head whatever the number format of the rest."""
    drawn = dict(base.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if _in_head(base, name):
                parameter.copy_(drawn[name])
