import pytest

from core.cli.planning import require_launchable
from core.config import RunConfig, explain_four_bit, find_four_bit_problem
from core.errors import ConfigError
from core.settings import Settings


@pytest.mark.parametrize(
    ("gpu", "torch", "package", "problem"),
    [
        (False, "2.13.0", True, "needs an NVIDIA GPU, and this machine has none"),
        (
            True,
            "2.13.0+cpu",
            True,
            "needs PyTorch with CUDA, and the one here is a build for CPUs",
        ),
        (
            True,
            "2.13.0",
            False,
            "needs the package bitsandbytes, which is not installed here",
        ),
        (True, "2.13.0", True, ""),
    ],
)
def test_each_thing_that_is_lacking_is_named(
    gpu: bool, torch: str, package: bool, problem: str
) -> None:
    assert explain_four_bit(gpu, torch, package) == problem


@pytest.mark.skipif(find_four_bit_problem() == "", reason="this machine can do it")
def test_a_run_that_is_unavailable_is_refused_before_it_is_queued() -> None:
    with pytest.raises(ConfigError, match=f"A base in 4 bits {find_four_bit_problem()}."):
        require_launchable(RunConfig(four_bit=True), Settings())
