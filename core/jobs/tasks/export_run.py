"""The job that exports a run in one format: written, read back, verified, packed, then offered.

jobs/<id of the run>/exports/<format>.zip
    The download.
jobs/<id of the run>/exports/<format>.json
    Its time, and its verification if it contains a model.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.progress import Progress
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store
from core.transfer.export.formats import (
    ExportRequest,
    Format,
    Verification,
    exports_folder,
    write_record,
)

SLOW_TO_PACK = frozenset({".safetensors", ".onnx", ".zip"})  # compression hardly shrinks them


def run(context: JobContext) -> None:
    """Export the run of the request.

    Raises ArtifactDamaged if the export does not predict as the run does, ModelUnavailable and
    Stopped.
    """
    request = read_request(context.job, ExportRequest)
    store = context.store
    job, began_at = store.read_job(request.run), store.clock()
    with context.scratch() as scratch:
        unpacked, packed, report = scratch / "unpacked", scratch / "packed", scratch / "report"
        unpacked.mkdir()
        verification = export(
            store, job, request.format, unpacked, context.report, context.should_stop
        )
        pack(unpacked, packed, f"{job.id}-{request.format}")
        write_record(report, verification, began_at)
        offer(exports_folder(store, job) / request.format, packed, report)


def offer(target: Path, packed: Path, report: Path) -> None:
    """Rename the finished files to ``target`` with the suffixes .zip and .json.

    A zip without a report is not offered: if this is killed in between, no report of one export
    stands for the zip of another, which may have the scores of a hidden final test.
    """
    files.make_folder(target.parent)
    files.disk.remove(target.with_suffix(".json"))
    files.disk.sync(target.parent)
    files.replace_file(packed, target.with_suffix(".zip"))
    files.replace_file(report, target.with_suffix(".json"))


def export(
    store: Store,
    job: Job,
    target: Format,
    folder: Path,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Verification | None:
    """Write the run into the empty ``folder`` and verify it, if the format contains a model.

    Raises ArtifactDamaged if the verification fails or the run lacks a file, ModelUnavailable and
    Stopped.
    """
    # Late: it imports torch.
    from core.transfer.export.exporter import Exporter  # noqa: PLC0415

    return Exporter(store, job, report, should_stop).write(target, folder)


def pack(folder: Path, path: Path, name: str) -> None:
    """Zip ``folder`` into the file ``path``, inside the folder ``name``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                kind = zipfile.ZIP_STORED if each.suffix in SLOW_TO_PACK else zipfile.ZIP_DEFLATED
                archive.write(each, f"{name}/{each.relative_to(folder)}", kind)
