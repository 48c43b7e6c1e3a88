"""Homes in all states that a page may meet, written directly to the store, and a page driver."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core.data import sources
from core.data.dataset import Dataset
from core.data.explore.index import ensure_index
from core.data.preparation import find_prepared, prepare
from core.data.sources import Source
from core.inference.process import InferenceProcess
from core.settings import Settings
from core.storage.job import Job, JobChanges, JobState
from core.storage.store import Store
from tests.support.app.page_app import HOME_PAGE, TIMEOUT_SECONDS, Open, after_first_visit
from tests.support.stored_runs import (
    ADAPTER,
    CLASSES,
    add_curves,
    make_finished,
    make_run,
    start,
    texts,
)
from ui.session import cache


@pytest.fixture(autouse=True)
def no_example(request: pytest.FixtureRequest, home: Path) -> None:
    """Write an empty database, so that no example is added, unless a test uses
    ``with_example``.
    """
    if "with_example" not in request.fixturenames:
        Store(Settings())


@pytest.fixture
def with_example() -> None:
    """Start new homes with the bundled example, as for users."""


@pytest.fixture
def classroom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the mode and the codes of a class."""
    for name, value in {"MODE": "classroom", "CLASS_CODE": "whale", "TEACHER_CODE": "oak"}.items():
        monkeypatch.setenv(f"LORALAB_{name}", value)


@pytest.fixture
def short_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the memory of this process to 100 MB, as a control group does."""
    (tmp_path / "memory.max").write_text(str(100 * 2**20))
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page through ``Home.py`` with a query string, and ``secrets.toml`` if given."""
    monkeypatch.setattr(PagesManager, "__init__", after_first_visit)
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_page(
        page: str = "pages/home.py", secrets: dict[str, object] | None = None, **query: str
    ) -> AppTest:
        app = AppTest.from_file(str(HOME_PAGE), default_timeout=TIMEOUT_SECONDS)
        for name, value in query.items():
            app.query_params[name] = value
        app.secrets = secrets or {}
        return app.switch_page(page).run()

    return open_page


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a data folder of 200 training and 40 test texts, and prepare it in a home."""
    folder, home = tmp_path_factory.mktemp("small-news"), tmp_path_factory.mktemp("prepared")
    for split, rows in (("train", 200), ("test", 40)):
        named = texts(split, rows).assign(
            label=lambda frame: [CLASSES[label] for label in frame["label"]]
        )
        named[["text", "label"]].to_csv(folder / f"{split}.csv", index=False)
    done = prepare(
        Settings(home=home, hub=False),
        sources.folder_source(folder),
        lambda progress: None,
        lambda: False,
    )
    ensure_index(done, lambda progress: None, lambda: False)
    return folder, home


@pytest.fixture
def dataset(prepared: tuple[Path, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Use the prepared dataset through ``LORALAB_DATA``."""
    folder, elsewhere = prepared
    monkeypatch.setenv("LORALAB_DATA", str(folder))
    shutil.copytree(elsewhere / "data", home / "data")
    result = find_prepared(Settings(), sources.folder_source(folder))
    assert result is not None
    return result


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Return the source of runs whose data is not needed."""
    return Source(sources.SourceKind.FOLDER, "Small news", tmp_path / "news")


@pytest.fixture
def queued(store: Store, source: Source) -> Job:
    """Create a queued run."""
    return make_run(store, source, "waiting-run")


@pytest.fixture
def running(store: Store, source: Source) -> Job:
    """Create a run after 20 of 50 steps, with two validations."""
    job = start(store, make_run(store, source, "running-run"))
    store.update(
        job,
        phase="training",
        done=20,
        total=50,
        heartbeat_at=store.clock(),
        result_json=json.dumps({"classes": CLASSES}),
    )
    add_curves(store, job, steps=20)
    return store.read_job(job.id)


@pytest.fixture
def finished(store: Store, source: Source) -> Job:
    """Create a run with curves, an adapter folder, and 40 test texts: 34 correct after training, 10
    before.
    """
    return make_finished(store, source, "finished-run")


@pytest.fixture(scope="session", autouse=True)
def one_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceProcess]:
    """Use one inference process for all tests, as it takes seconds to load torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORALAB_HOME", str(tmp_path_factory.mktemp("host")))
        patch.setenv("LORALAB_HUB", "false")
        host = cache.get_host()  # starts with the first request
    yield host
    host.stop()


@pytest.fixture
def host(one_host: InferenceProcess) -> InferenceProcess:
    """Return the inference process of the pages."""
    return one_host


@pytest.fixture
def usable(store: Store, finished: Job) -> Job:
    """Give the finished run a real adapter."""
    shutil.rmtree(store.get_folder(finished) / "adapter")
    shutil.copytree(ADAPTER, store.get_folder(finished) / "adapter")
    return finished


@pytest.fixture
def failed(store: Store, source: Source) -> Job:
    """Create a run that ran out of memory."""
    job = start(store, make_run(store, source, "failed-run"))
    (store.get_folder(job) / "worker.log").write_text("12:00:00 training\n12:00:05 out of memory\n")
    ending: JobChanges = {
        "ended_at": store.clock(),
        "cause": "out of memory",
        "message": "The machine ran out of memory.",
        "fix": "Close other programs.",
        "proposal_json": '{"batch_size": 8}',
    }
    store.transition(job, JobState.FAILED, **ending)
    return store.read_job(job.id)


@pytest.fixture
def damaged(store: Store, source: Source) -> Job:
    """Create a finished run with an unreadable record."""
    job = make_finished(store, source, "damaged-run")
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET request_json = '{', version = version + 1 WHERE id = ?", (job.id,)
        )
    return store.read_job(job.id)
