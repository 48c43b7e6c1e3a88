from pathlib import Path

import pytest

from tests.support.repeated_training import KINDS, RepeatedTraining, make_lab


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("threads", "allowed"), [(1, 0.0), (2, 1e-6)])
def test_two_runs_with_one_configuration_are_equal(
    tmp_path: Path, kind: str, threads: int, allowed: float
) -> None:
    training = RepeatedTraining(make_lab(tmp_path / "tiny"), kind, threads)

    assert training.repeat() <= allowed
