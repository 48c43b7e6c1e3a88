from pathlib import Path

import pytest

from tests.support.random_adapters import Write, write_random_adapter
from tests.support.tiny_models import write_bert


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture
def write_adapter(base_folder: Path, tmp_path: Path) -> Write:
    """Return a function that writes an adapter of the base model into a folder by name."""

    def write(name: str, seed: int, **changes: object) -> Path:
        return write_random_adapter(base_folder, tmp_path / name, seed, **changes)

    return write
