"""Thousands of ids and names that lead elsewhere: no file outside the home folder is opened, and
every refusal has a message.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.access import GUEST, Role, Visitor
from core.config import RunConfig
from core.data import preparation, saved
from core.data.sources import demo_source, saved_source
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.tasks import classify_texts, embed_texts
from core.people.classroom import join, sign_in_with_key
from core.runs import limits, sweep
from core.runs.requests import TrainRequest
from core.runs.run import find_run
from core.settings import Settings
from core.storage.job import Job, JobKind
from core.storage.store import Store
from tests.support.security.file_audit import opened_elsewhere
from tests.support.security.hostile_inputs import hostile_names
from tests.support.security.sizes import FULL
from tests.support.text_batches import make_batch

NAMES = hostile_names(5000 if FULL else 600)
STUDENT = Visitor("bob", "Bob", Role.STUDENT)


def no_pause(seconds: float) -> None:
    """Answer a wrong code at once."""


LOOK_UPS: dict[str, Callable[[Store, Job, str], object]] = {
    "a run by its id": lambda store, job, name: store.read_job(name),
    "a run by its name": lambda store, job, name: find_run(store, name),
    "a saved dataset": lambda store, job, name: saved_source(store.settings, name),
    "the card of a dataset": lambda store, job, name: saved.read_saved_card(store.settings, name),
    "prepared data": lambda store, job, name: preparation.open_dataset(store.settings, name),
    "a base model": lambda store, job, name: limits.find_allowed_model(store, name),
    "a file that was classified": lambda store, job, name: classify_texts.find_batch(
        store, job, name
    ),
    "the runs of a set": lambda store, job, name: sweep.find_sweep_runs(store, name),
    "a plan of a set": lambda store, job, name: sweep.plan_sweep(job, "rank", name),
    "a field of a plan": lambda store, job, name: sweep.plan_sweep(job, name, "1,2"),
    "a map of a run": lambda store, job, name: embed_texts.find_map_paths(
        store, map_of(name), ("a", "b")
    ),
    "a key": lambda store, job, name: sign_in_with_key(store, name, name, pause=no_pause),
    "a code": lambda store, job, name: join(store, name, name, name, pause=no_pause),
}
WRITES: dict[str, Callable[[Store, Job, str], object]] = {
    "deleting a dataset": lambda store, job, name: actions.delete_dataset(store, name),
    "naming a dataset": lambda store, job, name: saved.check_name(name),
    "naming a run": lambda store, job, name: actions.rename(store, job, name),
    "launching a run": lambda store, job, name: actions.launch_training(
        store, TrainRequest(config=SMALL, source=demo_source(), preset=name), name=name
    ),
    "a file of texts": lambda store, job, name: actions.launch_batch(
        store, job, name, make_batch(["a"])
    ),
    "a note": lambda store, job, name: actions.tag_text(store, job, 1, "hard", name),
    "a tag": lambda store, job, name: actions.tag_text(store, job, 1, name, "x"),
}
SMALL: RunConfig = RunConfig(train_rows=1000)


def map_of(run: str) -> embed_texts.MapRequest:
    return embed_texts.MapRequest(
        fingerprint="0123456789ab",
        subjects=(embed_texts.MapSubject(model="minilm", run=run or "x"),),
    )


@pytest.fixture
def temporary(home: Path) -> Path:
    """Create a folder next to the home with all file names that the app uses; one of the names
    leads to it.
    """
    folder = home.parent / "outside"
    folder.mkdir()
    for name in ("saved.json", "dataset.json", "job.json", "config.json", "tags.json"):
        (folder / name).write_text("{}")
    assert "../../outside" in NAMES
    for name in (
        "datasets",
        "jobs",
        "prepared",
        "recipes",
    ):  # from a missing folder no name leads anywhere
        (home / name).mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Job:
    request = TrainRequest(config=SMALL, source=demo_source()).model_dump(mode="json")
    return store.create(JobKind.TRAIN, "mine", request, "mine")


def names_tried(
    act: Callable[[Store, Job, str], object], store: Store, run: Job, home: Path, names: list[str]
) -> int:
    """Return the number of names; fail on files opened elsewhere and on errors that are not the
    app's own.
    """
    tried = 0
    for name in names:
        with opened_elsewhere(home) as elsewhere:
            try:
                act(store, run, name)
            except LoraLabError as error:
                assert error.message
        assert elsewhere == [], name
        tried += 1
    return tried


@pytest.mark.parametrize("description", LOOK_UPS)
@pytest.mark.parametrize("who", [STUDENT, GUEST], ids=["student", "guest"])
def test_no_name_leads_out_of_the_home_folder(
    store: Store, run: Job, home: Path, temporary: Path, description: str, who: Visitor
) -> None:
    store = store.for_visitor(who)

    names = NAMES if who is STUDENT else NAMES[::10]
    assert names_tried(LOOK_UPS[description], store, run, home, names) == len(names)


@pytest.mark.parametrize("description", WRITES)
def test_no_name_writes_outside_the_home_folder(
    store: Store, run: Job, home: Path, temporary: Path, description: str
) -> None:
    before = sorted(temporary.iterdir())

    names = NAMES[: 400 if FULL else 100]  # each launched run slows down the next one
    assert names_tried(WRITES[description], store, run, home, names) == len(names)

    assert sorted(home.parent.iterdir()) == sorted([home, temporary])
    assert sorted(temporary.iterdir()) == before


def test_the_watch_sees_a_file_that_is_opened_elsewhere(tmp_path: Path, home: Path) -> None:
    (tmp_path / "other").write_text("x")
    with opened_elsewhere(home) as elsewhere:
        (tmp_path / "other").read_text()
        list(tmp_path.iterdir())

    assert elsewhere == [str(tmp_path / "other"), str(tmp_path)]


def test_the_owner_may_still_name_a_folder(store: Store, tmp_path: Path) -> None:
    assert "config.json" in limits.find_allowed_model(store, str(tmp_path)).reason
    store = store.for_visitor(STUDENT)
    assert "Only the teacher" in limits.find_allowed_model(store, str(tmp_path)).reason
    assert limits.find_allowed_model(store, "minilm").available
    assert Settings().home.name == "home"
