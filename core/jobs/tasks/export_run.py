"""The job that takes a run away in one format: written, read back, proved, packed, and only then
offered.

jobs/<id of the run>/exports/<format>.zip    what is downloaded
jobs/<id of the run>/exports/<format>.json   its proof; {} where there is nothing to prove
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
from core.transfer.export.formats import ExportRequest, Format, Verification, exports_folder

SLOW_TO_PACK = frozenset({".safetensors", ".onnx", ".zip"})  # weights hardly shrink


def run(context: JobContext) -> None:
    """Do what the request asks for. Raises ArtifactDamaged where the copy does not do what the run
    does, ModelUnavailable, Stopped.
    """
    request = read_request(context.job, ExportRequest)
    store = context.store
    job = store.job(request.run)
    context.set_running()
    with context.scratch() as place:
        made, packed, told = place / "made", place / "packed", place / "told"
        made.mkdir()
        proof = export(store, job, request.format, made, context.report, context.should_stop)
        pack(made, packed, f"{job.id}-{request.format}")
        files.write_json(told, proof.model_dump(mode="json") if proof else {})
        folder = exports_folder(store, job)
        files.make_folder(folder)
        files.put(told, folder / f"{request.format}.json")
        files.put(packed, folder / f"{request.format}.zip")


def export(
    store: Store,
    job: Job,
    target: Format,
    folder: Path,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Verification | None:
    """Write the run in that format into the empty ``folder`` and prove it, where there is a model
    to prove.

    Raises ArtifactDamaged where the proof fails or the run lacks something, ModelUnavailable, and
    Stopped.
    """
    # Torch, and only where something is exported.
    from core.transfer.export.exporter import Exporter  # noqa: PLC0415

    return Exporter(store, job, report, should_stop).write(target, folder)


def pack(folder: Path, path: Path, name: str) -> None:
    """Zip ``folder`` into the file ``path``, below the folder ``name``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                kind = zipfile.ZIP_STORED if each.suffix in SLOW_TO_PACK else zipfile.ZIP_DEFLATED
                archive.write(each, f"{name}/{each.relative_to(folder)}", kind)
