"""The panel of a job in each of its states, for a kind of job that only tests have."""

import re
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.jobs.launching import find_latest, launch
from core.progress import Phase
from core.storage.job import Job, JobChanges, JobState
from core.storage.store import Store
from tests.support.app.page_app import TIMEOUT_SECONDS
from tests.support.app.page_text import page_text
from tests.support.toy_job import ToyRequest, toy_row

REQUEST = ToyRequest(rounds=10)


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    """The table with one more row."""
    with toy_row():
        yield


def page() -> None:
    from core.jobs.launching import find_latest, launch  # noqa: PLC0415 - AppTest runs the body
    from core.settings import Settings  # noqa: PLC0415
    from core.storage.store import Store  # noqa: PLC0415
    from tests.support.toy_job import ToyRequest  # noqa: PLC0415
    from ui.widgets import job_panel  # noqa: PLC0415
    from ui.widgets.job_panel import PanelWords, StartButton  # noqa: PLC0415

    store, request = Store(Settings()), ToyRequest(rounds=10)
    words = PanelWords("stop-toy", failed="No play.", stopped="The toy was put away.")
    start = StartButton("Play", "play", lambda: launch(store, request, "blocks"))
    job_panel.draw(store, find_latest(store, request), words, start)


def opened() -> AppTest:
    return AppTest.from_function(page, default_timeout=TIMEOUT_SECONDS).run()


def keys(app: AppTest) -> set[str | None]:
    return {button.key for button in app.button}


def working(store: Store) -> Job:
    job = launch(store, REQUEST, "blocks")
    store.transition(job, JobState.STARTING, started_at=store.clock() - 8)
    store.update(
        job, phase=Phase.COMPARING, phase_at=store.clock() - 8, done=4, total=10, heartbeat_at=None
    )
    return store.read_job(job.id)


def test_the_button_queues_the_job_and_gives_way_to_a_stop(store: Store) -> None:
    app = opened()
    assert keys(app) == {"play"}

    app.button(key="play").click().run()

    job = find_latest(store, REQUEST)
    assert job is not None and job.state is JobState.QUEUED
    assert keys(app) == {"stop-toy"}
    assert "Waiting in the queue" in page_text(app)


def test_progress_has_the_time_left_and_stops(store: Store) -> None:
    job = working(store)

    app = opened()

    bar = app.get("progress")[0].proto.text
    assert re.fullmatch(
        r"Looking for duplicates · 4 of 10 · \d+ s elapsed · about [1-9]\d s left", bar
    )
    app.button(key="stop-toy").click().run()
    assert store.read_job(job.id).state is JobState.STOPPING


def test_a_failure_says_what_to_do_and_offers_another_try(store: Store) -> None:
    ended: JobChanges = {
        "message": "The toy is broken.",
        "fix": "Glue it.",
        "ended_at": store.clock(),
    }
    store.transition(working(store), JobState.FAILED, **ended)

    app = opened()

    (box,) = app.error
    assert box.value.replace("\\", "") == "**No play.** The toy is broken. Glue it."
    assert keys(app) == {"play"}


def test_a_stopped_job_says_so(store: Store) -> None:
    job = working(store)
    store.transition(job, JobState.STOPPING)
    store.transition(job, JobState.CANCELLED, ended_at=store.clock())

    app = opened()

    assert [box.value for box in app.info] == ["The toy was put away."]
    assert keys(app) == {"play"}
