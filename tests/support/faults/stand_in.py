"""Job that replaces a training if ``LORALAB_TRAIN_MODULE`` names this module.

Everything around it is real; ``plan.json`` in the home folder is its plan.
"""

from dataclasses import asdict, replace
from pkgutil import resolve_name

from core.errors import Stopped
from core.jobs.context import JobContext
from core.jobs.kinds import KINDS
from core.jobs.workers.recorder import Recorder
from core.runs import artifacts
from core.runs.artifacts import TrainingIdentity
from core.runs.run import RunResult, SplitScores
from core.storage import files
from core.storage.files import compute_fingerprint
from core.storage.store import Store
from core.training.events import Evaluation
from tests.support.faults.plan import FaultPlan, read_plan
from tests.support.faults.session import StandInSession


def prepare(store: Store) -> Store:
    """Set the plan's disk in this process, and its clock in the store."""
    plan = read_plan(store.settings.home)
    files.replace_disk(plan.disk())
    settings = replace(store.settings, stopwatch=plan.stopwatch or store.settings.stopwatch)
    return Store(settings, plan.clock(), create=False)


def run(context: JobContext) -> None:
    """Simulate the plan, or train with the plan's disk. Raises the errors of a training."""
    plan = read_plan(context.settings.home)
    if plan.real:
        resolve_name(KINDS["train"].worker)(context)
    else:
        _simulate(context, plan)


def _simulate(context: JobContext, plan: FaultPlan) -> None:
    config = context.job.request["config"]
    seed = config.get("seed", 0) if isinstance(config, dict) else 0
    files.write_json(context.folder / "config.json", config)
    context.store.update(context.job, fingerprint=plan.data)

    def keep(event: Evaluation) -> None:
        files.write_parquet(
            artifacts.predictions_path(context.folder, event.split), event.predictions
        )
        scores = SplitScores(accuracy=0.5, macro_f1=0.5, rows=100, hits=50)
        context.update_result(RunResult.model_validate({event.split: scores}))

    record = Recorder(
        context, TrainingIdentity(compute_fingerprint(config), plan.data, "simulation", {}), keep
    )
    session = StandInSession(plan, seed, record, context.should_stop)
    result = session.train(record.resume(), score_untrained=True)
    context.update_result(RunResult.model_validate(asdict(result)))
    if result.stopped:
        raise Stopped("The run was stopped.")
