"""The job that takes a run away in one format: written, read back, proved, packed, and only then offered.

jobs/<id of the run>/exports/<format>.zip    what is downloaded
jobs/<id of the run>/exports/<format>.json   its proof
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core import files
from core.catalog import find_model
from core.data.hub import hub_reachable
from core.errors import ArtifactDamaged, Stopped
from core.exporting.formats import Format, Proof
from core.jobs import artifacts, describe
from core.jobs.context import JobContext
from core.jobs.requests import read_train_request
from core.states import Job, Kind
from core.store import Store
from core.training.events import Phase, Progress

TEXTS = {Format.ONNX_INT8: 2000}  # an 8-bit model is judged by a share, which takes more texts
USUAL_TEXTS = 200


class ExportRequest(BaseModel):
    """Take the run away in this format."""

    model_config = ConfigDict(frozen=True)

    run: str
    format: Format


def run(context: JobContext) -> None:
    """Do what the request asks for. Raises ArtifactDamaged where the copy does not do what the run does, ModelUnavailable, Stopped."""
    request = ExportRequest.model_validate(context.job.request)
    store = context.store
    job = store.job(request.run)
    context.set_running()
    with tempfile.TemporaryDirectory(dir=context.folder) as place:
        proof = export(store, job, request.format, Path(place), context.report, context.should_stop)
        packed = _pack(Path(place), f"{job.id}-{request.format}")
    folder = exports_folder(store, job)
    files.write_bytes(folder / f"{request.format}.zip", packed)
    files.write_json(folder / f"{request.format}.json", proof.model_dump(mode="json"))


def export(
    store: Store, job: Job, target: Format, folder: Path, report: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> Proof:
    """Write the run in that format into the empty ``folder`` and prove it.

    Raises ArtifactDamaged where the proof fails or the run lacks something, ModelUnavailable, and Stopped.
    """
    from core.exporting import card, replay, script, writing  # noqa: PLC0415 - torch, and only where something is exported
    from core.training.load import fetch  # noqa: PLC0415

    config = read_train_request(job).config
    model = find_model(config.model, store.settings, hub_reachable(store.settings))
    report(Progress(Phase.EXPORTING, 0, 3))
    adapter = artifacts.adapter_folder(store.folder(job))
    source = writing.Source(
        fetch(model), model.identity, model.revision, adapter, describe.read_classes(job), config.max_tokens, config.seed
    )
    predictions = artifacts.read_predictions(store.folder(job), "test")
    writing.write(source, target, folder)
    report(Progress(Phase.EXPORTING, 1, 3))
    if should_stop():
        raise Stopped("The export was stopped.")
    proof = replay.prove(source, target, folder, predictions["text"].head(TEXTS.get(target, USUAL_TEXTS)).tolist())
    report(Progress(Phase.EXPORTING, 2, 3))
    if not proof.holds:
        message = (
            f"The export does not answer as the run does: {proof.equal.hits} of {proof.texts} labels agree,"
            f" probabilities differ by up to {proof.max_probability_difference:.2g}."
        )
        raise ArtifactDamaged(message, "Choose another format. The run itself is as it was.")
    details = describe.run_details(store, job)
    retrain = script.write_script(details, source, json.loads((adapter / "adapter_config.json").read_bytes()))
    kept = {name: details[name] for name in ("name", "config", "data", "test") if name in details}
    beside = {"README.md": card.write_card(details, source, proof), "train.py": retrain, "train.ipynb": script.write_notebook(retrain)}
    for name, content in {**beside, "run.json": json.dumps(kept, indent=2, ensure_ascii=False)}.items():
        (folder / name).write_text(content, encoding="utf-8")
    return proof


def exports_folder(store: Store, job: Job) -> Path:
    """Where a run's exports lie."""
    return store.folder(job) / "exports"


def read_proof(store: Store, job: Job, target: Format) -> Proof | None:
    """The proof of an export that is ready; None where there is none."""
    folder = exports_folder(store, job)
    if not (folder / f"{target}.zip").is_file():
        return None
    try:
        return Proof.model_validate(files.read_json(folder / f"{target}.json"))
    except (ArtifactDamaged, ValidationError):
        return None


def find_export_jobs(store: Store, job: Job, target: Format) -> list[Job]:
    """The jobs that were asked to make this export, newest first."""
    wanted = ExportRequest(run=job.id, format=target).model_dump(mode="json")
    return [other for other in store.jobs(Kind.EXPORT) if other.request == wanted]


def _pack(folder: Path, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(folder)}")
    return buffer.getvalue()
