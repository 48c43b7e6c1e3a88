"""The job that prepares a dataset, and a training's own preparation where there was no such job."""

from core.data.explore.index import ensure_index
from core.data.preparation import find_prepared, prepare
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.runs.requests import PrepareRequest, read_train_request


def run(context: JobContext) -> None:
    """Prepare what the request names; the result says the fingerprint."""
    context.set_running()
    source = read_request(context.job, PrepareRequest).source
    dataset = prepare(context.settings, source, context.report, context.should_stop)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    ensure_index(dataset, context.report, context.should_stop)


def prepare_training(context: JobContext) -> bool:
    """Prepare the data of the training that the context's job asks for, not yet cleaned; True if
    that had to be done.
    """
    source = read_train_request(context.job).source
    if find_prepared(context.settings, source) is not None:
        return False
    prepare(context.settings, source, context.report, context.should_stop)
    return True
