from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.jobs.tasks.classify_texts import find_scoring
from core.settings import Settings
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.peft_files import adapter_files, zipped
from tests.support.tiny_models import write_bert

PAGE = "pages/runs.py"


@pytest.fixture
def contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setenv("LORALAB_MODEL", str(write_bert(tmp_path / "tiny")))
    return adapter_files(tmp_path / "tiny")


@pytest.fixture
def imported(contents: dict[str, bytes]) -> Job:
    return import_run(Store(Settings()), read_upload("mine.zip", zipped(contents)), name="mine")


def test_an_upload_becomes_a_run_that_is_shown(
    open_app: Open, contents: dict[str, bytes], store: Store
) -> None:
    app = open_app(PAGE)

    app.file_uploader(key="import-file-0").upload(
        "mine.zip", zipped(contents), "application/zip"
    ).run()
    app.button(key="import-button").click().run()

    (job,) = store.list_jobs(JobKind.TRAIN)
    assert app.query_params["run"] == job.id
    assert "Imported from mine.zip" in page_text(app)
    assert app.file_uploader(key="import-file-1").value is None


def test_a_bad_upload_says_what_is_wrong(
    open_app: Open, contents: dict[str, bytes], store: Store
) -> None:
    app = open_app(PAGE)

    app.file_uploader(key="import-file-0").upload(
        "mine.zip", zipped({**contents, "../evil.json": b""}), "application/zip"
    ).run()
    app.button(key="import-button").click().run()

    assert "a path outside the zip's own folder" in page_text(app)
    assert store.list_jobs() == []


def test_an_imported_run_is_scored_on_the_data_in_use(
    open_app: Open, imported: Job, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE, run=imported.id)
    assert "Imported without test predictions" in page_text(app)
    assert "does not record its other training settings" in page_text(app)

    app.button(key="score").click().run()

    scoring = find_scoring(store, imported)
    assert scoring is not None
    assert scoring.state is JobState.QUEUED


def test_data_with_other_classes_cannot_score_it(
    open_app: Open, contents: dict[str, bytes], dataset: Dataset
) -> None:
    job = import_run(
        Store(Settings()), read_upload("mine.zip", zipped(contents)), classes=["a", "b", "c", "d"]
    )

    app = open_app(PAGE, run=job.id)

    assert app.button(key="score").disabled
    assert "this run has a, b, c, d" in page_text(app)


def test_evaluate_says_that_it_has_to_be_scored_first(open_app: Open, imported: Job) -> None:
    app = open_app("pages/evaluate.py", run=imported.id)

    assert "mine has no scores yet" in page_text(app)


def test_a_guest_sees_no_form(
    open_app: Open, imported: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")

    app = open_app(PAGE)

    assert len(app.dataframe) == 1
    assert len(app.file_uploader) == 0
