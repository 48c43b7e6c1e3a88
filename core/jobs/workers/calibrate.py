"""The job that measures what a unit of work costs on this machine with one model in one precision.

With precision auto it first decides, once for each machine and model, what auto is: bf16 only where
a training step in it was timed to be clearly faster than one in fp32.
"""

import gc
from dataclasses import replace

from core.config import Precision
from core.data.hub import hub_reachable
from core.estimate import machine_costs
from core.estimate.inputs import model_facts
from core.estimate.machine_costs import CostKey, MachineCosts
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.workers.probe import Prober
from core.models.catalog import ModelLocation, find_model
from core.progress import Phase, Progress
from core.runs.requests import CalibrateRequest
from core.storage.numerics import StepSeconds, auto_precision, decide_steps
from core.training.device import choose_device
from core.training.fast.matmul import machine_products
from core.training.model import ALL_ON, Optimizations


def run(context: JobContext) -> None:
    """Measure and keep what the request names. Raises Stopped, ModelUnavailable and ConfigError."""
    request = read_request(context.job, CalibrateRequest)
    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    context.set_running()
    precision, optimizations = request.precision, _optimizations(context)
    if precision == "auto":
        precision = _decide_auto(context, model, optimizations)
    measured = Prober(
        model, precision, context.report, context.should_stop, optimizations
    ).measure()
    found = MachineCosts(
        key=CostKey(model_facts(model).name, measured.precision, context.settings.used_threads),
        device=measured.device,
        measured_at=context.store.clock(),
        others=measured.others,
        seconds=measured.seconds,
        start_seconds=measured.loaded_at - (context.job.started_at or measured.loaded_at),
        tokens_per_second=measured.tokens_per_second,
        base_mb=measured.base_mb,
        megabytes=measured.megabytes,
    )
    machine_costs.write(context.settings.home, found)
    context.set_result(
        precision=measured.precision, device=measured.device, threads=found.key.threads
    )


def _optimizations(context: JobContext) -> Optimizations:
    return replace(ALL_ON, onednn=machine_products(context.settings).onednn_is_faster)


def _decide_auto(
    context: JobContext, model: ModelLocation, optimizations: Optimizations
) -> Precision:
    device = choose_device().type
    if device == "cpu":
        decide_steps(
            context.settings, model.name, lambda: _time_steps(context, model, optimizations)
        )
    return auto_precision(context.settings, model.name, device)


def _time_steps(
    context: JobContext, model: ModelLocation, optimizations: Optimizations
) -> StepSeconds:
    """A step in fp32, and one in bf16 where its products alone are faster."""

    def seconds(precision: Precision) -> float:
        gc.collect()  # of the model before
        return Prober(
            model, precision, context.report, context.should_stop, optimizations
        ).step_seconds()

    products = machine_products(context.settings)
    worth_it = products.bf16 < products.fastest_fp32
    return StepSeconds(fp32=seconds("fp32"), bf16=seconds("bf16") if worth_it else None)
