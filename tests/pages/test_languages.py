"""Pages in German and Spanish: no English text that has a translation, and languages per visit."""

import ast
import re
from collections.abc import Iterator

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.data.dataset import Dataset
from core.jobs.actions import classify_at_once
from core.lesson import open_lesson
from core.people.classroom import Rules, change_rules
from core.storage.job import Job
from core.storage.store import Store
from core.translation import ENGLISH, LANGUAGES, read_entries, translate_recorded, use
from tests.support.app.page_app import Open
from tests.support.app.page_text import COLUMN, elements, page_text, strings
from tests.support.app.visitors import join, report
from tests.support.security.file_audit import ROOT
from tests.support.text_batches import make_batch
from ui import navigation

TRANSLATED = sorted(set(LANGUAGES) - {ENGLISH})
READ_AS_NAMES = (
    "The first line is read as names of the columns: its values do not occur again below."
)
TITLES = {"de": "Dem Kurs beitreten", "es": "Unirse al curso", "en": "Join the class"}


def find_english(app: AppTest, language: str, filled: bool = True) -> Iterator[str]:
    """Yield the texts of the page that are messages with another text in this language, with
    ``filled`` also those whose values are filled in.
    """
    entries = read_entries(language)[1:]
    known = {text: entry.texts[0] for entry in entries for text in entry.ids[:1]}
    known |= {text: text for entry in entries for text in entry.texts}  # "Start" is German for Home
    texts = [
        text for _, message in elements(app) for field, text in strings(message) if field != COLUMN
    ]
    for text in texts:
        for line in text.splitlines():
            tidy = line.strip(" #*").replace("\\", "")
            is_text = tidy[:1].isupper() or " " in tidy  # no address or key
            if not is_text:
                continue
            if tidy in known:
                english = known[tidy] != tidy
            else:
                english = filled and is_filled_message(tidy, language)
            if english:
                yield tidy


def is_filled_message(text: str, language: str) -> bool:
    if len(text) > 1000 or "{" in text or text.startswith("/*"):  # specs of charts, CSS
        return False
    with use(language):
        return translate_recorded(text) != text


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_sign_in_page_has_no_english_text(
    open_app: Open, classroom: None, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, locale=f"{language}-XX")

    app = open_app()

    assert TITLES[language] in page_text(app)
    assert list(find_english(app, language)) == []
    app = join(app, "Ada", "wrong")
    assert list(find_english(app, language)) == []
    assert app.error[0].value.startswith(
        {"de": "**Das ist nicht der Kurscode", "es": "**Este no es el código"}[language]
    )


def test_two_visits_have_their_own_language(open_app: Open, classroom: None) -> None:
    ada, bob = open_app(), open_app()
    ada.selectbox(key="language-picker").set_value("de").run()
    bob.selectbox(key="language-picker").set_value("es").run()
    ada.run()

    assert TITLES["de"] in page_text(ada)
    assert TITLES["es"] in page_text(bob)
    assert TITLES["en"] in page_text(open_app())


def test_the_choice_of_a_visitor_counts_more_than_that_of_the_class_and_the_browser(
    open_app: Open, classroom: None, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = store.for_visitor(Visitor("grace", "Grace", Role.TEACHER))
    change_rules(teacher, Rules(language="es"))
    report(monkeypatch, locale="en-US")

    app = open_app()
    assert TITLES["es"] in page_text(app)

    app.selectbox(key="language-picker").set_value("de").run()
    assert TITLES["de"] in page_text(app)
    report(monkeypatch, cookies={"lora-lab-language": "en"})
    assert TITLES["en"] in page_text(open_app())
    report(monkeypatch, cookies={"lora-lab-language": "<script>"})
    assert TITLES["es"] in page_text(open_app())


LESSON = """\
title: Prueba
steps:
  - title: Uno
    minutes: 3
    text: Mira.
    page: explore
    question: Cuál?
    guess: {kind: number, low: 0, high: 100, answer: "0.5"}
    hides: [results]
    meaning: Nada.
    prompt: Por qué?
"""


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize(
    "page",
    ["home", "explore", "train", "runs", "board", "lesson", "playground", "gallery", "data"],
)
def test_pages_of_a_class_have_no_english_text(
    open_app: Open, classroom: None, dataset: Dataset, store: Store, language: str, page: str
) -> None:
    teacher = store.for_visitor(Visitor("grace", "Grace", Role.TEACHER))
    change_rules(teacher, Rules(language=language))
    open_lesson.start_lesson(teacher, LESSON)

    filled = page != "gallery"  # the table of its failed runs is in English
    app = join(open_app(f"pages/{page}.py"), "Ada", "whale")

    assert list(find_english(app, language, filled)) == []
    place = open_lesson.find_place(teacher)
    assert place is not None
    open_lesson.reveal(teacher, place)
    with use(language):  # AppTest formats the options of a list itself
        app.run()
    assert list(find_english(app, language, filled)) == []


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize(
    "page",
    [
        "evaluate",
        "runs",
        "classify",
        "compare",
        "errors",
        "calibration",
        "data",
        "quality",
        "tokens",
        "through_time",
        "embeddings",
        "inside",
    ],
)
def test_pages_of_a_run_have_no_english_text(
    open_app: Open, finished: Job, language: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, locale=f"{language}-XX")

    app = open_app(f"pages/{page}.py", run=finished.id)

    assert list(find_english(app, language)) == []


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("way", ["Several texts", "A file"])
def test_a_classified_file_has_no_english_text(
    open_app: Open,
    store: Store,
    finished: Job,
    language: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = make_batch(["one", "two", ""], ["World", "Sports", "World"])
    answers = np.full((2, 4), 0.25, dtype=np.float32)
    job = classify_at_once(
        store, finished, "a.csv", batch, lambda texts: answers[: len(texts)], [READ_AS_NAMES]
    )
    report(monkeypatch, locale=f"{language}-XX")

    form = open_app("pages/classify.py", run=finished.id, way=way)
    result = open_app("pages/classify.py", run=finished.id, way=way, batch=job.id)

    assert list(find_english(form, language)) == []
    assert list(find_english(result, language)) == []
    assert READ_AS_NAMES not in page_text(result)


@pytest.mark.parametrize(("language", "heading"), [("de", "Klasse"), ("es", "Clase")])
def test_the_class_of_a_text_is_not_the_class_of_people(
    open_app: Open, finished: Job, language: str, heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, locale=f"{language}-XX")

    app = open_app("pages/evaluate.py", run=finished.id)

    assert heading in {text for _, message in elements(app) for _, text in strings(message)}


@pytest.mark.parametrize("guess", ["{kind: class}", "{kind: class, choose: 2}"])
def test_the_list_of_a_guess_has_a_placeholder_in_the_language_of_the_class(
    open_app: Open, classroom: None, dataset: Dataset, store: Store, guess: str
) -> None:
    teacher = store.for_visitor(Visitor("grace", "Grace", Role.TEACHER))
    change_rules(teacher, Rules(language="de"))
    number = '{kind: number, low: 0, high: 100, answer: "0.5"}'
    open_lesson.start_lesson(teacher, LESSON.replace(number, guess))

    app = join(open_app("pages/lesson.py"), "Ada", "whale")

    (chosen,) = (
        widget for widget in [*app.selectbox, *app.multiselect] if "guess" in str(widget.key)
    )
    assert chosen.placeholder == "Auswählen"


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("view", ["", "projector"])
def test_the_page_class_of_a_teacher_has_no_english_text(
    open_app: Open, classroom: None, store: Store, language: str, view: str
) -> None:
    teacher = store.for_visitor(Visitor("grace", "Grace", Role.TEACHER))
    change_rules(teacher, Rules(language=language))

    app = join(open_app("pages/board.py", view=view), "Eva", "oak")

    assert list(find_english(app, language)) == []


DECIMAL_COMMA, DECIMAL_POINT = re.compile(r"\d,\d(?!\d\d)"), re.compile(r"\d\.\d(?!\d\d\b)")


@pytest.mark.parametrize("page", navigation.ENTRIES)
def test_no_text_has_the_decimal_marks_of_two_languages(
    open_app: Open, finished: Job, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    report(monkeypatch, locale="de-DE")

    app = open_app(page, run=finished.id)

    texts = [text for _, message in elements(app) for _, text in strings(message)]
    lines = [line for text in texts for line in text.splitlines() if "$schema" not in line]
    assert [
        line for line in lines if DECIMAL_COMMA.search(line) and DECIMAL_POINT.search(line)
    ] == []


@pytest.mark.parametrize(
    ("page", "key", "option"),
    [
        ("evaluate", "cells", "per cent of row"),
        ("evaluate", "scored-on", "validation"),
        ("evaluate", "view", "ROC and precision–recall"),
        ("classify", "way", "A file"),
        ("gallery", "gallery-shows", "Bug hunt"),
        ("explore", "split", "test"),
        ("explore", "words-as", "bars"),
    ],
)
def test_an_address_has_the_same_choice_in_every_language(
    open_app: Open,
    finished: Job,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    key: str,
    option: str,
) -> None:
    report(monkeypatch, locale="de-DE")
    german = open_app(f"pages/{page}.py", run=finished.id)

    with use("de"):  # the driver sends the names of the options
        german.segmented_control(key=key).set_value(option).run()

    assert german.query_params[key] == option
    report(monkeypatch, locale="es-ES")
    spanish = open_app(f"pages/{page}.py", run=finished.id, **{key: option})
    assert spanish.session_state[key] == option
    assert spanish.query_params[key] == option


def test_a_bound_widget_shows_its_options_as_they_are() -> None:
    """A widget with ``bind`` writes the name of the option into the address."""
    named = []
    for path in sorted([*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                words = {word.arg for word in node.keywords}
                if {"bind", "format_func"} <= words:
                    named.append(f"{path.relative_to(ROOT)}:{node.lineno}")

    assert named == []
