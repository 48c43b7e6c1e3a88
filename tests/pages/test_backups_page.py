"""Backup and restore on the Runs page, and the app on a machine like Community Cloud."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.jobs.tasks.backups import find_parts, launch_backup, launch_restore
from core.jobs.worker import perform
from core.settings import BUNDLED_RUNS
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from ui import navigation

PAGES = sorted(entry.file for entry in navigation.ENTRIES.values())


def keys(app: AppTest) -> set[str | None]:
    return {button.key for button in app.button}


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Simulate Community Cloud: a disk that a restart loses, two cores, 2.7 GB of memory."""
    limits = {"memory.max": "2700000000", "memory.current": "300000000", "cpu.max": "200000 100000"}
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("LORALAB_HOSTED", "true")
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))


def done(store: Store, job: Job) -> Job:
    store.transition(job, JobState.STARTING, started_at=store.clock())
    assert perform(store, store.read_job(job.id)) == 0
    return store.read_job(job.id)


def test_packing_is_queued_watched_and_downloaded(
    open_app: Open, usable: Job, store: Store
) -> None:
    app = open_app("pages/runs.py")
    app.button(key="make-backup").click().run()
    (job,) = store.list_jobs(JobKind.BACKUP)
    assert "stop-backup" in keys(app)

    done(store, job)

    app = open_app("pages/runs.py")
    assert "1 run backed up just now." in page_text(app)
    assert app.get("download_button")
    assert [path.name for path in find_parts(store, store.read_job(job.id))] == ["runs-1.zip"]


def test_what_was_restored_is_reported(open_app: Open, usable: Job, store: Store) -> None:
    packed = done(store, launch_backup(store))
    job = done(
        store, launch_restore(store, {"mine.zip": find_parts(store, packed)[0].read_bytes()})
    )

    assert job.result["already"] == 1
    assert "0 runs restored, 1 already existed." in page_text(open_app("pages/runs.py"))


def test_a_backup_that_is_none_is_reported_in_words(
    open_app: Open, usable: Job, store: Store
) -> None:
    job = launch_restore(store, {"mine.zip": b"no zip"})
    store.transition(job, JobState.STARTING, started_at=store.clock())
    perform(store, store.read_job(job.id))

    assert "not a readable zip file" in page_text(open_app("pages/runs.py"))


def test_files_are_called_by_their_names_and_numbered_only_where_two_share_one(
    open_app: Open, usable: Job, store: Store
) -> None:
    app = open_app("pages/runs.py")
    uploaded = [
        ("mine.zip", b"one", "application/zip"),
        ("theirs.zip", b"two", "application/zip"),
        ("mine.zip", b"three", "application/zip"),
    ]
    app.file_uploader(key="restore-file-0").set_value(uploaded).run()
    app.button(key="restore").click().run()

    (job,) = store.list_jobs(JobKind.RESTORE)
    assert job.request["names"] == ["mine.zip (1)", "theirs.zip", "mine.zip (3)"]


def test_no_one_sees_another_ones_zip(
    open_app: Open, usable: Job, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store.for_visitor(Visitor("ada", "Ada", Role.STUDENT))
    with store.transaction() as db:
        db.execute("UPDATE jobs SET owner = 'ada' WHERE id = ?", (usable.id,))
    done(store, launch_backup(store))

    assert not open_app("pages/runs.py").get("download_button")


def test_a_guest_is_offered_neither_way(
    open_app: Open, usable: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")

    assert not {"make-backup", "restore"} & keys(open_app("pages/runs.py"))


@pytest.mark.usefixtures("with_example", "hosted")
@pytest.mark.parametrize("page", PAGES)
def test_a_fresh_hosted_app_is_alive_on_every_page_without_any_secret(
    open_app: Open, home: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of Streamlit: it would read the secrets of the person who runs the tests
    monkeypatch.setattr(
        "streamlit.runtime.secrets.Secrets.load_if_toml_exists", lambda secrets: False
    )

    app = open_app(page)

    assert not app.exception
    assert "Something went wrong" not in page_text(app)
    assert "Public page" in page_text(app)


@pytest.mark.usefixtures("with_example", "hosted")
def test_the_hosted_app_shows_the_bundled_run(open_app: Open) -> None:
    app = open_app("pages/evaluate.py")

    assert "98.0 %" in page_text(app)
    assert (BUNDLED_RUNS / "example").is_dir()


@pytest.mark.usefixtures("hosted")
def test_a_hosted_class_is_reported_that_a_restart_loses_runs(
    open_app: Open, usable: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "A restart" not in page_text(open_app("pages/runs.py")), "a guest has none to lose"
    for name, value in {"MODE": "classroom", "TEACHER_CODE": "oak"}.items():
        monkeypatch.setenv(f"LORALAB_{name}", value)
    app = open_app("pages/runs.py")
    app.text_input(key="teach-name").set_value("Grace")
    app.text_input(key="teach-code").set_value("oak")

    assert "A restart deletes all runs except the example." in page_text(
        app.button(key="teach-submit").click().run()
    )
