"""``python -m core quality``: check the data in use and say what was found."""

import sys
import time

from core.data.prepared import find_prepared, prepare
from core.data.quality.report import WORDS, Report, read_report
from core.data.sources import Source
from core.errors import DataError
from core.jobs import actions
from core.jobs.processes import ensure_supervisor
from core.jobs.waiting import PhasePrinter
from core.states import JobState
from core.store import Store
from core.training.events import Phase, Progress

POLL_SECONDS = 0.25


def check(store: Store, source: Source) -> dict[str, object]:
    """The report on ``source``: the one that is kept, or that of a new check, which is waited for; Ctrl-C stops it.

    Raises DataError if the check did not end well.
    """
    printer = PhasePrinter()
    dataset = find_prepared(store.settings, source) or prepare(store.settings, source, printer, lambda: False)
    if read_report(dataset) is None:
        job = actions.launch_quality_check(store, dataset)
        try:
            while not (job := store.job(job.id)).state.over:
                ensure_supervisor(store.settings)
                if job.phase in list(Phase):
                    printer(Progress(Phase(job.phase)))
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            actions.stop(store, store.job(job.id))
            print(f"{job.name} is being stopped.", file=sys.stderr)
            raise
        if job.state is not JobState.COMPLETED:
            raise DataError(f"{job.name} is {job.state}. {job.message}".strip(), job.fix or "Check the data again.")
    report = read_report(dataset)
    if report is None:
        raise DataError("The report of the check cannot be read.", "Check the data again.")
    return describe(report)


def describe(report: Report) -> dict[str, object]:
    """The report as ``--json`` prints it."""
    findings = [
        {"check": found.check.value, "texts": found.texts, "groups": found.groups, "said": found.said, "effect": WORDS[found.check].effect}
        for found in report.findings
    ]
    return {
        "data": report.name,
        "fingerprint": report.fingerprint,
        "rows": report.rows,
        "seconds": report.seconds,
        "notes": list(report.notes),
        "findings": findings,
    }


def as_text(described: dict[str, object]) -> str:
    """The same as lines for a terminal."""
    findings = described["findings"]
    assert isinstance(findings, list)
    lines = [f"{found['check']:20} {found['texts']:>8,}  {found['said']}".rstrip() for found in findings]
    return "\n".join([f"{described['data']}, {described['rows']:,} texts, fingerprint {described['fingerprint']}", *lines])
