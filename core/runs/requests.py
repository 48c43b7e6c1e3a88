"""What a job is asked to do, as it is kept in the store."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Precision, RunConfig
from core.data.recipe import Recipe
from core.data.sources import Source
from core.errors import ArtifactDamaged
from core.storage.job import Job


class Numerics(BaseModel):
    """What a run computes with, recorded when it first starts: see
    ``core.jobs.workers.run_numerics``.

    ``asked`` is the precision as it was chosen. ``assumed``: checkpoints of an earlier version were
    there, which did not record theirs.
    """

    model_config = ConfigDict(frozen=True)

    asked: Precision
    precision: Precision
    onednn: bool
    assumed: bool = False

    @property
    def library(self) -> str:
        """The library of the matrix products, in words."""
        return "oneDNN" if self.onednn else "torch"


class TrainRequest(BaseModel):
    """Train ``config`` on ``source``, which is resolved when the run is launched: the worker's
    environment may differ.

    ``sweep`` is the id of the set that it was queued with. ``guess`` is the test accuracy that
    somebody expected before it began, from 0 to 1. A ``recipe`` is kept whole, so that nobody can
    change it under the run. ``numerics`` is None until the run first starts; from then on
    ``config`` has the precision that it computes in.
    """

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    source: Source
    preset: str = ""
    sweep: str = ""
    recipe: Recipe | None = None
    guess: float | None = Field(default=None, ge=0, le=1)
    numerics: Numerics | None = None


class CalibrateRequest(BaseModel):
    """Measure what work costs with this base model in this precision."""

    model_config = ConfigDict(frozen=True)

    model: str
    precision: Precision = "auto"

    @property
    def base_models(self) -> tuple[str, ...]:
        """The model that is measured."""
        return (self.model,)


class PrepareRequest(BaseModel):
    """Prepare ``source``."""

    model_config = ConfigDict(frozen=True)

    source: Source


class QualityRequest(BaseModel):
    """Check the prepared data of this fingerprint for faults."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str


def read_train_request(job: Job) -> TrainRequest:
    """The request of a run. Raises ArtifactDamaged if the record does not hold one.

    Its precision is the one that the run computes in, as soon as that is known: runs of earlier
    versions recorded it in their result alone, when they ended.
    """
    try:
        request = TrainRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} does not hold a configuration.", "Delete the run."
        ) from error
    if request.config.precision != "auto" or not (computed := _result_precision(job)):
        return request
    return request.model_copy(
        update={"config": request.config.model_copy(update={"precision": computed})}
    )


def asked_precision(job: Job) -> Precision:
    """The precision as it was chosen for the run. Raises ArtifactDamaged."""
    request = TrainRequest.model_validate(job.request)
    return request.numerics.asked if request.numerics else request.config.precision


def asked_config(job: Job) -> dict[str, object]:
    """The configuration as it was chosen, before what a start decides was recorded in it.

    Checkpoints belong to this one: defaults that a later version adds must not make it another.
    """
    config = job.request["config"]
    assert isinstance(config, dict)  # it has been read
    return {**config, "precision": asked_precision(job)} if "numerics" in job.request else config


def describe_precision(job: Job, request: TrainRequest) -> str:
    """The precision in words: ``fp32``, or ``auto → fp32`` where that was decided at the start."""
    asked, precision = asked_precision(job), request.config.precision
    if precision == "auto":
        return "auto, not recorded" if job.state.over else "auto, decided when it starts"
    text = precision if asked == precision else f"{asked} → {precision}"
    assumed = request.numerics is not None and request.numerics.assumed
    return f"{text} (assumed: it began in a version that did not record it)" if assumed else text


def _result_precision(job: Job) -> Precision | None:
    try:
        computed = job.result.get("precision")
    except ArtifactDamaged:  # the request can be read all the same
        return None
    match computed:
        case "fp32" | "bf16" | "fp16":
            return computed
    return None


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
