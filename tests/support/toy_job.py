"""A kind of job for tests: one row, and this module."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict

from core.errors import DataError, Stopped
from core.jobs.context import JobContext
from core.jobs.kinds import KINDS, Kind, PhaseRow, Slot
from core.jobs.launching import read_request
from core.progress import Phase, Progress

TOY = Kind(
    "toy",
    Slot.LIGHT,
    worker="tests.support.toy_job:run",
    request="tests.support.toy_job:ToyRequest",
    title="Play with {}",
    description="this toy",
    fix="Play again.",
    phases=(PhaseRow(Phase.COMPARING, min_units_for_pace=2),),
    result="tests.support.toy_job:ToyResult",
)


@contextmanager
def toy_row() -> Iterator[None]:
    """Add the row to the table of kinds until the block ends."""
    KINDS[TOY.name] = TOY
    try:
        yield
    finally:
        del KINDS[TOY.name]


class ToyRequest(BaseModel):
    """Request of ``rounds`` rounds; the job fails in round ``breaks_at``."""

    model_config = ConfigDict(frozen=True)

    rounds: int
    breaks_at: int = 0


class ToyResult(BaseModel):
    """Number of rounds of this attempt."""

    model_config = ConfigDict(frozen=True)

    played: int


def run(context: JobContext) -> None:
    """Run the rounds; a second attempt continues where the first one ended."""
    request = read_request(context.job, ToyRequest)
    path = context.folder / "played"
    played = int(path.read_text()) if path.is_file() else 0
    for round_ in range(played + 1, request.rounds + 1):
        if context.should_stop():
            raise Stopped("The toy was put away.")
        if round_ == request.breaks_at and context.job.attempt == 1:
            raise DataError("The toy is broken.", "Glue it.")
        context.report(Progress(Phase.COMPARING, round_, request.rounds))
        path.write_text(str(round_))
    context.update_result(ToyResult(played=request.rounds - played))
