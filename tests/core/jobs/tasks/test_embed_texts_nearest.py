import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from core.access import GUEST
from core.cli.app import app
from core.data.preparation import prepare
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import folder_source
from core.errors import ArtifactDamaged, DataError, NotAllowed, Stopped
from core.inference.tracer import Tracer
from core.jobs import actions, worker
from core.jobs.launching import find_jobs, launch
from core.jobs.tasks.embed_texts import (
    Index,
    NearestRequest,
    find_data,
    find_index_folder,
    has_index,
    read_index,
)
from core.jobs.workers import embed
from core.presets import make_config
from core.runs import artifacts
from core.runs.requests import TrainRequest, read_train_request
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.training.adapted_model import add_adapter, serialize_adapter
from core.training.load_model import load_base
from tests.support.small_news import write_small_news
from tests.support.stopped_context import StoppedContext
from tests.support.tiny_models import write_bert

pytestmark = pytest.mark.slow

CLASSES = ("Business", "Sci/Tech", "Sports", "World")
ROWS = 40  # of the run


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    write_small_news(tmp_path / "news", train=80, test=40)
    return Store(Settings())


@pytest.fixture
def make_run(lab: Store, tmp_path: Path) -> Callable[..., Job]:
    """Make a completed run without training; its recipe drops ``drop`` rows."""

    def make(drop: int = 0) -> Job:
        config = make_config(
            None, {"model": str(write_bert(tmp_path / "tiny")), "train_rows": ROWS}
        )
        source = folder_source(tmp_path / "news")
        data = prepare(lab.settings, source, lambda progress: None, lambda: False)
        rows = tuple(int(row) for row in data.read("train")["row"][:drop])
        recipe = (
            Recipe(
                fingerprint=data.fingerprint,
                steps=(Step(check="leakage", fix=Fix.DROP, rows=rows),),
            )
            if drop
            else None
        )
        job = actions.launch_training(
            lab, TrainRequest(config=config, source=source, recipe=recipe)
        )
        model = add_adapter(
            load_base(tmp_path / "tiny", data.classes, 1), config, "local/base", None
        )
        artifacts.save_adapter(lab.get_folder(job), 1, serialize_adapter(model))
        lab.transition(job, JobState.STARTING, started_at=1.0)
        mark = recipe.cleaned_fingerprint() if recipe else data.fingerprint
        lab.update(job, fingerprint=mark, result_json=json.dumps({"classes": data.classes}))
        lab.transition(job, JobState.RUNNING)
        lab.transition(job, JobState.COMPLETED, ended_at=2.0)
        return lab.read_job(job.id)

    return make


def do(store: Store, job: Job) -> Job:
    """Execute the job as a worker does."""
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.read_job(job.id))
    return store.read_job(job.id)


def test_an_index_holds_the_rows_that_the_run_drew_with_its_own_states(
    lab: Store, make_run: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_run()
    assert not has_index(find_index_folder(lab, job))

    done = do(lab, launch(lab, NearestRequest(run=job.id), job.name))

    assert done.state is JobState.COMPLETED, done.message
    index = read_index(find_index_folder(lab, job))
    config = read_train_request(job).config
    assert index.texts["label"].value_counts().tolist() == [ROWS // 4] * 4
    walker = Tracer(tmp_path / "tiny", CLASSES, config.seed)
    walker.load_adapter(job.id, artifacts.find_adapter(lab.get_folder(job)))
    states = walker.hidden_states(job.id, index.texts["text"].tolist(), config.max_tokens)[
        -1, 0
    ].astype(np.float32)
    assert index.states == pytest.approx(
        states / np.linalg.norm(states, axis=1, keepdims=True), abs=2e-3
    )
    assert index.states.dtype == np.float16


def test_the_most_similar_come_first_with_their_cosine() -> None:
    texts = pd.DataFrame({"row": [5, 6, 7], "text": ["a", "b", "c"], "label": [0, 1, 1]})
    index = Index(np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float16), texts)

    result = index.find_nearest(np.array([0, 3], dtype=np.float16), 2)

    assert result["text"].tolist() == ["c", "b"]
    assert result["similarity"].tolist() == pytest.approx([1.0, 0.8], abs=1e-3)


def test_a_cleaned_run_gives_the_texts_that_its_recipe_left(
    lab: Store, make_run: Callable[..., Job]
) -> None:
    job = make_run(drop=8)
    recipe = read_train_request(job).recipe
    assert recipe is not None

    do(lab, launch(lab, NearestRequest(run=job.id), job.name))

    rows = set(read_index(find_index_folder(lab, job)).texts["row"])
    assert len(rows) == ROWS
    assert not rows & recipe.effect().dropped


def test_an_index_outlives_the_data_but_cannot_be_made_without(
    lab: Store, make_run: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_run()
    do(lab, launch(lab, NearestRequest(run=job.id), job.name))
    shutil.rmtree(tmp_path / "news")
    shutil.rmtree(lab.settings.prepared)

    assert len(read_index(find_index_folder(lab, job)).texts) == ROWS
    with pytest.raises(DataError, match="no longer on this machine"):
        find_data(lab.settings, job)
    assert do(lab, launch(lab, NearestRequest(run=job.id), job.name)).message.startswith(
        "The texts that this run was trained on are no longer"
    )


def test_data_that_changed_are_not_taken_for_those_of_the_run(
    lab: Store, make_run: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_run()
    shutil.rmtree(lab.settings.prepared)
    write_small_news(tmp_path / "news", train=120, test=40)

    done = do(lab, launch(lab, NearestRequest(run=job.id), job.name))

    assert done.state is JobState.FAILED
    assert f"the data changed from fingerprint {job.fingerprint} to " in done.message


def test_an_imported_run_imported_no_training_texts(
    lab: Store, make_run: Callable[..., Job]
) -> None:
    job = make_run()
    reported = read_train_request(job).model_dump(mode="json")
    reported["source"] |= {"kind": "imported", "folder": None}
    with lab.transaction() as db:
        db.execute(
            "UPDATE jobs SET request_json = ? WHERE id = ?",
            (TrainRequest.model_validate(reported).model_dump_json(), job.id),
        )

    with pytest.raises(DataError, match="was imported without"):
        find_data(lab.settings, lab.read_job(job.id))


def test_another_adapter_needs_another_index_which_takes_the_place_of_the_first(
    lab: Store, make_run: Callable[..., Job]
) -> None:
    job = make_run()
    do(lab, launch(lab, NearestRequest(run=job.id), job.name))
    first = find_index_folder(lab, job)
    (lab.get_folder(job) / "adapter" / "adapter_model.safetensors").touch()

    assert not has_index(find_index_folder(lab, job))
    do(lab, launch(lab, NearestRequest(run=job.id), job.name))

    assert has_index(find_index_folder(lab, job))
    assert not first.exists()


def test_a_damaged_index_says_so(lab: Store, make_run: Callable[..., Job]) -> None:
    job = make_run()
    do(lab, launch(lab, NearestRequest(run=job.id), job.name))
    folder = find_index_folder(lab, job)
    (folder / "states.safetensors").write_bytes(b"no")

    with pytest.raises(ArtifactDamaged, match="differ from what was written"):
        read_index(folder)
    assert files.MANIFEST in {path.name for path in folder.iterdir()}


def test_a_stop_leaves_nothing_behind(lab: Store, make_run: Callable[..., Job]) -> None:
    job = make_run()
    work = launch(lab, NearestRequest(run=job.id), job.name)
    lab.transition(work, JobState.STARTING)

    with StoppedContext(lab, lab.read_job(work.id)) as context, pytest.raises(Stopped):
        embed.run_index(context)

    assert not has_index(find_index_folder(lab, job))


def test_asking_twice_gives_one_job_and_a_guest_none(
    lab: Store, make_run: Callable[..., Job]
) -> None:
    job = make_run()
    first, second = (launch(lab, NearestRequest(run=job.id), job.name) for _ in range(2))
    lab = lab.for_visitor(GUEST)

    assert first.id == second.id == find_jobs(lab, NearestRequest(run=job.id))[0].id
    with pytest.raises(NotAllowed):
        launch(lab, NearestRequest(run=job.id), job.name)


def test_the_command_finds_a_training_text_itself_nearest_to_it(
    lab: Store, make_run: Callable[..., Job]
) -> None:
    job = make_run()
    do(lab, launch(lab, NearestRequest(run=job.id), job.name))
    text = read_index(find_index_folder(lab, job)).texts["text"][7]

    done = CliRunner().invoke(app, ["nearest", job.id, text, "--count", "3", "--json"])

    result = json.loads(done.stdout)
    assert (result["training_texts"], len(result["nearest"])) == (ROWS, 3)
    assert (result["nearest"][0]["text"], result["nearest"][0]["similarity"]) == (
        text,
        pytest.approx(1.0, abs=2e-3),
    )
    assert result["nearest"][0]["agrees"] == (result["nearest"][0]["label"] == result["label"])
    assert "The text is empty." in CliRunner().invoke(app, ["nearest", job.id, " "]).stderr
