import pytest

from core.jobs.launching import find_jobs
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.transfer.export.formats import ExportRequest, Format, exports_folder
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.export_verifications import make_verification

PAGE = "pages/export.py"


@pytest.fixture
def ready(store: Store, finished: Job) -> Job:
    verification = make_verification(
        format=Format.ONNX_INT8,
        texts=2000,
        labels_equal=1986,
        max_probability_difference=0.2,
        differs_from_base=0.7,
        bytes=24_000_000,
        rows_per_second=120,
        run_rows_per_second=80,
    )
    folder = exports_folder(store, finished)
    files.write_bytes(folder / "onnx-int8.zip", b"zip")
    files.write_json(folder / "onnx-int8.json", verification.model_dump(mode="json"))
    return finished


def test_each_format_says_what_it_is_for_and_can_be_made(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = open_app(PAGE, run=finished.id)
    assert "Choose an export format" in page_text(app)

    app.button(key="make-adapter").click().run()

    (job,) = find_jobs(store, ExportRequest(run=finished.id, format=Format.ADAPTER))
    assert job.state is JobState.QUEUED
    assert "Waiting in the queue." in page_text(app)


def test_a_guest_is_offered_nothing_to_make(
    open_app: Open, finished: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")

    app = open_app(PAGE, run=finished.id)

    assert "You need permission to train on this server to export runs." in page_text(app)
    assert not [button.key for button in app.button if str(button.key).startswith("make-")]


def test_an_export_that_is_being_made_can_be_stopped(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = open_app(PAGE, run=finished.id)
    app.button(key="make-onnx").click().run()

    app.button(key="stop-onnx").click().run()

    assert (
        find_jobs(store, ExportRequest(run=finished.id, format=Format.ONNX))[0].state
        is JobState.CANCELLED
    )
    assert app.button(key="make-onnx")


def test_a_ready_export_shows_its_verification_and_the_download(open_app: Open, ready: Job) -> None:
    app = open_app(PAGE, run=ready.id)

    assert "1 of 7 formats ready to download" in page_text(app)
    assert "Same label for 99.3 % of 2,000 test texts (98.8 % to 99.6 %)" in page_text(app)
    assert "120 texts/s here, 1.5 times the run's" in page_text(app)
    assert [button.proto.label for button in app.get("download_button")] == [
        "Download onnx-int8.zip, 1 KB"
    ]


def test_a_failed_export_says_why_and_can_be_tried_again(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = open_app(PAGE, run=finished.id)
    app.button(key="make-merged").click().run()
    (job,) = find_jobs(store, ExportRequest(run=finished.id, format=Format.MERGED))
    store.transition(job, JobState.STARTING)
    store.transition(
        job,
        JobState.FAILED,
        message="The export does not predict as the run does.",
        fix="Choose another format.",
    )

    app = open_app(PAGE, run=finished.id)

    assert "**The export does not predict as the run does.** Choose another format." in page_text(
        app
    )
    assert app.button(key="make-merged")
