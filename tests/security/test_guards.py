"""Every function of core that changes data and is called by the interface checks the visitor.

A new function fails here until it has a line.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.access import GUEST, Role, Visitor
from core.charts.base import Chart
from core.config import RunConfig
from core.data import saved
from core.data.disputed_labels import DisputedLabel
from core.data.hub_download import HubFile, HubFiles
from core.data.recipe import Fix, Recipe, Step, save_recipe
from core.data.sources import Source, SourceKind, demo_source
from core.data.splits.build_splits import BuildOptions, BuiltDataset, build
from core.data.tables.read import read_table
from core.data.tables.table import FileFormat
from core.demo import bug_hunt
from core.errors import NotAllowed
from core.jobs import actions
from core.jobs.kinds import KINDS
from core.jobs.launching import launch, read_request
from core.jobs.tasks import backups, classify_texts, text_batch
from core.jobs.tasks.embed_texts import MapRequest, MapSubject, NearestRequest
from core.jobs.tasks.prepare_data import FetchRequest
from core.lesson import lesson_setup, open_lesson
from core.lesson.lesson_file import list_bundled
from core.people import classroom, membership
from core.people.classroom import Rules, join, sign_in_with_key
from core.reports.pinned_charts import pin_chart, remove_pin
from core.runs import artifacts
from core.runs.requests import CalibrateRequest, PrepareRequest, QualityRequest, TrainRequest
from core.runs.run_baselines import BaselineRequest
from core.runs.sweep import Sweep
from core.settings import Settings
from core.storage import accounts, lesson_records, recovery
from core.storage.files import write_json
from core.storage.job import Job, JobKind, JobState
from core.storage.lesson_records import Place
from core.storage.store import Store
from core.transfer.export.formats import ExportRequest, Format
from core.transfer.imports import import_run
from core.transfer.imports.archive import read_upload
from tests.support.peft_files import adapter_files, zipped
from tests.support.security import write_reach as reach
from tests.support.text_batches import make_batch
from tests.support.tiny_models import write_bert

TIMES = 30
ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
MARK = "0123456789ab"
SMALL = RunConfig(train_rows=1000)
CSV = "text,label\n" + "\n".join(f"text {row} of it,{'ab'[row % 2]}" for row in range(80))
Act = Callable[[Store, Job], object]

LAUNCHES: dict[str, Act] = {  # allowed for visitors who may launch, not for guests
    "core.jobs.actions.launch_training": lambda store, job: actions.launch_training(
        store, TrainRequest(config=SMALL, source=demo_source()), key=secrets.token_hex(4)
    ),
    "core.jobs.actions.launch_sweep": lambda store, job: actions.launch_sweep(store, sweep_of(job)),
    "core.jobs.actions.retry": lambda store, job: actions.retry(store, store.read_job("failed")),
    "core.jobs.launching.launch: prepare": lambda store, job: launch(
        store, PrepareRequest(source=demo_source()), "x"
    ),
    "core.jobs.launching.launch: quality": lambda store, job: launch(
        store, QualityRequest(fingerprint=MARK), "x"
    ),
    "core.jobs.launching.launch: baseline": lambda store, job: launch(
        store, baselines_of("minilm"), "x"
    ),
    "core.jobs.launching.launch: calibrate": lambda store, job: launch(
        store, CalibrateRequest(model="minilm"), "x"
    ),
    "core.jobs.launching.launch: embed": lambda store, job: launch(store, map_of("minilm"), "x"),
    "core.jobs.launching.launch: export": lambda store, job: launch(
        store, ExportRequest(run=job.id, format=Format.ADAPTER), "x"
    ),
    "core.jobs.launching.launch: nearest": lambda store, job: launch(
        store, NearestRequest(run=job.id), "x"
    ),
    "core.jobs.actions.launch_batch": lambda store, job: actions.launch_batch(
        store, job, "x", make_batch(["a"])
    ),
    "core.jobs.actions.classify_at_once": lambda store, job: actions.classify_at_once(
        store, job, "x", make_batch(["a"]), lambda texts: np.ones((1, 2), dtype=np.float32)
    ),
    "core.jobs.actions.dispute_labels": lambda store, job: actions.dispute_labels(
        store, MARK, "mine", [DISPUTED]
    ),
    "core.jobs.actions.undo_disputes": lambda store, job: actions.undo_disputes(
        store, MARK, "mine", [0]
    ),
    "core.lesson.open_lesson.give_guess": lambda store, job: open_lesson.give_guess(
        store, place_of_bob(store), ["World"], ["World", "Sports"]
    ),
    "core.lesson.open_lesson.mark_done": lambda store, job: open_lesson.mark_done(
        store, place_of_bob(store)
    ),
    "core.reports.pinned_charts.pin_chart": lambda store, job: pin_chart(store, CHART, ""),
    "core.reports.pinned_charts.remove_pin": lambda store, job: remove_pin(store, "none"),
    "core.lesson.open_lesson.write_note": lambda store, job: open_lesson.write_note(
        store, place_of_bob(store).id, 0, "mine"
    ),
    "core.jobs.actions.store_recipe": lambda store, job: actions.store_recipe(store, RECIPE),
    "core.demo.bug_hunt.mark": lambda store, job: bug_hunt.mark(
        store, bug_hunt.Fault.LEAK, ["mine"]
    ),
    "core.demo.bug_hunt.end_hunt": lambda store, job: bug_hunt.end_hunt(store),
    "core.jobs.tasks.backups.launch_backup": lambda store, job: backups.launch_backup(store),
    "core.jobs.tasks.backups.launch_restore": lambda store, job: backups.launch_restore(
        store, {"x.zip": b"x"}
    ),
    "core.transfer.imports.import_run.import_run": lambda store, job: import_run.import_run(
        store, read_upload("x.zip", adapter_zip(store))
    ),
}
ON_A_RUN: dict[str, Act] = {
    "core.jobs.actions.stop": actions.stop,
    "core.jobs.actions.resume": actions.resume,
    "core.jobs.actions.delete": actions.delete,
    "core.jobs.actions.rename": lambda store, job: actions.rename(store, job, "mine now"),
    "core.jobs.actions.tag_text": lambda store, job: actions.tag_text(
        store, job, 7, "hard", "mine"
    ),
    "core.jobs.tasks.classify_texts.launch_scoring": lambda store, job: (
        classify_texts.launch_scoring(store, job, demo_source())
    ),
    "core.runs.artifacts.read_job_log_tail": artifacts.read_job_log_tail,
    "core.runs.artifacts.read_job_log": artifacts.read_job_log,
}
OF_THE_TEACHER: dict[str, Act] = {
    "core.people.classroom.change_rules": lambda store, job: classroom.change_rules(
        store, Rules(rows=1_000_000)
    ),
    "core.people.classroom.clear_class": lambda store, job: classroom.clear_class(store),
    "core.people.classroom.reveal_hidden_test": lambda store, job: classroom.reveal_hidden_test(
        store
    ),
    "core.people.classroom.replace_code": lambda store, job: classroom.replace_code(store),
    "core.lesson.open_lesson.start_lesson": lambda store, job: open_lesson.start_lesson(
        store, LESSON
    ),
    "core.lesson.open_lesson.go_to": lambda store, job: open_lesson.go_to(
        store, place_of_bob(store), 1
    ),
    "core.lesson.open_lesson.reveal": lambda store, job: open_lesson.reveal(
        store, place_of_bob(store)
    ),
    "core.lesson.open_lesson.set_timer": lambda store, job: open_lesson.set_timer(
        store, place_of_bob(store), 1
    ),
    "core.lesson.open_lesson.end_lesson": lambda store, job: open_lesson.end_lesson(store),
    "core.lesson.open_lesson.resume_lesson": lambda store, job: open_lesson.resume_lesson(
        store, place_of_bob(store)
    ),
    "core.lesson.open_lesson.store_lesson": lambda store, job: open_lesson.store_lesson(
        store, LESSON
    ),
    "core.lesson.lesson_setup.prepare_lesson": lambda store, job: lesson_setup.prepare_lesson(
        store, demo_source()
    ),
    "core.lesson.open_lesson.delete_lesson": lambda store, job: open_lesson.delete_lesson(
        store, "hers"
    ),
    "core.people.membership.list_members": lambda store, job: membership.list_members(store),
    "core.people.membership.renew_key": lambda store, job: membership.renew_key(store, CAROL),
    "core.people.membership.rename_member": lambda store, job: membership.rename_member(
        store, CAROL, "Mallory"
    ),
    "core.people.membership.merge_members": lambda store, job: membership.merge_members(
        store, CAROL, store.visitor
    ),
    "core.people.membership.remove_member": lambda store, job: membership.remove_member(
        store, CAROL
    ),
    "core.jobs.launching.launch: fetch": lambda store, job: launch(
        store, FetchRequest(pick=PICK), PICK.name
    ),
    "core.jobs.actions.store_dataset": lambda store, job: actions.store_dataset(
        store, "mine", *built()
    ),
    "core.jobs.actions.delete_dataset": lambda store, job: actions.delete_dataset(store, "reviews"),
    "core.demo.bug_hunt.plant": lambda store, job: bug_hunt.plant(store),
    "core.storage.recovery.repair": lambda store, job: recovery.repair(
        store.settings, store.visitor
    ),
}
FOLDERS: dict[
    str, Act
] = {  # a student may do these with an offered model, not with a folder of the machine
    "launch_training": lambda store, job: actions.launch_training(
        store, TrainRequest(config=SMALL.model_copy(update={"model": "/etc"}), source=demo_source())
    ),
    "launch_sweep": lambda store, job: actions.launch_sweep(store, sweep_of(job, "/etc")),
    "calibrate": lambda store, job: launch(store, CalibrateRequest(model="/etc"), "x"),
    "embed": lambda store, job: launch(store, map_of("../../etc"), "x"),
    "baseline": lambda store, job: launch(store, baselines_of("~root"), "x"),
}
HARMLESS = {  # changes something, and may be called by any visitor
    "core.people.classroom.join": "signs in with a code",
    "core.people.classroom.sign_in": "signs in a person whom a provider has verified",
    "core.people.classroom.read_codes": (
        "makes codes up once; only the teacher's part of the page shows them"
    ),
    "core.data.hub.hub_reachable": "remembers the Hub's answer for a while",
    "core.data.hub_download.look_up": "asks the Hub as well",
    "core.data.sources.find_source": "asks the Hub as well",
    "core.runs.limits.find_allowed_model": "asks the Hub as well",
    "core.jobs.tasks.embed_texts.find_map_paths": "asks the Hub as well",
    "core.lesson.lesson_setup.find_minutes": "asks the Hub as well",
    "core.lesson.lesson_setup.list_preparations": "asks the Hub as well",
    "core.runs.local_estimate.estimate_request": "asks the Hub as well",
    "core.runs.waiting_times.read_queue": "asks the Hub as well",
    "core.runs.sweep.estimate_sweep": "asks the Hub as well",
    "core.demo.gallery.open_gallery": "copies the bundled runs, which have no owner, once",
    "core.jobs.tasks.embed_texts.write_vectors": "of the texts of the Playground, once a dataset",
    "core.storage.files.remove_orphans": "removes what killed processes left",
    "core.storage.recovery.finish_changes": "finishes what killed processes left",
    "core.storage.recovery.open_store": "makes the database where there is none",
    "core.people.classroom.sign_in_with_key": "writes down who came, with a key",
    "core.people.membership.remember_browser": "of someone who has just joined",
    "core.people.membership.forget_browser": "needs the browser's secret",
    "core.people.membership.note_seen": "of the visitor alone",
    "core.people.membership.write_drafts": "of the visitor alone",
    "core.people.allowances.spend": "counts a use, of which it leaves less",
}
PICK: HubFiles = HubFiles("owner/name", "default", "0" * 40, (HubFile("train.csv", "train", 100),))
CAROL: Visitor = Visitor("carol", "Carol", Role.STUDENT)
DISPUTED: DisputedLabel = DisputedLabel(row=0, label="a", at=1.0)
LESSON: str = list_bundled()["tour"]
CHART: Chart = Chart({"mark": "point"}, pd.DataFrame({"x": [1]}), "Mine", "One point")
RECIPE: Recipe = Recipe(fingerprint=MARK, steps=(Step(check="leakage", fix=Fix.DROP, rows=(1,)),))


def built() -> tuple[BuiltDataset, BuildOptions, list[FileFormat]]:
    table = read_table("mine.csv", CSV.encode())
    choice = BuildOptions(("text",), "label", {"a": "a", "b": "b"}, "", 0.2)
    return build([("train", table)], choice), choice, [table.file]


def place_of_bob(store: Store) -> Place:
    place = lesson_records.find_place(store, BOB.id)
    assert place is not None
    return place


def sweep_of(job: Job, model: str = "minilm") -> Sweep:
    request = TrainRequest(config=SMALL.model_copy(update={"model": model}), source=demo_source())
    return Sweep(secrets.token_hex(4), "rank", (request,), ("x",))


def map_of(model: str) -> MapRequest:
    return MapRequest(fingerprint=MARK, subjects=(MapSubject(model=model),))


def baselines_of(model: str) -> BaselineRequest:
    return BaselineRequest(fingerprint=MARK, train_rows=0, seed=0, model=model, max_tokens=128)


def adapter_zip(store: Store) -> bytes:
    return zipped(adapter_files(Path(store.settings.model)))


def as_(store: Store, who: Visitor) -> Store:
    return store.for_visitor(who)


def state_of(store: Store) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, str]]:
    """Return the whole state: every database row except notes, and every other file."""
    with store.transaction() as db:
        names = [
            row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        tables = {
            name: [tuple(row) for row in db.execute(f"SELECT * FROM {name}")]
            for name in names
            if name != "audit"
        }
    home = store.settings.home
    result = {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.rglob("*")
        if path.is_file()
    }
    return tables, {
        name: mark
        for name, mark in result.items()
        if not name.startswith("loralab.db") and not name.endswith(".lock")
    }


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("LORALAB_MODEL", str(write_bert(home.parent / "tiny")))
    return Store(Settings())


@pytest.fixture
def of_ada(store: Store) -> Job:
    """Create runs of Ada in each state, a dataset, a recipe and a log; the returned run has ended
    and was imported.
    """
    store = store.for_visitor(ADA)
    request = TrainRequest(config=SMALL, source=Source(SourceKind.IMPORTED, "x")).model_dump(
        mode="json"
    )
    runs = {
        state: store.create(JobKind.TRAIN, f"hers, {state}", request, state)
        for state in ("queued", "running", "failed", "completed")
    }
    for name in ("running", "failed", "completed"):
        store.transition(runs[name], JobState.STARTING, started_at=1.0)
    store.transition(runs["running"], JobState.RUNNING)
    store.transition(
        runs["failed"], JobState.FAILED, cause="diverged", proposal_json='{"learning_rate": 0.0005}'
    )
    store.transition(runs["completed"], JobState.RUNNING)
    store.update(
        runs["completed"], result_json=json.dumps({"imported": "x.zip", "classes": ["a", "b"]})
    )
    store.transition(runs["completed"], JobState.COMPLETED)
    with store.transaction() as db:
        db.execute("UPDATE jobs SET id = 'failed' WHERE id = ?", (runs["failed"].id,))
    for job in store.list_jobs():
        (store.get_folder(job)).mkdir(exist_ok=True)
        (store.get_folder(job) / "worker.log").write_text("hers")
    saved.save(store.settings, "reviews", *built())
    lesson_records.open_lesson(store, BOB.id, LESSON)
    lesson_records.save_lesson(store, "hers", LESSON, 50)
    answers = bug_hunt.Answers(id="0" * 16, faults={bug_hunt.Fault.LEAK: ("leaked",)})
    write_json(store.settings.home / "hunt" / "answers.json", answers.model_dump(mode="json"))
    actions.store_recipe(store, RECIPE)
    actions.dispute_labels(store, MARK, "mine", [DISPUTED])
    save_recipe(
        store.settings, RECIPE.model_copy(update={"steps": RECIPE.steps * 2})
    )  # the teacher's
    return store.read_job(runs["completed"].id)


def refused(store: Store, who: Visitor, act: Act, jobs: Sequence[Job]) -> int:
    """Return the number of attempts; fail if one was accepted or changed anything."""
    lab, before, tries = as_(store, who), state_of(store), 0
    for job in jobs:
        for _ in range(TIMES):
            with pytest.raises(NotAllowed):
                act(lab, job)
            tries += 1
    assert state_of(store) == before
    return tries


def test_every_function_of_the_interface_that_changes_something_has_a_line_here() -> None:
    guarded = {name.partition(":")[0] for name in (*LAUNCHES, *ON_A_RUN, *OF_THE_TEACHER)}

    assert reach.from_the_interface() - guarded - HARMLESS.keys() == set(), (
        "add the function to a table of this file"
    )
    assert (guarded | HARMLESS.keys()) - reach.functions().keys() == set(), (
        "this is no function any more"
    )


def test_every_kind_of_job_has_a_line_here() -> None:
    generic = {
        name.partition(": ")[2] for name in (*LAUNCHES, *OF_THE_TEACHER) if "launch: " in name
    }
    with_a_function_of_their_own = {"train", "classify", "evaluate", "backup", "restore"}

    assert generic | with_a_function_of_their_own == KINDS.keys()


def test_the_search_for_what_changes_something_finds_it_through_others() -> None:
    assert {
        "core.jobs.actions.rename",
        "core.jobs.actions.retry",
        "core.data.saved.save",
        "core.storage.accounts.write_options",
    } <= reach.writing()
    assert "core.evaluation.error_analysis.read_tags" not in reach.writing()


@pytest.mark.parametrize(
    "who", [GUEST, Visitor("guest-1", "", Role.GUEST_TRAINER)], ids=["looks", "may taste"]
)
@pytest.mark.parametrize("name", [*LAUNCHES, *ON_A_RUN, *OF_THE_TEACHER])
def test_a_guest_changes_nothing(store: Store, of_ada: Job, name: str, who: Visitor) -> None:
    act = {**LAUNCHES, **ON_A_RUN, **OF_THE_TEACHER}[name]

    assert refused(store, who, act, store.list_jobs() if name in ON_A_RUN else [of_ada]) >= TIMES


@pytest.mark.parametrize("name", ON_A_RUN)
def test_a_student_does_nothing_to_another_ones_run_in_any_state(
    store: Store, of_ada: Job, name: str
) -> None:
    assert refused(store, BOB, ON_A_RUN[name], store.list_jobs()) == 4 * TIMES


@pytest.mark.parametrize("name", OF_THE_TEACHER)
def test_a_student_does_nothing_that_is_the_teachers(store: Store, of_ada: Job, name: str) -> None:
    assert refused(store, ADA, OF_THE_TEACHER[name], [of_ada]) == TIMES


@pytest.mark.parametrize("name", FOLDERS)
def test_a_student_names_no_folder_of_the_machine(store: Store, of_ada: Job, name: str) -> None:
    assert refused(store, BOB, FOLDERS[name], [of_ada]) == TIMES


@pytest.mark.parametrize("name", LAUNCHES)
def test_what_a_student_starts_is_theirs_and_leaves_all_of_others_as_it_was(
    store: Store, of_ada: Job, name: str
) -> None:
    lab = as_(store, BOB)
    lab.transition(
        lab.create(JobKind.TRAIN, "his", {}, "his"), JobState.CANCELLED
    )  # there is something to remove
    before, known = state_of(store), {job.id for job in store.list_jobs()}

    LAUNCHES[name](lab, of_ada)

    after = state_of(store)
    assert {job.owner for job in store.list_jobs() if job.id not in known} <= {BOB.id}
    assert {row for row in before[0]["jobs"]} <= set(after[0]["jobs"])
    assert before[1].items() <= after[1].items()
    assert [who for _, who, _, _ in accounts.read_audit_log(store, 1)] == [BOB.id], (
        "it is written down"
    )


@pytest.mark.parametrize(
    "name", ["core.jobs.actions.stop", "core.jobs.actions.rename", "core.jobs.actions.delete"]
)
def test_what_someone_does_to_an_own_run_is_written_down(
    store: Store, of_ada: Job, name: str
) -> None:
    queued = next(job for job in store.list_jobs() if job.state is JobState.QUEUED)

    ON_A_RUN[name](as_(store, ADA), queued)

    assert accounts.read_audit_log(store, 1)[0][1] == ADA.id


@pytest.mark.parametrize(
    "name",
    [
        *("change_rules", "clear_class", "store_dataset", "delete_dataset", "launch: fetch"),
        *("start_lesson", "end_lesson", "store_lesson", "delete_lesson"),
    ],
)
def test_what_the_teacher_does_is_written_down(store: Store, of_ada: Job, name: str) -> None:
    act = next(act for full, act in OF_THE_TEACHER.items() if full.endswith(name))

    act(as_(store, Visitor("grace", "Grace", Role.TEACHER)), of_ada)

    assert accounts.read_audit_log(store, 1)[0][1] == "grace"


def test_a_resumed_run_takes_a_place_like_a_new_one(store: Store, of_ada: Job) -> None:
    lab = as_(store, ADA)
    mine = [lab.create(JobKind.TRAIN, "more", {}, str(number)) for number in range(2)]
    assert len(mine) == 2

    with pytest.raises(NotAllowed, match="queued or running"):
        actions.resume(lab, store.read_job("failed"))


def test_the_texts_of_a_file_that_waits_stay_however_many_others_upload(
    store: Store, of_ada: Job
) -> None:
    hers = actions.launch_batch(as_(store, ADA), of_ada, "hers.csv", make_batch(["private"]))
    key = read_request(hers, classify_texts.BatchRequest).key

    for number in range(text_batch.KEPT_BATCHES + 5):
        store.transition(
            actions.launch_batch(as_(store, BOB), of_ada, "x", make_batch([str(number)])),
            JobState.CANCELLED,
        )

    assert text_batch.batch_path(store.settings, key).is_file()
    assert len(list((store.settings.home / "batches").iterdir())) <= text_batch.KEPT_BATCHES + 1


@pytest.mark.parametrize("who", [BOB, GUEST])
def test_no_one_finds_another_ones_file(store: Store, of_ada: Job, who: Visitor) -> None:
    hers = actions.launch_batch(as_(store, ADA), of_ada, "hers.csv", make_batch(["private"]))

    assert [classify_texts.find_batch(as_(store, who), of_ada, hers.id) for _ in range(TIMES)] == [
        None
    ] * TIMES
    assert classify_texts.find_batch(as_(store, ADA), of_ada, hers.id) == hers


def test_no_key_is_guessed_from_what_is_known_of_its_owner(home: object) -> None:
    store = Store(Settings(class_code="whale", teacher_code="oak"))
    ada, key = join(store, "whale", "Ada", "here")
    with store.transaction() as db:
        (stored,) = db.execute("SELECT key_hash FROM people").fetchone()
    tries = [
        "",
        " ",
        ada.id,
        ada.name,
        stored,
        key[:-1],
        key + "a",
        key[1:],
        key.replace("-", ""),
        "%",
        "_" * len(key),
        "' OR 1=1 --",
        "gone ada",
    ]
    tries += [classroom.make_key(3) for _ in range(TIMES)]

    for wrong in tries:
        with pytest.raises(NotAllowed):
            sign_in_with_key(store, wrong, "here", pause=lambda seconds: None)


def test_the_key_of_an_ended_class_opens_nothing(home: object) -> None:
    store = Store(Settings(class_code="whale", teacher_code="oak"))
    ada, key = join(store, "whale", "Ada", "here")
    classroom.clear_class(store)

    for wrong in (key, f"gone {ada.id}", ada.id):
        with pytest.raises(NotAllowed):
            sign_in_with_key(store, wrong, "here", pause=lambda seconds: None)
    assert not accounts.is_member(store, ada)
    assert not accounts.is_member(store, Visitor(ada.id, ada.name, Role.TEACHER))
