"""A PEFT adapter folder on a tiny base in PEFT's format, written without torch."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from core.models.catalog import find_model
from core.settings import Settings

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
RANK, HIDDEN, LAYERS = 4, 32, 2


def adapter_files(base: Path, **changes: object) -> dict[str, bytes]:
    """Return ``adapter_config.json``, with ``changes``, and the weights."""
    model = find_model(str(base), Settings(hub=False), hub=False)
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": model.identity,
        "revision": model.revision,
        "r": RANK,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier", "score"],
        "bias": "none",
        "rank_pattern": {},
        "megatron_core": "megatron.core",
        **changes,
    }
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": save(tensors()),
        "labels.json": json.dumps(
            {
                "id2label": {str(number): name for number, name in enumerate(CLASSES)},
                "max_tokens": 64,
            }
        ).encode(),
    }


def tensors(
    rank: int = RANK, classes: int = len(CLASSES), hidden: int = HIDDEN
) -> dict[str, np.ndarray]:
    """Return random values under PEFT's names."""
    draw = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "classifier.weight": (classes, hidden),
        "classifier.bias": (classes,),
    }
    for layer in range(LAYERS):
        for module in ("query", "value"):
            at = f"bert.encoder.layer.{layer}.attention.self.{module}"
            shapes |= {f"{at}.lora_A.weight": (rank, hidden), f"{at}.lora_B.weight": (hidden, rank)}
    return {
        f"base_model.model.{name}": draw.standard_normal(shape).astype(np.float32) * 0.1
        for name, shape in shapes.items()
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
