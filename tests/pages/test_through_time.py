from core.runs import artifacts
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/through_time.py"


def test_the_headline_says_where_it_began_and_ended(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)

    assert (
        app.subheader[0].value
        == "From 52.5 % (37.5–67.1) to 90.0 % (76.9–96.0) accuracy on 40 validation texts"
    )
    assert (
        "5 validations · 36 correct at the end · 0 were right at some point but wrong at the end"
        in page_text(app)
    )


def test_the_slider_moves_the_matrix(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)
    assert "After step 50: **90.0 % (76.9–96.0) accuracy**" in page_text(app)

    app.select_slider(key="step").set_value(10).run()

    assert "After step 10: **52.5 % (37.5–67.1) accuracy**" in page_text(app)


def test_a_chosen_text_says_when_it_was_learned(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, group="all")

    app.session_state["training-map"] = {"selection": {"picked": [{"row": 30}]}}
    app.run()

    assert app.text[-1].value.endswith("**bold** <b>tags</b>")
    assert "correct from step 30 · never forgotten" in page_text(app)
    assert "Probabilities of row 30 over the steps" in page_text(app)


def test_a_run_running_shows_what_it_has(open_app: Open, running: Job) -> None:
    app = open_app(PAGE, run=running.id)

    assert not app.error
    assert "2 validations" in page_text(app)


def test_a_run_before_its_first_validation_is_watched(open_app: Open, queued: Job) -> None:
    app = open_app(PAGE, run=queued.id)

    assert "This page opens once the run has written its first validation." in page_text(app)


def test_one_validation_needs_no_slider(open_app: Open, finished: Job, store: Store) -> None:
    for step in (20, 30, 40, 50):
        artifacts.predictions_path(store.get_folder(finished), "validation", step).unlink()

    assert "One validation so far, after step 10." in page_text(open_app(PAGE))


def test_damaged_validations_are_said(open_app: Open, finished: Job, store: Store) -> None:
    artifacts.predictions_path(store.get_folder(finished), "validation", 20).write_bytes(
        b"no parquet"
    )

    assert "00000020.parquet" in open_app(PAGE).error[0].value.replace("\\", "")
