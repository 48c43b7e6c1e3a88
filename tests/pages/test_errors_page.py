import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.data.disputed_labels import DisputedLabel, change_disputed, read_disputed
from core.data.sources import Source
from core.evaluation.error_analysis import read_tags, write_tag
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.app.visitors import report
from tests.support.stored_runs import FINGERPRINT, make_finished, store_test_predictions, texts
from ui.widgets import disputed_labels

PAGE = "pages/errors.py"


def listed(app: AppTest) -> list[str]:
    return [table.value for table in app.dataframe if "loss" in table.value][0]["text"].tolist()


def pick(app: AppTest, place: int) -> AppTest:
    app.session_state["error-list"] = {"selection": {"rows": [place], "columns": [], "cells": []}}
    return app.run()


def test_the_mistakes_are_counted_and_listed(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE)

    assert (
        app.subheader[0].value
        == "6 of 40 test texts misclassified (15.0 %, 95 % interval 7.1 to 29.1)"
    )
    assert len(listed(app)) == 6
    assert listed(app)[0].startswith("Business news, item 34")


def test_all_texts_come_by_loss(open_app: Open, finished: Job) -> None:
    table = [
        table.value for table in open_app(PAGE, rows="all texts").dataframe if "loss" in table.value
    ][0]

    assert len(table) == 40
    assert table["loss"].is_monotonic_decreasing


def test_a_search_narrows_the_list_and_is_a_slice(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, words="item 3")

    assert all("item 3" in text for text in listed(app))
    slices = next(table.value for table in app.dataframe if "Slice" in table.value)
    assert slices.iloc[0].tolist()[:4] == ["search: item 3", 11, "45.5 % (21.3–72.0)", "100.0 %"]


def test_classes_named_like_messages_are_not_translated(
    open_app: Open, store: Store, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_finished(store, source, "run", classes=("texts", "Runs", "5 rows", "class"))
    report(monkeypatch, locale="de-DE")

    app = open_app(PAGE)

    slices = next(table.value for table in app.dataframe if "Teilmenge" in table.value)
    assert {f"Klasse: {name}" for name in ("texts", "Runs", "5 rows", "class")} <= set(
        slices["Teilmenge"]
    )


def test_a_search_for_nothing_says_so(open_app: Open, finished: Job) -> None:
    assert "All texts contain these words, or none does." in page_text(
        open_app(PAGE, words="nowhere")
    )


def test_a_slice_narrows_the_list(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, slice="class: Business")

    assert [text[:22] for text in listed(app)] == [
        "Business news, item 34",
        "Business news, item 38",
    ]


def test_a_tag_with_its_note_is_kept_and_read_by_a_new_visit(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = pick(open_app(PAGE), 0)
    assert app.text[-1].value.endswith("**bold** <b>tags</b>")

    app.selectbox(key="tag-of-34").set_value("ambiguous")
    app.text_area(key="note-of-34").set_value("=SUM(A1)")
    app.button(key="keep-34").click().run()

    assert read_tags(store.get_folder(finished))[34].note == "=SUM(A1)"
    fresh = open_app(PAGE, rows="tagged")
    assert listed(fresh) == [texts("test", 40)["text"][34]]
    assert "1 tagged" in page_text(fresh)


def test_a_tag_can_be_removed(open_app: Open, finished: Job, store: Store) -> None:
    write_tag(store.get_folder(finished), 34, "hard", "")

    pick(open_app(PAGE), 0).button(key="drop-34").click().run()

    assert read_tags(store.get_folder(finished)) == {}


def test_damaged_tags_are_said_and_the_list_stands(
    open_app: Open, finished: Job, store: Store
) -> None:
    (store.get_folder(finished) / "tags.json").write_bytes(b"{")

    app = open_app(PAGE)

    assert "tags.json" in app.error[0].value.replace("\\", "")
    assert len(listed(app)) == 6


@pytest.mark.parametrize("rows", [0, 1])
def test_one_text_and_none_are_shown(
    open_app: Open, finished: Job, store: Store, rows: int
) -> None:
    store_test_predictions(store, finished, rows)

    app = open_app(PAGE)

    assert not app.error
    assert "There are too few texts to compare slices." in page_text(app)
    assert "No texts to show." in page_text(app)


@pytest.mark.parametrize("name", ["rows", "slice", "words"])
def test_a_choice_that_makes_no_sense_is_ignored(open_app: Open, finished: Job, name: str) -> None:
    assert not open_app(PAGE, **{name: "*nonsense*"}).error


def test_a_label_is_disputed_with_a_suggested_class_listed_and_undone(
    open_app: Open, finished: Job, store: Store
) -> None:
    app = pick(open_app(PAGE), 0)
    assert app.selectbox(key="suggested-34").value == "Sci/Tech"  # as predicted

    app.button(key="dispute-34").click().run()

    (mark,) = read_disputed(store, FINGERPRINT).values()
    assert (mark.row, mark.label, mark.suggested) == (34, "Business", "Sci/Tech")
    fresh = open_app(PAGE, rows="disputed")
    assert listed(fresh) == [texts("test", 40)["text"][34]]
    assert "Without 1 text with a disputed label: **87.2 %" in page_text(fresh)
    assert fresh.subheader[0].value.startswith("6 of 40 test texts misclassified")
    pick(fresh, 0).button(key="undo-dispute-34").click().run()
    assert read_disputed(store, FINGERPRINT) == {}


@pytest.mark.parametrize("forged", ["forged", "Business"])
def test_a_suggested_class_that_is_no_option_is_not_stored(
    finished: Job, store: Store, forged: str
) -> None:
    """The callback of a button runs before Streamlit compares a value with the options."""
    st.session_state["suggested-34"] = forged

    disputed_labels._dispute_one(store, Run.of(store, finished), 34, "Business", "suggested-34")

    (mark,) = read_disputed(store, FINGERPRINT).values()
    assert mark.suggested == ""


def test_damaged_marks_are_reported_and_the_list_stands(
    open_app: Open, finished: Job, store: Store
) -> None:
    change_disputed(store, FINGERPRINT, "news", [DisputedLabel(row=1, label="World")])
    (store.settings.home / "disputed" / f"{FINGERPRINT}.json").write_bytes(b"{")

    app = open_app(PAGE)

    assert "The disputed labels of a dataset are damaged" in app.error[0].value
    assert len(listed(app)) == 6


@pytest.mark.parametrize("fingerprint", ["", "v1"])
def test_labels_of_an_unidentified_dataset_are_not_disputed(
    open_app: Open, finished: Job, store: Store, fingerprint: str
) -> None:
    store.replace_scores(finished, finished.result_json, finished.request_json, fingerprint)

    app = pick(open_app(PAGE), 0)

    assert "it does not identify its dataset" in page_text(app)
    assert "dispute-34" not in {button.key for button in app.button}
