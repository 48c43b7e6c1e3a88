"""LoRA adapters with random weights, and texts to classify with them."""

from collections.abc import Callable
from pathlib import Path

import torch

from core.config import RunConfig
from core.training.adapted_model import add_adapter, list_trainable, serialize_adapter
from core.training.load_model import load_base

CLASSES = ("Sports", "Business", "World")
TEXTS = [
    "The team won the final.",
    "Oil prices fell.",
    "a",
    "The minister said troops would leave the country after the vote, police and people said.",
]
Write = Callable[..., Path]


def write_random_adapter(base: Path, folder: Path, seed: int, **changes: object) -> Path:
    """Write an adapter whose tensors all have random values."""
    config = RunConfig(rank=4, seed=seed).model_copy(update=changes)
    model = add_adapter(load_base(base, CLASSES, seed), config, "local/base", None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in list_trainable(model).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    folder.mkdir(exist_ok=True)
    for file, content in serialize_adapter(model).items():
        (folder / file).write_bytes(content)
    return folder
