import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/tokens.py"


def type_text(app: AppTest, text: str) -> AppTest:
    return app.text_area(key="own-text").set_value(text).run()


def test_a_typed_text_is_shown_as_tokens_without_any_data(open_app: Open, store: Store) -> None:
    app = type_text(open_app(PAGE), "Tokenization helps")

    assert app.subheader[0].value == "5 tokens for 2 words"
    assert (
        app.get("vega_lite_chart")[0].proto.alt
        == "Tokens and their ids: [CLS] token ##ization helps [SEP]"
    )
    assert "Prepare data on Explore" in page_text(app)


def test_what_is_cut_is_said_and_has_no_mask(open_app: Open, store: Store) -> None:
    app = type_text(open_app(PAGE, **{"max-tokens": "6"}), "one two three four five six")

    assert (
        "The model reads 6 tokens; the last 2 tokens before [SEP] are truncated, 25.0 % of the"
        " text." in page_text(app)
    )
    table = next(frame.value for frame in app.dataframe if "mask" in frame.value)
    assert table["mask"].isna().tolist() == [False] * 5 + [True, True, False]


def test_an_empty_text_asks_for_one(open_app: Open, store: Store) -> None:
    assert "Enter a text, or use a row of the data." in page_text(type_text(open_app(PAGE), "   "))


def test_a_row_takes_the_place_of_the_text(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)
    app.selectbox(key="own-split").set_value("test").run()
    app.number_input(key="own-row").set_value(5).run()

    app.button(key="take-row").click().run()

    assert app.text_area(key="own-text").value == dataset.read("test")["text"].iloc[5]


def test_markup_in_a_text_is_drawn_as_it_is(open_app: Open, store: Store) -> None:
    app = type_text(open_app(PAGE, word="**bold**"), "**bold** <b>tags</b> :red[x]")

    assert not app.exception and not app.error
    assert any(r"\*\*bold\*\*" in element.value for element in app.markdown)


def test_a_word_shows_its_tokens_and_who_shares_them(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, word="tokenization")

    table = next(frame.value for frame in app.dataframe if "entries" in frame.value)
    assert table["token"].tolist() == ["token", "##ization"]
    assert table["id"].tolist() == [19204, 3989]
    assert table["words"].tolist() == ["none", "none"]  # the data has no other such word


def test_tokens_per_word_stand_next_to_each_class(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    table = next(frame.value for frame in app.dataframe if "ratio" in frame.value)
    assert table["class"].tolist() == list(dataset.classes)
    assert table["texts"].sum() == 180


def test_a_model_that_is_not_here_is_listed_with_what_to_do(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)

    models = next(frame.value for frame in app.dataframe if "where" in frame.value)
    assert models["model"].tolist() == ["MiniLM, 6 layers", "DistilBERT, 6 layers"]
    assert "put the model's files into" in page_text(app)


@pytest.mark.parametrize("query", [{"max-tokens": "x"}, {"vocabulary": "nonsense"}, {"word": ""}])
def test_a_url_that_makes_no_sense_breaks_nothing(
    open_app: Open, store: Store, query: dict[str, str]
) -> None:
    app = open_app(PAGE, **query)

    assert not app.exception and not app.error
    assert app.subheader[0].value.endswith("words")
