from pathlib import Path

import pytest
import torch
from torch import nn

from core.errors import ConfigError
from core.training import device

linux = pytest.mark.skipif(not device.MAPPINGS.is_file(), reason="only Linux lists mappings")
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("where", [CPU, GPU], ids=str)
def test_auto_that_was_not_decided_before_is_fp32(where: torch.device) -> None:
    assert device.require_precision("auto", where) == "fp32"


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert device.require_precision("bf16", CPU) == "bf16"


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        device.require_precision("fp16", CPU)


@pytest.fixture
def mapped(tmp_path: Path) -> nn.Linear:
    """A module whose weight of 4 MB is mapped from a file, as torch maps those of a base model."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(torch.arange(2**20, dtype=torch.float32).numpy().tobytes())
    module = nn.Linear(1, 1, bias=False)
    module.weight.data = torch.from_file(str(path), shared=False, size=2**20).view(2**10, 2**10)
    return module


def resident_kb(path: Path) -> int:
    _, _, mapping = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    return int(mapping.split("Rss:")[1].split()[0])


@linux
def test_released_weights_are_read_from_their_file_again(mapped: nn.Linear, tmp_path: Path) -> None:
    total = mapped.weight.sum().item()
    before = resident_kb(tmp_path / "weights.safetensors")

    device.release_weights(mapped)

    assert (before, resident_kb(tmp_path / "weights.safetensors")) == (4096, 0)
    assert mapped.weight.sum().item() == total


@linux
def test_weights_that_were_changed_in_memory_are_not_released(
    mapped: nn.Linear, tmp_path: Path
) -> None:
    with torch.no_grad():
        mapped.weight[5, 5] = -1

    device.release_weights(mapped)

    assert mapped.weight[5, 5] == -1
    assert resident_kb(tmp_path / "weights.safetensors") > 0


@linux
def test_only_files_of_the_model_are_released(mapped: nn.Linear, tmp_path: Path) -> None:
    mapped.weight.sum()

    device.release_weights(nn.Linear(1, 1))

    assert resident_kb(tmp_path / "weights.safetensors") == 4096
