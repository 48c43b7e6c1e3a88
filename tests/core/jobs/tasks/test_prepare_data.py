import time

import pytest

from core.access import Role, Visitor
from core.data.hub_download import HubFiles, find_fetched, look_up
from core.errors import NotAllowed
from core.jobs import actions, worker
from core.jobs.launching import find_jobs, launch
from core.jobs.supervisor import start_worker
from core.jobs.tasks.prepare_data import FetchRequest
from core.settings import Settings
from core.storage.job import FailureCause, Job, JobState
from core.storage.store import Store
from tests.support.fake_hub import Hub


@pytest.fixture
def lab(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(Settings())


@pytest.fixture
def pick(lab: Store) -> HubFiles:
    return look_up(lab.settings, "some/pets").pick()


def do(store: Store, job: Job) -> Job:
    """Execute the job as a worker does."""
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.read_job(job.id))
    return store.read_job(job.id)


def test_the_job_downloads_the_files_and_records_their_source(lab: Store, pick: HubFiles) -> None:
    done = do(lab, launch(lab, FetchRequest(pick=pick), pick.name))

    assert done.state is JobState.COMPLETED, done.message
    assert done.result == {"origin": pick.origin, "bytes": pick.size}
    assert len(find_fetched(lab.settings, pick)) == 2


def test_who_asks_twice_gets_the_job_that_is_running(lab: Store, pick: HubFiles) -> None:
    first = launch(lab, FetchRequest(pick=pick), pick.name)

    assert launch(lab, FetchRequest(pick=pick), pick.name).id == first.id
    assert [job.id for job in find_jobs(lab, FetchRequest(pick=pick))] == [first.id]
    other = look_up(lab.settings, "some/many").pick("de")
    assert launch(lab, FetchRequest(pick=other), other.name).id != first.id


@pytest.mark.worker
def test_a_stop_ends_a_download_that_hangs(lab: Store, hub: Hub, pick: HubFiles) -> None:
    job = launch(lab, FetchRequest(pick=pick), pick.name)
    hub.held.clear()
    lab.transition(job, JobState.STARTING, started_at=1.0)
    lab.get_folder(job).mkdir(parents=True, exist_ok=True)
    process = start_worker(lab.settings, job.id, job.attempt)
    deadline = time.monotonic() + 60
    while not any("resolve" in path for path in hub.asked) and time.monotonic() < deadline:
        time.sleep(0.05)

    actions.stop(lab, lab.read_job(job.id))
    process.wait(timeout=30)  # less than the Hub holds the file back

    assert lab.read_job(job.id).state is JobState.CANCELLED, (
        lab.get_folder(job) / "worker.log"
    ).read_text()
    assert find_fetched(lab.settings, pick) == []


def test_a_hub_that_has_gone_fails_the_job_with_what_to_do(
    lab: Store, pick: HubFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = launch(lab, FetchRequest(pick=pick), pick.name)
    monkeypatch.setenv("LORALAB_HUB", "false")

    done = do(Store(Settings()), job)

    assert (done.state, done.cause) == (JobState.FAILED, FailureCause.DATA)
    assert done.message == "The Hub cannot be reached."


def test_a_student_cannot_fetch(lab: Store, pick: HubFiles) -> None:
    student = lab.for_visitor(Visitor("s1", "Ada", Role.STUDENT))

    with pytest.raises(NotAllowed, match="Only the teacher can add or delete datasets"):
        launch(student, FetchRequest(pick=pick), pick.name)
