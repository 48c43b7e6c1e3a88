"""Parts that a step hides are absent until the guess is given, for students only."""

import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.dataset import Dataset
from core.demo import bug_hunt
from core.demo.gallery import FAILURES, open_gallery
from core.lesson import open_lesson
from core.people.classroom import Rules, change_rules
from core.presets import Preset
from core.runs.allowed_presets import find_seed
from core.storage import accounts
from core.storage.job import Job, JobKind
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.app.visitors import join
from tests.support.led_lessons import lead_lesson

HIDES = "preset texts, parameter shares, results, guesses, gallery answers"
LESSON = f"""\
title: Hiding
steps:
  - title: First
    minutes: 3
    question: Which word?
    guess: {{kind: text}}
    hides: [{HIDES}]
"""


@pytest.fixture
def led(classroom: None) -> Store:
    return lead_lesson(LESSON)


def notices(app: AppTest) -> list[str]:
    return [box.value for box in app.info if "The lesson hides" in box.value]


def guess(app: AppTest) -> AppTest:
    next(box for box in app.text_input if str(box.key).endswith("-guess")).set_value("cup")
    return app.button(key="lesson-give").click().run()


@pytest.mark.parametrize(
    "name",
    ["evaluate", "compare", "calibration", "errors", "board", "adapter", "export", "train"],
)
def test_a_page_shows_nothing_hidden_before_the_guess(
    open_app: Open, dataset: Dataset, finished: Job, led: Store, name: str
) -> None:
    query = {} if name in ("board", "train", "compare") else {"run": finished.id}
    if name == "compare":
        query = {"compared": f"{finished.id},{finished.id}"}
    app = join(open_app(f"pages/{name}.py", **query))

    assert notices(app)
    assert "85.0 %" not in page_text(app)

    assert not notices(guess(app))


def test_the_list_of_runs_hides_results_of_others(
    open_app: Open, dataset: Dataset, finished: Job, led: Store
) -> None:
    app = join(open_app("pages/runs.py", run=finished.id))

    assert app.dataframe[0].value["result"].tolist() == ["hidden by the lesson"]
    assert notices(app)
    assert "accuracy on" not in page_text(app)
    guess(app)
    assert "85.0 %" in app.dataframe[0].value["result"].tolist()[0]


def test_the_gallery_hides_its_answers_and_its_links_name_no_fault(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    open_gallery(led)
    app = join(open_app("pages/gallery.py"))

    assert FAILURES[0].done not in page_text(app)
    assert all(failure.id == f"gallery-{n}" for n, failure in enumerate(FAILURES, 1))
    assert FAILURES[0].done in page_text(guess(app))


def test_the_bug_hunt_of_the_gallery_hides_its_answers(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    bug_hunt.plant(led)
    app = join(open_app("pages/gallery.py", **{"gallery-shows": "Bug hunt"}))
    (ada,) = (person for person in accounts.list_people(led) if person.name == "Ada")
    bug_hunt.end_hunt(led.for_visitor(ada))

    app.run()
    assert notices(app)
    assert "The answers" not in page_text(app)

    guess(app)
    assert not notices(app)
    assert "The answers" in page_text(app)


def test_the_playground_hides_its_results(open_app: Open, dataset: Dataset, led: Store) -> None:
    app = join(open_app("pages/playground.py"))

    assert notices(app)
    assert not [each for each in app.slider if str(each.key).startswith("playground")]


@pytest.mark.parametrize("stage", ["Guesses", "Results"])
def test_the_projector_view_hides_from_the_class_until_the_answer_is_shown(
    open_app: Open, finished: Job, led: Store, stage: str
) -> None:
    app = join(open_app("pages/board.py", view="projector"), "Grace", "oak")
    app.segmented_control(key="projector-stage").set_value(stage).run()
    assert notices(app)

    place = open_lesson.find_place(led)
    assert place is not None
    open_lesson.reveal(led, place)

    assert not notices(app.run())


ASKS_LATER = """\
title: Asks later
steps:
  - {title: Start, minutes: 3, question: "How good?", guess: {kind: text}, hides: [preset texts]}
  - title: Share
    minutes: 3
    question: How much is trained?
    guess: {kind: text}
    hides: [parameter shares]
"""


def test_new_run_keeps_what_a_later_step_asks_about_to_itself(
    open_app: Open, classroom: None, dataset: Dataset
) -> None:
    teacher = lead_lesson(ASKS_LATER)
    app = guess(join(open_app("pages/train.py")))
    assert ["parameter shares" in notice for notice in notices(app)] == [True]

    place = open_lesson.find_place(teacher)
    assert place is not None
    open_lesson.go_to(teacher, place, 1)
    assert notices(app.run())

    assert not notices(guess(app))


def test_the_teacher_sees_everything(
    open_app: Open, dataset: Dataset, finished: Job, led: Store
) -> None:
    app = join(open_app("pages/evaluate.py", run=finished.id), code="oak")

    assert not notices(app)


@pytest.mark.usefixtures("classroom")
@pytest.mark.parametrize(
    ("rules", "preset", "refused"),
    [
        (Rules(rows=5_000), Preset.QUICK, ["Thorough", "Standard"]),
        (Rules(rows=1_500), Preset.TASTE, ["Thorough", "Standard", "Quick"]),
        (Rules(rows=1_000_000, minutes=1440), Preset.THOROUGH, []),
        (Rules(rows=1_000_000, minutes=1440, memory_mb=700), Preset.TASTE, None),
    ],
)
def test_new_run_begins_with_the_largest_allowed_preset_and_says_why(
    open_app: Open,
    dataset: Dataset,
    store: Store,
    rules: Rules,
    preset: Preset,
    refused: list[str] | None,
) -> None:
    change_rules(store, rules)

    app = join(open_app("pages/train.py"))

    assert app.session_state["preset"] == preset
    reasons = [box.value for box in app.caption if "is not offered first here" in box.value]
    if refused is not None:
        assert [reason.partition(" ")[0] for reason in reasons] == refused


@pytest.mark.usefixtures("classroom")
def test_each_student_trains_with_a_seed_of_their_own(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = join(open_app("pages/train.py"))
    (ada,) = accounts.list_people(store)
    assert "is your own" in page_text(app)

    app.button(key="launch").click().run()

    (job,) = store.list_jobs(JobKind.TRAIN)
    assert f'"seed": {find_seed(ada)}' in job.request_json


def test_seeds_differ_between_students_and_not_between_others() -> None:
    students = [Visitor(f"{number:012x}", "", Role.STUDENT) for number in range(30)]

    assert len({find_seed(student) for student in students}) == 30
    assert find_seed(Visitor("grace", "", Role.TEACHER)) == RunConfig().seed


def test_home_offers_the_tour_until_it_was_taken(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app("pages/home.py")

    app.button(key="tour-start").click().run()

    assert "1 of 6 · The texts" in page_text(app)
    assert not [button for button in app.button if button.key == "tour-start"]
    app.button(key="lesson-end").click().run()
    assert open_lesson.find_place(store) is None
