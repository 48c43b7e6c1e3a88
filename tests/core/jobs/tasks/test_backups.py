"""Backup and restore of all runs: nothing is lost, and nothing in an untrusted zip is trusted."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from core.access import GUEST, MACHINE_OWNER, Role, Visitor
from core.cli.transferring import backup as backup_command
from core.cli.transferring import restore as restore_command
from core.errors import DataError, NotAllowed, NotEnoughRoom, StateConflict, Stopped
from core.estimate.inputs import model_facts
from core.evaluation.error_analysis import read_tags, write_tag
from core.jobs.context import JobContext
from core.jobs.tasks.backups import (
    PackedRuns,
    RestoredRuns,
    find_parts,
    launch_backup,
    launch_restore,
    list_own_runs,
    restore,
    run_backup,
    split_runs,
    write_backup,
)
from core.jobs.worker import perform
from core.models.catalog import find_model
from core.people.classroom import Rules, hash_key, sign_in_with_key
from core.runs import artifacts
from core.runs.leaderboard import read_leaderboard
from core.runs.local_estimate import find_speed
from core.runs.requests import read_train_request
from core.runs.run import read_result
from core.settings import BUNDLED_RUNS, Settings
from core.storage import accounts
from core.storage.job import Job, JobKind, JobState
from core.storage.recovery import open_store
from core.storage.store import Store
from core.training.events import EvaluatedSplit
from core.transfer.imports.backup_zip import PEOPLE, RUN, open_backup, read_table
from core.transfer.imports.metadata import MOST_LINES
from tests.support.json_values import value_at

pytestmark = pytest.mark.slow

ADA, BOB = Visitor("ada0", "Ada", Role.STUDENT), Visitor("bob0", "Bob", Role.STUDENT)
GRACE = Visitor("grace", "Grace", Role.TEACHER)
DONE, FAILED = "0a1b2c3d", "ffffffff"
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def lab(settings: Settings) -> Store:
    """A home with the bundled example, a finished run of Ada's and a failed one of Bob's."""
    store = open_store(settings)
    for visitor in (ADA, BOB):
        accounts.add_person(store, visitor, f"key of {visitor.id}")
    add_run(store, DONE, ADA, name="hers")
    add_run(
        store,
        FAILED,
        BOB,
        name="his",
        state="failed",
        cause="diverged",
        message="The loss is no longer a number.",
    )
    for path in (settings.jobs / FAILED).glob("predictions*"):
        path.unlink()
    shutil.rmtree(settings.jobs / FAILED / "adapter")
    return store


@pytest.fixture
def fresh(tmp_path: Path) -> Store:
    """Another home that has nothing but the example."""
    return open_store(Settings(home=tmp_path / "fresh"))


def add_run(store: Store, run_id: str, owner: Visitor, **changes: object) -> Job:
    """The bundled run under another id."""
    folder = store.settings.jobs / run_id
    shutil.copytree(BUNDLED_RUNS / "example", folder)
    record = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(
        json.dumps({**record, "id": run_id, "owner": owner.id, **changes})
    )
    return store.insert_from_folder(folder)


def pack(store: Store, path: Path, visitor: Visitor = MACHINE_OWNER) -> Path:
    store = store.for_visitor(visitor)
    write_backup(
        store,
        list_own_runs(store),
        path,
        visitor.is_admin,
        lambda progress: None,
        lambda: False,
        PackedRuns(),
    )
    return path


def unpack(store: Store, path: Path, visitor: Visitor = MACHINE_OWNER) -> RestoredRuns:
    store = store.for_visitor(visitor)
    outcome = RestoredRuns()
    with open_backup(path) as opened:
        restore(store, opened, lambda progress: None, lambda: False, outcome)
    return outcome


def changed(
    path: Path, edit: Edit | None = None, entries: Mapping[str, bytes] | None = None
) -> Path:
    """The zip with another record of the finished run, and other or more entries."""
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if edit and name == f"runs/{DONE}/job.json":
                record = json.loads(data)
                edit(record)
                data = json.dumps(record).encode()
            if name not in (entries or {}):
                new.writestr(name, data)
        for name, data in (entries or {}).items():
            new.writestr(name, data)
    return target


def test_runs_come_back_as_they_were(lab: Store, fresh: Store, tmp_path: Path) -> None:
    write_tag(lab.get_folder(lab.read_job(DONE)), 3, "hard", "why?")

    outcome = unpack(fresh, pack(lab, tmp_path / "runs.zip"))

    assert (sorted(outcome.restored), outcome.already, outcome.left_out) == ([DONE, FAILED], 0, {})
    for run_id in (DONE, FAILED):
        before, after = lab.read_job(run_id), fresh.read_job(run_id)
        assert (after.name, after.state, after.owner, after.cause, after.message) == (
            *(before.name, before.state, before.owner, before.cause, before.message),
        )
        assert after.created_at == before.created_at
        assert [m.loss for m in fresh.read_metrics(run_id)] == [
            m.loss for m in lab.read_metrics(run_id)
        ]
    before, after = lab.read_job(DONE), fresh.read_job(DONE)
    names: tuple[EvaluatedSplit, ...] = get_args(EvaluatedSplit)
    for name in names:
        assert value_at(before.result, name).items() <= value_at(after.result, name).items()
        theirs = artifacts.read_predictions(lab.get_folder(before), name)
        mine = artifacts.read_predictions(fresh.get_folder(after), name)
        pd.testing.assert_frame_equal(
            mine[list(theirs.columns)], theirs, check_dtype=False, rtol=1e-6
        )
    assert artifacts.list_validation_steps(
        fresh.get_folder(after)
    ) == artifacts.list_validation_steps(lab.get_folder(before))
    item, other = (
        (store.get_folder(job) / "adapter" / "adapter_model.safetensors").read_bytes()
        for store, job in ((lab, before), (fresh, after))
    )
    assert all(np.array_equal(load(item)[name], load(other)[name]) for name in load(item))
    assert read_tags(fresh.get_folder(after))[3].note == "why?"
    assert read_result(after).imported is None
    assert {line.owner_name for line in read_leaderboard(fresh, Rules())} == {"Ada"}


def test_what_is_here_already_is_left_alone(lab: Store, tmp_path: Path) -> None:
    path = pack(lab, tmp_path / "runs.zip")
    lab.rename(lab.read_job(DONE), "renamed since")

    outcome = unpack(lab, path)

    assert (outcome.restored, outcome.already) == ([], 2)
    assert lab.read_job(DONE).name == "renamed since"


def test_the_example_and_runs_running_stay(lab: Store) -> None:
    lab.create(JobKind.TRAIN, "waiting", {}, "key")

    assert {job.id for job in list_own_runs(lab)} == {DONE, FAILED}


def test_a_student_takes_only_their_own_away(lab: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(lab, tmp_path / "runs.zip", ADA)) as archive:
        names = archive.namelist()

    assert {name.split("/")[1] for name in names if name.startswith("runs/")} == {DONE}
    assert PEOPLE not in names


def test_what_a_student_uploads_is_theirs_and_counts_as_imported(
    lab: Store, fresh: Store, tmp_path: Path
) -> None:
    outcome = unpack(fresh, pack(lab, tmp_path / "runs.zip"), BOB)

    assert sorted(outcome.restored) == [DONE, FAILED]
    assert {fresh.read_job(run_id).owner for run_id in outcome.restored} == {BOB.id}
    assert read_result(fresh.read_job(DONE)).imported
    assert read_leaderboard(fresh, Rules()) == []
    assert accounts.list_people(fresh) == []


def test_an_admin_uploads_names_but_no_way_in(lab: Store, fresh: Store, tmp_path: Path) -> None:
    crown = json.dumps(
        {
            "people": [
                {"id": "ada0", "name": "Ada", "role": "teacher"},
                {"id": "shipped", "name": "x"},
            ]
        }
    ).encode()

    unpack(fresh, changed(pack(lab, tmp_path / "runs.zip"), entries={PEOPLE: crown}), GRACE)

    assert accounts.list_people(fresh) == [Visitor("ada0", "Ada", Role.STUDENT)]
    with pytest.raises(NotAllowed, match="This key is unknown here"):
        sign_in_with_key(fresh, "restored ada0", "here")


def test_keys_of_students_work_where_their_teacher_restores_them(
    lab: Store, fresh: Store, tmp_path: Path
) -> None:
    accounts.set_key(lab, ADA, hash_key("key of ada"))

    unpack(fresh, pack(lab, tmp_path / "runs.zip"), GRACE)

    assert sign_in_with_key(fresh, "key of ada", "here") == ADA


def test_a_student_restores_no_keys(lab: Store, fresh: Store, tmp_path: Path) -> None:
    accounts.set_key(lab, ADA, hash_key("key of ada"))

    unpack(fresh, pack(lab, tmp_path / "runs.zip"), BOB)

    with pytest.raises(NotAllowed):
        sign_in_with_key(fresh, "key of ada", "here")


def test_no_folder_of_this_machine_is_reported(lab: Store, tmp_path: Path) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        request = json.loads(record["request_json"])
        request["source"] = {
            "kind": "folder",
            "name": "Mine",
            "folder": "/srv/secret",
            "note": "/srv/secret",
        }
        record["request_json"] = json.dumps(request)

    record = json.loads((lab.settings.jobs / DONE / "job.json").read_text())
    elsewhere(record)
    with lab.transaction() as db:
        db.execute("UPDATE jobs SET request_json = ? WHERE id = ?", (record["request_json"], DONE))

    with zipfile.ZipFile(pack(lab, tmp_path / "runs.zip")) as archive:
        assert all(b"/srv/secret" not in archive.read(name) for name in archive.namelist())


def test_speed_measured_elsewhere_does_not_speak_for_this_machine(
    lab: Store, fresh: Store, tmp_path: Path
) -> None:
    def costly(record: dict[str, Any]) -> None:
        result = json.loads(record["result_json"])
        cost = {"work": {"step": 100.0}, "held": {}, "fixed_mb": 1.0, "trained": 77}
        result |= {
            "base_model": "minilm",
            "threads": 2,
            "step_seconds": 0.001,
            "peak_memory_mb": 1.0,
            "cost": cost,
        }
        record["result_json"] = json.dumps(result)

    unpack(fresh, changed(pack(lab, tmp_path / "runs.zip"), costly))

    job = fresh.read_job(DONE)
    assert (job.result["cost"], "step_seconds" in job.result) == ({"trained": 77}, False)
    model = model_facts(find_model("minilm", fresh.settings, False))
    assert not find_speed(fresh, read_train_request(job).config, model).measured


def set_(**changes: object) -> Edit:
    return lambda record: record.update(changes)


def request(**changes: object) -> Edit:
    def edit(record: dict[str, Any]) -> None:
        queries = json.loads(record["request_json"])
        queries["config"] |= changes
        record["request_json"] = json.dumps(queries)

    return edit


@pytest.mark.parametrize(
    ("edit", "page_text"),
    [
        (set_(id="11111111"), "not the record of a finished run"),
        (set_(kind="export"), "not the record of a finished run"),
        (set_(state="running"), "not the record of a finished run"),
        (set_(state="nowhere"), "does not describe a run"),
        (set_(created_at="yesterday"), "does not describe a run"),
        (set_(request_json="{"), "contains no valid configuration"),
        (set_(result_json="[]"), "The record of the run is damaged"),
        (set_(result_json="[" * 100_000), "The record of the run is damaged"),
        (
            set_(metrics=[{"step": 1, "split": "test", "epoch": 1.0, "loss": 1.0, "at": 1.0}]),
            "curves are damaged",
        ),
        (
            set_(
                metrics=[
                    {"step": 1, "split": "train", "epoch": 1.0, "loss": float("nan"), "at": 1.0}
                ]
            ),
            "curves are damaged",
        ),
        (request(rank=9_999_999), "contains no valid configuration"),
        (request(max_tokens=512), ""),
    ],
)
def test_a_record_that_cannot_be_is_left_out_and_the_others_come(
    lab: Store, fresh: Store, tmp_path: Path, edit: Edit, page_text: str
) -> None:
    outcome = unpack(fresh, changed(pack(lab, tmp_path / "runs.zip"), edit))

    assert FAILED in outcome.restored
    assert (DONE in outcome.restored) == (not page_text)
    assert page_text in outcome.left_out.get(DONE, "")
    assert (fresh.settings.jobs / DONE).exists() == (not page_text)


def test_a_base_in_a_folder_is_never_opened_because_a_file_names_it(
    lab: Store, fresh: Store, tmp_path: Path
) -> None:
    def planted(record: dict[str, Any]) -> None:
        request(model=str(tmp_path / "planted"))(record)

    path = changed(pack(lab, tmp_path / "runs.zip"), planted)
    unpack(fresh, path)
    assert read_train_request(fresh.read_job(DONE)).config.model == "minilm", (
        "the adapter names its base by identity"
    )

    other = open_store(Settings(home=tmp_path / "other"))
    bare = zipfile.ZipFile(path)
    without = {name: bare.read(name) for name in bare.namelist() if "/adapter/" not in name}
    bare.close()
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as archive:
        for name, data in without.items():
            archive.writestr(name, data)
    assert (
        "folder that no run on this machine has used"
        in unpack(other, tmp_path / "bare.zip").left_out[DONE]
    )


@pytest.mark.parametrize("owner", ["shipped", "gallery", "guest", "../x", "A B", "x" * 60])
def test_no_owner_is_taken_that_is_none(
    lab: Store, fresh: Store, tmp_path: Path, owner: str
) -> None:
    unpack(fresh, changed(pack(lab, tmp_path / "runs.zip"), set_(owner=owner)))

    assert fresh.read_job(DONE).owner == MACHINE_OWNER.id


def test_times_and_words_are_within_bounds(lab: Store, fresh: Store, tmp_path: Path) -> None:
    wild = {
        "created_at": 9e15,
        "started_at": -5.0,
        "name": "a\n\u202eb" * 200,
        "message": "m" * 9000,
        "cause": "magic",
        "attempt": 10**9,
    }

    unpack(fresh, changed(pack(lab, tmp_path / "runs.zip"), set_(**wild)))

    job = fresh.read_job(DONE)
    assert job.created_at <= fresh.clock() and job.started_at is None
    assert len(job.name) <= 120 and "\n" not in job.name and "\u202e" not in job.name
    assert (len(job.message), job.cause, job.attempt) == (500, "", 1000)


def test_names_that_lead_elsewhere_refuse_the_whole_zip(
    lab: Store, fresh: Store, tmp_path: Path
) -> None:
    path = changed(pack(lab, tmp_path / "runs.zip"), entries={"runs/../../evil/job.json": b"{}"})

    with pytest.raises(DataError, match="a path outside the zip's own folder"):
        unpack(fresh, path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "name",
    [
        "runs/0A1B2C3D/job.json",
        "runs/example/job.json",
        "runs/12345678/../x/job.json",
        "runs/123/job.json",
    ],
)
def test_ids_are_eight_hex_digits_or_nothing(name: str) -> None:
    assert RUN.fullmatch(name) is None


def test_files_that_are_not_named_here_are_never_opened(
    lab: Store, fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {
        f"runs/{DONE}/{name}": b"\x80\x04boom"
        for name in ("adapter/training_args.bin", "model.pkl", "predictions-evil.parquet")
    }
    path = changed(pack(lab, tmp_path / "runs.zip"), entries=planted)
    opened: list[object] = []
    read = zipfile.ZipFile.open

    def recording(archive: zipfile.ZipFile, name: str, *rest: Any, **more: Any) -> IO[bytes]:
        opened.append(name)
        return read(archive, name, *rest, **more)

    # of the standard library: nothing else shows which entries are opened
    monkeypatch.setattr(zipfile.ZipFile, "open", recording)

    outcome = unpack(fresh, path)

    assert DONE in outcome.restored
    assert not set(planted) & set(opened)
    assert not [
        path
        for path in fresh.settings.jobs.rglob("*")
        if path.suffix in (".bin", ".pkl") or "evil" in path.name
    ]


def parquet(frame: pd.DataFrame) -> bytes:
    return bytes(frame.to_parquet(index=False))


def table(**changes: object) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": [0, 1],
            "label": [0, 1],
            "p0": [0.9, 0.2],
            "p1": [0.1, 0.8],
            "loss": [0.1, 0.2],
            "text": ["a", "b"],
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("data", "page_text"),
    [
        (b"PAR1 no", "damaged"),
        (parquet(table(p0=[2.0, 0.2])), "0 to 1"),
        (parquet(table(label=[0, 7])), "label is outside"),
        (parquet(table(label=["a", "b"])), "a column of"),
        (parquet(table(row=[0, 0])), "occurs twice"),
        (parquet(table(text=["a" * 200_000, "b"])), "a text of 200,000 bytes"),
        (parquet(table().drop(columns="loss")), "damaged"),
    ],
)
def test_a_table_that_is_none_is_refused(data: bytes, page_text: str) -> None:
    with pytest.raises(DataError, match=page_text):
        read_table("predictions-test.parquet", data, 2)


def test_a_table_keeps_only_what_is_known_of_it() -> None:
    assert list(read_table("t", parquet(table(evil=["x", "y"])), 2).columns) == [
        "row",
        "label",
        "p0",
        "p1",
        "loss",
        "text",
    ]


def test_one_text_said_a_million_times_is_not_unpacked() -> None:
    text = pa.array(["x" * 90_000] * 1000).dictionary_encode()
    columns = {
        "row": range(1000),
        "label": [0] * 1000,
        "p0": [1.0] * 1000,
        "p1": [0.0] * 1000,
        "loss": [0.0] * 1000,
    }
    file = io.BytesIO()
    pq.write_table(
        pa.table({**{name: list(values) for name, values in columns.items()}, "text": text}), file
    )
    assert len(file.getvalue()) < 200_000

    with pytest.raises(DataError, match="more than 1 MB"):
        read_table("t", file.getvalue(), 2, most_unpacked=1_000_000)


def test_lines_are_counted_before_they_are_read() -> None:
    rows = pd.DataFrame({"row": np.arange(MOST_LINES + 1)})

    with pytest.raises(DataError, match="1,000,001 rows, more than 1,000,000"):
        read_table("t", parquet(rows), 2)


def test_sizes_are_bounded_before_they_are_read(lab: Store, tmp_path: Path) -> None:
    with (
        open_backup(pack(lab, tmp_path / "runs.zip")) as backup,
        pytest.raises(DataError, match="is larger than 0 MB"),
    ):
        backup.read_object(f"runs/{DONE}/job.json", most=1000)


def test_another_zip_is_no_backup(fresh: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("adapter_config.json", "{}")
    (tmp_path / "text.zip").write_text("no zip")

    for name, page_text in (
        ("other.zip", "not a backup of runs"),
        ("text.zip", "not a readable zip file"),
        ("nowhere.zip", "not a readable zip file"),
    ):
        with pytest.raises(DataError, match=page_text):
            unpack(fresh, tmp_path / name)


def test_an_adapter_for_another_base_is_left_out(lab: Store, fresh: Store, tmp_path: Path) -> None:
    place = f"runs/{DONE}/adapter"
    outcome = unpack(
        fresh,
        changed(
            pack(lab, tmp_path / "runs.zip"),
            entries={f"{place}/adapter_model.safetensors": b"\x80\x04pickle"},
        ),
    )

    assert "damaged or not a safetensors file" in outcome.left_out[DONE]


def test_the_jobs_pack_and_restore_and_leave_no_upload_behind(lab: Store, fresh: Store) -> None:
    lab = lab.for_visitor(ADA)
    job = started(lab, launch_backup(lab))
    assert perform(lab, job) == 0
    done = lab.read_job(job.id)
    assert (done.state, done.result["runs"]) == (JobState.COMPLETED, 1)

    fresh = fresh.for_visitor(BOB)
    (part,) = find_parts(lab, done)
    again = started(fresh, launch_restore(fresh, {"mine.zip": part.read_bytes()}))
    assert perform(fresh, again) == 0

    assert fresh.read_job(again.id).result["restored"] == [DONE]
    assert fresh.read_job(DONE).owner == BOB.id
    assert list((fresh.settings.home / "restoring").iterdir()) == []


def test_many_runs_leave_in_parts_that_a_page_takes_back(lab: Store, fresh: Store) -> None:
    job = started(lab, launch_backup(lab))
    with JobContext(lab, job) as context:
        context.set_running()
        run_backup(context, part_bytes=1)
        context.end(JobState.COMPLETED)
    done = lab.read_job(job.id)
    parts = find_parts(lab, done)
    assert done.state is JobState.COMPLETED
    assert [path.name for path in parts] == ["runs-1.zip", "runs-2.zip"]

    again = started(fresh, launch_restore(fresh, {path.name: path.read_bytes() for path in parts}))
    assert perform(fresh, again) == 0

    assert sorted(value_at(fresh.read_job(again.id).result, "restored")) == [DONE, FAILED]


def test_a_part_holds_as_many_runs_as_fit(lab: Store) -> None:
    runs = list_own_runs(lab)

    assert [len(part) for part in split_runs(lab, runs, 10_000_000)] == [2]
    assert [len(part) for part in split_runs(lab, runs, 300_000)] == [1, 1]
    assert split_runs(lab, [], 1) == []


def started(store: Store, job: Job) -> Job:
    store.transition(job, JobState.STARTING, started_at=store.clock())
    return store.read_job(job.id)


def test_a_newer_backup_takes_the_place_of_the_last_one(lab: Store) -> None:
    first = started(lab, launch_backup(lab))
    assert launch_backup(lab).id == first.id, "one at a time"
    assert perform(lab, first) == 0

    second = launch_backup(lab)

    assert [job.id for job in lab.list_jobs(JobKind.BACKUP)] == [second.id]
    assert not lab.get_folder(first).exists()


def test_guests_take_and_upload_nothing_and_others_need_a_run(lab: Store) -> None:
    lab = lab.for_visitor(GUEST)
    with pytest.raises(NotAllowed):
        launch_backup(lab)
    with pytest.raises(NotAllowed):
        launch_restore(lab, {"x.zip": b""})
    lab = lab.for_visitor(Visitor("new", "New", Role.STUDENT))
    with pytest.raises(StateConflict, match="no finished run"):
        launch_backup(lab)


def test_stopping_is_noticed_between_runs(lab: Store, fresh: Store, tmp_path: Path) -> None:
    path = pack(lab, tmp_path / "runs.zip")

    with pytest.raises(Stopped), open_backup(path) as opened:
        restore(fresh, opened, lambda progress: None, lambda: True, RestoredRuns())
    with pytest.raises(Stopped):
        write_backup(
            lab,
            list_own_runs(lab),
            tmp_path / "other.zip",
            True,
            lambda progress: None,
            lambda: True,
            PackedRuns(),
        )


def test_a_disk_that_runs_full_ends_the_restoration_before_the_next_run(
    lab: Store, fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(lab, tmp_path / "runs.zip")
    full = SimpleNamespace(free=10 * 2**20)
    # of the operating system: a test cannot fill the disk
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)

    with pytest.raises(NotEnoughRoom, match="Only 10 MB of disk are free"):
        unpack(fresh, path)
    assert fresh.list_jobs(JobKind.TRAIN) == [fresh.read_job("example")]


def test_the_command_line_does_both(
    lab: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.zip"
    backup_command(path, as_json=True)
    assert json.loads(capsys.readouterr().out)["runs"] == 2
    monkeypatch.setenv("LORALAB_HOME", str(tmp_path / "elsewhere"))

    restore_command(path)
    assert "2 runs restored" in capsys.readouterr().out
    restore_command(path)
    assert "0 runs restored, 2 existed already" in capsys.readouterr().out
