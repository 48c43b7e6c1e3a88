"""Every action checks permissions: it is tried with another user's run, and as a guest."""

from collections.abc import Callable

import pytest

from core.access import GUEST, Role, Visitor
from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import NotAllowed
from core.jobs import actions
from core.jobs.launching import launch
from core.jobs.tasks.embed_texts import MapRequest
from core.runs.requests import CalibrateRequest, PrepareRequest, TrainRequest
from core.runs.waiting_times import read_queue
from core.storage.accounts import read_audit_log
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
SMALL = RunConfig(train_rows=1000)
Act = Callable[[Store, Job], object]
ON_A_RUN: dict[str, Act] = {
    "stop": actions.stop,
    "resume": actions.resume,
    "delete": actions.delete,
    "rename": lambda store, job: actions.rename(store, job, "mine now"),
    "tag": lambda store, job: actions.tag_text(store, job, 7, "hard", "mine"),
}
OTHERS: dict[str, Act] = {
    "launch": lambda store, job: actions.launch_training(
        store, TrainRequest(config=SMALL, source=demo_source())
    ),
    "prepare": lambda store, job: launch(store, PrepareRequest(source=demo_source()), "data"),
    "calibrate": lambda store, job: launch(store, CalibrateRequest(model="minilm"), "model"),
    "dispute a label": lambda store, job: actions.dispute_labels(store, "0123456789ab", "x", []),
    "undo a disputed label": lambda store, job: actions.undo_disputes(
        store, "0123456789ab", "x", [1]
    ),
    "delete a dataset": lambda store, job: actions.delete_dataset(store, "reviews"),
}


@pytest.fixture
def run_of_ada(store: Store) -> Job:
    request = TrainRequest(config=SMALL, source=demo_source()).model_dump(mode="json")
    return store.create(JobKind.TRAIN, "hers", request, "hers", ADA.id)


@pytest.mark.parametrize("act", ON_A_RUN.values(), ids=ON_A_RUN)
@pytest.mark.parametrize("who", [BOB, GUEST], ids=["bob", "guest"])
def test_no_one_touches_another_ones_run(
    store: Store, run_of_ada: Job, act: Act, who: Visitor
) -> None:
    store = store.for_visitor(who)

    with pytest.raises(NotAllowed):
        act(store, run_of_ada)
    assert store.read_job(run_of_ada.id) == run_of_ada


@pytest.mark.parametrize("act", OTHERS.values(), ids=OTHERS)
def test_a_guest_starts_nothing(store: Store, run_of_ada: Job, act: Act) -> None:
    store = store.for_visitor(GUEST)

    with pytest.raises(NotAllowed):
        act(store, run_of_ada)
    assert [job.id for job in store.list_jobs()] == [run_of_ada.id]


def test_a_guest_draws_no_map(store: Store) -> None:
    store = store.for_visitor(GUEST)

    with pytest.raises(NotAllowed):
        launch(store, MapRequest.model_construct(fingerprint="", subjects=()), "UMAP")


def test_a_retry_asks_like_a_launch(store: Store, run_of_ada: Job) -> None:
    store.transition(run_of_ada, JobState.STARTING)
    store.transition(
        run_of_ada, JobState.FAILED, cause="diverged", proposal_json='{"learning_rate": 0.0005}'
    )
    store = store.for_visitor(GUEST)

    with pytest.raises(NotAllowed):
        actions.retry(store, store.read_job(run_of_ada.id))


def test_a_student_stops_an_own_run_and_it_is_written_down(store: Store, run_of_ada: Job) -> None:
    assert actions.stop(store.for_visitor(ADA), run_of_ada).state is JobState.CANCELLED
    assert [(who, did) for _, who, did, _ in read_audit_log(store)] == [("ada", "stop this run")]


def test_a_launch_belongs_to_its_visitor(store: Store) -> None:
    store = store.for_visitor(BOB)

    assert (
        actions.launch_training(store, TrainRequest(config=SMALL, source=demo_source())).owner
        == "bob"
    )


def test_only_runs_that_have_begun_count_as_a_turn(store: Store, run_of_ada: Job) -> None:
    assert store.count_started("train") == {}

    store.transition(run_of_ada, JobState.STARTING, started_at=1.0)

    assert store.count_started("train") == {"ada": 1}


def test_the_place_in_the_queue_follows_the_turns(store: Store, run_of_ada: Job) -> None:
    request = TrainRequest(config=SMALL, source=demo_source())
    second = actions.launch_training(store.for_visitor(ADA), request)
    first_of_bob = actions.launch_training(store.for_visitor(BOB), request)

    assert [(turn.job.id, turn.ahead) for turn in read_queue(store)] == [
        (run_of_ada.id, 0),
        (first_of_bob.id, 1),
        (second.id, 2),
    ]
