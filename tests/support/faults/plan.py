"""Plan of a simulated run: its steps and its faults.

It is a JSON file, so that each attempt can have other faults.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from core.storage.files import Disk
from tests.support.faults.disks import FailingDisk, KillingDisk

PLAN, STAND_IN = "plan.json", "tests.support.faults.stand_in"


@dataclass(frozen=True)
class FaultPlan:
    """``nth`` step of the disk on which it fails with ``code``, or kills (``kill``); 0 for a
    healthy disk. Times are seconds.

    With ``real`` the training itself is the real one. ``stopwatch`` is what ``LORALAB_STOPWATCH``
    would say, where it is given. ``error`` is raised at ``error_step``: memory, bug or diverged.
    ``clock_file`` holds seconds by which the wall clock is wrong.
    """

    steps: int = 100
    step_seconds: float = 0.001
    validate_every: int = 20
    checkpoint_every: int = 7
    phase_seconds: float = 0.0
    nth: int = 0
    kill: bool = False
    code: int = 0
    lasting: bool = False
    error: str = ""
    error_step: int = 0
    clock_file: str = ""
    data: str = "simulation"
    real: bool = False
    stopwatch: str = ""

    def disk(self) -> Disk:
        """Return the disk for this plan."""
        if not self.nth:
            return Disk()
        return (
            KillingDisk(self.nth) if self.kill else FailingDisk(self.nth, self.code, self.lasting)
        )

    def clock(self) -> Callable[[], float]:
        """Return the wall clock of this plan."""
        if not self.clock_file:
            return time.time
        path = Path(self.clock_file)
        return lambda: time.time() + float(path.read_text() or 0)

    def write(self, path: Path) -> None:
        """Write the plan to ``plan.json`` of a home."""
        path.write_text(json.dumps(asdict(self)))


def read_plan(home: Path) -> FaultPlan:
    """Read the plan of this home folder."""
    return FaultPlan(**json.loads((home / PLAN).read_text()))
