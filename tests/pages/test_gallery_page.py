from core.data.preparation import prepare
from core.data.sources import demo_source, saved_source
from core.demo import bug_hunt
from core.demo.gallery import FAILURES
from core.storage import files
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


def test_a_hunt_is_planted_marked_and_ended(open_app: Open, store: Store) -> None:
    app = open_app(PAGE, **{"gallery-shows": "Bug hunt"})
    app.button(key="hunt-plant").click().run()
    app.button(key="hunt-use").click().run()
    assert app.button(key="prepare").label == "Prepare data"
    prepare(
        store.settings,
        saved_source(store.settings, bug_hunt.NAME) or demo_source(),
        lambda progress: None,
        lambda: False,
    )

    app.run()

    answers = files.read_json(store.settings.home / "hunt" / "answers.json")
    assert isinstance(answers, dict)
    (rare,) = answers["faults"]["rare class"]
    app.segmented_control(key="hunt-kind").set_value(bug_hunt.Fault.RARE_CLASS).run()
    app.selectbox(key="hunt-class").set_value(rare).run()
    app.button(key="hunt-mark").click().run()
    assert "1 true, 0 wrong." in page_text(app)
    assert app.metric[0].value == "3 of 30"
    assert not any("fault" in frame.value for frame in app.dataframe)
    app.button(key="hunt-end").click().run()
    assert len(app.dataframe[0].value) == 24
    assert app.dataframe[0].value["you"].value_counts().to_dict() == {"missed": 23, "marked": 1}
    assert not app.exception
