"""The job that prepares a dataset."""

from core.data.indexing import ensure_index
from core.data.prepared import prepare
from core.jobs.context import JobContext
from core.jobs.requests import read_prepare_request


def run(context: JobContext) -> None:
    """Prepare what the request names; the result says the fingerprint."""
    context.set_running()
    source = read_prepare_request(context.job).source
    dataset = prepare(context.settings, source, context.report, context.should_stop)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    ensure_index(dataset, context.report, context.should_stop)
