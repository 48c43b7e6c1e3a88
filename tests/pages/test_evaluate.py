import json

import pytest
from streamlit.testing.v1 import AppTest

from core.data.disputed_labels import DisputedLabel, change_disputed, read_disputed
from core.data.sources import Source
from core.runs import artifacts
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import FINGERPRINT, make_finished, make_run, predictions

PAGE = "pages/evaluate.py"


def cell(app: AppTest) -> list[str]:
    """Return the texts in the table of the selected cell."""
    return [table.value for table in app.dataframe if "text" in table.value][0]["text"].tolist()


def click(app: AppTest, true: str, predicted: str) -> AppTest:
    app.session_state["matrix"] = {"selection": {"cell": [{"true": true, "predicted": predicted}]}}
    return app.run()


@pytest.mark.parametrize(
    ("state", "word"), [(JobState.FAILED, "failed"), (JobState.CANCELLED, "stopped")]
)
def test_a_run_that_ended_without_an_evaluation_says_what_is_missing(
    open_app: Open, running: Job, store: Store, state: JobState, word: str
) -> None:
    if state is JobState.CANCELLED:
        store.transition(running, JobState.STOPPING)
    store.transition(running, state, ended_at=store.clock())

    app = open_app(PAGE, run=running.id)

    assert f"The run is {word}, and its test predictions are missing." in page_text(app)
    assert app.button(key="empty-action").label == "View details"


def test_an_unknown_run_is_said_and_another_can_be_chosen(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, run="*nonsense*")

    assert "There is no run '*nonsense*'." in page_text(app)
    assert app.selectbox(key="run-picker").options == ["finished-run"]


def test_the_headline_says_accuracy_with_interval_and_before_training(
    open_app: Open, finished: Job
) -> None:
    app = open_app(PAGE)

    assert (
        app.subheader[0].value == "85.0 % (70.9–92.9) accuracy on 40 test texts; untrained 25.0 %"
    )
    assert (
        "Macro-F1 0.850 (0.714–0.954) over 4 classes · untrained 25.0 % (40 test texts)"
        in page_text(app)
    )
    assert len(app.get("vega_lite_chart")) == 4
    assert "Both on the same 40 test texts." in page_text(app)
    assert "Before training: 25.0 % (14.2–40.2) accuracy" in page_text(app)


def test_scores_per_class_stand_next_to_the_matrix_with_their_intervals(
    open_app: Open, finished: Job
) -> None:
    table = open_app(PAGE).dataframe[0].value

    assert table["class"].tolist() == ["World", "Sports", "Business", "Sci/Tech"]
    assert table["support"].tolist() == [10, 10, 10, 10]
    assert [cell[:5] for cell in table["recall"]] == ["0.900", "0.900", "0.800", "0.800"]
    assert [cell[:5] for cell in table["precision"]] == ["0.818", "0.900", "0.889", "0.800"]
    assert table["recall"][0] == "0.900 (0.596–0.982)"  # Wilson of 9 in 10


def test_pairs_of_classes_say_both_directions(open_app: Open, finished: Job) -> None:
    table = open_app(PAGE).dataframe[1].value

    assert table.iloc[0].tolist() == [
        "Sci/Tech",
        "World",
        "2 (20.0 %)",
        "0 (0.0 %)",
        "no significant difference",
        "1.000",
    ]


def test_ranking_curves_name_their_areas(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, view="ROC and precision–recall")
    areas = next(table.value for table in app.dataframe if "area" in table.value)
    assert areas["class"].tolist() == ["World", "Sports", "Business", "Sci/Tech"]
    assert areas["area"].between(0.5, 1).all()

    app = open_app(PAGE, view="ROC and precision–recall", curve="precision–recall")
    assert "Precision–recall, each class against the rest" in page_text(app)


def test_without_a_second_run_of_the_data_the_difference_says_so(
    open_app: Open, finished: Job
) -> None:
    assert "No other run has test predictions on the same data with the same classes." in page_text(
        open_app(PAGE, view="difference to another run")
    )


def test_the_difference_to_another_run_has_its_verdict(
    open_app: Open, finished: Job, store: Store, source: Source
) -> None:
    other = make_finished(store, source, "other-run")
    files.write_parquet(
        artifacts.predictions_path(store.get_folder(other), "test"), predictions(40, 20)
    )

    app = open_app(PAGE, run=finished.id, view="difference to another run")

    assert "finished-run is 35.0 points better than other-run on 40 texts" in page_text(app)
    assert "finished-run minus other-run (texts in each cell" in page_text(app)


def test_a_run_on_other_data_is_not_offered(
    open_app: Open, finished: Job, store: Store, source: Source
) -> None:
    other = make_finished(store, source, "other-run")
    with store.transaction() as db:
        db.execute("UPDATE jobs SET fingerprint = 'ffff' WHERE id = ?", (other.id,))

    assert "No other run has test predictions" in page_text(
        open_app(PAGE, run=finished.id, view="difference to another run")
    )


def test_validation_is_chosen_by_the_url_and_by_the_control(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, **{"scored-on": "validation"})
    assert app.subheader[0].value.startswith("82.5 % (68.1–91.3) accuracy on 40 validation texts")

    app.button_group[0].set_value("test").run()

    assert app.subheader[0].value.startswith("85.0 % (70.9–92.9) accuracy on 40 test texts")


def test_a_click_on_a_cell_lists_its_texts_until_the_boxes_say_otherwise(
    open_app: Open, finished: Job
) -> None:
    app = click(open_app(PAGE), "Business", "Sci/Tech")

    assert "Business predicted as Sci/Tech: 2 texts" in page_text(app)
    assert sorted(text[:22] for text in cell(app)) == [
        "Business news, item 34",
        "Business news, item 38",
    ]

    app.selectbox(key="true-class").set_value("World").run()
    app.selectbox(key="predicted-class").set_value("World").run()
    assert "World predicted correctly: 9 texts" in page_text(app)
    assert len(cell(app)) == 9


def test_a_cell_comes_from_the_url(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, **{"true-class": "World", "predicted-class": "Sports"})

    assert "World predicted as Sports: 1 text" in page_text(app)
    assert cell(app)[0].startswith("World news, item 36")


def test_an_empty_cell_says_so(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, **{"true-class": "World", "predicted-class": "Business"})

    assert "World predicted as Business: 0 texts" in page_text(app)
    assert "This cell has no texts." in page_text(app)


def test_a_text_is_shown_as_it_is(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, **{"true-class": "World", "predicted-class": "Sports"})

    app.session_state["cell-texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert app.text[-1].value.endswith("**bold** <b>tags</b>")
    assert "bold" not in page_text(app), "a text went through Markdown"


def test_the_most_frequent_mistake_is_named_and_can_be_read(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)
    assert (
        "Most frequent error: Business predicted as Sci/Tech, 2 texts, 33.3 % of all errors."
        in page_text(app)
    )

    app.button(key="read-most-confused").click().run()

    assert "Business predicted as Sci/Tech: 2 texts" in page_text(app)


@pytest.mark.parametrize("value", ["*nonsense*", ""])
@pytest.mark.parametrize("name", ["scored-on", "cells", "true-class", "predicted-class", "view"])
def test_a_choice_that_makes_no_sense_is_ignored(
    open_app: Open, finished: Job, name: str, value: str
) -> None:
    app = open_app(PAGE, **{name: value})

    assert not app.error
    assert app.subheader[0].value.startswith("85.0 %")
    assert "Click a cell of the matrix, or choose both classes, to see its texts." in page_text(app)


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_damaged_predictions_are_said_and_other_runs_stay_within_reach(
    open_app: Open, finished: Job, store: Store, content: bytes
) -> None:
    artifacts.predictions_path(store.get_folder(finished), "test").write_bytes(content)

    app = open_app(PAGE)

    assert "test.parquet" in app.error[0].value.replace("\\", "")
    assert app.selectbox(key="run-picker").options == ["finished-run"]


def test_predictions_that_contradict_themselves_are_damaged(
    open_app: Open, finished: Job, store: Store
) -> None:
    path = artifacts.predictions_path(store.get_folder(finished), "test")
    files.write_parquet(path, files.read_parquet(path).assign(p0=0.9))

    assert "the probabilities of a text do not add up to 1" in open_app(PAGE).error[0].value


def test_missing_validation_predictions_leave_the_test_ones(
    open_app: Open, finished: Job, store: Store
) -> None:
    artifacts.predictions_path(store.get_folder(finished), "validation").unlink()

    assert open_app(PAGE).subheader[0].value.startswith("85.0 %")
    app = open_app(PAGE, **{"scored-on": "validation"})
    assert "validation.parquet" in app.error[0].value.replace("\\", "")
    assert app.get("button_group"), "the way back to the test texts is gone"


@pytest.mark.parametrize("damage", [True, False])
def test_without_untrained_predictions_the_rest_stands(
    open_app: Open, finished: Job, store: Store, damage: bool
) -> None:
    path = artifacts.predictions_path(store.get_folder(finished), "untrained")
    path.write_bytes(b"no parquet") if damage else path.unlink()

    app = open_app(PAGE)

    assert app.subheader[0].value == "85.0 % (70.9–92.9) accuracy on 40 test texts"
    assert (
        "The untrained model was not scored in this run, or its predictions are unreadable."
        in page_text(app)
    )


def test_predictions_without_their_texts_leave_the_matrix(
    open_app: Open, finished: Job, store: Store
) -> None:
    path = artifacts.predictions_path(store.get_folder(finished), "test")
    files.write_parquet(path, files.read_parquet(path).drop(columns="text"))

    app = open_app(PAGE, **{"true-class": "World", "predicted-class": "Sports"})

    assert "The predictions of this run do not contain their texts." in page_text(app)
    assert len(app.get("vega_lite_chart")) == 4


def test_a_run_whose_record_is_damaged_is_said(
    open_app: Open, finished: Job, damaged: Job, store: Store
) -> None:
    assert "The record of damaged-run is damaged." in page_text(open_app(PAGE, run=damaged.id))
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET result_json = ? WHERE id = ?",
            (json.dumps({"classes": "?"}), finished.id),
        )
    text = page_text(open_app(PAGE, run=finished.id))
    assert "The record of finished-run is damaged." in text
    with store.transaction() as db:
        db.execute("UPDATE jobs SET result_json = '{}' WHERE id = ?", (finished.id,))
    assert "has no class names" in page_text(open_app(PAGE, run=finished.id))


def test_the_newest_run_with_predictions_is_shown_first(
    open_app: Open, finished: Job, store: Store, source: Source
) -> None:
    make_run(store, source, "newer-but-waiting")

    app = open_app(PAGE)

    assert app.selectbox(key="run-picker").options == ["finished-run"]
    assert app.subheader[0].value.startswith("85.0 %")


def test_a_bundled_run_is_marked(open_app: Open, store: Store, finished: Job) -> None:
    with store.transaction() as db:
        db.execute("UPDATE jobs SET owner = 'shipped' WHERE id = ?", (finished.id,))

    assert "Example, included with the project and trained on its demo corpus" in page_text(
        open_app(PAGE)
    )


def test_scores_stand_with_and_without_disputed_labels(
    open_app: Open, finished: Job, store: Store
) -> None:
    labels = [DisputedLabel(row=row, label="World") for row in (36, 39)]
    change_disputed(store, FINGERPRINT, "news", labels)

    app = open_app(PAGE)

    assert app.subheader[0].value.startswith("85.0 % (70.9–92.9) accuracy on 40 test texts")
    assert "Without 2 texts with a disputed label: **89.5 % (75.9–95.8) accuracy**" in page_text(
        app
    )
    assert "on 38 test texts, macro-F1 0.895" in page_text(app)
    validation = open_app(PAGE, **{"scored-on": "validation"})
    assert "disputed label:" not in page_text(validation)


def test_the_label_of_a_text_in_a_cell_is_disputed_without_a_suggestion(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = click(open_app(PAGE), "Business", "Sci/Tech")
    app.session_state["cell-texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run().selectbox(key="suggested-34").set_value("").run()

    app.button(key="dispute-34").click().run()

    assert read_disputed(store, FINGERPRINT)[34].suggested == ""
    assert "The label Business is disputed." in page_text(app)
    assert app.button(key="undo-dispute-34")
