import pytest
from streamlit.proto.Block_pb2 import Block as BlockProto
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.lesson import open_lesson
from core.lesson.lesson_file import list_bundled
from core.people.membership import read_drafts, write_drafts
from core.reports.notebook import write_notebook
from core.reports.pinned_charts import MOST_PINS
from core.storage import lesson_records
from core.storage.accounts import list_people
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.app.visitors import join
from tests.support.led_lessons import lead_lesson, place_of

LESSON = """\
title: Small
steps:
  - title: First
    minutes: 3
    text: Look <script>alert(1)</script> **closely**.
    page: explore
    question: Which class?
    guess: {kind: class}
    reveal: It was obvious.
    prompt: Why?
  - title: Second
    minutes: 2
    text: Read.
"""


@pytest.fixture
def led(classroom: None, store: Store) -> Store:
    """Return the store of a teacher who has started the lesson."""
    return lead_lesson(LESSON)


def test_a_student_sees_the_step_on_every_page_and_gives_the_guess_once(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    app = join(open_app("pages/tokens.py"), "Ada", "whale")
    assert "1 of 2 · First" in page_text(app)
    assert not [button for button in app.button if button.key == "lesson-next"]

    guess = next(box for box in app.selectbox if str(box.key).endswith("-guess"))
    guess.set_value("Sports")
    app.button(key="lesson-give").click().run()

    assert "Your guess: **Sports**" in page_text(app)
    assert "It was obvious." not in page_text(app)
    open_lesson.reveal(led, place_of(led))
    app.run()
    assert "It was obvious." in page_text(app)
    assert "1 guess: Sports 1." in page_text(app)


def test_an_empty_guess_is_refused_with_a_reason(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    app = join(open_app("pages/tokens.py"), "Ada", "whale")

    app.button(key="lesson-give").click().run()

    assert "Choose 1 of" in app.error[0].value


def test_a_number_that_the_guess_does_not_allow_is_refused_with_the_bounds(
    open_app: Open, classroom: None, dataset: Dataset
) -> None:
    lead_lesson(LESSON.replace("{kind: class}", "{kind: number, low: 0, high: 100}"))
    app = join(open_app("pages/tokens.py"), "Ada", "whale")

    next(box for box in app.number_input if str(box.key).endswith("-guess")).set_value(120)
    app.button(key="lesson-give").click().run()

    assert "120 is not between 0 and 100" in app.error[0].value


def test_a_student_writes_a_note_that_the_notebook_shows(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    open_lesson.reveal(led, place_of(led))
    app = join(open_app("pages/lesson.py"), "Ada", "whale")

    app.text_area[0].set_value("Because of the words.")
    app.button(key="lesson-note-save").click().run()
    app.run()

    assert "Because of the words." in app.dataframe[-1].value["My note"].tolist()


def test_guess_and_note_that_were_not_sent_are_there_in_another_tab(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    """In local mode the tour keeps drafts, too."""
    open_lesson.start_lesson(store, LESSON)
    app = open_app("pages/tokens.py")
    next(box for box in app.selectbox if str(box.key).endswith("-guess")).set_value("Sports").run()

    again = open_app("pages/tokens.py")
    guess = next(box for box in again.selectbox if str(box.key).endswith("-guess"))
    assert guess.value == "Sports"
    again.button(key="lesson-give").click().run()
    open_lesson.reveal(store, place_of(store))
    again.run()
    again.text_area[0].set_value("Because of").run()

    other = open_app("pages/tokens.py")
    assert other.text_area[0].value == "Because of"
    other.button(key="lesson-note-save").click().run()
    assert not other.exception
    assert read_drafts(store) == {}


def test_draft_that_a_guess_does_not_offer_is_left_out(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    open_lesson.start_lesson(store, LESSON)
    name = f"lesson-{place_of(store).id}-0-guess"
    write_drafts(store, {name: '"Weather"'})

    app = open_app("pages/tokens.py")

    assert next(box for box in app.selectbox if box.key == name).value is None


def test_the_teacher_moves_everyone_and_sees_who_has_answered(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    ada = join(open_app("pages/tokens.py"), "Ada", "whale")
    app = join(open_app("pages/lesson.py"), "Grace", "oak")

    app.button(key="lesson-next").click().run()
    ada.run()

    assert "2 of 2 · Second" in page_text(ada)
    ada.button(key="lesson-done").click().run()
    app.run()
    table = app.dataframe[0].value
    assert table["Who"].tolist() == ["Ada"] and table["2"].tolist() == ["●"]
    app.button(key="lesson-end").click().run()
    ada.run()
    assert "2 of 2" not in page_text(ada)
    app.button(key="lesson-resume").click().run()
    assert "2 of 2 · Second" in page_text(app)


def test_the_answer_is_shown_by_the_teacher(open_app: Open, dataset: Dataset, led: Store) -> None:
    app = join(open_app("pages/tokens.py"), "Grace", "oak")

    app.button(key="lesson-reveal").click().run()

    assert "It was obvious." in page_text(app)
    assert place_of(led).revealed


def test_the_timer_is_started_and_stopped(open_app: Open, dataset: Dataset, led: Store) -> None:
    app = join(open_app("pages/tokens.py"), "Grace", "oak")

    app.button(key="lesson-timer").click().run()
    assert place_of(led).deadline is not None
    app.button(key="lesson-timer").click().run()

    assert place_of(led).deadline is None


def test_a_lesson_is_uploaded_started_collapsed_and_closed(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app("pages/lesson.py")
    app.file_uploader(key="lesson-upload").upload("mine.yaml", LESSON.encode(), "text/yaml").run()
    app.button(key="lesson-store").click().run()
    app.selectbox(key="lesson-file").set_value("stored: Small").run()
    app.button(key="lesson-start").click().run()
    assert "1 of 2 · First" in page_text(app)

    app.button(key="lesson-collapse").click().run()
    assert not [button for button in app.button if button.key == "lesson-give"]
    app.button(key="lesson-collapse").click().run()
    app.button(key="lesson-end").click().run()

    assert open_lesson.find_place(store) is None


def test_a_broken_file_is_refused_with_step_and_line(open_app: Open, dataset: Dataset) -> None:
    broken = LESSON.replace("minutes: 3", "minutes: soon").encode()
    app = open_app("pages/lesson.py")
    app.file_uploader(key="lesson-upload").upload("mine.yaml", broken, "text/yaml").run()

    app.button(key="lesson-store").click().run()

    assert "Step 1, line 4" in app.error[0].value


def test_html_of_a_lesson_is_not_allowed_to_run(
    open_app: Open, dataset: Dataset, led: Store
) -> None:
    app = join(open_app("pages/tokens.py"), "Ada", "whale")

    (text,) = [element for element in app.markdown if "<script>" in element.value]

    assert not text.allow_html


def test_a_public_page_has_no_lesson(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")

    app = open_app("pages/lesson.py")

    assert "There is no lesson on this page." in page_text(app)


@pytest.mark.parametrize("page", ["pages/tokens.py", "pages/explore.py", "pages/lesson.py"])
def test_elements_of_a_page_have_the_same_paths_with_and_without_a_lesson(
    open_app: Open, dataset: Dataset, led: Store, page: str
) -> None:
    app = join(open_app(page), "Ada", "whale")
    opened = find_header(app)
    assert "1 of 2 · First" in page_text(app)

    open_lesson.end_lesson(led)
    app.run()

    assert "1 of 2 · First" not in page_text(app)
    assert find_header(app) == opened
    open_lesson.start_lesson(led, LESSON)
    assert find_header(app.run()) == opened


def find_header(app: AppTest) -> list[int]:
    """Return the places among the blocks of the page that have its header; exactly one."""
    places = [n for n, block in app.main.children.items() if is_header(block.proto)]
    assert len(places) == 1
    return places


def is_header(block: object) -> bool:
    return isinstance(block, BlockProto) and block.id.endswith("page-header")


def test_a_chart_is_pinned_shown_on_the_page_lesson_and_removed(
    open_app: Open, dataset: Dataset, led: Store, finished: Job
) -> None:
    app = join(open_app("pages/evaluate.py", run=finished.id), "Ada", "whale")
    app.button(key="class-scores-pin").click().run()
    assert not app.exception and not app.error
    (ada,) = (person for person in list_people(led) if person.name == "Ada")
    (pin,) = lesson_records.list_pins(led, place_of(led).id, ada.id)

    app.switch_page("pages/lesson.py").run()

    (shown,) = (each for each in app.expander if pin.title in each.label.replace("\\", ""))
    assert "step 1" in shown.label and shown.caption[0].value == "finished\\-run"
    store = led.for_visitor(ada)
    current = open_lesson.read_open(store)
    assert current is not None
    page = write_notebook(store, current).decode()
    assert page.count("<svg") == 1 and "Precision, Recall, F1 per class" in page

    app.button(key=f"unpin-{pin.id}").click().run()

    assert not lesson_records.list_pins(led, place_of(led).id, ada.id)
    assert not [each for each in app.expander if pin.title in each.label]
    assert "<svg" not in write_notebook(store, current).decode()


def test_a_chart_above_the_limit_is_refused_with_a_reason(
    open_app: Open, dataset: Dataset, led: Store, finished: Job
) -> None:
    app = join(open_app("pages/evaluate.py", run=finished.id), "Ada", "whale")
    (ada,) = (person for person in list_people(led) if person.name == "Ada")
    for number in range(MOST_PINS):
        place = place_of(led)
        lesson_records.add_pin(led.for_visitor(ada), place, f"{number}", "", "", "<svg></svg>")

    app.button(key="class-scores-pin").click().run()

    assert "12 charts are pinned, the limit." in page_text(app)
    assert len(lesson_records.list_pins(led, place_of(led).id, ada.id)) == MOST_PINS


def test_no_chart_can_be_pinned_without_a_lesson(
    open_app: Open, dataset: Dataset, finished: Job
) -> None:
    app = open_app("pages/evaluate.py", run=finished.id)

    assert not [button for button in app.button if str(button.key).endswith("-pin")]


def test_the_library_says_in_which_language_the_lesson_is(
    open_app: Open, classroom: None, dataset: Dataset
) -> None:
    app = join(open_app("pages/lesson.py"), "Grace", "oak")
    assert "in the language of their own pages: English, Deutsch, Español." in page_text(app)
    app.file_uploader(key="lesson-upload").upload("mine.yaml", LESSON.encode(), "text/yaml").run()
    app.button(key="lesson-store").click().run()

    app.selectbox(key="lesson-file").set_value("stored: Small").run()

    assert "in the language in which it was written" in page_text(app)


def test_two_students_follow_an_included_lesson_in_two_languages(
    open_app: Open, dataset: Dataset, classroom: None, store: Store
) -> None:
    teacher = lead_lesson(list_bundled("es")["first-lesson"])
    open_lesson.go_to(teacher, place_of(teacher), 5)
    ada = join(open_app("pages/data.py"), "Ada", "whale")
    bob = join(open_app("pages/data.py"), "Bob", "whale")
    bob.selectbox(key="language-picker").set_value("de").run()

    for app, label in ((ada, "No one can say"), (bob, "Das kann niemand sagen")):
        (guess,) = (radio for radio in app.radio if str(radio.key).endswith("-guess"))
        assert guess.options[-1] == label
        guess.set_value("Nadie puede saberlo").run()
        app.button(key="lesson-give").click().run()
        assert f": **{label}**" in page_text(app)
    open_lesson.reveal(teacher, place_of(teacher))

    assert "2 guesses: No one can say 2." in page_text(ada.run())
    assert "2 Tipps: Das kann niemand sagen 2." in page_text(bob.run())
    ada.switch_page("pages/lesson.py").run()
    assert ada.dataframe[0].value["My guess"].tolist() == ["No one can say"]
