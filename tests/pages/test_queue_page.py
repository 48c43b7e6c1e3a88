"""A queued run shows its position and estimated start: in its details, in the list, and in the
sidebar.
"""

import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data import sources
from core.data.dataset import Dataset
from core.runs.requests import TrainRequest
from core.runs.waiting_times import Turn, Wait
from core.settings import Settings
from core.storage import accounts
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.visitors import report
from ui.widgets import job_state


@pytest.fixture
def waiting(dataset: Dataset, store: Store) -> Job:
    """Create a queued run behind one that has taken 10 steps."""
    request = TrainRequest(
        config=RunConfig(train_rows=800), source=sources.find_source(Settings()), preset="taste"
    )
    first, second = (
        store.create(JobKind.TRAIN, name, request.model_dump(mode="json"), name)
        for name in ("first", "second")
    )
    now = store.clock()
    store.transition(first, JobState.STARTING, started_at=now - 30, heartbeat_at=now)
    store.transition(first, JobState.RUNNING)
    store.add_metrics(
        first, [Metric(step, "train", 0.1, 1.0, now - 20 + step) for step in range(1, 11)]
    )
    store.update(first, phase="training", done=10, total=50)
    return second


def labels(app: AppTest) -> list[str]:
    return [link.proto.label.replace("\\", "") for link in app.sidebar.get("page_link")]


def test_the_view_of_a_waiting_run_says_when_it_should_start(open_app: Open, waiting: Job) -> None:
    app = open_app("pages/runs.py", run=waiting.id)

    (reported,) = [info.value for info in app.info]
    assert reported.startswith("Waiting for 1 run to finish. It should start in about ")
    assert app.button(key="stop").label == "Remove from queue"


def test_the_list_and_the_sidebar_say_it_too(open_app: Open, waiting: Job) -> None:
    app = open_app("pages/runs.py")

    outcomes = dict(
        zip(app.dataframe[0].value["name"], app.dataframe[0].value["result"], strict=True)
    )
    assert outcomes["second"].startswith("in about ")
    assert outcomes["first"] == "training 20 %"
    assert any(
        label.startswith("1 run: training 20 % · 1 waiting, the next in about ")
        for label in labels(app)
    )


def test_leaving_the_queue_is_one_click(open_app: Open, waiting: Job, store: Store) -> None:
    open_app("pages/runs.py", run=waiting.id).button(key="stop").click().run()

    assert store.read_job(waiting.id).state is JobState.CANCELLED


def test_a_run_that_left_the_queue_is_not_offered_as_if_it_had_learned(
    open_app: Open, waiting: Job, store: Store
) -> None:
    store.transition(waiting, JobState.CANCELLED)

    app = open_app("pages/runs.py", run=waiting.id)

    assert [info.value for info in app.info] == ["Stopped on request. No adapter was saved."]
    assert "Classify your own text" not in [link.proto.label for link in app.main.get("page_link")]


def test_a_start_that_no_one_knows_is_said_to_be_unknown(waiting: Job) -> None:
    assert "No start estimate yet" in job_state.describe_waiting(Turn(waiting, 3, None), 0.0, None)
    assert job_state.format_wait(Turn(waiting, 3, None)) == "after 3 runs"


def test_the_hour_is_that_of_the_reader(waiting: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    report(monkeypatch, timezone_offset=-120)  # two hours east
    turn = Turn(waiting, 2, Wait(60.0, 300.0, 600.0))

    assert job_state.describe_waiting(turn, 12 * 3600.0, job_state.read_offset()).endswith(
        "It should start in about 5.0 min (60 s to 10 min), about 14:05."
    )
    for nonsense in (10**30, -(10**30)):
        report(monkeypatch, timezone_offset=nonsense)
        assert len(job_state.format_time(0.0, job_state.read_offset())) == 5


def test_in_a_class_the_sidebar_reports_the_visitors_own_turn(
    open_app: Open, waiting: Job, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    ada = Visitor("local", "Ada", Role.STUDENT)
    accounts.add_person(store, ada, "hash of her key")
    app = open_app("pages/runs.py")
    app.session_state["visitor"] = ada

    assert any(", yours in about " in label for label in labels(app.run()))
