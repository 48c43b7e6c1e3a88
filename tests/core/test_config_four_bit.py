from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from core import config
from core.cli.planning import require_launchable
from core.config import RunConfig, find_four_bit_problem
from core.errors import ConfigError
from core.settings import Settings


@pytest.fixture(autouse=True)
def forget_the_answer() -> Iterator[None]:
    find_four_bit_problem.cache_clear()
    yield
    find_four_bit_problem.cache_clear()


def machine(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    gpu: bool,
    torch: str = "2.13.0",
    packages: tuple[str, ...] = (),
) -> None:
    if gpu:
        (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(config, "DEVICES", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(config, "version", lambda name: torch)
    monkeypatch.setattr(
        config, "find_spec", lambda name: find_spec("json") if name in packages else None
    )


def test_each_thing_that_is_lacking_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, gpu=False)
    assert find_four_bit_problem() == "needs an NVIDIA GPU, and this machine has none"

    find_four_bit_problem.cache_clear()
    machine(monkeypatch, tmp_path, gpu=True, torch="2.13.0+cpu")
    assert (
        find_four_bit_problem() == "needs PyTorch with CUDA, and the one here is a build for CPUs"
    )

    find_four_bit_problem.cache_clear()
    machine(monkeypatch, tmp_path, gpu=True)
    assert find_four_bit_problem() == "needs the package bitsandbytes, which is not installed here"


def test_with_a_gpu_and_the_package_nothing_is_lacking(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, gpu=True, packages=("bitsandbytes",))

    assert find_four_bit_problem() == ""


def test_a_run_that_is_unavailable_is_refused_before_it_is_queued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, gpu=False)

    with pytest.raises(
        ConfigError, match="A base in 4 bits needs an NVIDIA GPU, and this machine has none."
    ):
        require_launchable(RunConfig(four_bit=True), Settings())
