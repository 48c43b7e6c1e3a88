"""Requests of jobs, and results of some kinds, as they are stored in their records."""

import json

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Precision, RunConfig
from core.data.recipe import Recipe
from core.data.sources import Source
from core.errors import ArtifactDamaged
from core.storage.job import Job


class Numerics(BaseModel):
    """Number format and library of a run, recorded when it first starts: see
    ``core.jobs.workers.run_numerics``.

    ``chosen`` is the precision in the form, stored as ``asked``. ``assumed``: there were
    checkpoints of an earlier version, which did not record the precision.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    chosen: Precision = Field(alias="asked")
    precision: Precision
    onednn: bool
    assumed: bool = False

    @property
    def library(self) -> str:
        """Name of the library that computes the matrix products."""
        return "oneDNN" if self.onednn else "torch"


class TrainRequest(BaseModel):
    """Train ``config`` on ``source``, which is resolved at the launch, because the worker's
    environment may differ.

    ``sweep`` is the id of the sweep that it was queued with. ``guess`` is the test accuracy that
    the user expected before the run, from 0 to 1. The whole ``recipe`` is stored, so that a later
    change of it does not affect the run. ``numerics`` is None until the run first starts; after
    that ``config`` has the precision of the computation. ``fitted_later`` are the fields of the
    preset that the worker fits to the data, which were not prepared at the launch.
    """

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    source: Source
    preset: str = ""
    sweep: str = ""
    recipe: Recipe | None = None
    guess: float | None = Field(default=None, ge=0, le=1)
    numerics: Numerics | None = None
    fitted_later: tuple[str, ...] = ()


class CalibrateRequest(BaseModel):
    """Measure the machine costs of this base model in this precision."""

    model_config = ConfigDict(frozen=True)

    model: str
    precision: Precision = "auto"

    @property
    def base_models(self) -> tuple[str, ...]:
        """The base model to be measured."""
        return (self.model,)


class CalibrateResult(BaseModel):
    """Precision, device and number of threads of the measurement."""

    model_config = ConfigDict(frozen=True)

    precision: Precision
    device: str
    threads: int


class PrepareRequest(BaseModel):
    """Prepare the data of ``source``."""

    model_config = ConfigDict(frozen=True)

    source: Source


class QualityRequest(BaseModel):
    """Check the quality of the prepared data with this fingerprint."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str


class QualityResult(BaseModel):
    """Seconds of the checks, and the number of texts that each of them reports.

    ``texts_by_check`` is stored as ``found``.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    seconds: float
    texts_by_check: dict[str, int] = Field(alias="found")


def read_train_request(job: Job) -> TrainRequest:
    """Read the request of a run. Raises ArtifactDamaged if the record has none.

    Its precision is the one of the computation as soon as that is known: runs of earlier versions
    recorded it only in their result, at their end.
    """
    try:
        request = TrainRequest.model_validate(job.request)
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} has no configuration.", "Delete the run."
        ) from error
    if request.config.precision != "auto" or not (computed := _read_computed_precision(job)):
        return request
    return request.model_copy(
        update={"config": request.config.model_copy(update={"precision": computed})}
    )


def read_chosen_precision(job: Job) -> Precision:
    """Read the precision that was chosen for the run. Raises ArtifactDamaged."""
    request = TrainRequest.model_validate(job.request)
    return request.numerics.chosen if request.numerics else request.config.precision


def read_chosen_config(job: Job) -> dict[str, object]:
    """Read the configuration that was chosen, without the precision that is decided at the start.

    A checkpoint belongs to this configuration as stored, so that defaults which a later version
    adds do not make it another one.
    """
    config = job.request["config"]
    assert isinstance(config, dict)  # validated before
    return (
        {**config, "precision": read_chosen_precision(job)} if "numerics" in job.request else config
    )


def add_numerics(job: Job, numerics: Numerics) -> str:
    """Return the stored request with ``numerics``, and their precision in its configuration.

    Everything else stays as it is stored: see ``read_chosen_config``.
    """
    config = job.request["config"]
    assert isinstance(config, dict)  # validated before
    changed = {
        "config": {**config, "precision": numerics.precision},
        "numerics": numerics.model_dump(mode="json"),
    }
    return json.dumps({**job.request, **changed}, allow_nan=False)


def describe_precision(job: Job, request: TrainRequest) -> str:
    """Describe the precision: ``fp32``, or ``auto → fp32`` if it was decided at the start."""
    chosen, precision = read_chosen_precision(job), request.config.precision
    if precision == "auto":
        return "auto, not recorded" if job.state.is_finished else "auto, decided when it starts"
    text = precision if chosen == precision else f"{chosen} → {precision}"
    assumed = request.numerics is not None and request.numerics.assumed
    return f"{text} (assumed: it started in a version that did not record it)" if assumed else text


class _ComputedPrecision(BaseModel):
    """The part of ``core.runs.run.RunResult`` that reading a request needs."""

    precision: Precision | None = None


def _read_computed_precision(job: Job) -> Precision | None:
    try:
        return _ComputedPrecision.model_validate_json(job.result_json).precision
    except ValidationError:  # the request may still be readable
        return None


def read_proposal(job: Job) -> RunConfig | None:
    """Read the configuration that the failure of a run proposes; None if it proposes none. Raises
    ArtifactDamaged.
    """
    if not job.proposal:
        return None
    config = read_train_request(job).config
    try:
        return RunConfig.model_validate({**config.model_dump(), **job.proposal})
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} proposes an invalid configuration.",
            "Delete the run.",
        ) from error
