"""A home folder that commit ba92c36 wrote is opened, read, used and continued by this one.

The stored formats are the contract: the database, ``job.json``, checkpoints, adapters, prediction
tables, prepared and saved data, exports, backups, and the JSON on the command line. How the fixture
is packed: ``first_home.py``; what is in it and how it was made: ``fixtures/write_home.py``.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core.data.recipe import read_recipe
from core.evaluation.error_analysis import read_tags
from core.jobs.kinds import find_kind
from core.jobs.launching import read_job_result
from core.people.classroom import read_rules, sign_in_with_key
from core.settings import Settings
from core.storage.accounts import list_people
from core.storage.job import JobState
from core.storage.recovery import open_store
from core.storage.store import Store
from tests.support.app.page_app import HOME_PAGE, TIMEOUT_SECONDS, after_first_visit
from tests.support.command_line import read_json
from tests.support.first_home import HOME, PERSON, person_environment, unpack, without_machine
from ui.navigation import ENTRIES
from ui.session import cache

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 240  # three workers import torch one after the other
CLASSIFY_TOLERANCE = 1e-5
RESUMED_TOLERANCE = 1e-3  # of a probability; other processors round 150 steps differently
WITH_RESULTS = {"train", "calibrate", "quality", "baseline", "classify", "backup", "restore"}
GALLERY = "gallery"  # owner of the runs that the page Gallery copies into a home
LOCAL_RUNS = (
    "steady",
    "stopped",
    "killed",
    "failed",
    "diverged",
    "minilm",
    "other_base",
    "sweep_low",
    "cleaned",
    "own_data",
    "run_of_ada",
    "imported",
    "scored",
)


@dataclass(frozen=True)
class FirstHome:
    """The unpacked fixture: its root folder and what ba92c36 recorded with it."""

    root: Path
    expected: dict[str, Any]

    @property
    def person(self) -> Path:
        return self.root / PERSON

    @property
    def printed(self) -> dict[str, Any]:
        """JSON that the command line printed."""
        return dict(self.expected["printed"])

    def run_id(self, role: str) -> str:
        return str(self.expected["roles"][role])


def use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in person_environment(root).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstHome]:
    root = tmp_path_factory.mktemp("first")
    st.cache_data.clear()
    st.cache_resource.clear()  # one inference host serves all pages of this home
    yield FirstHome(root, unpack(root))
    cache.get_host().stop()
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def first(unpacked: FirstHome, home: Path, monkeypatch: pytest.MonkeyPatch) -> FirstHome:
    """The home in use, shared by the tests that only read."""
    use(unpacked.root, monkeypatch)
    return unpacked


@pytest.fixture
def own(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> FirstHome:
    """A copy in use for one test that changes it."""
    expected = unpack(tmp_path)
    use(tmp_path, monkeypatch)
    return FirstHome(tmp_path, expected)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Open a page through ``Home.py`` with a query string."""
    monkeypatch.setattr(PagesManager, "__init__", after_first_visit)

    def visit(page: str, **query: str) -> AppTest:
        tested = AppTest.from_file(str(HOME_PAGE), default_timeout=TIMEOUT_SECONDS)
        for name, value in query.items():
            tested.query_params[name] = value
        return tested.switch_page(page).run()

    return visit


SENTENCES = (".what", ".title", ".effect", ".fix")


def assert_contains(new: object, old: object, where: str = "") -> None:
    """Each key of ``old`` is in ``new`` with its value; ``new`` may have more keys."""
    if isinstance(old, dict):
        assert isinstance(new, dict), where
        assert not old.keys() - new.keys(), where
        for key, value in old.items():
            assert_contains(new[key], value, f"{where}.{key}")
    elif isinstance(old, list):
        assert isinstance(new, list) and len(new) == len(old), where
        for number, value in enumerate(old):
            assert_contains(new[number], value, f"{where}[{number}]")
    elif isinstance(old, float):
        assert new == pytest.approx(old, rel=1e-6, abs=1e-9), where
    elif where.endswith("config.precision") and old == "auto":
        assert new == "fp32", where  # a run has one precision now, and ba92c36 recorded none
    elif where.startswith(("baselines", "quality")) and where.endswith(SENTENCES):
        assert isinstance(new, str) and new, where  # words for the reader, rewritten since
    else:
        assert new == old, where


def assert_page_is_drawn(tested: AppTest, where: str) -> None:
    assert not tested.exception, (where, tested.exception[0].value)
    wrong = [error.value for error in tested.error if "Something went wrong" in error.value]
    assert not wrong, (where, wrong)


def states(store: Store) -> dict[str, list[object]]:
    """Kind, state, owner and attempt of each job, without the gallery that a page adds."""
    jobs = [job for job in store.list_jobs() if job.owner != GALLERY]
    return {job.id: [job.kind, job.state, job.owner, job.attempt] for job in jobs}


def test_each_job_has_its_state_owner_and_attempt(first: FirstHome) -> None:
    store = open_store(Settings())

    assert states(store) == first.expected["jobs"]
    assert (
        len({job.kind for job in store.list_jobs()}) == 12
    )  # every kind except downloads from the Hub


def test_a_new_process_prints_the_runs_as_before(first: FirstHome) -> None:
    command = [sys.executable, "-m", "core", "runs", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)

    runs = [run for run in json.loads(done.stdout) if run["run"] in first.printed["show"]]
    assert_contains(runs, first.printed["runs"])


def test_show_prints_each_run_as_before(first: FirstHome) -> None:
    for run, printed in first.printed["show"].items():
        assert_contains(read_json("show", run), printed, run)


def test_compare_and_doctor_print_what_they_printed(first: FirstHome) -> None:
    assert_contains(read_json("compare", *first.expected["compared"]), first.printed["compare"])
    assert_contains(without_machine(read_json("doctor")), first.printed["doctor"])


def test_stored_results_are_read_and_not_computed_again(first: FirstHome) -> None:
    printed, text = first.printed, first.expected["texts"][0]
    commands = {
        "embed": ["embed", *first.expected["embed"]],
        "nearest": ["nearest", "steady", text, "--count", "3"],
        "baselines": ["baselines", "--rows", "120"],
        "quality": ["quality"],
        "explore": ["explore"],
        "data list": ["data", "list"],
        "data report": ["data", "report", "Small news"],
    }

    for name, command in commands.items():
        assert_contains(read_json(*command), printed[name], name)

    assert states(open_store(Settings())) == first.expected["jobs"]


def test_the_result_of_every_kind_is_read(first: FirstHome) -> None:
    completed = open_store(Settings()).list_jobs(states=[JobState.COMPLETED])
    recorded = [job for job in completed if find_kind(job).result and job.result]

    results = [read_job_result(job, resolve_name(find_kind(job).result)) for job in recorded]

    assert None not in results
    assert {job.kind for job in recorded} == WITH_RESULTS


def test_the_calibration_is_used(first: FirstHome) -> None:
    model, precision = ("--model", "~/models/tiny-bert"), ("--set", "precision=fp32")

    assert (
        read_json("estimate", *model, *precision, "--no-measure")["measured_on_this_machine"]
        is True
    )


def test_every_run_with_an_adapter_classifies_as_before(first: FirstHome) -> None:
    assert len(first.expected["classified"]) >= 12
    for run, predictions in first.expected["classified"].items():
        again = read_json("classify", run, *first.expected["texts"])

        for new, old in zip(again, predictions, strict=True):
            assert new["label"] == old["label"]
            close = pytest.approx(old["probabilities"], abs=CLASSIFY_TOLERANCE)
            assert new["probabilities"] == close


@pytest.mark.parametrize("role", LOCAL_RUNS)
def test_every_page_about_a_run_is_drawn(
    first: FirstHome, open_page: Callable[..., AppTest], role: str
) -> None:
    run = first.run_id(role)
    about_a_run = [entry.file for entry in ENTRIES.values() if entry.follows_run]
    tested = open_page(about_a_run[0], run=run)
    for page in about_a_run:
        tested.query_params["run"] = run
        assert_page_is_drawn(tested.switch_page(page).run(), f"{page} of {role}")


def test_every_other_page_is_drawn(first: FirstHome, open_page: Callable[..., AppTest]) -> None:
    tested = open_page("pages/home.py")
    for page, entry in ENTRIES.items():
        if not entry.follows_run:
            assert_page_is_drawn(tested.switch_page(page).run(), page)
    compared = ",".join(first.expected["compared"])
    assert_page_is_drawn(open_page("pages/compare.py", compared=compared), "two or more runs")
    batch = {"run": first.run_id("steady"), "batch": first.expected["batch"]}
    assert_page_is_drawn(open_page("pages/classify.py", **batch), "a classified file")
    assert states(open_store(Settings())) == first.expected["jobs"]  # no page starts a job


def test_the_class_comes_back_with_its_keys_rules_and_owners(first: FirstHome) -> None:
    store, roles = open_store(Settings()), first.expected["roles"]

    joined = {person.name: person.id for person in list_people(store)}
    ada = sign_in_with_key(store, roles["key_of_ada"], "192.0.2.7")
    rules = read_rules(store)

    assert joined == {name.title(): roles[name] for name in ("grace", "ada", "bob")}
    assert (ada.id, store.read_job(roles["run_of_ada"]).owner) == (roles["ada"], roles["ada"])
    assert (rules.rows, rules.waiting, rules.names) == (4000, 3, False)
    fingerprint = store.read_job(roles["steady"]).fingerprint
    hers, of_the_teacher = (read_recipe(store.settings, fingerprint, s) for s in (ada.folder, ""))
    assert (len(hers.steps), len(of_the_teacher.steps)) == (1, 2)


def test_a_student_sees_the_board(
    first: FirstHome, open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    tested = open_page("pages/board.py")
    tested.text_input(key="back-key").set_value(first.run_id("key_of_ada"))
    tested.button(key="back-submit").click().run()

    assert_page_is_drawn(tested, "board")
    assert {"run of Ada", "run of Bob"} <= set(tested.dataframe[0].value["Run"])


def test_tags_of_texts_are_read(first: FirstHome) -> None:
    folder = open_store(Settings()).settings.jobs / first.run_id("steady")

    (tag,) = read_tags(folder).values()

    assert (tag.tag, tag.note) == ("hard", "two topics")


def test_a_lost_database_is_rebuilt_from_the_records(own: FirstHome) -> None:
    for path in (own.root / HOME).glob("loralab.db*"):
        path.unlink()

    store = open_store(Settings())

    assert own.expected["jobs"].items() <= states(store).items()
    for run, printed in own.printed["show"].items():
        for metric in printed["metrics"]:
            del metric["id"]  # of a row in the database: the rows are inserted again
        assert_contains(read_json("show", run), printed, run)


def test_the_backup_is_restored_into_an_empty_home(
    own: FirstHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_HOME", str(own.root / "empty"))

    printed = read_json("restore", str(own.person / "backup.zip"))

    before = own.printed["restore"]["restored"]
    assert {own.run_id(role) for role in ("minilm", "failed", "imported", "scored")} <= set(before)
    assert set(before) <= set(printed["restored"])
    for run in before:
        new, old = read_json("show", run), own.printed["show"][run]
        assert new["state"] == old["state"]
        assert_contains(new.get("test"), old.get("test"), run)


@pytest.mark.parametrize("name", ["export", "bundle.zip", "adapter.zip"])
def test_exports_are_imported_again(own: FirstHome, name: str) -> None:
    steady = own.run_id("steady")
    exports = own.root / HOME / "jobs" / steady / "exports"
    folder = exports if name == "adapter.zip" else own.person

    imported = read_json("import", str(folder / name), "--name", "again")

    assert_contains(imported["test"], own.printed["show"][steady]["test"], "test")
    answers = read_json("classify", imported["run"], *own.expected["texts"])
    for new, old in zip(answers, own.expected["classified"][steady], strict=True):
        close = pytest.approx(old["probabilities"], abs=CLASSIFY_TOLERANCE)
        assert new["probabilities"] == close


@pytest.mark.worker
def test_runs_that_ended_early_are_resumed_and_complete(own: FirstHome, supervised: None) -> None:
    store = open_store(Settings())
    roles = ("stopped", "killed", "stopped_auto")
    checkpoints = {role: newest_checkpoint(store, own.run_id(role)) for role in roles}
    before = {role: len(store.read_metrics(own.run_id(role))) for role in roles}

    for role in roles:
        read_json("resume", own.run_id(role))
    wait_until_over(store, [own.run_id(role) for role in roles])

    for role in roles:
        run = store.read_job(own.run_id(role))
        trained = [m.step for m in store.read_metrics(run.id) if m.split == "train"]
        assert (run.state, run.attempt) == (JobState.COMPLETED, 2), run.message
        assert checkpoints[role] > 0 and len(trained) > before[role], role
        assert trained == list(range(1, len(trained) + 1)), role
    resumed, steady = (
        read_json("show", own.run_id("stopped")),
        own.printed["show"][own.run_id("steady")],
    )
    assert resumed["test"]["hits"] == steady["test"]["hits"]
    assert_same_curve(resumed["metrics"], steady["metrics"])


def newest_checkpoint(store: Store, run: str) -> int:
    folders = (store.settings.jobs / run / "checkpoints").glob("[0-9]*")
    return max(int(folder.name) for folder in folders)


def wait_until_over(store: Store, runs: list[str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not all(store.read_job(run).state.is_finished for run in runs):
        assert time.monotonic() < deadline, [store.read_job(run) for run in runs]
        time.sleep(0.1)


def assert_same_curve(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> None:
    """The run that was stopped and the one that was not have the same loss at each step."""
    curves = [{(m["split"], m["step"]): m["loss"] for m in metrics} for metrics in (new, old)]
    assert curves[0] == pytest.approx(curves[1], abs=RESUMED_TOLERANCE)
