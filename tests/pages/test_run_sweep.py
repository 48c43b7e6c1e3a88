import json

from streamlit.testing.v1 import AppTest

from core.data.sources import Source
from core.runs.requests import read_train_request
from core.storage.job import Job, JobKind
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.json_values import value_at
from tests.support.stored_runs import make_finished


def open_form(open_app: Open, job: Job) -> AppTest:
    app = open_app("pages/runs.py", run=job.id)
    app.session_state["sweep"] = True
    return app.run()


def test_a_set_is_queued_from_a_run(open_app: Open, store: Store, finished: Job) -> None:
    app = open_form(open_app, finished)

    app.button(key="launch-sweep").click().run()

    ranks = [
        read_train_request(job).config.rank for job in reversed(store.list_jobs(JobKind.TRAIN))
    ]
    assert ranks[1:] == [2, 8, 32]
    assert "Part of a sweep of 3 runs, 0 finished." in page_text(app)


def test_a_value_that_no_run_can_have_is_said(open_app: Open, store: Store, finished: Job) -> None:
    app = open_form(open_app, finished)

    app.text_input(key="sweep-values-rank").set_value("2, many").run()

    assert "many" in app.warning[0].value
    assert not [button for button in app.button if button.key == "launch-sweep"]


def test_compare_shows_the_spread_over_seeds(
    open_app: Open, store: Store, source: Source, finished: Job
) -> None:
    other = make_finished(store, source, "other-run")
    for job, seed in zip((finished, other), (1, 2), strict=True):
        request = job.request
        value_at(request, "config")["seed"] = seed
        with store.transaction() as db:
            db.execute(
                "UPDATE jobs SET request_json = ?, version = version + 1 WHERE id = ?",
                (json.dumps(request), job.id),
            )

    app = open_app("pages/compare.py")

    (spread,) = [element.value for element in app.dataframe if "Seeds" in element.value]
    assert spread[["Seeds", "Mean accuracy", "Standard deviation", "Lowest"]].values.tolist() == [
        [2, "85.0 %", "0.00 points", "85.0 %"]
    ]
