from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.faults.sequences import Sequences, Tally
from tests.support.faults.staged_world import StagedWorld

pytestmark = pytest.mark.slow


def test_whatever_happens_to_runs_nothing_is_torn_and_each_can_be_finished(tmp_path: Path) -> None:
    class Staged(Sequences):
        make_world = StagedWorld
        tally = Tally()

    some = settings(
        max_examples=15,
        stateful_step_count=12,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Staged, settings=some)

    assert Staged.tally.sequences >= 15
    assert Staged.tally.faults > 0
