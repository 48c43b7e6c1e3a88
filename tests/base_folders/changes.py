"""Changes of a folder of a base model, to be applied one after the other."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from tests.support.tiny_models import VOCABULARY, WRITERS, write_tokenizer

Change = Callable[[Path], Any]


class ModelClass(Protocol):
    """A class such as ``AutoModel``."""

    def from_config(self, config: PreTrainedConfig) -> PreTrainedModel:
        """Build a model with random weights."""


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": 0,
}


def write_tiny(family: str) -> Change:
    """Write a tiny model without torch."""
    return lambda folder: WRITERS[family](folder)


def write_by_transformers(
    model_type: str,
    auto: ModelClass = AutoModel,
    **options: object,
) -> Change:
    """Write a random model as transformers saves it; ``auto`` gives it a head."""

    def write(folder: Path) -> None:
        sizes = {name: value for name, value in {**SIZES, **options}.items() if value is not None}
        config = AutoConfig.for_model(model_type, architectures=[], **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = auto.from_config(config)
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        model.save_pretrained(folder)
        if not (folder / "tokenizer.json").exists():
            write_tokenizer(folder)

    return write


def set_fields(name: str = "config.json", /, **fields: object) -> Change:
    """Set fields of a JSON file."""
    return lambda folder: _write_json(folder / name, {**_read_json(folder / name), **fields})


def remove_fields(*fields: str, name: str = "config.json") -> Change:
    """Remove fields of a JSON file."""
    return lambda folder: _write_json(
        folder / name,
        {field: value for field, value in _read_json(folder / name).items() if field not in fields},
    )


def set_tokenizer(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the content of ``tokenizer.json`` in place."""

    def edit(folder: Path) -> None:
        content = _read_json(folder / "tokenizer.json")
        change(content)
        _write_json(folder / "tokenizer.json", content)

    return edit


def change_tensors(change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> Change:
    """Replace the tensors by what ``change`` returns."""

    def edit(folder: Path) -> None:
        tensors = change(load_file(folder / WEIGHTS))
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            folder / WEIGHTS,
            {"format": "pt"},
        )

    return edit


def rename_tensors(rename: Callable[[str], str]) -> Change:
    """Rename all tensors."""
    return change_tensors(
        lambda tensors: {rename(name): tensor for name, tensor in tensors.items()}
    )


def drop_tensors(part: str) -> Change:
    """Remove tensors with ``part`` in their name."""
    return change_tensors(
        lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}
    )


def add_tensors(**shapes: tuple[int, ...]) -> Change:
    """Add random tensors; ``__`` stands for a dot in the name."""

    def add(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        draw = np.random.default_rng(5)
        return tensors | {
            name.replace("__", "."): torch.from_numpy(draw.standard_normal(shape)).float()
            for name, shape in shapes.items()
        }

    return change_tensors(add)


def convert_tensors(dtype: torch.dtype, part: str = "") -> Change:
    """Store tensors with ``part`` in their name in another number format."""
    return change_tensors(
        lambda tensors: {
            name: tensor.to(dtype) if part in name else tensor for name, tensor in tensors.items()
        }
    )


def set_number(part: str, value: float) -> Change:
    """Set one number of the first tensor with ``part`` in its name."""

    def edit(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        name = next(name for name in tensors if part in name)
        tensors[name].view(-1)[3] = value
        return tensors

    return change_tensors(edit)


def shard(shards: int = 2, **index: str | None) -> Change:
    """Split the weights; ``index`` gives the file names of tensors, or None to leave one out."""

    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        places = {
            name: f"model-{number % shards + 1:05d}-of-{shards:05d}.safetensors"
            for number, name in enumerate(sorted(tensors))
        }
        for file in set(places.values()):
            part = {name: tensors[name] for name in tensors if places[name] == file}
            save_file(part, folder / file, {"format": "pt"})
        changed = {**places, **{name.replace("__", "."): file for name, file in index.items()}}
        weight_map = {name: file for name, file in changed.items() if file is not None}
        _write_json(folder / INDEX, {"metadata": {}, "weight_map": weight_map})

    return edit


def write_file(name: str, content: bytes | str = b"") -> Change:
    """Write a file."""

    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def remove_files(*names: str) -> Change:
    """Remove files."""

    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def rename_file(name: str, new: str) -> Change:
    """Rename a file."""
    return lambda folder: (folder / name).rename(folder / new)


def truncate(name: str, missing: int) -> Change:
    """Cut the last bytes of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-missing])


def link_files(*names: str) -> Change:
    """Move files elsewhere and link them, as the Hub cache does."""

    def link(folder: Path) -> None:
        blobs = folder.parent / "blobs"
        blobs.mkdir()
        for number, name in enumerate(names):
            shutil.move(folder / name, blobs / str(number))
            (folder / name).symlink_to(blobs / str(number))

    return link


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
