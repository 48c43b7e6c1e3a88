import json
import re
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from core.data import sources
from core.data.dataset import Dataset
from core.data.sources import Source
from core.runs import artifacts
from core.settings import Settings
from core.storage.database import Metric
from core.storage.job import Job, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import start

PAGE = "pages/runs.py"


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_without_runs_the_page_leads_to_the_form(open_app: Open) -> None:
    app = open_app(PAGE)

    assert "No runs yet." in page_text(app)
    assert app.button(key="empty-action").label == "Set up a run"


def test_a_damaged_run_never_takes_the_list_down(
    open_app: Open, finished: Job, damaged: Job
) -> None:
    table = open_app(PAGE).dataframe[0].value

    assert table["name"].tolist() == ["damaged-run", "finished-run"]
    assert [state[0] for state in table["state"]] == ["✕ Damaged", "✓ Finished"]
    assert table["result"].tolist() == ["unreadable record", "85.0 % ± 11.0"]


def test_a_finished_run_is_held_against_what_was_expected(
    open_app: Open, finished: Job, store: Store
) -> None:
    expected = {"low_seconds": 20.0, "high_seconds": 40.0, "measured": True}
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET result_json = ? WHERE id = ?",
            (json.dumps({**finished.result, "expected": expected}), finished.id),
        )

    assert re.search(
        r"Took 3\d s \(estimate: 20 s to 40 s\)\.", page_text(open_app(PAGE, run=finished.id))
    )


def test_a_finished_run_shows_where_its_seconds_went(
    open_app: Open, finished: Job, store: Store
) -> None:
    seconds = {"imports": 6.0, "training": 24.0, "saving": 0.0}
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET result_json = ? WHERE id = ?",
            (json.dumps({**finished.result, "seconds": seconds}), finished.id),
        )

    app = open_app(PAGE, run=finished.id)

    assert "Time: 30 s" in [expander.label for expander in app.expander]
    (table,) = (item.value for item in app.dataframe if "Proportion" in item.value)
    assert table.to_dict("records") == [
        {"Part": "Start and imports", "Seconds": 6.0, "Proportion": 0.2},
        {"Part": "Training steps", "Seconds": 24.0, "Proportion": 0.8},
    ]


def test_a_run_that_recorded_no_seconds_has_no_table_of_them(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, run=finished.id)

    assert not [item.label for item in app.expander if item.label.startswith("Time")]


def test_a_finished_run_says_how_accurate_it_is_and_what_comes_next(
    open_app: Open, finished: Job
) -> None:
    app = open_app(PAGE, run=finished.id)

    assert "85.0 % ± 11.0 accuracy on 40 test texts" in page_text(app)
    assert "Untrained: 25.0 % (40 texts)." in page_text(app)
    assert len(app.get("vega_lite_chart")) == 3
    assert labels(app) == ["Clone", "Save name", "Delete permanently", "Back up 1 run"]


@pytest.fixture
def source(dataset: Dataset) -> Source:
    """Return the source of runs whose data are prepared, so that they can be estimated."""
    return sources.find_source(Settings())


@pytest.mark.parametrize(
    ("guess", "answer"),
    [
        (0.8, "You guessed 80.0 %, which is within the 95 % interval"),
        (0.5, "You guessed 50.0 %: 35.0 points too low."),
    ],
)
def test_a_guess_is_answered_with_the_interval(
    open_app: Open, store: Store, finished: Job, guess: float, answer: str
) -> None:
    with store.transaction() as db:
        request = json.dumps(finished.request | {"guess": guess})
        db.execute(
            "UPDATE jobs SET request_json = ?, version = version + 1 WHERE id = ?",
            (request, finished.id),
        )

    app = open_app(PAGE, run=finished.id)

    assert answer in " ".join(element.value for element in [*app.success, *app.info])


def test_a_running_run_shows_phase_step_time_and_its_curves(open_app: Open, running: Job) -> None:
    app = open_app(PAGE, run=running.id)

    assert app.get("progress")[0].proto.value == 40
    text = app.get("progress")[0].proto.text
    assert re.fullmatch(r"Training · step 20 of 50 · [3-9]\d s elapsed · about \d+ s left", text), (
        text
    )
    assert "Validation after step 20" in page_text(app)
    assert labels(app)[:2] == ["Stop", "Clone"]


def test_time_left_is_not_guessed_before_five_steps(
    open_app: Open, store: Store, queued: Job
) -> None:
    job = start(store, queued)
    store.update(job, phase="training", done=4, total=50)
    store.add_metrics(job, [Metric(step, "train", 0.1, 1.0, step * 1.0) for step in range(1, 5)])

    app = open_app(PAGE, run=job.id)

    assert app.get("progress")[0].proto.text.endswith("estimating…")


def test_silence_is_said(open_app: Open, running: Job, store: Store) -> None:
    store.update(running, heartbeat_at=store.clock() - 60)

    assert re.search(r"No update for 6\d s\.", page_text(open_app(PAGE, run=running.id)))


def test_a_queued_run_says_how_many_are_before_it(
    open_app: Open, running: Job, queued: Job
) -> None:
    assert "Waiting for 1 run to finish." in page_text(open_app(PAGE, run=queued.id))


def test_a_queued_run_says_what_it_waits_for(open_app: Open, queued: Job, store: Store) -> None:
    store.explain_wait(
        queued,
        "Waiting for resources. Only 10 MB of disk are free; a run needs 300.",
        "Delete old runs.",
    )

    app = open_app(PAGE, run=queued.id)

    assert (
        "Waiting for resources. Only 10 MB of disk are free; a run needs 300. Delete old runs."
        in page_text(app)
    )


def test_stop_asks_the_worker_to_stop(open_app: Open, running: Job, store: Store) -> None:
    app = open_app(PAGE, run=running.id)

    app.button(key="stop").click().run()

    assert store.read_job(running.id).state is JobState.STOPPING


def test_delete_warns_and_then_removes_the_run_with_its_files(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = open_app(PAGE, run=finished.id)

    assert any("This cannot be undone." in text.value for text in app.text)
    app.button(key="delete-confirm").click().run()
    assert store.list_jobs() == []
    assert not store.get_folder(finished).exists()


def test_a_damaged_run_can_be_deleted(open_app: Open, damaged: Job, store: Store) -> None:
    app = open_app(PAGE, run=damaged.id)
    assert app.error[0].value == r"**The record of damaged\-run is damaged\.** Delete the run\."

    app.button(key="delete-confirm").click().run()

    assert store.list_jobs() == []


def test_a_finished_run_whose_files_are_gone_is_damaged(
    open_app: Open, finished: Job, store: Store
) -> None:
    shutil.rmtree(store.get_folder(finished))

    app = open_app(PAGE, run=finished.id)

    assert app.dataframe[0].value["result"].tolist() == ["missing files"]
    assert "The predictions of this finished run are missing" in app.error[0].value.replace(
        "\\", ""
    )


def test_a_damaged_validation_leaves_the_curves(
    open_app: Open, finished: Job, store: Store
) -> None:
    artifacts.predictions_path(store.get_folder(finished), "validation", 50).write_bytes(
        b"no parquet"
    )

    app = open_app(PAGE, run=finished.id)

    assert "The matrix of step 50 cannot be drawn." in page_text(app)
    assert len(app.get("vega_lite_chart")) == 2


def test_rename_changes_the_list(open_app: Open, finished: Job, store: Store) -> None:
    app = open_app(PAGE, run=finished.id)

    app.text_input[0].set_value("best so far")
    app.button(key="rename-save").click().run()

    assert app.dataframe[0].value["name"].tolist() == ["best so far"]


def test_an_unknown_run_is_said_above_the_list(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, run="*nonsense*")

    assert r"Run '\*nonsense\*' does not exist" in app.warning[0].value
    assert app.dataframe[0].value["name"].tolist() == ["finished-run"]


def test_a_bundled_run_is_marked(open_app: Open, store: Store, finished: Job) -> None:
    with store.transaction() as db:
        db.execute("UPDATE jobs SET owner = 'shipped' WHERE id = ?", (finished.id,))

    app = open_app(PAGE, run=finished.id)

    assert "Example, included with the project" in page_text(app)
    assert app.dataframe[0].value["name"].tolist() == ["finished-run (example)"]


def test_the_record_of_a_result_that_makes_no_sense_is_shown_without_it(
    open_app: Open, finished: Job, store: Store
) -> None:
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET result_json = ? WHERE id = ?",
            (json.dumps({"test": {"rows": 0}}), finished.id),
        )

    app = open_app(PAGE, run=finished.id)

    assert not app.error
    assert app.dataframe[0].value["result"].tolist() == [""]
