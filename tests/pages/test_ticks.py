"""A tick is left out while it would draw what the visitor sees already."""

import json
import time
from itertools import count
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.sources import Source, demo_source
from core.errors import LoraLabError
from core.jobs.launching import launch
from core.lesson.lesson_file import list_bundled
from core.people import membership
from core.people.classroom import change_rules, read_rules
from core.runs.requests import PrepareRequest
from core.storage import accounts, lesson_records
from core.storage.database import Metric
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import use
from tests.support.app.page_app import Open
from tests.support.app.visitors import join
from tests.support.led_lessons import lead_lesson, place_of
from tests.support.stored_runs import make_finished, make_run
from ui import class_page
from ui.classroom import projector
from ui.runs import detail, learning_curves, run_list
from ui.session import visitors
from ui.session.error_boundary import TICKS, Shown
from ui.session.visit_cookie import tickets
from ui.widgets import job_panel


def list_shown(app: AppTest) -> list[Shown]:
    """List what the fragments show that tick."""
    storage = app._fragment_storage
    return [shown for name in storage._fragments if (shown := TICKS.find(storage, name))]


def find_shown(app: AppTest) -> Shown:
    """Return what the only fragment of the page that ticks shows."""
    (shown,) = list_shown(app)
    return shown


def find_table(app: AppTest) -> Shown:
    """Return what the list of runs shows."""
    (shown,) = [each for each in list_shown(app) if isinstance(each.value, run_list.Table)]
    return shown


def labels(app: AppTest) -> list[str]:
    return [element.proto.label for element in app.sidebar.get("page_link")]


def texts(lines: object) -> list[str]:
    assert isinstance(lines, tuple)
    return [line.label for line in lines[1]]


def sign_in(app: AppTest, name: str, code: str = "whale") -> AppTest:
    app = join(app, name, code)
    del app.session_state[visitors.TICKET]  # no browser answers whether it keeps its cookie
    return app.run()


def test_without_news_the_same_lines_are_read(open_app: Open, running: Job) -> None:
    app = open_app()

    assert not find_shown(app).has_news()
    assert texts(find_shown(app).read_again()) == labels(app)[-2:]


def test_progress_is_news(open_app: Open, running: Job, store: Store) -> None:
    app = open_app()

    store.update(running, done=running.done + running.total // 10)

    assert find_shown(app).has_news()


def test_the_end_of_a_run_is_news(open_app: Open, running: Job, store: Store) -> None:
    app = open_app()

    with store.transaction() as db:
        db.execute("UPDATE jobs SET state = 'completed' WHERE id = ?", (running.id,))

    assert find_shown(app).has_news()


def test_lines_are_read_in_the_language_of_the_visit(
    open_app: Open, classroom: None, running: Job
) -> None:
    app = sign_in(open_app(), "Ada")
    app.selectbox(key="language-picker").set_value("de").run()

    with use("es"):  # of the visitor before
        assert not find_shown(app).has_news()


def test_the_lines_of_every_role_are_those_that_it_sees(
    open_app: Open, classroom: None, running: Job, store: Store
) -> None:
    for name, code in (("Ada", "whale"), ("Teacher", "oak")):
        app = sign_in(open_app(), name, code)

        assert texts(find_shown(app).read_again()) == labels(app)[-2:]
        assert not find_shown(app).has_news()


@pytest.mark.parametrize("change", ["removed", "renamed"])
def test_a_change_of_the_member_is_news(
    open_app: Open, classroom: None, store: Store, change: str
) -> None:
    app = sign_in(open_app(), "Ada")
    assert not find_shown(app).has_news()
    (ada,) = [each for each in accounts.list_people(store) if each.name == "Ada"]

    if change == "removed":
        membership.remove_member(store, ada)
    else:
        membership.rename_member(store, ada, "Eve")

    assert find_shown(app).has_news()


def test_the_cookie_of_someone_who_joined_is_news_once(open_app: Open, classroom: None) -> None:
    app = join(open_app())
    cookie, _lines = list_shown(app)
    assert not cookie.has_news()
    ticket = tickets.find(app.session_state[visitors.TICKET])
    assert ticket

    ticket.confirmed = True

    assert cookie.has_news()
    assert cookie.read_again() == (False, True)


RUNS = "pages/runs.py"


def test_the_list_of_runs_without_news_is_not_drawn(
    open_app: Open, running: Job, finished: Job, store: Store
) -> None:
    train_for_an_hour(store, running)
    app = open_app(RUNS, run=finished.id)

    assert find_table(app).value == find_table(app).read_again()
    assert not find_table(app).has_news()


@pytest.mark.parametrize("change", ["progress", "name", "new", "deleted", "time"])
def test_whatever_changes_in_the_list_of_runs_is_news(
    open_app: Open, running: Job, finished: Job, source: Source, store: Store, change: str
) -> None:
    shown = find_table(open_app(RUNS, run=running.id))

    if change == "progress":
        store.update(running, done=running.done + running.total // 10)
    elif change == "name":
        store.rename(finished, "Another name")
    elif change == "new":
        make_run(store, source, "new-run")
    elif change == "deleted":
        store.delete(finished)
    else:
        store.update(running, started_at=running.created_at - 60)

    assert shown.has_news()


def test_the_list_of_another_role_is_what_it_sees(
    open_app: Open, classroom: None, running: Job, finished: Job, store: Store
) -> None:
    people = ("Ada", "whale"), ("Ben", "whale"), ("Teacher", "oak")
    apps = [sign_in(open_app(RUNS), *person) for person in people]
    (ben,) = [each for each in accounts.list_people(store) if each.name == "Ben"]
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET owner = ?, result_json = ? WHERE id = ?",
            (ben.id, json.dumps(finished.result | {"imported": "ben.zip"}), finished.id),
        )

    ada, _ben, teacher = (find_table(app).read_again() for app in apps)

    assert isinstance(ada, run_list.Table)
    assert isinstance(teacher, run_list.Table)
    assert (ada.ids, set(teacher.ids)) == ([running.id], {running.id, finished.id})


def test_a_home_folder_that_is_missing_is_news(open_app: Open, running: Job, store: Store) -> None:
    shown = find_table(open_app(RUNS))

    store.update(running, done=running.done + 1)  # otherwise the file is compared 20 ms later
    store.database.rename(store.database.with_name("aside"))

    with pytest.raises(LoraLabError):  # the server draws the tick, so that the page says so
        shown.has_news()


def find_live(app: AppTest, store: Store, job: Job) -> Shown:
    """Return what the details of a run show; from now on each read is made a second later."""
    seconds = count(time.monotonic() + 1, 1)
    learning_curves.find_live_metrics(store, job).timer = lambda: next(seconds)
    (shown,) = [each for each in list_shown(app) if isinstance(each.value, detail.Live)]
    return shown


def make_predictions(folder: Path, step: int) -> None:
    """Write a file as a validation does."""
    (folder / f"predictions-validation-{step:08}.parquet").write_bytes(b"")


def train_for_an_hour(store: Store, job: Job) -> None:
    """Have the times that are shown change once a minute."""
    store.update(job, started_at=store.clock() - 3600, heartbeat_at=store.clock())


def test_the_details_of_a_run_without_news_are_not_drawn(
    open_app: Open, running: Job, store: Store
) -> None:
    train_for_an_hour(store, running)
    app = open_app(RUNS, run=running.id)

    assert not find_live(app, store, running).has_news()


@pytest.mark.parametrize("change", ["step", "progress", "silence", "alert", "log", "validation"])
def test_whatever_changes_in_the_details_of_a_run_is_news(
    open_app: Open, running: Job, store: Store, change: str
) -> None:
    train_for_an_hour(store, running)
    shown = find_live(open_app(RUNS, run=running.id), store, running)

    if change == "step":
        store.add_metrics(running, [Metric(21, "train", 0.4, 0.5, store.clock())])
    elif change == "progress":
        store.update(running, done=running.done + 1)
    elif change == "silence":
        store.update(running, heartbeat_at=store.clock() - 100)
    elif change == "alert":
        alert = {"id": "flat", "step": 20, "message": "Flat.", "action": ""}
        store.update(running, result_json=json.dumps(running.result | {"alerts": [alert]}))
    elif change == "log":
        (store.get_folder(running) / "worker.log").write_text("one more line")
    else:
        make_predictions(store.get_folder(running), 21)

    assert shown.has_news()


def test_a_run_that_waits_is_drawn_again_when_its_turn_comes_closer(
    open_app: Open, running: Job, source: Source, store: Store
) -> None:
    waiting = make_run(store, source, "waiting-run")
    app = open_app(RUNS, run=waiting.id)
    shown = find_live(app, store, waiting)
    before = shown.has_news()

    with store.transaction() as db:
        db.execute("UPDATE jobs SET state = 'completed' WHERE id = ?", (running.id,))

    assert (before, shown.has_news()) == (False, True)


def find_only(app: AppTest, kind: type) -> Shown:
    """Return what the only fragment with a value of this type shows."""
    (shown,) = [each for each in list_shown(app) if isinstance(each.value, kind)]
    return shown


def test_the_board_is_drawn_again_when_a_run_or_a_rule_has_changed(
    open_app: Open, classroom: None, finished: Job, source: Source, store: Store
) -> None:
    app = sign_in(open_app("pages/board.py"), "Ada")
    news = [find_only(app, class_page.Board).has_news()]

    make_finished(store, source, "second-run")
    news.append(find_only(app, class_page.Board).has_news())
    app.run()
    news.append(find_only(app, class_page.Board).has_news())
    change_rules(store, read_rules(store).model_copy(update={"names": not read_rules(store).names}))
    news.append(find_only(app, class_page.Board).has_news())

    assert news == [False, True, False, True]


def test_the_people_are_drawn_again_when_someone_joins(
    open_app: Open, classroom: None, store: Store
) -> None:
    shown = find_only(sign_in(open_app("pages/board.py"), "Teacher", "oak"), list)
    before = shown.has_news()

    sign_in(open_app(), "Ada")

    assert (before, shown.has_news()) == (False, True)


def test_answers_of_a_lesson_are_news_for_its_leader(
    open_app: Open, classroom: None, store: Store
) -> None:
    led = lead_lesson(list_bundled("en")["first-lesson"])
    app = sign_in(open_app("pages/lesson.py"), "Teacher", "oak")
    fragments = [find_only(app, int), find_only(app, list)]
    before = [shown.has_news() for shown in fragments]

    place = place_of(led)
    lesson_records.add_entry(led, place.id, place.step, "done", "")

    assert before == [False, False]
    assert [shown.has_news() for shown in fragments] == [True, True]


def test_a_job_is_drawn_again_with_its_progress(open_app: Open, store: Store) -> None:
    request = PrepareRequest(source=demo_source())
    job = launch(store, request, "Prepare")
    store.transition(job, JobState.STARTING, started_at=store.clock() - 3600)
    store.transition(job, JobState.RUNNING, phase="preparing data", done=300, total=1200)
    shown = find_only(open_app("pages/explore.py"), job_panel.Live)
    before = shown.has_news()

    store.update(job, done=301)

    assert (before, shown.has_news()) == (False, True)


@pytest.mark.usefixtures("classroom")
def test_the_projector_view_is_drawn_again_when_someone_joins_or_a_run_waits(
    open_app: Open, store: Store
) -> None:
    app = sign_in(open_app("pages/board.py", view="projector"), "Teacher", "oak")
    (shown,) = [each for each in list_shown(app) if isinstance(each.value, projector.Projected)]
    assert not shown.has_news()

    make_run(store, demo_source(), "waits")
    assert shown.has_news()
    (shown,) = [
        each for each in list_shown(app.run()) if isinstance(each.value, projector.Projected)
    ]
    sign_in(open_app(), "Ada")
    assert shown.has_news()


@pytest.mark.usefixtures("classroom")
def test_the_preparation_of_a_lesson_is_drawn_again_with_its_parts(
    open_app: Open, store: Store
) -> None:
    app = sign_in(open_app("pages/lesson.py"), "Teacher", "oak")
    (shown,) = [each for each in list_shown(app) if hasattr(each.value, "has_data")]
    assert not shown.has_news()

    launch(store, PrepareRequest(source=demo_source()), "demo")

    assert shown.has_news()
