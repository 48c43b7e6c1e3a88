from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.models.families import FAMILIES
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.tiny_models import WRITERS

PAGE = "pages/inside.py"
TEXT = "The coach said the team won."

# loky says so whenever a process ends by itself just as work arrives; it starts another one
pytestmark = [
    pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning"),
    pytest.mark.usefixtures("host"),
]


def send(app: AppTest, text: str = TEXT) -> AppTest:
    app.text_area(key="own-text").set_value(text)
    return app.button(key="walk").click().run()


def titles(app: AppTest) -> list[str]:
    return [chart.proto.alt for chart in app.get("vega_lite_chart")]


def test_nothing_waits_for_the_model_before_the_button(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)

    assert "The first time takes a few seconds" in page_text(app)
    assert not app.get("vega_lite_chart") and not app.exception


def test_the_untrained_base_shows_every_step(open_app: Open, store: Store) -> None:
    app = send(open_app(PAGE))

    assert not app.exception and not app.error, app.error
    assert app.subheader[0].value.startswith("9 tokens in; ")
    assert "the prediction is random" in page_text(app)
    steps = app.dataframe[0].value
    assert steps["shape"].tolist() == [
        "(9,)",
        "(9, 384)",
        "(9, 384) each",
        "(384,)",
        "(2,)",
        "(2,)",
    ]
    shown = " ".join(titles(app))
    for topic in (
        "Tokens and their ids",
        "The vector of",
        "How far each layer",
        "Attention in layer 6, mean",
        "Class probabilities",
        "Modules with LoRA",
    ):
        assert topic in shown, topic


def test_layer_and_head_choose_the_map(open_app: Open, store: Store) -> None:
    app = send(open_app(PAGE))

    app.segmented_control(key="inside-layer").set_value(2)
    app.segmented_control(key="inside-head").set_value(3).run()

    assert any(
        "Attention in layer 2, head 3: row attends to column" in title for title in titles(app)
    )


def test_a_run_shows_its_own_matrices(open_app: Open, usable: Job) -> None:
    app = send(open_app(PAGE, subject=usable.id))

    assert not app.exception and not app.error, app.error
    assert "This run trains rank r = " in page_text(app)
    assert any(
        title.startswith("Modules with LoRA matrices: attention.self.query, attention.self.value")
        for title in titles(app)
    )


def test_a_changed_text_is_answered_at_once_after_the_first(open_app: Open, store: Store) -> None:
    app = send(open_app(PAGE))

    app.text_area(key="own-text").set_value("Goal").run()

    assert app.subheader[0].value.startswith("3 tokens in; ")


def test_a_long_text_says_what_is_cut_and_what_is_drawn(open_app: Open, store: Store) -> None:
    app = send(open_app(PAGE), "goal " * 300)

    assert "174 of the text's 302 tokens were truncated." in page_text(app)
    assert "Only the first 48 of 128 tokens are shown" in page_text(app)


@pytest.mark.parametrize("family", [name for name in WRITERS if name != "bert"])
def test_a_folder_of_another_family_is_drawn_too(
    open_app: Open, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setenv("LORALAB_MODEL", str(WRITERS[family](tmp_path / "model")))

    app = send(open_app(PAGE))

    assert not app.exception and not app.error, app.error
    steps = app.dataframe[0].value["what happens"].tolist()
    assert FAMILIES[family].head.description in steps
    assert any(title.startswith("Modules with LoRA matrices") for title in titles(app))


def test_a_missing_model_says_what_to_do(open_app: Open, store: Store) -> None:
    app = open_app(PAGE, subject="base:distilbert")

    assert "This model is not on this machine." in app.warning[0].value
    assert "put the model's files into" in page_text(app)


def test_a_damaged_adapter_is_said(open_app: Open, store: Store, finished: Job) -> None:
    app = send(open_app(PAGE, subject=finished.id))  # the fixture's adapter is not one

    assert "damaged or was trained for another model" in page_text(app)
    assert not app.exception


def test_an_empty_text_asks_for_one(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)
    app.text_area(key="own-text").set_value(" ").run()

    assert "Enter a text, or use a row of the data." in page_text(app)
