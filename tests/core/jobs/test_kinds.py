"""A kind that one row and one module add has all that a kind has: see tests/support/toy_job.py."""

import threading
from collections.abc import Iterator

import pytest

from core.cli import output
from core.errors import ArtifactDamaged, LoraLabError
from core.jobs import actions, worker
from core.jobs.kinds import KINDS, Slot, find_kind, find_slot
from core.jobs.launching import find_jobs, launch, read_job_result
from core.jobs.supervisor import Supervisor
from core.progress import Phase
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.toy_job import TOY, ToyRequest, ToyResult, toy_row


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    """The table with one more row."""
    with toy_row():
        yield


def perform(store: Store, job: Job) -> Job:
    store.transition(job, JobState.STARTING, started_at=store.clock())
    worker.perform(store, store.read_job(job.id))
    return store.read_job(job.id)


def test_it_is_launched_once_and_gives_a_typed_result(store: Store) -> None:
    request = ToyRequest(rounds=3)
    first, second = (launch(store, request, "blocks") for _ in range(2))

    done = perform(store, first)

    assert (second.id, first.name) == (first.id, "Play with blocks")
    assert done.state is JobState.COMPLETED
    assert read_job_result(done, ToyResult) == ToyResult(played=3)
    assert [job.id for job in find_jobs(store, request)] == [first.id]
    assert launch(store, request, "blocks").id != first.id


def test_its_time_left_follows_from_the_pace_of_its_phase(store: Store) -> None:
    job = launch(store, ToyRequest(rounds=10), "blocks")
    store.transition(job, JobState.STARTING)
    store.update(job, phase=Phase.COMPARING, phase_at=100.0, done=4, total=10)

    working = store.read_job(job.id)

    assert (
        find_kind(working).estimate_seconds_left(working, now=108.0) == 12.0
    )  # 2 s each, 6 to come
    store.update(job, done=1)
    assert find_kind(working).estimate_seconds_left(store.read_job(job.id), now=108.0) is None
    store.update(job, done=4, phase_at=None)  # as an earlier version wrote it
    assert find_kind(working).estimate_seconds_left(store.read_job(job.id), now=108.0) is None


def test_a_worker_records_when_its_phase_began(store: Store) -> None:
    done = perform(store, launch(store, ToyRequest(rounds=2), "blocks"))

    assert done.phase_at is not None
    assert (done.started_at or 0) <= done.phase_at <= (done.ended_at or 0)


def test_it_fails_with_what_to_do_and_goes_on_where_it_was(store: Store) -> None:
    job = launch(store, ToyRequest(rounds=5, breaks_at=3), "blocks")

    failed = perform(store, job)
    resumed = perform(store, actions.resume(store, failed))

    assert (failed.state, failed.message, failed.fix) == (
        JobState.FAILED,
        "The toy is broken.",
        "Glue it.",
    )
    assert (resumed.state, read_job_result(resumed, ToyResult)) == (
        JobState.COMPLETED,
        ToyResult(played=3),
    )


def test_it_is_stopped_in_the_queue(store: Store) -> None:
    stopped = actions.stop(store, launch(store, ToyRequest(rounds=5), "blocks"))

    assert stopped.state is JobState.CANCELLED


def test_the_supervisor_starts_it_next_to_a_training(store: Store) -> None:
    training = store.create("train", "run", {}, "key")
    store.transition(training, JobState.STARTING)
    toy = launch(store, ToyRequest(rounds=1), "blocks")
    started: list[str] = []

    def start(settings: object, job_id: str, attempt: int) -> object:
        started.append(job_id)
        raise OSError("no process starts here")

    supervisor = Supervisor(store, start=start)  # type: ignore[arg-type]
    supervisor._start_next([store.read_job(training.id)], [toy])

    assert started == [toy.id]
    assert find_slot(toy) is Slot.LIGHT


@pytest.mark.parametrize("breaks_at", [0, 1])
def test_the_command_line_waits_for_it(store: Store, breaks_at: int) -> None:
    job = launch(store, ToyRequest(rounds=2, breaks_at=breaks_at), "blocks")
    work = threading.Thread(target=perform, args=(store, job))
    work.start()

    try:
        if breaks_at:
            with pytest.raises(LoraLabError, match="The toy is broken"):
                output.wait_for_work(store, job)
        else:
            assert output.wait_for_work(store, job).state is JobState.COMPLETED
    finally:
        work.join()


def test_a_kind_needs_a_row_and_no_other_name() -> None:
    named = {kind.value for kind in JobKind}

    assert named <= set(KINDS)
    assert TOY.name not in named


def test_a_job_of_an_unknown_kind_says_so_and_holds_up_no_other(store: Store) -> None:
    newer = store.create("from a later version", "newer", {}, "key")

    assert find_slot(newer) is None
    with pytest.raises(ArtifactDamaged, match="unknown kind 'from a later version'"):
        find_kind(newer)
