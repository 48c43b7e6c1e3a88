"""The page Playground, with the bundled MiniLM in the inference process of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.inference.process import InferenceProcess
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from ui import playground
from ui.app import inference
from ui.app.inference import embed_texts

PAGE = "pages/playground.py"
pytestmark = pytest.mark.slow


@pytest.fixture
def app(open_app: Open, dataset: Dataset, host: InferenceProcess) -> Iterator[AppTest]:
    yield open_app(PAGE)


def wrong(app: AppTest) -> pd.DataFrame:
    """Return the table of training texts that are predicted incorrectly."""
    return next((frame.value for frame in app.dataframe if "noise" in frame.value), pd.DataFrame())


def test_without_prepared_data_the_page_offers_to_prepare_it(open_app: Open) -> None:
    assert open_app(PAGE).button(key="prepare").label == "Prepare data"


def test_the_page_opens_with_a_trained_head(app: AppTest) -> None:
    assert not app.exception and not app.error
    assert "of held-out texts right" in app.subheader[0].value
    assert "of 80 training texts predicted incorrectly" in page_text(app)
    picture, loss = (chart.proto.alt for chart in app.get("vega_lite_chart"))
    assert picture.startswith("Training texts and the class predicted at each place: World 20, ")
    assert loss.startswith("Loss (nats) by step, at the last step: training 0.")


def test_label_noise_is_shown_with_the_class_of_the_data(app: AppTest) -> None:
    app.slider(key="playground-steps").set_value(20).run()
    app.slider(key="playground-noise").set_value(20).run()

    table = wrong(app)
    assert (table["noise"] != "").any()
    flipped = table[table["noise"] != ""]
    assert (flipped["noise"] != flipped["label"]).all()


def test_the_same_settings_give_the_same_page(app: AppTest) -> None:
    before = page_text(app)

    app.slider(key="playground-noise").set_value(30).run()
    assert page_text(app) != before
    app.slider(key="playground-noise").set_value(0).run()

    assert page_text(app) == before


def test_a_typed_text_lands_and_can_be_trained_on(app: AppTest) -> None:
    text = "**Shares** of the bank fell after its profit warning."
    app.text_input(key="playground-text").set_value(text).run()
    assert "The typed text is predicted as" in app.get("vega_lite_chart")[0].proto.alt

    app.selectbox(key="playground-class").set_value("Business").run()
    app.button(key="playground-add").click().run()

    assert "of 81 training texts" in page_text(app)
    assert "**Shares**" not in page_text(app), "a text went through Markdown"
    assert app.button(key="playground-add").disabled
    app.session_state["playground-own-1"] = {"selection": {"rows": [0]}}
    app.run()
    app.button(key="playground-remove").click().run()
    assert "of 80 training texts" in page_text(app)


def test_everyone_with_the_same_settings_shares_one_head(
    open_app: Open, app: AppTest, dataset: Dataset, host: InferenceProcess
) -> None:
    before = len(playground.outcomes)

    other = open_app(PAGE)

    assert len(playground.outcomes) == before > 0
    assert page_text(other) == page_text(app)


def test_vectors_are_read_from_the_disk_after_a_restart(
    dataset: Dataset, host: InferenceProcess, tmp_path: Path
) -> None:
    texts, shares = ["The striker scored.", "Shares fell."], list[float]()
    computed = embed_texts("minilm", dataset.classes, texts, shares.append, tmp_path / "vectors")
    assert shares == [0, 1]

    inference.known_vectors.clear()
    stored = embed_texts("minilm", dataset.classes, texts, shares.append, tmp_path / "vectors")

    assert len(shares) == 2, "they were computed again"
    assert (stored == computed).all()


@pytest.mark.parametrize("content", [b"", b"no Parquet"])
def test_damaged_vectors_are_computed_again(
    dataset: Dataset, host: InferenceProcess, tmp_path: Path, content: bytes
) -> None:
    texts = ["A probe reached the orbit."]
    computed = embed_texts("minilm", dataset.classes, texts, stored_in=tmp_path / "vectors")
    (path,) = (tmp_path / "vectors").iterdir()
    size = path.stat().st_size
    path.write_bytes(content)

    inference.known_vectors.clear()
    again = embed_texts("minilm", dataset.classes, texts, stored_in=tmp_path / "vectors")

    assert (again == computed).all()
    assert path.stat().st_size == size


def test_without_picked_texts_the_page_says_what_to_add(app: AppTest) -> None:
    app.slider(key="playground-per-class").set_value(0).run()

    assert "at least two classes" in page_text(app)
    assert not app.get("vega_lite_chart")


def test_a_guest_types_shorter_texts(
    open_app: Open, dataset: Dataset, host: InferenceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    app = open_app(PAGE)
    assert not app.exception and not app.error

    app.text_input(key="playground-text").set_value("word " * 100).run()

    assert len(app.session_state["playground-text"]) == 300


def test_the_page_works_and_warns_where_vectors_cannot_be_stored(
    open_app: Open, dataset: Dataset, host: InferenceProcess
) -> None:
    """As on a full disk: every write below this name raises OSError."""
    (dataset.folder / "vectors").write_bytes(b"a file, no folder")
    playground.materials.clear()
    playground.outcomes.clear()

    app = open_app(PAGE)

    assert not app.error
    assert "could not be stored" in app.warning[0].value
    assert "of held-out texts right" in page_text(app)
