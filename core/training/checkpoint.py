"""All that a training needs to go on: where it is, its weights, the optimiser's moments, the random
state. Safetensors and JSON only.
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
    """How far a training is. ``best_loss`` is None until the first validation; ``loss_scale``
    serves fp16 only.
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
    """File name to content. ``best`` is a copy of the best weights so far, if there are any."""
    tensors = {f"weights/{name}": parameter.detach() for name, parameter in weights.items()}
    for name, parameter in weights.items():
        tensors |= {f"{key}/{name}": value for key, value in optimizer.state[parameter].items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    tensors |= random_state()
    packed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    return {POSITION: json.dumps(asdict(position), allow_nan=False).encode(), TENSORS: save(packed)}


def unpack(
    files: Mapping[str, bytes],
    weights: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.AdamW,
) -> tuple[Position, Weights | None]:
    """Put a checkpoint back into ``weights``, ``optimizer`` and the random state; gives the
    position and the best weights.

    Raises ArtifactDamaged if a file is missing or damaged, or belongs to a training of other
    modules.
    """
    try:
        position = TypeAdapter(Position).validate_json(files[POSITION])
        tensors = load(files[TENSORS])
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(tensors[f"weights/{name}"])
                optimizer.state[parameter] = _moments(tensors, name, parameter.device)
        set_random_state(tensors)
    except (KeyError, ValidationError, SafetensorError, RuntimeError) as error:
        message = f"The checkpoint is damaged ({type(error).__name__})."
        raise ArtifactDamaged(message, "Clone the run and train it anew.") from error
    best = {name: tensors[f"best/{name}"] for name in weights if f"best/{name}" in tensors}
    return position, best or None


def random_state() -> Weights:
    """Where the random generators are."""
    states = {"random/cpu": torch.get_rng_state()}
    return (
        states | {"random/cuda": torch.cuda.get_rng_state()}
        if torch.cuda.is_available()
        else states
    )


def set_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Put the random generators where they were; the GPU's only if both machines have one. Raises
    KeyError.
    """
    torch.set_rng_state(states["random/cpu"])
    if torch.cuda.is_available() and "random/cuda" in states:
        torch.cuda.set_rng_state(states["random/cuda"])


def _moments(tensors: Weights, name: str, device: torch.device) -> dict[str, torch.Tensor]:
    return {
        key: tensors[f"{key}/{name}"].to(device)
        for key in ("step", "exp_avg", "exp_avg_sq")
        if f"{key}/{name}" in tensors
    }
