"""Precision and matrix library of a run: decided at its first start, recorded, and then reused.

A resumed run is equal to an uninterrupted one only if both attempts add up the same numbers in the
same format and order, so the first attempt writes both into the run's record before its first step.
"""

import logging

from core.errors import ConfigError
from core.jobs.context import JobContext
from core.models.catalog import ModelLocation
from core.runs import artifacts
from core.runs.requests import (
    Numerics,
    TrainRequest,
    add_numerics,
    describe_precision,
    read_chosen_precision,
    read_train_request,
)
from core.storage import files
from core.storage.machine_speed import choose_auto_precision
from core.training.device import Device, describe_missing_support, require_precision
from core.training.fast.matmul import machine_products, onednn_is_available

ELSEWHERE = (
    "Resume it on a machine like the one it began on, or clone it and choose precision auto."
)

log = logging.getLogger("worker")


def choose_numerics(
    context: JobContext, model: ModelLocation, device: Device
) -> tuple[TrainRequest, Numerics]:
    """Return the request and the numerics of the run, which are recorded at its first start.

    Raises ConfigError if this machine cannot compute in the recorded precision or library.
    """
    request = read_train_request(context.job)
    numerics = request.numerics or _decide(context, request, model, device)
    if request.numerics is None:
        context.set_request(add_numerics(context.job, numerics))
        request = read_train_request(context.job)
    elif context.job.attempt > 1:
        _require_computable(numerics, device)
    files.write_json(context.folder / "config.json", request.config.model_dump(mode="json"))
    log.info(
        "precision %s, products by %s", describe_precision(context.job, request), numerics.library
    )
    return request, numerics


def _decide(
    context: JobContext, request: TrainRequest, model: ModelLocation, device: Device
) -> Numerics:
    requested, precision, assumed = (
        read_chosen_precision(context.job),
        request.config.precision,
        False,
    )
    if precision == "auto":
        assumed = bool(artifacts.list_checkpoints(context.folder))  # their precision is not known
        precision = (
            "fp32" if assumed else choose_auto_precision(context.settings, model.name, device.type)
        )
    if assumed:
        log.warning(
            "This run began in a version that did not record its precision. It continues in fp32;"
            " if it began in bf16, its curve may have a small step here."
        )
    onednn = device.type == "cpu" and machine_products(context.settings).onednn_is_faster
    precision = require_precision(precision, device)
    return Numerics(asked=requested, precision=precision, onednn=onednn, assumed=assumed)


def _require_computable(numerics: Numerics, device: Device) -> None:
    if why := describe_missing_support(numerics.precision, device):
        message = f"This run was started in {numerics.precision}, which needs {why}."
        raise ConfigError(message, ELSEWHERE)
    if numerics.onednn and not (device.type == "cuda" or onednn_is_available()):
        message = "This run was started with oneDNN's matrix products, which torch lacks here."
        raise ConfigError(message, ELSEWHERE)
