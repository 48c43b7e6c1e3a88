"""What a job is asked to do, as it is kept in the store."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Precision, RunConfig
from core.data.recipe import Recipe
from core.data.sources import Source
from core.errors import ArtifactDamaged
from core.storage.job import Job


class TrainRequest(BaseModel):
    """Train ``config`` on ``source``, which is resolved when the run is launched: the worker's
    environment may differ.

    ``sweep`` is the id of the set that it was queued with. ``guess`` is the test accuracy that
    somebody expected before it began, from 0 to 1. A ``recipe`` is kept whole, so that nobody can
    change it under the run.
    """

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    source: Source
    preset: str = ""
    sweep: str = ""
    recipe: Recipe | None = None
    guess: float | None = Field(default=None, ge=0, le=1)


class CalibrateRequest(BaseModel):
    """Measure what work costs with this base model in this precision."""

    model_config = ConfigDict(frozen=True)

    model: str
    precision: Precision = "auto"


class PrepareRequest(BaseModel):
    """Prepare ``source``."""

    model_config = ConfigDict(frozen=True)

    source: Source


class QualityRequest(BaseModel):
    """Check the prepared data of this fingerprint for faults."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str


def read_train_request(job: Job) -> TrainRequest:
    """The request of a run. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return TrainRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} does not hold a configuration.", "Delete the run."
        ) from error


def read_proposal(job: Job) -> RunConfig | None:
    """The run's configuration with the change that its failure proposes; None where it proposes
    none. Raises ArtifactDamaged.
    """
    if not job.proposal:
        return None
    config = read_train_request(job).config
    try:
        return RunConfig.model_validate({**config.model_dump(), **job.proposal})
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} proposes what no run can have.", "Delete the run."
        ) from error


def read_prepare_request(job: Job) -> PrepareRequest:
    """The request of a preparation. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return PrepareRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The record of this preparation is damaged.", "Prepare the data again."
        ) from error


def read_calibrate_request(job: Job) -> CalibrateRequest:
    """The request of a calibration. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return CalibrateRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The record of this calibration is damaged.", "Measure again."
        ) from error


def read_quality_request(job: Job) -> QualityRequest:
    """The request of a check of data. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return QualityRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The record of this check is damaged.", "Check the data again."
        ) from error
