"""The job that checks a dataset for faults."""

from core.data.prepared import open_dataset
from core.data.quality.inspection import inspect
from core.data.quality.report import save_report
from core.jobs.context import JobContext
from core.jobs.requests import read_quality_request


def run(context: JobContext) -> None:
    """Check the prepared data that the request names and keep the report with it. Raises Stopped and ArtifactDamaged."""
    context.set_running()
    dataset = open_dataset(context.settings, read_quality_request(context.job).fingerprint)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    report, findings, neighbours = inspect(dataset, context.report, context.should_stop)
    save_report(dataset, report, findings, neighbours)
    context.set_result(seconds=report.seconds, found={finding.check.value: finding.texts for finding in report.findings})
