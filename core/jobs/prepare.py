"""The job that prepares a dataset."""

from core.data.indexing import ensure_index
from core.data.prepared import find_prepared, prepare
from core.jobs.context import JobContext
from core.jobs.requests import read_prepare_request, read_train_request


def run(context: JobContext) -> None:
    """Prepare what the request names; the result says the fingerprint."""
    context.set_running()
    source = read_prepare_request(context.job).source
    dataset = prepare(context.settings, source, context.report, context.should_stop)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    ensure_index(dataset, context.report, context.should_stop)


def prepare_training(context: JobContext) -> bool:
    """Prepare the data of the training that the context's job asks for; False if they are there."""
    source = read_train_request(context.job).source
    if find_prepared(context.settings, source) is not None:
        return False
    prepare(context.settings, source, context.report, context.should_stop)
    return True
