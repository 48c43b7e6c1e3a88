"""Adapters that plain PEFT writes on tiny base models, and edits of their files."""

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors.numpy import load, save
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.models.catalog import find_model
from core.settings import Settings
from core.training.load_model import quiet
from tests.base_folders.changes import write_by_transformers
from tests.base_folders.families import write_sentencepiece
from tests.support.tiny_models import (
    write_bert,
    write_distilbert,
    write_roberta,
    write_xlm_roberta,
)

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
TOKENIZERS = {"camembert": "CamembertTokenizer", "mpnet": "PreTrainedTokenizerFast"}
Files = dict[str, bytes]
Edit = Callable[[Files], Files]


def write_family(folder: Path) -> Path:
    """Write a base model of the family that the folder is named after."""
    if folder.name == "electra":
        write_by_transformers("electra", embedding_size=16)(folder)
    else:
        write_sentencepiece(folder, TOKENIZERS[folder.name], folder.name)
    return folder


BASES: dict[str, Callable[[Path], Path]] = {
    "bert": write_bert,
    "bare": lambda folder: write_bert(folder, pooler=False),  # the pooler is new
    "distilbert": write_distilbert,
    "roberta": write_roberta,
    "xlm-roberta": lambda folder: save_tokenizer(write_xlm_roberta(folder)),
    **dict.fromkeys(("camembert", "electra", "mpnet"), write_family),
}
CLASSES = ("Sports", "Business", "World")
TARGETS = {"distilbert": ["q_lin", "v_lin"], "mpnet": ["q", "v"]}
HEADS = {"bare": ["pooler"], "distilbert": ["pre_classifier"]}


@dataclass(frozen=True)
class Case:
    """An upload and the expected outcome.

    Without ``refused`` the import must predict as PEFT does from the files. ``refused`` are words
    of the message. ``options`` are those of ``import_run``.
    """

    name: str
    make: Callable[[Path], Files]
    base: str = "bert"
    edit: Edit = dict
    pack: Callable[[Files], bytes] | None = None
    refused: str = ""
    options: Mapping[str, Any] = field(default_factory=lambda: {"classes": CLASSES})


def lora(**changes: Any) -> Callable[[Path], Files]:
    """Return a function that trains nothing, but saves an adapter with random weights by PEFT."""

    return (lambda base: save_lora(base, **changes)) if changes else save_usual


def save_lora(base: Path, **changes: Any) -> Files:
    """Return an adapter on the usual modules, with ``changes`` of its configuration."""
    usual = {
        "task_type": "SEQ_CLS",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": TARGETS.get(base.name, ["query", "value"]),
        "modules_to_save": HEADS.get(base.name),
    }
    return save_adapter(base, LoraConfig(**(usual | changes)))


@cache
def save_usual(base: Path) -> Files:
    """Return the adapter without changes, which most cases edit."""
    return save_lora(base)


def save_tokenizer(base: Path) -> Path:
    """Save the tokenizer of the base model as transformers does, which completes its rules."""
    AutoTokenizer.from_pretrained(base).save_pretrained(base)
    return base


@cache
def load_classifier(base: Path, classes: int) -> Any:
    """Load the base model with a head, drawn from a fixed seed."""
    torch.manual_seed(0)
    with quiet():
        return AutoModelForSequenceClassification.from_pretrained(base, num_labels=classes)


def save_adapter(
    base: Path,
    config: PeftConfig,
    classes: int = len(CLASSES),
    name: str = "default",
    **options: Any,
) -> Files:
    """Add an adapter, draw its weights, and return the files that PEFT saves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(
            copy.deepcopy(load_classifier(base, classes)), config, adapter_name=name
        )
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        with TemporaryDirectory() as folder:
            model.save_pretrained(folder, **options)
            root = Path(folder)
            return {
                path.relative_to(root).as_posix(): path.read_bytes()
                for path in sorted(root.rglob("*"))
                if path.is_file()
            }


def identify(files: Files, base: Path) -> Files:
    """Write the identity of the base model, instead of its path on this machine."""
    model = find_model(str(base), Settings(hub=False), hub=False)
    return configure(base_model_name_or_path=model.identity, revision=model.revision)(files)


def configure(**changes: object) -> Edit:
    """Return an edit that changes fields of ``adapter_config.json``."""

    def edit(files: Files) -> Files:
        (name,) = [name for name in files if name.endswith(CONFIG)]
        return {**files, name: json.dumps(json.loads(files[name]) | changes).encode()}

    return edit


def retensor(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Edit:
    """Return an edit that changes the tensors."""
    return lambda files: {**files, ADAPTER: save(change(load(files[ADAPTER])))}


def rename(old: str, new: str) -> Edit:
    """Return an edit that replaces a part of each tensor's name."""
    return retensor(lambda ts: {name.replace(old, new): tensor for name, tensor in ts.items()})


def drop(part: str) -> Edit:
    """Return an edit that removes the tensors with ``part`` in their names."""
    return retensor(lambda ts: {name: tensor for name, tensor in ts.items() if part not in name})


def add(**files: bytes) -> Edit:
    """Return an edit that adds files; ``__`` in a name stands for a dot."""
    return lambda known: {
        **known,
        **{name.replace("__", "."): data for name, data in files.items()},
    }


def zipped(files: Files, folder: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of the files in ``folder``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(f"{folder}{name}", data)
    return buffer.getvalue()
