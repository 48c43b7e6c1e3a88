"""The job that measures what a unit of work costs on this machine with one model in one
precision.
"""

from core.data.hub import hub_reachable
from core.estimate import machine_costs
from core.estimate.inputs import model_facts
from core.estimate.machine_costs import CostKey, MachineCosts
from core.jobs.context import JobContext
from core.jobs.workers.probe import Prober
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.requests import read_calibrate_request


def run(context: JobContext) -> None:
    """Measure and keep what the request names. Raises Stopped, ModelUnavailable and ConfigError."""
    request = read_calibrate_request(context.job)
    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    context.set_running()
    measured = Prober(model, request.precision, context.report, context.should_stop).measure()
    found = MachineCosts(
        key=CostKey(model_facts(model).name, measured.precision, context.settings.used_threads),
        device=measured.device,
        is_auto=measured.is_auto,
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
