import io
import os
import struct
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2

from core.access import GUEST
from core.cli.transferring import export_command
from core.data.sources import folder_source
from core.errors import ArtifactDamaged, ModelUnavailable, NotAllowed
from core.jobs import actions, worker
from core.jobs.launching import find_jobs, launch
from core.jobs.tasks.export_run import export, offer
from core.jobs.workers.classify import classify_texts
from core.presets import make_config
from core.runs import artifacts
from core.runs.requests import TrainRequest, read_train_request
from core.settings import Settings
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.transfer.export.exporter import Exporter
from core.transfer.export.formats import ExportRequest, Format, exports_folder, read_ready
from core.transfer.export.verify import PrintedCode
from core.transfer.imports.archive import read_archive
from core.transfer.imports.import_run import import_run
from tests.support.export_verifications import make_verification
from tests.support.faults.disks import DyingDisk, SimulatedCrash, writing_to
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

pytestmark = pytest.mark.slow

CONFIG = {
    "train_rows": 80,
    "batch_size": 8,
    "epochs": 1,
    "evaluation_interval": 5,
    "validation_rows": 10,
    "learning_rate": 0.02,
}


@pytest.mark.parametrize("step", range(1, 12))
def test_a_killed_export_leaves_no_report_of_another_zip(tmp_path: Path, step: int) -> None:
    """The zip of before a hidden final test, with its scores, must not look like a later one."""
    target = tmp_path / "exports" / "peft"
    target.parent.mkdir()
    for path, content in ((target, "old"), (tmp_path / "new", "new")):
        for suffix in (".zip", ".json"):
            path.with_suffix(suffix).write_text(content)

    with writing_to(DyingDisk(step)), suppress(SimulatedCrash):
        offer(target, tmp_path / "new.zip", tmp_path / "new.json")

    report = target.with_suffix(".json")
    assert not report.exists() or report.read_text() == target.with_suffix(".zip").read_text()
    assert step < 11 or report.read_text() == "new"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A home with one real run of a tiny model."""
    place = tmp_path_factory.mktemp("lab")
    store = Store(Settings(home=place / "home", hub=False))
    config = make_config(None, {**CONFIG, "model": str(write_bert(place / "tiny"))})
    job = actions.launch_training(
        store,
        TrainRequest(config=config, source=folder_source(write_small_news(place / "news"))),
        name="*mine*",
    )
    assert do(store, job).state is JobState.COMPLETED
    return store.settings, job.id


@pytest.fixture
def store(trained: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(trained[0])


@pytest.fixture
def job(store: Store, trained: tuple[Settings, str]) -> Job:
    return store.read_job(trained[1])


def do(store: Store, job: Job) -> Job:
    """Execute the job as a worker does."""
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.read_job(job.id))
    return store.read_job(job.id)


def test_an_export_is_offered_with_its_verification_once_it_is_made(store: Store, job: Job) -> None:
    assert read_ready(store, job, Format.MERGED) is None

    done = do(store, launch(store, ExportRequest(run=job.id, format=Format.MERGED), job.name))

    ready = read_ready(store, job, Format.MERGED)
    assert done.state is JobState.COMPLETED
    assert ready is not None
    assert ready.verification is not None
    assert ready.verification.holds
    with zipfile.ZipFile(
        io.BytesIO((exports_folder(store, job) / "merged.zip").read_bytes())
    ) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
        card = archive.read(f"{job.id}-merged/README.md").decode()
    assert {
        "README.md",
        "train.py",
        "train.ipynb",
        "run.json",
        "config.json",
        "labels.json",
        "model.safetensors",
        "tokenizer.json",
    } <= names
    assert "\\*mine\\*" in card
    assert "The code above was executed as printed" in card


def names_in(store: Store, job: Job, target: Format) -> set[str]:
    with zipfile.ZipFile(exports_folder(store, job) / f"{target}.zip") as archive:
        return {name.partition("/")[2] for name in archive.namelist()}


def test_curves_become_event_files_with_every_point(store: Store, job: Job, tmp_path: Path) -> None:
    verification = export(
        store, job, Format.TENSORBOARD, tmp_path, lambda progress: None, lambda: False
    )

    assert verification is None
    points = store.read_metrics(job.id)
    for split in ("train", "validation"):
        read = scalars(next((tmp_path / split).glob("events.out.tfevents.*")))
        expected = [(point.step, point.loss) for point in points if point.split == split]
        assert [
            (step, pytest.approx(value)) for name, step, value in read if name == "loss"
        ] == expected
    assert {name for name, _, _ in scalars(next((tmp_path / "test").glob("events*")))} == {
        "accuracy",
        "macro_f1",
        "macro_f1_classes",
    }


def scalars(path: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of each point in an event file: length and two checksums around each
    record, as TFRecord has it.
    """
    data, outcome, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
        outcome += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        at += 12 + length + 4
    return outcome


def test_the_script_goes_alone(store: Store, job: Job) -> None:
    done = do(store, launch(store, ExportRequest(run=job.id, format=Format.SCRIPT), job.name))

    assert done.state is JobState.COMPLETED, done.message
    assert names_in(store, job, Format.SCRIPT) == {"train.py", "train.ipynb", "run.json"}
    ready = read_ready(store, job, Format.SCRIPT)
    assert ready is not None
    assert ready.verification is None


def test_a_bundle_holds_what_is_cheap_and_what_has_been_made_and_can_be_imported(
    store: Store, job: Job, tmp_path: Path
) -> None:
    do(store, launch(store, ExportRequest(run=job.id, format=Format.MERGED), job.name))
    done = do(store, launch(store, ExportRequest(run=job.id, format=Format.BUNDLE), job.name))

    assert done.state is JobState.COMPLETED, done.message
    names = names_in(store, job, Format.BUNDLE)
    assert {
        "README.md",
        "run.json",
        "predictions.jsonl",
        "train.py",
        "train.ipynb",
        "curves/README.md",
    } <= names
    assert {
        "adapter/adapter_model.safetensors",
        "adapter/labels.json",
        "onnx/model.onnx",
        "merged/model.safetensors",
    } <= names
    assert not any(name.startswith("onnx-int8") for name in names)

    again = import_run(store, read_archive(exports_folder(store, job) / "bundle.zip"))

    assert (again.name, again.fingerprint, again.result["test"]) == (
        job.name,
        job.fingerprint,
        job.result["test"],
    )
    assert again.result["train_seconds"] == job.result["train_seconds"]
    assert (
        read_train_request(again).config.model_copy(update={"target_modules": ()})
        == read_train_request(job).config
    )
    curve = [point.loss for point in store.read_metrics(job.id)]
    assert [point.loss for point in store.read_metrics(again.id)] == curve
    stored, theirs = (
        artifacts.read_predictions(store.get_folder(item), "test") for item in (again, job)
    )
    assert stored["text"].tolist() == theirs["text"].tolist()
    assert stored["p0"].to_numpy() == pytest.approx(theirs["p0"].to_numpy(), abs=1e-6)
    answers = [
        classify_texts(store, item, ["the coach won the cup"], hub=False)[0]["probabilities"]
        for item in (again, job)
    ]
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    store.delete(again)


def test_no_file_of_an_export_names_a_folder_of_this_machine(
    store: Store, job: Job, tmp_path: Path
) -> None:
    export(store, job, Format.BUNDLE, tmp_path, lambda progress: None, lambda: False)

    reported = [
        path
        for path in tmp_path.rglob("*")
        if path.suffix in (".json", ".jsonl", ".md", ".py", ".ipynb")
    ]
    assert len(reported) > 8
    for path in reported:
        assert str(store.settings.home.parent) not in path.read_text(), path.name


STOPPED = """
import sys, time
from pathlib import Path
from core.transfer.export import write_files
from core.jobs import worker
from core.settings import Settings
from core.storage.store import Store

def write(source, target, folder):  # a library that does not check whether to stop
    (folder / "half").write_text("written")
    print("writing", flush=True)
    time.sleep(60)

write_files.write_model = write
store = Store(Settings())
worker.perform(store, store.read_job(sys.argv[1]))
"""


def test_a_stop_while_a_library_writes_leaves_nothing(store: Store, job: Job) -> None:
    queries = store.create(
        JobKind.EXPORT, "stopped", {"run": job.id, "format": "onnx-int8"}, "stopped"
    )
    store.transition(queries, JobState.STARTING, started_at=1.0)
    environment = {**os.environ, "LORALAB_HOME": str(store.settings.home), "LORALAB_HUB": "false"}
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, queries.id],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker_process:
        assert worker_process.stdout is not None
        assert "writing" in worker_process.stdout.readline()
        half = list(store.get_folder(queries).rglob("half"))

        actions.stop(store, store.read_job(queries.id))
        worker_process.wait(20)

    assert len(half) == 1
    assert store.read_job(queries.id).state is JobState.CANCELLED
    assert {path.name for path in store.get_folder(queries).iterdir()} <= {"job.json", ".job.lock"}
    assert read_ready(store, job, Format.ONNX_INT8) is None


def test_two_who_ask_at_once_get_one_job(store: Store, job: Job) -> None:
    first, second = (
        launch(store, ExportRequest(run=job.id, format=Format.ONNX), job.name) for _ in range(2)
    )

    assert first.id == second.id
    assert [
        item.id for item in find_jobs(store, ExportRequest(run=job.id, format=Format.ONNX))
    ] == [first.id]


def test_a_copy_that_does_not_hold_is_refused(store: Store, job: Job, tmp_path: Path) -> None:
    wrong = make_verification(
        format=Format.ADAPTER, texts=10, labels_equal=9, max_probability_difference=0.5
    )
    exporter = Exporter(store, job, lambda progress: None, lambda: False, lambda *given: wrong)

    with pytest.raises(ArtifactDamaged, match="9 of 10 labels are equal"):
        exporter.write(Format.ADAPTER, tmp_path)


def test_a_stop_while_code_is_executed_is_not_raised_where_its_output_is_read(
    store: Store, job: Job, tmp_path: Path
) -> None:
    stops: list[bool] = []
    steps: list[int] = []

    def verify_code(*given: object) -> None:
        printed = given[-1]
        assert isinstance(printed, PrintedCode)
        stops.append(True)
        printed.on_code()
        assert printed.should_stop()

    exporter = Exporter(
        store,
        job,
        lambda progress: steps.append(progress.done),
        lambda: bool(stops),
        verify_code=verify_code,
    )
    exporter.write(Format.SCRIPT, tmp_path)

    assert steps == [0, 1]


def test_a_copy_that_was_refused_is_never_offered(store: Store, job: Job) -> None:
    empty = store.create(JobKind.TRAIN, "empty", job.request, "empty")

    done = do(store, launch(store, ExportRequest(run=empty.id, format=Format.ADAPTER), empty.name))

    assert done.state is JobState.FAILED
    assert "no adapter" in done.message
    assert read_ready(store, empty, Format.ADAPTER) is None


def test_a_guest_exports_nothing(store: Store, job: Job) -> None:
    store = store.for_visitor(GUEST)
    with pytest.raises(NotAllowed):
        launch(store, ExportRequest(run=job.id, format=Format.ADAPTER), job.name)


def test_the_command_writes_into_a_new_folder_only(
    store: Store,
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LORALAB_HOME", str(store.settings.home))
    export_command(job.id, Format.ADAPTER, tmp_path / "out", as_json=True)
    assert '"labels_equal": true' in capsys.readouterr().out
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()

    with pytest.raises(BaseException) as stopped:  # typer's exit
        export_command(job.id, Format.ADAPTER, tmp_path / "out", as_json=True)
    assert stopped.type.__name__ == "Exit"
    assert "exists already" in capsys.readouterr().out


def test_a_base_that_changed_after_the_training_is_refused(store: Store, job: Job) -> None:
    base = Path(read_train_request(job).config.model)
    weights = base / "model.safetensors"
    earlier = weights.read_bytes()
    weights.write_bytes(earlier[:-4] + b"\x00\x00\x00\x3f")  # the last weight is 0.5
    try:
        with pytest.raises(ModelUnavailable, match="model.safetensors in"):
            classify_texts(store, job, ["the coach won the cup"], hub=False)
        export_job = launch(store, ExportRequest(run=job.id, format=Format.SCRIPT), "changed base")
        done = do(store, export_job)
    finally:
        weights.write_bytes(earlier)

    assert (done.state, "has changed since" in done.message) == (JobState.FAILED, True)
    assert "train the run again" in done.fix
    assert classify_texts(store, job, ["the coach won the cup"], hub=False)
