import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.data.explore.index import ensure_index, index_folder
from core.data.preparation import prepare
from core.data.sources import Source, demo_source, folder_source
from core.runs.requests import PrepareRequest
from core.settings import Settings
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/explore.py"


def listed(app: AppTest) -> pd.DataFrame:
    """Return the visible texts of the list."""
    return next(table.value for table in app.dataframe if "text" in table.value.columns)


def finding(app: AppTest) -> str:
    assert not app.exception and not app.error, (app.exception, app.error)
    return app.subheader[0].value


def alt(app: AppTest, start: str) -> str:
    """Return the text alternative of a chart by its beginning."""
    return next(
        str(chart.proto.alt)
        for chart in app.get("vega_lite_chart")
        if chart.proto.alt.startswith(start)
    )


def click(app: AppTest, chart: str, **point: object) -> None:
    """Report a selection of this point of ``chart``, as the browser does; none clears it."""
    app.session_state[chart] = {"selection": {"chosen": [point] if point else []}}
    app.run()


def ready(source: Source) -> None:
    """Prepare and index, as the job does."""
    done = prepare(Settings(), source, lambda progress: None, lambda: False)
    ensure_index(done, lambda progress: None, lambda: False)


def bars(app: AppTest) -> dict[str, int]:
    """Return texts of each class and split from the balance chart's text alternative."""
    words = app.get("vega_lite_chart")[0].proto.alt.partition("in all: ")[2].rstrip(".")
    return {name: int(texts) for name, texts in (part.rsplit(" ", 1) for part in words.split(", "))}


def test_data_that_is_not_prepared_offers_to_prepare_it_and_then_shows_progress(
    open_app: Open, store: Store
) -> None:
    app = open_app(PAGE)
    assert "**Demo corpus** must be prepared once" in page_text(app)
    assert "The Hub is switched off, so the demo corpus is used." in page_text(app)

    app.button(key="prepare").click().run()

    (job,) = store.list_jobs(JobKind.PREPARE)
    assert job.state is JobState.QUEUED
    assert "Waiting in the queue." in page_text(app)


def test_a_preparation_running_says_how_far_it_is(open_app: Open, store: Store) -> None:
    job = store.create(
        JobKind.PREPARE,
        "Prepare",
        PrepareRequest(source=demo_source()).model_dump(mode="json"),
        "key",
    )
    store.transition(job, JobState.STARTING, started_at=store.clock())
    store.transition(job, JobState.RUNNING, phase="preparing data", done=300, total=1200)

    progress = open_app(PAGE).get("progress")[0].proto

    assert progress.value == 25
    assert progress.text.startswith("Preparing data · 300 of 1,200 · ")


def test_a_failed_preparation_says_why_and_can_be_tried_again(open_app: Open, store: Store) -> None:
    job = store.create(
        JobKind.PREPARE,
        "Prepare",
        PrepareRequest(source=demo_source()).model_dump(mode="json"),
        "key",
    )
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.FAILED, message="There is no column text.", fix="Name it text.")

    app = open_app(PAGE)

    assert app.error[0].value.replace("\\", "") == "**There is no column text.** Name it text."
    assert app.button(key="prepare").label == "Prepare data"


def test_a_missing_folder_is_said(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_DATA", "/nowhere/at/all")

    assert "The data folder /nowhere/at/all does not exist." in open_app(PAGE).error[
        0
    ].value.replace("\\", "")


def test_source_rows_and_fingerprint_stand_above_the_data(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    assert (
        "200 train rows, 20 of them for validation, 40 test rows · fingerprint"
        f" `{dataset.fingerprint}`" in page_text(app)
    )
    assert finding(app) == "180 texts in train"
    assert bars(app) == {
        "World": 60,
        "Sports": 60,
        "Business": 60,
        "Sci/Tech": 60,
    }  # over all splits
    assert alt(app, "Length per class in tokens").startswith(
        "Length per class in tokens. Median: World "
    )
    assert (
        alt(app, "Texts truncated")
        == "Texts truncated at max tokens. With 128 tokens 0 of 180 texts are truncated, none."
    )
    assert len(listed(app)) == 50


def test_filters_narrow_the_count_the_bars_and_the_texts(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test")

    app.text_input(key="search").set_value("ITEM 1").run()

    assert finding(app) == "11 of 40 texts in test match"  # 1 and 10 to 19
    assert set(listed(app)["text"].str.extract(r"item (\d+)")[0].astype(int)) == {1, *range(10, 20)}
    app.multiselect(key="classes").set_value(["Sports"]).run()
    assert finding(app) == "3 of 40 texts in test match"  # 1, 13, 17
    assert set(listed(app)["class"]) == {"Sports"}
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
def test_a_filter_that_makes_no_sense_is_ignored(
    open_app: Open, dataset: Dataset, name: str, value: str
) -> None:
    assert finding(open_app(PAGE, **{name: value})) == "180 texts in train"


def test_the_first_texts_are_of_several_classes(open_app: Open) -> None:
    ready(demo_source())  # sorted by class

    shown = listed(open_app(PAGE))

    assert set(shown["class"].head(20)) == {"World", "Sports", "Business", "Sci/Tech"}


def test_why_the_demo_corpus_is_used_is_said(open_app: Open) -> None:
    ready(demo_source())

    assert "The Hub is switched off, so the demo corpus is used." in page_text(open_app(PAGE))


def test_nothing_found_says_what_to_do(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, search="zebra")

    assert finding(app) == "0 of 180 texts in train match"
    assert (
        app.info[0].value
        == "No texts match. Shorten the search, widen the length range, or show all."
    )
    assert not app.get("vega_lite_chart")


def test_a_chosen_row_is_shown_in_full_and_as_it_is(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, split="test", search="item 5 ")

    app.session_state["texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert app.text[-1].value == "Sports news, item 5 of the test split: **bold** <b>tags</b>"
    assert "Sports · row 5 · " in page_text(app)
    assert "bold" not in page_text(app), "a text went through Markdown"


@pytest.mark.parametrize("chart", ["balance", "boxes"])
def test_a_click_chooses_a_class_another_adds_one_and_a_second_lets_go(
    open_app: Open, dataset: Dataset, chart: str
) -> None:
    app = open_app(PAGE)

    click(app, chart, **{"class": "Sports"})
    assert app.multiselect(key="classes").value == ["Sports"]
    assert finding(app) == "45 of 180 texts in train match"

    app.session_state[chart] = {"selection": {"chosen": [{"class": "Sports"}, {"class": "World"}]}}
    app.run()
    assert app.multiselect(key="classes").value == ["World", "Sports"]

    click(app, chart, **{"class": "World"})
    assert app.multiselect(key="classes").value == ["World"]


def test_what_the_bar_says_is_not_undone_by_an_old_click(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)
    click(app, "balance", **{"class": "Sports"})

    app.multiselect(key="classes").set_value(["World"]).run()
    assert app.multiselect(key="classes").value == ["World"]

    click(app, "balance")  # the browser clears Sports after a second click
    assert app.multiselect(key="classes").value == ["World", "Sports"]


def test_a_click_on_a_length_keeps_its_range_another_widens_it_and_one_within_lets_go(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    limits = [app.number_input(key=key) for key in ("shortest", "longest")]

    click(app, "lengths", **{"from": 20, "to": 20})
    assert [box.value for box in limits] == [20, 20]
    click(app, "lengths", **{"from": 22, "to": 22})
    assert [app.number_input(key=key).value for key in ("shortest", "longest")] == [20, 22]
    click(app, "lengths", **{"from": 21, "to": 21})
    assert [app.number_input(key=key).value for key in ("shortest", "longest")] == [None, None]


def test_a_click_on_a_word_selects_its_texts_and_shows_it_in_sentences(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    assert (
        alt(app, "Distinctive words of Sports")
        == "Distinctive words of Sports, most distinctive first, with their count: sports (45)."
    )

    click(app, "words-cloud-1", word="sports")

    assert app.text_input(key="word").value == "sports"
    assert finding(app) == "45 of 180 texts in train match"
    assert "**sports** occurs 45 times: Sports 45 (" in page_text(app)
    examples = next(table.value for table in app.dataframe if "example" in table.value.columns)
    assert examples["class"].tolist() == ["Sports"] * 3
    assert examples["example"].str.startswith("Sports news, item ").all()
    click(app, "words-cloud-1")
    assert finding(app) == "180 texts in train"


def test_a_click_on_a_pattern_selects_the_texts_that_have_it(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    assert "**<b>** is the most predictive pattern" in page_text(
        app
    )  # the only pattern, and in every text, so it predicts no class

    click(app, "patterns", pattern="<b>")

    assert app.selectbox(key="pattern").value == "<b>"
    assert finding(app) == "180 of 180 texts in train match"


def test_each_filter_can_be_lifted_by_itself(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, classes=["Sports"], word="sports", search="item 1")
    assert finding(app) == "26 of 180 texts in train match"

    app.button(key="lift-text").click().run()
    assert finding(app) == "45 of 180 texts in train match"
    app.button(key="lift-class").click().run()
    app.button(key="lift-word").click().run()

    assert finding(app) == "180 texts in train"


def test_the_whole_view_comes_back_from_the_url(open_app: Open, dataset: Dataset) -> None:
    address = {
        "split": "train",
        "classes": ["Sports", "World"],
        "length-in": "characters",
        "shortest": "5",
        "longest": "900",
    }
    more = {
        "search": "news",
        "pattern": "<b>",
        "max-tokens": "16",
        "words-as": "bars",
        "order": "longest first",
        "list-page": "2",
    }

    app = open_app(PAGE, **address, **more)

    assert finding(app) == "90 of 180 texts in train match"
    assert len(listed(app)) == 40, "the second page of 90"
    assert app.slider(key="max-tokens").value == 16
    assert app.segmented_control(key="words-as").value == "bars"
    assert listed(app)["characters"].is_monotonic_decreasing


def test_pages_hold_fifty_texts_and_another_selection_begins_on_the_first(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE, **{"list-page": "4"})
    assert len(listed(app)) == 30

    app.text_input(key="search").set_value("item").run()

    assert len(listed(app)) == 50
    assert "1–50 of 180" in page_text(app)


@pytest.mark.parametrize("expected", ["0", "99", "x", "-1", ""])
def test_a_page_that_is_not_there_is_the_nearest_one(
    open_app: Open, dataset: Dataset, expected: str
) -> None:
    assert len(listed(open_app(PAGE, **{"list-page": expected}))) == (
        30 if expected == "99" else 50
    )


def test_texts_that_a_limit_cuts_can_be_read(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, **{"max-tokens": "16"})
    cut = int((dataset.read("train")["tokens"] > 16).sum())
    assert f"of the texts are truncated: {cut} of 180 texts" in page_text(app)

    app.button(key="only-cut").click().run()

    assert finding(app) == f"{cut} of 180 texts in train match"
    assert app.number_input(key="shortest").value == 17


def test_an_order_lists_the_longest_or_shortest_first(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, **{"length-in": "characters"})

    app.selectbox(key="order").set_value("shortest first").run()

    assert listed(app)["characters"].tolist() == sorted(dataset.read("train")["characters"])[:50]


def write_source(folder: Path, train: list[tuple[str, str]], test: list[tuple[str, str]]) -> Source:
    folder.mkdir()
    for split, rows in (("train", train), ("test", test)):
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / f"{split}.csv", index=False)
    return folder_source(folder)


def test_chinese_texts_are_drawn(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("股票市场今天上涨", "经济"), ("球队赢得了比赛", "体育")] * 20
    ready(write_source(tmp_path / "zh", rows, rows[:4]))
    monkeypatch.setenv("LORALAB_DATA", str(tmp_path / "zh"))

    app = open_app(PAGE)

    assert finding(app) == "36 texts in train"
    assert "股票 (18)" in alt(app, "Distinctive words of 经济")
    app.text_input(key="word").set_value("股票").run()
    assert finding(app) == "18 of 36 texts in train match"


def test_fifty_classes_of_which_the_test_split_lacks_most_are_drawn(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        (f"only{number} text about topic{number}", f"class {number:02}") for number in range(50)
    ] * 12
    ready(write_source(tmp_path / "many", rows, rows[:3]))
    monkeypatch.setenv("LORALAB_DATA", str(tmp_path / "many"))

    app = open_app(PAGE)
    assert finding(app).endswith(" texts in train")
    assert "No texts of class 03 (test)" in page_text(app)
    assert "46 classes not shown" in page_text(app)

    click(app, "balance", **{"class": "class 42"})
    assert alt(app, "Distinctive words of class 42").endswith(
        "only42 (10), topic42 (10)."
    )  # of 12, two are validation
    app.segmented_control(key="split").set_value("test").run()
    assert finding(app) == "0 of 3 texts in test match"


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_an_index_that_is_missing_or_damaged_can_be_built(
    open_app: Open, dataset: Dataset, store: Store, fault: str
) -> None:
    if fault == "gone":
        shutil.rmtree(index_folder(dataset))
    else:
        path = index_folder(dataset) / "texts.arrow"
        path.write_bytes(b"x" * path.stat().st_size)

    app = open_app(PAGE)

    assert "must be indexed once to count its words." in page_text(app)
    app.button(key="prepare").click().run()
    assert [job.state for job in store.list_jobs(JobKind.PREPARE)] == [JobState.QUEUED]


def test_a_truncated_file_counts_as_not_prepared(open_app: Open, dataset: Dataset) -> None:
    (dataset.folder / "test.parquet").write_bytes(b"")

    assert open_app(PAGE).button(key="prepare").label == "Prepare data"


def test_a_source_that_names_its_classes_in_markup_is_shown_as_it_is(
    open_app: Open, dataset: Dataset
) -> None:
    card: Path = dataset.folder / "dataset.json"
    named = json.loads(card.read_text())
    card.write_text(
        json.dumps(named | {"classes": ["**World**", "<b>Sports</b>", "Business", "Sci/Tech"]})
    )

    app = open_app(PAGE, split="test", search="Sports")
    app.session_state["texts"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert any(r"\<b\>Sports" in caption.value for caption in app.caption)
