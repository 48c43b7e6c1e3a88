import json

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.data.disputed_labels import DisputedLabel, change_disputed
from core.data.sources import Source
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import FINGERPRINT, make_finished

PAGE = "pages/compare.py"


def table(app: AppTest, column: str) -> pd.DataFrame:
    return next(element.value for element in app.dataframe if column in element.value)


@pytest.fixture
def other(store: Store, source: Source, finished: Job) -> Job:
    """Create a second finished run with the same predictions."""
    return make_finished(store, source, "other-run")


def test_one_run_is_not_compared(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)

    assert "There is nothing to compare yet." in page_text(app)
    assert app.button(key="empty-action").label == "Set up a run"


def test_the_two_newest_are_compared_at_first_and_the_url_keeps_them(
    open_app: Open, finished: Job, other: Job
) -> None:
    app = open_app(PAGE)

    assert app.query_params["compared"] == f"{other.id},{finished.id}"
    assert "finished-run is as good as other-run on 40 texts" in page_text(app)
    assert "Too close to call." in page_text(app)
    assert len(app.get("vega_lite_chart")) == 3


def test_the_url_names_the_runs_whatever_else_it_names(
    open_app: Open, store: Store, source: Source, finished: Job, other: Job
) -> None:
    third = make_finished(store, source, "third-run")

    app = open_app(PAGE, compared=f"{third.id},nonsense,{finished.id}")

    assert app.multiselect(key="compared").value == [third.id, finished.id]
    assert "No run with test scores has the id nonsense." in page_text(app)
    assert "finished-run is as good as third-run" in page_text(app)
    assert "other-run" not in page_text(app)


def test_a_run_that_the_url_names_twice_is_compared_once(
    open_app: Open, finished: Job, other: Job
) -> None:
    app = open_app(PAGE, compared=f"{finished.id},{finished.id}")

    assert app.multiselect(key="compared").value == [finished.id]
    assert "Choose at least two runs." in page_text(app)


def test_a_single_choice_asks_for_another(open_app: Open, finished: Job, other: Job) -> None:
    app = open_app(PAGE)

    app.multiselect(key="compared").set_value([finished.id]).run()

    assert "Choose at least two runs." in page_text(app)
    assert app.query_params["compared"] == finished.id


def test_results_mark_the_best_and_carry_their_interval(
    open_app: Open, finished: Job, other: Job
) -> None:
    results = table(open_app(PAGE), "Accuracy")

    assert results["Accuracy"].tolist() == ["★ 85.0 %", "★ 85.0 %", "25.0 %"]
    assert results["Interval"].tolist() == ["70.9 % to 92.9 % of 40"] * 2 + [
        "14.2 % to 40.2 % of 40"
    ]
    assert results["Peak memory"].tolist() == ["★ 900 MB"] * 2 + ["–"]
    assert results["Trained parameters"].tolist() == ["–"] * 3


def test_configurations_show_differences_or_everything(
    open_app: Open, store: Store, source: Source, finished: Job, other: Job
) -> None:
    app = open_app(PAGE)
    assert "The configurations are identical." in page_text(app)

    app.toggle(key="differences-only").set_value(False).run()

    assert (
        table(app, "Setting")["other-run"].iloc[0] == table(app, "Setting")["finished-run"].iloc[0]
    )


def test_other_data_are_said_loudly_and_not_compared(
    open_app: Open, store: Store, finished: Job, other: Job
) -> None:
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET fingerprint = 'ffffffffffff', version = version + 1 WHERE id = ?",
            (other.id,),
        )

    app = open_app(PAGE)

    assert "are not compared: their data differ (fingerprints ffffff and 012345)." in app.warning[
        0
    ].value.replace("\\", "")
    assert "Two runs in detail" not in page_text(app)


def test_a_run_whose_predictions_are_damaged_leaves_the_others(
    open_app: Open, store: Store, source: Source, finished: Job, other: Job
) -> None:
    third = make_finished(store, source, "third-run")
    (store.get_folder(third) / "predictions-test.parquet").write_bytes(b"nonsense")

    app = open_app(PAGE, compared=f"{third.id},{other.id},{finished.id}")

    assert app.error
    assert "finished-run is as good as other-run" in page_text(app)


def test_two_of_three_are_chosen_for_the_details_and_the_url_keeps_them(
    open_app: Open, store: Store, source: Source, finished: Job, other: Job
) -> None:
    third = make_finished(store, source, "third-run", right=30)
    runs, pair = f"{finished.id},{other.id},{third.id}", f"{other.id},{third.id}"

    app = open_app(PAGE, compared=runs, pair=pair)

    assert app.selectbox(key="pair").value == pair
    assert "Only other-run: 4 texts. Only third-run: 0 texts." in page_text(app)
    details = table(app, "Change in F1")
    assert list(details["F1 of other-run"] >= details["F1 of third-run"]) == [True] * 4
    app.multiselect(key="compared").set_value([finished.id, other.id]).run()
    assert "Only finished-run: 0 texts. Only other-run: 0 texts." in page_text(app)
    assert not app.error


def test_curves_are_drawn_against_the_chosen_axis(
    open_app: Open, finished: Job, other: Job
) -> None:
    app = open_app(PAGE)

    app.session_state["axis"] = "seconds"
    app.run()

    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["layer"][0]["encoding"]["x"]["title"] == "seconds since the first step"


def test_the_report_is_offered_and_made_only_on_a_click(
    open_app: Open, finished: Job, other: Job
) -> None:
    app = open_app(PAGE)

    (button,) = (
        element.proto
        for element in app.get("download_button")
        if element.proto.label == "Download report"
    )
    # no file yet: the browser requests it by this id on a click
    assert (button.url, bool(button.deferred_file_id)) == ("", True)


def test_runs_are_also_compared_without_disputed_labels(
    open_app: Open, store: Store, finished: Job, other: Job
) -> None:
    change_disputed(store, FINGERPRINT, "news", [DisputedLabel(row=39, label="World")])

    app = open_app(PAGE)

    assert "finished-run is as good as other-run on 40 texts" in page_text(app)
    assert "finished-run is as good as other-run on 39 texts" in page_text(app)
    column = table(app, "Interval")["Accuracy without disputed"].tolist()
    assert column[:2] == ["87.2 % ± 10.6 of 39"] * 2
