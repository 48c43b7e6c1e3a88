import pytest

from core.runs import artifacts
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import store_test_predictions

PAGE = "pages/calibration.py"


def test_the_headline_sets_confidence_next_to_accuracy(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)

    assert app.subheader[0].value == "Mean confidence 70.0 %, accuracy 85.0 % (70.9–92.9)"
    assert "The model is under-confident (40 test texts). ECE 0.150 with 15 bins" in page_text(app)
    assert len(app.get("vega_lite_chart")) == 5


def test_the_temperature_of_the_validation_texts_is_shown_on_the_test_texts(
    open_app: Open, finished: Job
) -> None:
    table = open_app(PAGE).dataframe[0].value

    assert table["Test texts"].tolist() == ["ECE", "Brier score", "Cross-entropy (nats)"]
    assert table.columns[2].startswith(
        "Temperature 0.7"
    )  # 33 of 40 right, 0.7 sure: it should be surer
    assert float(str(table.iloc[0, 2])) < float(str(table.iloc[0, 1]))


def test_a_threshold_says_how_many_are_answered_and_right(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)
    assert "No text reaches a confidence of 90 %." in page_text(app)

    app.slider(key="threshold").set_value(70).run()

    assert (
        "With a confidence of at least 70 %: 100.0 % of texts, accuracy 85.0 % (70.9–92.9)."
        in page_text(app)
    )


@pytest.mark.parametrize("damage", [True, False])
def test_without_validation_predictions_there_is_no_temperature(
    open_app: Open, finished: Job, store: Store, damage: bool
) -> None:
    path = artifacts.predictions_path(store.get_folder(finished), "validation")
    path.write_bytes(b"no parquet") if damage else path.unlink()

    app = open_app(PAGE)

    assert "no temperature can be fitted" in page_text(app)
    assert app.toggle(key="scaled").disabled
    assert len(app.get("vega_lite_chart")) == 3


@pytest.mark.parametrize("rows", [0, 1])
def test_one_text_and_none_are_shown(
    open_app: Open, finished: Job, store: Store, rows: int
) -> None:
    store_test_predictions(store, finished, rows)

    app = open_app(PAGE)

    assert not app.error
    assert ("No test texts were scored." in page_text(app)) == (rows == 0)


@pytest.mark.parametrize("value", ["*nonsense*", "", "1000"])
def test_a_threshold_that_makes_no_sense_is_ignored(
    open_app: Open, finished: Job, value: str
) -> None:
    app = open_app(PAGE, threshold=value)

    assert not app.error
    assert "a confidence of" in page_text(app)
