"""Checkpoints of a training: position, weights, optimizer moments and random state.

Stored as safetensors and JSON, which execute no code when they are read.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from core.errors import ArtifactDamaged

POSITION, TENSORS = "position.json", "state.safetensors"
Weights = dict[str, torch.Tensor]


@dataclass
class Position:
    """Progress of a training.

    ``best_loss`` is None until the first validation; ``loss_scale`` is for fp16 only.
    """

    step: int = 0
    validated_step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    validations_without_gain: int = 0
    early_stopped: bool = False
    train_seconds: float = 0.0
    step_seconds: float = 0.0
    rows_seen: int = 0
    loss_scale: float = 2.0**16


def pack(
    position: Position,
    weights: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.AdamW,
    best: Weights | None,
) -> dict[str, bytes]:
    """Serialize a checkpoint: file name to content. ``best`` has the best weights so far."""
    tensors = {f"weights/{name}": parameter.detach() for name, parameter in weights.items()}
    for name, parameter in weights.items():
        tensors |= {f"{key}/{name}": value for key, value in optimizer.state[parameter].items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    tensors |= get_random_state()
    packed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    return {POSITION: json.dumps(asdict(position), allow_nan=False).encode(), TENSORS: save(packed)}


def unpack(
    files: Mapping[str, bytes],
    weights: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.AdamW,
) -> tuple[Position, Weights | None]:
    """Restore ``weights``, ``optimizer`` and the random state from a checkpoint; returns the
    position and the best weights.

    Raises ArtifactDamaged if a file is missing or damaged, or if other modules were trained.
    """
    try:
        position = TypeAdapter(Position).validate_json(files[POSITION])
        tensors = load(files[TENSORS])
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(tensors[f"weights/{name}"])
                optimizer.state[parameter] = _read_moments(tensors, name, parameter.device)
        set_random_state(tensors)
    except (KeyError, ValidationError, SafetensorError, RuntimeError) as error:
        message = f"The checkpoint is damaged ({type(error).__name__})."
        raise ArtifactDamaged(message, "Clone the run and train it from scratch.") from error
    best = {name: tensors[f"best/{name}"] for name in weights if f"best/{name}" in tensors}
    return position, best or None


def get_random_state() -> Weights:
    """Return the states of the random generators."""
    states = {"random/cpu": torch.get_rng_state()}
    return (
        states | {"random/cuda": torch.cuda.get_rng_state()}
        if torch.cuda.is_available()
        else states
    )


def set_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Restore the states of the random generators; the GPU's only if both machines have one. Raises
    KeyError.
    """
    torch.set_rng_state(states["random/cpu"])
    if torch.cuda.is_available() and "random/cuda" in states:
        torch.cuda.set_rng_state(states["random/cuda"])


def _read_moments(tensors: Weights, name: str, device: torch.device) -> dict[str, torch.Tensor]:
    return {
        key: tensors[f"{key}/{name}"].to(device)
        for key in ("step", "exp_avg", "exp_avg_sq")
        if f"{key}/{name}" in tensors
    }
