import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.prepared import Dataset, prepare
from core.data.sources import demo_source
from core.jobs.requests import PrepareRequest
from core.settings import Settings
from core.states import JobState, Kind
from core.store import Store
from tests.pages.conftest import Open

PAGE = "pages/explore.py"


def said(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.markdown, *app.caption]).replace("\\", "")


def finding(app: AppTest) -> str:
    assert not app.exception and not app.error, (app.exception, app.error)
    return app.subheader[0].value


def bars(app: AppTest) -> dict[str, int]:
    """Texts of each class and split that the balance chart's alternative names."""
    words = app.get("vega_lite_chart")[0].proto.alt.partition("in all: ")[2].rstrip(".")
    return {name: int(texts) for name, texts in (part.rsplit(" ", 1) for part in words.split(", "))}


def test_data_that_is_not_prepared_offers_to_prepare_it_and_then_shows_progress(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)
    assert "**Demo corpus** has to be prepared once" in said(app)
    assert "The Hub is switched off, so the demo corpus is used." in said(app)

    app.button(key="prepare").click().run()

    (job,) = store.jobs(Kind.PREPARE)
    assert job.state is JobState.QUEUED
    assert app.get("progress")[0].proto.text == "Queued"


def test_a_preparation_under_way_says_how_far_it_is(open_app: Open, store: Store) -> None:
    job = store.create(Kind.PREPARE, "Prepare", PrepareRequest(source=demo_source()).model_dump(mode="json"), "key")
    store.transition(job, JobState.STARTING, started_at=store.clock())
    store.transition(job, JobState.RUNNING, phase="preparing data", done=300, total=1200)

    progress = open_app(PAGE).get("progress")[0].proto

    assert progress.value == 25
    assert progress.text.startswith("Preparing data · 300 of 1,200 · ")


def test_a_failed_preparation_says_why_and_can_be_tried_again(open_app: Open, store: Store) -> None:
    job = store.create(Kind.PREPARE, "Prepare", PrepareRequest(source=demo_source()).model_dump(mode="json"), "key")
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.FAILED, message="There is no column text.", fix="Name it text.")

    app = open_app(PAGE)

    assert app.error[0].value.replace("\\", "") == "**There is no column text.** Name it text."
    assert app.button(key="prepare").label == "Prepare the data"


def test_a_missing_folder_is_said(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_DATA", "/nowhere/at/all")

    assert "The data folder /nowhere/at/all does not exist." in open_app(PAGE).error[0].value.replace("\\", "")


def test_source_rows_and_fingerprint_stand_above_the_data(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    assert f"200 train rows, 20 of them for validation, 40 test rows · fingerprint `{dataset.fingerprint}`" in said(app)
    assert finding(app) == "180 texts in train"
    assert bars(app) == {"World": 60, "Sports": 60, "Business": 60, "Sci/Tech": 60}  # over all splits
    assert app.get("vega_lite_chart")[1].proto.alt.startswith("Text length in tokens. Median: World ")
    assert len(app.dataframe[0].value) == 180


def test_filters_narrow_the_count_the_bars_and_the_texts(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test")

    app.text_input(key="search").set_value("ITEM 1").run()

    assert finding(app) == "11 of 40 texts in test match"  # 1 and 10 to 19
    assert set(app.dataframe[0].value["text"].str.extract(r"item (\d+)")[0].astype(int)) == {1, *range(10, 20)}
    app.multiselect(key="classes").set_value(["Sports"]).run()
    assert finding(app) == "3 of 40 texts in test match"  # 1, 13, 17
    assert set(app.dataframe[0].value["class"]) == {"Sports"}
    assert bars(app)["World"] > 0, "the bars are not narrowed by what is chosen in them"


def test_show_all_clears_the_filters(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test", search="item 3", classes="Business", shortest="2")
    assert " match" in finding(app)

    app.button(key="show-all").click().run()

    assert finding(app) == "40 texts in test"
    assert app.button(key="show-all").disabled


def test_a_length_range_counts_both_ends(open_app: Open, dataset: Dataset) -> None:
    lengths = dataset.read("train")["characters"]
    low, high = int(lengths.min()), int(lengths.median())

    app = open_app(PAGE, **{"length-in": "characters", "shortest": str(low), "longest": str(high)})

    assert finding(app) == f"{int(lengths.between(low, high).sum())} of 180 texts in train match"


def test_filters_come_from_the_url(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test", search="item 1", classes=["World", "Sports"])

    assert app.multiselect(key="classes").value == ["World", "Sports"]
    assert finding(app) == "5 of 40 texts in test match"  # 1, 12, 13, 16, 17


@pytest.mark.parametrize("value", ["*nonsense*", "-5", "1e99", "nan", ""])
@pytest.mark.parametrize("name", ["split", "classes", "length-in", "shortest", "longest"])
def test_a_filter_that_makes_no_sense_is_ignored(open_app: Open, dataset: Dataset, name: str, value: str) -> None:
    assert finding(open_app(PAGE, **{name: value})) == "180 texts in train"


def test_the_first_texts_are_of_several_classes(open_app: Open) -> None:
    prepare(Settings(), demo_source(), lambda progress: None, lambda: False)  # sorted by class

    shown = open_app(PAGE).dataframe[0].value

    assert set(shown["class"].head(20)) == {"World", "Sports", "Business", "Sci/Tech"}


def test_why_the_demo_corpus_is_used_is_said(open_app: Open) -> None:
    prepare(Settings(), demo_source(), lambda progress: None, lambda: False)

    assert "The Hub is switched off, so the demo corpus is used." in said(open_app(PAGE))


def test_nothing_found_says_what_to_do(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, search="zebra")

    assert finding(app) == "0 of 180 texts in train match"
    assert app.info[0].value == "No text matches. Search for fewer letters, widen the length, or show all."
    assert not app.get("vega_lite_chart")


def test_a_chosen_row_is_shown_in_full_and_as_it_is(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test", search="item 5 ")

    app.session_state["texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert app.text[-1].value == "Sports news, item 5 of the test split: **bold** <b>tags</b>"
    assert "Sports · row 5 · " in said(app)
    assert "bold" not in said(app), "a text went through Markdown"


def test_a_click_on_a_bar_chooses_its_class_until_the_box_says_otherwise(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.session_state["balance"] = {"selection": {"chosen": [{"class": "Sports"}]}}
    app.run()
    assert app.multiselect(key="classes").value == ["Sports"]
    assert finding(app) == "45 of 180 texts in train match"

    app.multiselect(key="classes").set_value(["World"]).run()
    assert app.multiselect(key="classes").value == ["World"]


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_damaged_data_is_said_and_can_be_prepared_again(open_app: Open, dataset: Dataset, store: Store, content: bytes) -> None:
    path = dataset.folder / "validation.parquet"
    path.write_bytes(content.ljust(path.stat().st_size, b"x"))  # of the right size: only reading tells

    app = open_app(PAGE)

    assert "validation.parquet" in app.error[0].value.replace("\\", "")
    app.button(key="prepare").click().run()
    assert [job.state for job in store.jobs(Kind.PREPARE)] == [JobState.QUEUED]


def test_a_truncated_file_counts_as_not_prepared(open_app: Open, dataset: Dataset) -> None:
    (dataset.folder / "test.parquet").write_bytes(b"")

    assert open_app(PAGE).button(key="prepare").label == "Prepare the data"


def test_a_source_that_names_its_classes_in_markup_is_shown_as_it_is(open_app: Open, dataset: Dataset) -> None:
    card: Path = dataset.folder / "dataset.json"
    named = json.loads(card.read_text())
    card.write_text(json.dumps(named | {"classes": ["**World**", "<b>Sports</b>", "Business", "Sci/Tech"]}))

    app = open_app(PAGE, split="test", search="Sports")
    app.session_state["texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert any(r"\<b\>Sports" in caption.value for caption in app.caption)
