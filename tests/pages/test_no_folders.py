"""Remote visitors see no folder of the machine, no traceback, and no log of another visitor."""

import sys
import tempfile
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.broken_home import break_home
from tests.support.app.page_app import Open
from tests.support.app.page_text import all_of
from tests.support.security.file_audit import ROOT
from ui import navigation

PATHS = (str(ROOT), sys.prefix, str(Path.home()), f"{tempfile.gettempdir()}/")


def leaks(app: AppTest, home: Path) -> list[str]:
    return [
        text[:300] for text in all_of(app) for path in (*PATHS, str(home.parent)) if path in text
    ]


@pytest.mark.parametrize("where", navigation.ENTRIES)
def test_a_visitor_of_a_public_page_reads_no_folder(
    open_app: Open,
    finished: Job,
    failed: Job,
    store: Store,
    home: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    monkeypatch.setenv("LORALAB_DATA", str(home / "not" / "there"))
    monkeypatch.setenv("LORALAB_MODEL", str(home / "models" / "mine"))
    reported = home / "jobs"
    trained = failed.request_json.replace("minilm", str(home / "models" / "mine"))
    with store.transaction() as db:
        db.execute("UPDATE jobs SET request_json = ? WHERE state = 'failed'", (trained,))
        db.execute(
            "UPDATE jobs SET message = ?, fix = ? WHERE state = 'failed'",
            (f"{reported} is full.", f"Look into {ROOT}/core."),
        )

    for run in (finished.id, failed.id):
        app = open_app(where, run=run)

        assert leaks(app, home) == []
        assert not any("Traceback" in text for text in all_of(app))


def test_the_owner_reads_them(open_app: Open, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_DATA", str(home / "not" / "there"))

    assert leaks(open_app(navigation.HOME), home) != []


@pytest.mark.parametrize(("mode", "shown"), [("local", True), ("public", False)])
def test_the_log_is_for_those_who_launched_the_run(
    open_app: Open,
    failed: Job,
    store: Store,
    mode: str,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LORALAB_MODE", mode)

    app = open_app(navigation.RUNS, run=failed.id)

    assert any("12:00:05 out of memory" in text for text in all_of(app)) is shown


def test_an_unexpected_error_reports_a_visitor_an_id_and_the_log_the_rest(
    open_app: Open, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    break_home(home)

    app = open_app(navigation.HOME)

    error_id = app.error[0].value.partition("(error ")[2].partition(")")[0]
    assert len(error_id) == 8
    assert leaks(app, home) == []
    assert f"error {error_id}" in caplog.text and str(home) in caplog.text


def test_a_visitor_repairs_no_database(
    open_app: Open, store: Store, finished: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    store.settings.database.write_bytes(b"no database" * 400)

    app = open_app(navigation.RUNS)

    assert "cannot be read" in app.error[0].value
    assert not app.button
