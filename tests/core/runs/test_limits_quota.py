"""Quotas of a student: runs, imported runs and exports."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.access import GUEST, MACHINE_OWNER, Role, Visitor
from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import NotAllowed
from core.jobs.actions import launch_training
from core.jobs.launching import launch
from core.people.classroom import RUNNING_PER_STUDENT, read_rules
from core.runs.limits import (
    QUOTA,
    Quota,
    Usage,
    list_limits,
    measure_usage,
    remove_old_exports,
    require_quota,
)
from core.runs.requests import TrainRequest
from core.storage import accounts
from core.storage.job import Job, JobKind
from core.storage.store import Store
from core.transfer.export.formats import ExportRequest, Format, exports_folder
from tests.support.stored_runs import start

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
GRACE = Visitor("grace", "Grace", Role.TEACHER)


@pytest.fixture
def people(store: Store) -> Store:
    for visitor in (ADA, BOB, GRACE):
        accounts.add_person(store, visitor, visitor.id)
    return store


def add_run(store: Store, visitor: Visitor, key: str, imported: str = "") -> Job:
    job = store.for_visitor(visitor).create(JobKind.TRAIN, key, {}, key)
    if imported:
        assert store.update(start(store, job), result_json=json.dumps({"imported": imported}))
    return job


def add_export(store: Store, visitor: Visitor, run: Job, size: int = 2_000_000) -> None:
    request = {"run": run.id, "format": "adapter"}
    store.for_visitor(visitor).create(JobKind.EXPORT, "export", request, f"export {run.id}")
    folder = exports_folder(store, run)
    folder.mkdir(parents=True)
    (folder / "adapter.zip").write_bytes(bytes(size))
    (folder / "adapter.json").write_text("{}")


def test_launches_at_once_do_not_exceed_what_a_student_may_queue(people: Store) -> None:
    """From several tabs or server processes; each saw no run, and twenty were queued."""
    config = RunConfig(train_rows=800, max_tokens=64)
    request = TrainRequest(config=config, source=demo_source())

    def try_to_launch(number: int) -> bool:
        try:
            launch_training(Store(people.settings, visitor=ADA), request, key=str(number))
        except NotAllowed:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        launched = sum(pool.map(try_to_launch, range(20)))

    assert launched == read_rules(people).waiting + RUNNING_PER_STUDENT


def test_usage_counts_what_a_student_owns_and_has_exported(people: Store) -> None:
    run = add_run(people, ADA, "one")
    add_run(people, ADA, "two", imported="a.zip")
    add_run(people, BOB, "three")
    add_export(people, ADA, run)

    assert measure_usage(people.for_visitor(ADA)) == Usage(2, 1, 1, 2)
    assert measure_usage(people.for_visitor(BOB)) == Usage(1, 0, 0, 0)


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        (Quota(runs=1), "A student may have 1 runs on this server"),
        (Quota(imported_runs=0), "A student may have 0 imported runs"),
        (Quota(exports=1), "A student may have 1 exports"),
        (Quota(export_mb=1), "A student may have 1 MB of exports"),
    ],
)
def test_student_who_would_exceed_the_quota_is_refused(
    people: Store, quota: Quota, message: str
) -> None:
    add_export(people, ADA, add_run(people, ADA, "one"))
    one_more = {"runs": 1, "imported_runs": 1, "exports": 1, "quota": quota}

    with pytest.raises(NotAllowed, match=message):
        require_quota(people.for_visitor(ADA), **one_more)  # type: ignore[arg-type]
    require_quota(people.for_visitor(GRACE), **one_more)  # type: ignore[arg-type]
    require_quota(people.for_visitor(BOB), runs=1)


def test_export_is_refused_at_the_quota(people: Store) -> None:
    for number in range(QUOTA.exports):
        add_export(people, ADA, add_run(people, BOB, f"{number}"), size=10)
    run = add_run(people, BOB, "next")

    with pytest.raises(NotAllowed, match="exports on this server"):
        launch(people.for_visitor(ADA), ExportRequest(run=run.id, format=Format.ADAPTER), "a")


def test_old_exports_of_students_are_removed(people: Store) -> None:
    mine, others = add_run(people, ADA, "one"), add_run(people, GRACE, "two")
    add_export(people, ADA, mine)
    add_export(people, GRACE, others)
    for run in (mine, others):
        os.utime(exports_folder(people, run) / "adapter.zip", (0, 0))

    remove_old_exports(people)

    assert list(exports_folder(people, mine).iterdir()) == []
    assert (exports_folder(people, others) / "adapter.zip").exists()


def test_imported_run_of_a_student_is_in_no_other_students_list(people: Store) -> None:
    own = add_run(people, BOB, "own")
    restored = add_run(people, BOB, "restored", imported="backup.zip")
    example = add_run(people, GRACE, "example", imported="example.zip")

    def names(visitor: Visitor) -> set[str]:
        return {job.id for job in people.for_visitor(visitor).list_jobs(JobKind.TRAIN)}

    assert names(ADA) == names(GUEST) == {own.id, example.id}
    assert names(BOB) == names(GRACE) == names(MACHINE_OWNER) == {own.id, restored.id, example.id}


def test_documented_limits_are_those_of_the_server() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text(encoding="utf-8")
    table = text.partition("### Limits")[2].partition("|---|---|\n")[2].partition("\n\n")[0]

    assert table.splitlines() == [f"| {limited} | {most} |" for limited, most in list_limits()]
