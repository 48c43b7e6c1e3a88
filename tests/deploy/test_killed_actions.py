"""A server that is killed in the middle of an action: after the next start the action has happened
or not, nothing is half there, and it can be done again.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.disputed_labels import DisputedLabel
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import demo_source
from core.errors import JobNotFound
from core.jobs import actions, worker
from core.jobs.supervisor import Supervisor
from core.jobs.tasks.backups import (
    PackedRuns,
    launch_restore,
    list_own_runs,
    write_backup,
)
from core.people import classroom, membership
from core.people.classroom import Ending
from core.settings import Settings
from core.storage import accounts, files
from core.storage.job import Job, JobState, is_current, read_record
from core.storage.locks import take_lock
from core.storage.recovery import open_store
from core.storage.store import Store
from core.transfer.imports.import_run import ValidatedRun, install_run
from tests.support.faults.disks import CountingDisk, writing_to
from tests.support.stored_runs import FINGERPRINT, make_finished, make_run

START = multiprocessing.get_context("fork")
HOPPER = Visitor("hopper", "Hopper", Role.TEACHER)
ADA, BOB = (Visitor(name.lower(), name, Role.STUDENT) for name in ("Ada", "Bob"))
RUN = "0a1b2c3d"  # id of the imported and the restored run
UPLOAD = "runs.zip"
MOST_STEPS = 400
State = dict[str, object]


class DeadlyDisk(CountingDisk):
    """Disk that kills the process before step ``nth``; transactions are steps, too."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.nth = nth

    def meet(self) -> None:
        """Count a step."""
        self._meet()

    def _meet(self) -> None:
        super()._meet()
        if self.steps == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore(Store):
    """Store whose process may be killed before and after each transaction."""

    disk: DeadlyDisk

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """See ``Store``."""
        self.disk.meet()
        with super().transaction(create) as db:
            yield db
        self.disk.meet()


@dataclass(frozen=True)
class ActionCase:
    """An action of a visitor, and whether the database alone decides whether it has happened."""

    visitor: Visitor
    act: Callable[[Store], object]
    in_one_step: bool = True


def import_one(store: Store) -> None:
    """Install a run as an import does."""
    now = store.clock()
    source, _ = read_record(store.get_folder(find(store, "of Ada")))
    job = replace(source, id=RUN, name="imported", owner=store.visitor.id, created_at=now)
    config = RunConfig(train_rows=800)
    install_run(store, ValidatedRun(job, config, {"adapter_model.safetensors": b"weights"}))


def restore_upload(store: Store) -> None:
    """Restore the backup that lies next to the home folder, as the worker does."""
    data = (store.settings.home.parent / UPLOAD).read_bytes()
    job = launch_restore(store, {UPLOAD: data})
    store.transition(job, JobState.STARTING, started_at=store.clock(), heartbeat_at=store.clock())
    lock = take_lock(store.get_folder(job) / "lock")
    assert lock is not None
    worker.perform(store, store.read_job(job.id))


CASES = {
    "remove a run": ActionCase(ADA, lambda store: actions.delete(store, find(store, "of Ada"))),
    "import a run": ActionCase(ADA, import_one),
    "rename a person": ActionCase(
        HOPPER, lambda store: membership.rename_member(store, ADA, "Grace")
    ),
    "remove a person": ActionCase(HOPPER, lambda store: membership.remove_member(store, ADA)),
    "merge two people": ActionCase(
        HOPPER, lambda store: membership.merge_members(store, ADA, BOB), in_one_step=False
    ),
    **{
        f"end a class, {ending}": ActionCase(HOPPER, partial(classroom.clear_class, ending=ending))
        for ending in Ending
    },
    "restore a backup": ActionCase(HOPPER, restore_upload, in_one_step=False),
}


def find(store: Store, name: str) -> Job:
    """Return the job of this name. Raises JobNotFound."""
    for job in store.list_jobs():
        if job.name == name:
            return job
    raise JobNotFound(name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the home of a class and a backup of another one."""
    folder = tmp_path_factory.mktemp("world")
    there = open_store(Settings(home=folder / "there"))
    backed_up = folder / "there" / "jobs" / RUN
    shutil.copytree(there.settings.jobs / "example", backed_up)
    record = json.loads((backed_up / "job.json").read_text())
    record |= {"id": RUN, "owner": "eve", "name": "of Eve"}
    (backed_up / "job.json").write_text(json.dumps(record))
    there.insert_from_folder(backed_up)
    write_backup(
        there,
        list_own_runs(there),
        folder / UPLOAD,
        True,
        lambda progress: None,
        lambda: False,
        PackedRuns(),
    )
    store = open_store(Settings(home=folder / "home"))
    for visitor in (HOPPER, ADA, BOB):
        accounts.add_person(store, visitor, f"key of {visitor.id}")
    ada = store.for_visitor(ADA)
    done = make_finished(ada, demo_source(), "of Ada")
    make_run(ada, demo_source(), "queued")
    actions.rename(ada, done, "of Ada")
    actions.dispute_labels(ada, FINGERPRINT, "demo", [DisputedLabel(row=3, label="World")])
    drop = Step(check="exact duplicates", fix=Fix.DROP, rows=(0,))
    actions.store_recipe(ada, Recipe(fingerprint="1" * 12, steps=(drop,)))
    return folder


def describe(store: Store) -> State:
    """Return what people see, without what is drawn at random."""
    options = accounts.read_options(store)
    home = store.settings.home
    return {
        "people": [
            (person.name, standing) for person, standing, *_ in accounts.list_standings(store)
        ],
        "jobs": {
            (job.name, job.owner, job.state) for job in store.list_jobs() if job.kind == "train"
        },
        "options": {name: options[name] for name in options if name == classroom.ENDED},
        "archived": classroom.read_beginning(store) > 0,
        "files": {
            str(path.relative_to(home))
            for kind in ("disputed", "recipes", "restoring")
            for path in (home / kind).rglob("*.[jz]*")
        },
        "log": [line[2] for line in accounts.read_audit_log(store)],
    }


def require_whole(store: Store) -> None:
    """Require that folders and rows of finished jobs agree, and that nothing is unfinished."""
    jobs = {job.id: job for job in store.list_jobs()}
    folders = {path.name for path in store.settings.jobs.iterdir()}
    assert folders <= jobs.keys()
    for job in jobs.values():
        assert not job.state.is_active
        assert job.id in folders
        assert is_current(store.get_folder(job), job)
    left = [path for path in store.settings.home.rglob(".*") if path.name.endswith(files.TEMPORARY)]
    assert not left
    assert not list(store.settings.jobs.glob(".*"))


def kill_at(nth: int, settings: Settings, case: ActionCase) -> bool:
    """Perform the action in a process that is killed at step ``nth``; return whether it was."""

    def run() -> None:
        disk = DeadlyDisk(MOST_STEPS * 1000)
        store = DeadlyStore.__new__(DeadlyStore)
        store.disk = disk
        store.__init__(settings, create=False, visitor=case.visitor)  # type: ignore[misc]
        disk.nth = disk.steps + nth
        with writing_to(disk):
            case.act(store)
        os._exit(0)

    process = START.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def start_again(settings: Settings, visitor: Visitor) -> Store:
    """Return the store of the visitor after the start of server and queue."""
    files.remove_orphans(settings.home)
    store = open_store(settings, visitor)
    supervisor = Supervisor(open_store(settings))
    supervisor.tidy()
    for job in store.list_jobs():
        if job.state.is_active:
            supervisor._watch(job)  # as a step, but starts nothing
    return store


@pytest.mark.parametrize("name", CASES)
def test_an_action_of_a_killed_server_has_happened_or_not_and_can_be_repeated(
    name: str, world: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    shutil.copy(world / UPLOAD, tmp_path / UPLOAD)

    def copy_home(number: int) -> Settings:
        home = tmp_path / str(number) / "home"
        shutil.copytree(world / "home", home)
        shutil.copy(world / UPLOAD, home.parent / UPLOAD)
        return Settings(home=home)

    settings = copy_home(0)
    before = describe(open_store(settings, HOPPER))
    assert not kill_at(MOST_STEPS, settings, case)
    after = describe(start_again(settings, HOPPER))
    assert before != after

    nth, killed = 0, True
    while killed:
        nth += 1
        settings = copy_home(nth)
        killed = kill_at(nth, settings, case)
        store = start_again(settings, case.visitor)
        require_whole(store.for_visitor(HOPPER))
        state = describe(store.for_visitor(HOPPER))
        if case.in_one_step:
            assert state | {"log": 0} in (before | {"log": 0}, after | {"log": 0}), nth
        if state | {"log": 0} != after | {"log": 0}:
            case.act(store)
            assert describe(store.for_visitor(HOPPER)) | {"log": 0} == after | {"log": 0}, nth
        shutil.rmtree(settings.home)
    assert nth > 3
