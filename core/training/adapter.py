"""A LoRA adapter on a base model: put on, serialised in PEFT's format, merged for a while.

Adapted layer: y = W x + scale · B A dropout(x), with W (out, in) frozen, A (r, in) random, B (out,
r) zero at first, and scale alpha / r, or alpha / √r with rsLoRA. Hu et al. 2021, "LoRA: Low-Rank
Adaptation of Large Language Models".
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save

from core.config import RunConfig
from core.errors import ConfigError
from core.models.architecture import resolve_targets
from core.training.fast.encoder import FastEncoder
from core.training.load_model import Base

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def add_adapter(base: Base, config: RunConfig, identity: str, revision: str | None) -> PeftModel:
    """Put a new adapter on ``base``, seeded by ``config.seed``; the encoder is frozen, the head a
    trained copy.

    ``identity`` is stored as the base's name, so it must not be a path of this machine. Raises
    ConfigError on unknown targets.
    """
    if base.shape.max_positions and config.max_tokens > base.shape.max_positions:
        raise ConfigError(
            f"This model reads at most {base.shape.max_positions} tokens, not {config.max_tokens}.",
            "Lower max tokens.",
        )
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=config.rank,
        lora_alpha=int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(resolve_targets(config, base.shape)),
        modules_to_save=list(base.head),
        bias="none",
        use_rslora=config.rslora,
        use_dora=config.dora,
    )
    with torch.random.fork_rng(devices=[]), quiet_peft():
        torch.manual_seed(config.seed)
        model = get_peft_model(base.model, lora)
    lora.base_model_name_or_path, lora.revision = identity, revision
    return model


def trainable(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def set_training(model: PeftModel, base_dropout: bool) -> None:
    """Switch dropout on: the adapter's always, the base's only if asked for (drawing its masks
    costs a third of a step).
    """
    model.train(base_dropout)
    for layer in _layers(model):
        layer.lora_dropout.train()


def adapter_files(model: PeftModel) -> dict[str, bytes]:
    """The adapter as PEFT saves it: file name to content."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    config = model.peft_config["default"].to_dict() | {"inference_mode": True}
    content = json.dumps(
        config, indent=2, sort_keys=True, allow_nan=False, default=sorted
    )  # PEFT keeps names in sets
    return {
        WEIGHTS: save(
            {name: tensor.contiguous() for name, tensor in state.items()}, {"format": "pt"}
        ),
        CONFIG: content.encode(),
    }


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without the warning that PEFT 0.21 asks transformers by an old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


@contextmanager
def merged(model: PeftModel, fast: FastEncoder | None = None) -> Iterator[None]:
    """Within it the adapter is part of the weights, W + scale · B A, which saves two small products
    a layer and text.

    Afterwards the very same weights are back: subtracting again, as PEFT's unmerge does, would
    leave rounding behind. ``fast`` is the encoder that takes the place of the model's own, if there
    is one.
    """
    if fast is not None:
        with fast.merged():
            yield
        return
    layers = list(_layers(model))
    kept = [layer.get_base_layer().weight.data for layer in layers]
    try:
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight.clone()
            layer.merge()
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()


def _layers(model: PeftModel) -> Iterator[LoraLayer]:
    return (module for module in model.modules() if isinstance(module, LoraLayer))
