from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config import RunConfig
from core.training.adapter import adapter_files, add_adapter, trainable
from core.training.load import load_base
from tests.tiny import write_bert

CLASSES = ("Sports", "Business", "World")
TEXTS = [
    "The team won the final.",
    "Oil prices fell.",
    "a",
    "The minister said troops would leave the country after the vote, police and people said.",
]
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture
def write_adapter(base_folder: Path, tmp_path: Path) -> Write:
    """Writes an adapter whose every tensor was moved at random."""

    def write(name: str, seed: int, **changes: object) -> Path:
        model = add_adapter(
            load_base(base_folder, CLASSES, seed), RunConfig(rank=4, seed=seed).model_copy(update=changes), "local/base", None
        )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in trainable(model).values():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file, content in adapter_files(model).items():
            (folder / file).write_bytes(content)
        return folder

    return write
