from core.demo.gallery import FAILURES
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/gallery.py"


def test_each_failure_has_its_curve_its_score_and_its_answer(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)

    assert len(app.get("vega_lite_chart")) == len(FAILURES)
    for failure in FAILURES:
        assert f"**{failure.title}.** {failure.done}" in page_text(app)
    assert page_text(app).count("accuracy on") == len(FAILURES)
    assert not app.exception


def test_the_lists_of_runs_leave_them_out_but_the_address_opens_one(
    open_app: Open, finished: Job
) -> None:
    open_app(PAGE)

    assert open_app("pages/runs.py").dataframe[0].value["name"].tolist() == ["finished-run"]
    app = open_app("pages/runs.py", run="gallery-3")
    assert "gallery-3 (example)" in app.dataframe[0].value["name"].tolist()
    assert not open_app("pages/evaluate.py", run="gallery-5").exception
