import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.inference.process import InferenceProcess
from core.runs import artifacts
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/adapter.py"
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning")


@pytest.fixture
def app(open_app: Open, store: Store, usable: Job, host: InferenceProcess) -> AppTest:
    """Open the page on a run with the bundled adapter and ten test texts about a final."""
    rows = {
        "row": range(10),
        "label": 1,
        "p0": 0.0,
        "p1": 1.0,
        "p2": 0.0,
        "p3": 0.0,
        "loss": 0.0,
        "text": "The striker scored twice in the final.",
    }
    pd.DataFrame(rows).to_parquet(artifacts.predictions_path(store.get_folder(usable), "test"))
    return open_app(PAGE, run=usable.id).run()


def test_the_page_says_what_changed_and_what_it_takes(app: AppTest) -> None:
    assert not app.exception
    assert "12 weight matrices changed by" in app.subheader[0].value
    assert "The adapter takes" in page_text(app)
    assert "Scale 2; 75,268 trained parameters, including the head." in page_text(app)
    assert "accuracy on 10 test texts" in page_text(app)


def test_without_its_changes_the_run_is_another(app: AppTest) -> None:
    app.text_input(key="adapter-text").set_value("<b>Oil</b> prices **fell**.").run()
    app.slider(key="adapter-scale").set_value(0.0).run()

    assert "; as trained 100.0 %" in page_text(app)
    titles = [
        chart.proto.alt.partition(" by ")[2].partition(":")[0]
        for chart in app.get("vega_lite_chart")
    ][2:]
    assert titles == ["Changed", "As trained"]
