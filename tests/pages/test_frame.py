from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.data.sources import Source
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.broken_home import break_home
from tests.support.app.page_app import HOME_PAGE, TIMEOUT_SECONDS, Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import make_finished
from ui import navigation
from ui.text import format_age, format_duration, plain


def links(app: AppTest) -> list[str]:
    return [element.proto.label for element in app.sidebar.get("page_link")]


def test_navigation_lists_only_pages_that_exist(open_app: Open) -> None:
    labels = links(open_app())

    there = [
        entry.title
        for entry in navigation.ENTRIES.values()
        if navigation.exists(entry.file) and entry.file != navigation.CLASS
    ]
    assert labels[: len(there)] == there


def test_navigation_keeps_the_chosen_run(open_app: Open, finished: Job) -> None:
    app = open_app("pages/runs.py", run=finished.id)

    runs = next(
        element.proto for element in app.sidebar.get("page_link") if element.proto.label == "Runs"
    )
    assert runs.query_string == f"run={finished.id}"


def test_the_first_link_after_a_start_of_the_server_goes_through_home(finished: Job) -> None:
    app = AppTest.from_file(str(HOME_PAGE), default_timeout=TIMEOUT_SECONDS).switch_page(
        "pages/runs.py"
    )
    app.query_params["run"] = finished.id

    app.run()

    assert app.subheader[0].value == "finished\\-run"
    assert "Home" in links(app)


@pytest.mark.parametrize("page", [navigation.EVALUATE, navigation.CLASSIFY])
def test_without_runs_a_page_about_a_run_leads_to_the_form(open_app: Open, page: str) -> None:
    app = open_app(page)

    assert "No run has finished yet." in page_text(app)
    assert app.button(key="empty-action").label == "Set up a run"


@pytest.mark.parametrize("page", [navigation.EVALUATE, navigation.CLASSIFY])
def test_a_run_running_leads_to_its_progress(open_app: Open, running: Job, page: str) -> None:
    app = open_app(page, run=running.id)
    assert "running-run is running." in page_text(app)
    assert app.button(key="empty-action").label == "View progress"

    app.button(key="empty-action").click().run()

    assert app.title[0].value == "Runs"
    assert app.query_params["run"] == running.id


def test_the_data_in_use_stands_in_the_sidebar(open_app: Open, dataset: Dataset) -> None:
    shown = links(open_app()) + [text.value for text in open_app().sidebar.text]

    assert any(f"200 rows · `{dataset.fingerprint[:6]}`" in text for text in shown)


def test_a_working_run_stands_in_the_sidebar_with_its_share(open_app: Open, running: Job) -> None:
    assert "1 run: training 40 %" in links(open_app())


def test_a_missing_data_folder_is_said_and_takes_nothing_else_down(
    open_app: Open, finished: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_DATA", "/nowhere/at/all")

    app = open_app("pages/runs.py", run=finished.id)

    assert not app.error, app.error[0].value
    assert app.subheader[0].value == "finished\\-run"


def test_a_damaged_database_is_repaired_from_the_page(
    open_app: Open, finished: Job, store: Store
) -> None:
    store.settings.database.write_bytes(b"no database" * 400)
    app = open_app("pages/runs.py")

    assert "cannot be read" in app.error[0].value

    app.button(key="repair").click().run()
    assert not app.error, app.error[0].value
    assert store.read_job(finished.id).name == "finished-run"


def test_an_unexpected_error_shows_an_id_and_no_traceback(open_app: Open, home: Path) -> None:
    break_home(home)
    app = open_app()

    assert not app.exception
    assert app.error[0].value.startswith("Something went wrong (error ")
    assert "jobs" not in app.error[0].value


def test_a_known_error_shows_its_sentence_and_its_remedy(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_THREADS", "*many*")

    assert open_app().error[0].value == (
        r"**LORALAB\_THREADS is '\*many\*'\.** Set it to an integer from 0 to 256\."
    )


def needing_predictions() -> None:
    # AppTest takes the source of this function
    import streamlit as st  # noqa: PLC0415

    from ui import navigation  # noqa: PLC0415
    from ui.app import page_frame  # noqa: PLC0415

    with navigation.home():
        run = page_frame.open_run("Evaluate", "Where is it wrong?", page_frame.Needs.PREDICTIONS)
        st.text(f"{run.id} {run.classes[0]}")


@pytest.fixture
def open_guarded(open_app: Open) -> Open:
    """Open a page that needs predictions."""

    def open_page(**query: str) -> AppTest:
        app = AppTest.from_function(needing_predictions, default_timeout=TIMEOUT_SECONDS)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_page


def test_a_page_without_a_run_opens_the_newest_that_will_do(
    open_guarded: Open, finished: Job, failed: Job
) -> None:
    app = open_guarded()

    assert app.text[0].value == f"{finished.id} World"
    assert app.selectbox(key="run-picker").options == [finished.name]


def test_picking_a_run_writes_it_into_the_url(
    open_guarded: Open, finished: Job, store: Store, source: Source
) -> None:
    newer = make_finished(store, source, "newer-run")
    app = open_guarded()

    app.selectbox(key="run-picker").select(finished.name).run()

    assert app.query_params["run"] == finished.id
    assert app.text[0].value == f"{finished.id} World"
    assert newer.id != finished.id


def test_a_run_that_lacks_what_the_page_needs_says_so(open_guarded: Open, running: Job) -> None:
    app = open_guarded(run=running.id)

    assert "is running" in app.markdown[0].value
    assert app.button(key="empty-action").label == "View progress"


def test_an_unknown_run_is_said_with_a_way_on(open_guarded: Open, finished: Job) -> None:
    app = open_guarded(run="nonsense")

    assert "There is no run" in app.markdown[0].value
    assert app.button(key="empty-action").label == "Open the list of runs"


def test_no_run_at_all_leads_to_the_form(open_guarded: Open) -> None:
    assert open_guarded().button(key="empty-action").label == "Set up a run"


def test_words_a_person_wrote_stay_as_they_are() -> None:
    assert (
        plain("a *b* [c](d) :red[e]\n<i>") == r"a \*b\* \[c\]\(d\) " + ":\u2060red" + r"\[e\] \<i\>"
    )


def test_durations_have_two_digits() -> None:
    assert [format_duration(seconds) for seconds in (0.2, 42, 130, 754, 5400, 38_711)] == [
        "under 1 s",
        "42 s",
        "2.2 min",
        "13 min",
        "90 min",
        "11 h",
    ]


def test_ages_are_rounded_down() -> None:
    assert [format_age(seconds) for seconds in (5, 250, 3 * 3600, 50 * 3600)] == [
        "just now",
        "4 min ago",
        "3 h ago",
        "2 days ago",
    ]


def test_a_variable_that_is_wrong_is_named_with_what_it_takes(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "class/room")

    app = open_app()

    assert not app.exception
    assert "LORALAB_MODE is 'class/room'" in app.error[0].value.replace("\\", "").replace(
        "\u2060", ""
    )
