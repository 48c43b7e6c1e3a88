"""A class of thirty in the queue with simulated trainings, and the real store, supervisor and
worker code.
"""

from pathlib import Path

import pytest

from core.runs.waiting_times import read_queue
from core.storage.job import JobState
from tests.support.faults.lab import InProcessLab
from tests.support.faults.plan import FaultPlan

pytestmark = pytest.mark.slow

STUDENTS, GREEDY = 30, 5
QUICK = FaultPlan(steps=2, step_seconds=0.0, validate_every=2, checkpoint_every=2)


def test_no_student_waits_for_a_first_run_while_another_has_a_second(tmp_path: Path) -> None:
    stage = InProcessLab(tmp_path / "home", QUICK)
    for number in range(STUDENTS):
        for run in range(
            3 if number < GREEDY else 1
        ):  # the first student launches all allowed runs at once
            stage.launch(f"{number}-{run}", owner=f"s{number:02d}")
    estimates = [turn.job.id for turn in read_queue(stage.store)]

    stage.play()

    jobs = stage.store.list_jobs()
    begun = sorted(jobs, key=lambda job: job.started_at or 0.0)
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    assert len({job.owner for job in begun[:STUDENTS]}) == STUDENTS
    assert [job.id for job in begun] == estimates, "the queue that is shown is the one that is run"
