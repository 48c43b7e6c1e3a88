"""A failed run: its cause, what was saved, and the effect of each button."""

from typing import Unpack

import pytest
from streamlit.testing.v1 import AppTest

from core.jobs.failures import explain_worker_exit
from core.runs.requests import read_train_request
from core.storage import files
from core.storage.job import FailureCause, Job, JobChanges, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import start

PAGE = "pages/runs.py"


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def end(store: Store, job: Job, state: JobState, **columns: Unpack[JobChanges]) -> Job:
    ended: JobChanges = {**columns, "ended_at": store.clock()}
    store.transition(start(store, job), state, **ended)
    return store.read_job(job.id)


def test_a_failed_run_says_why_and_shows_the_end_of_its_log(open_app: Open, failed: Job) -> None:
    app = open_app(PAGE, run=failed.id)

    assert (
        app.error[0].value
        == r"**Failed (out of memory).** The machine ran out of memory\. Close other programs\."
    )
    assert "12:00:05 out of memory" in app.code[0].value
    assert app.get("download_button")[0].proto.label == "Download log"


def test_a_run_out_of_memory_is_retried_with_a_smaller_batch(
    open_app: Open, failed: Job, store: Store
) -> None:
    app = open_app(PAGE, run=failed.id)
    assert "batch size 8 instead of 16" in page_text(app)

    app.button(key="retry").click().run()

    again = next(job for job in store.list_jobs(JobKind.TRAIN) if job.id != failed.id)
    assert read_train_request(again).config == read_train_request(failed).config.model_copy(
        update={"batch_size": 8}
    )
    assert app.query_params["run"] == again.id


def test_a_diverged_run_is_retried_with_a_lower_learning_rate(
    open_app: Open, queued: Job, store: Store
) -> None:
    job = end(
        store,
        queued,
        JobState.FAILED,
        cause=FailureCause.DIVERGED,
        message="The loss is NaN.",
        proposal_json='{"learning_rate": 0.0005}',
    )

    app = open_app(PAGE, run=job.id)

    assert (
        app.button(key="retry").label == r"Retry with learning rate 0\.0005"
    )  # Markdown draws the dot
    assert "learning rate 0.0005 instead of 0.002" in page_text(app)


def test_a_second_click_on_retry_launches_nothing(
    open_app: Open, failed: Job, store: Store
) -> None:
    for _ in range(2):
        app = open_app(PAGE, run=failed.id)
        app.session_state["launch-key-retry"] = "drawn once"
        app.button(key="retry").click().run()

    assert len(store.list_jobs(JobKind.TRAIN)) == 2


def test_a_retry_without_room_is_refused_in_words(
    open_app: Open, failed: Job, store: Store, short_of_memory: None
) -> None:
    app = open_app(PAGE, run=failed.id)

    app.button(key="retry").click().run()

    assert "Only 100 MB of memory are free; a run needs 700." in page_text(app)
    assert len(store.list_jobs(JobKind.TRAIN)) == 1


def test_the_proposal_can_be_changed_in_the_form_first(open_app: Open, failed: Job) -> None:
    app = open_app(PAGE, run=failed.id)

    app.button(key="to-form").click().run()

    assert app.title[0].value == "New run"
    assert app.number_input(key="field-batch_size").value == 8
    assert app.number_input(key="field-train_rows").value == 800


def test_two_proposed_changes_both_reach_the_form(
    open_app: Open, queued: Job, store: Store
) -> None:
    proposal = '{"batch_size": 8, "max_tokens": 96}'
    job = end(
        store,
        queued,
        JobState.INTERRUPTED,
        cause=FailureCause.OUT_OF_MEMORY,
        message="Killed.",
        proposal_json=proposal,
    )
    app = open_app(PAGE, run=job.id)
    assert app.button(key="retry").label == "Retry with max tokens 96 and batch size 8"

    app.button(key="to-form").click().run()

    assert app.number_input(key="field-batch_size").value == 8
    assert app.number_input(key="field-max_tokens").value == 96


def test_an_interrupted_run_resumes(open_app: Open, running: Job, store: Store) -> None:
    store.transition(
        running,
        JobState.INTERRUPTED,
        ended_at=store.clock(),
        cause="killed",
        message="The worker was killed.",
    )
    app = open_app(PAGE, run=running.id)

    app.button(key="resume").click().run()

    resumed = store.read_job(running.id)
    assert (resumed.state, resumed.attempt) == (JobState.QUEUED, 2)


def test_what_is_left_of_a_run_is_said(open_app: Open, running: Job, store: Store) -> None:
    store.transition(
        running, JobState.INTERRUPTED, ended_at=store.clock(), cause="killed", message="Killed."
    )
    assert "No step was saved. Resume starts from the first step." in page_text(
        open_app(PAGE, run=running.id)
    )

    files.write_folder(
        store.get_folder(running) / "checkpoints" / "00000015", {"manifest.json": b"{}"}
    )

    assert "Saved at step 15. Resume continues from there." in page_text(
        open_app(PAGE, run=running.id)
    )


def test_a_cause_that_no_one_saw_is_marked_as_inferred(
    open_app: Open, running: Job, store: Store
) -> None:
    state, ending = explain_worker_exit(running, None, 0)
    ended: JobChanges = {**ending.changes, "ended_at": store.clock()}
    store.transition(running, state, **ended)

    assert "without recording why; inferred" in page_text(open_app(PAGE, run=running.id))


def test_other_data_on_resume_is_refused_with_the_reason_and_the_form_next_to_it(
    open_app: Open, queued: Job, store: Store
) -> None:
    message = "The data changed since this run began: fingerprint aaaa then, bbbb now."
    job = end(
        store,
        queued,
        JobState.FAILED,
        cause=FailureCause.DATA,
        message=message,
        fix="Clone the run and train it again.",
    )

    app = open_app(PAGE, run=job.id)

    assert message in page_text(app)
    place = buttons(app).index("Edit the settings")
    assert buttons(app)[place + 1] == "Resume"


def test_without_its_model_a_run_leads_to_the_choice_of_another(
    open_app: Open, queued: Job, store: Store
) -> None:
    job = end(
        store, queued, JobState.FAILED, cause=FailureCause.MODEL, message="There is no model."
    )

    assert "Choose another model" in buttons(open_app(PAGE, run=job.id))


def test_a_resumed_run_says_where_it_went_on_and_what_could_not_be_used(
    open_app: Open, finished: Job, store: Store
) -> None:
    with store.transaction() as db:
        resumed = (
            '{"resumed": {"step": 20, "skipped": ["The checkpoint of step 40 cannot be used:'
            ' cut."]}}'
        )
        db.execute(
            "UPDATE jobs SET attempt = 2, result_json = json_patch(result_json, ?) WHERE id = ?",
            (resumed, finished.id),
        )

    text = page_text(open_app(PAGE, run=finished.id))

    assert (
        "Attempt 2 continued from step 20. The checkpoint of step 40 cannot be used: cut." in text
    )


@pytest.mark.parametrize("proposal", ["{", "[]", '{"batch_size": "many"}', '{"color": 1}'])
def test_a_proposal_that_makes_no_sense_is_damage(
    open_app: Open, failed: Job, store: Store, proposal: str
) -> None:
    with store.transaction() as db:
        db.execute("UPDATE jobs SET proposal_json = ? WHERE id = ?", (proposal, failed.id))

    app = open_app(PAGE, run=failed.id)

    assert app.dataframe[0].value["result"].tolist() == ["unreadable record"]
    assert "Delete permanently" in buttons(app)
