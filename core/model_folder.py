"""Whether a folder holds a base model that can be used: safetensors, a tokenizer, and no code of its own."""

from pathlib import Path

from core.errors import ModelUnavailable
from core.model_shape import WEIGHTS, read_header, read_model_config, weight_files

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def folder_problem(folder: Path) -> str:
    """Why the model in ``folder`` cannot be used and what to do; empty if it can."""
    if not is_folder(folder):
        return f"There is no folder {folder}. Give the folder that holds the model's config.json."
    try:
        config = read_model_config(folder)
        weights = weight_files(folder)
        for path in weights:
            read_header(path)
    except ModelUnavailable as error:
        return str(error)
    if "auto_map" in config:
        return f"The model in {folder} brings code of its own, which is never run here. Choose a model that transformers knows."
    if not config.get("model_type"):
        return f"config.json in {folder} names no model type. Save the model again with save_pretrained."
    if not weights and any(path for pattern in PICKLES for path in folder.glob(pattern)):
        return (
            f"{folder} holds its weights only as pickle files, which can run code when they are opened. "
            "Save the model again with save_pretrained, which writes model.safetensors."
        )
    if not weights:
        return f"{folder} has no {WEIGHTS}. Copy it there from where the model comes from."
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        return f"{folder} has no tokenizer.json. Save the tokenizer there with save_pretrained."
    return ""


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name, which somebody typed."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for any
        return False
