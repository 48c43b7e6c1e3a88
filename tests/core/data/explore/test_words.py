import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.explore.words import fold, isolate, split_words

MARKED = st.sampled_from(
    [
        "&lt;b",
        "gt;",
        "lt;/a",
        "<a",
        ">",
        "http://",
        "www.",
        "&#39;",
        "amp;",
        "quot;",
        "'",
        "a",
        "be",
    ]
    + [" ", "\n", ";", "/", "&", "1", "x9"]
)


@given(st.lists(MARKED | st.text(st.characters(max_codepoint=127), max_size=4), max_size=12))
def test_an_ascii_text_has_the_words_that_it_has_before_another_script(parts: list[str]) -> None:
    text = fold("".join(parts))

    assert split_words(f"{text} é") == [*split_words(text), "é"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT sat, twice.", ["the", "cat", "sat", "twice"]),
        ("Iraq #39;s quot;oil quot; &lt;b&gt; &amp; <a href=x>gas</a>", ["iraq", "oil", "gas"]),
        (
            'buy &lt;A HREF="http://a.com/q.aspx?ticker=GE"&gt;GE.N&lt;/A&gt; at www.b.com now',
            ["buy", "ge", "at", "now"],
        ),
        ("http://\x1f", ["http"]),
        ("http://\x1f é", ["http", "é"]),
        ("don't stop 2004 7", ["don't", "stop", "2004"]),
        ("Cafe\u0301 É", ["café", "é"]),
        ("股票市场 up", ["股票", "票市", "市场", "up"]),
        ("iPhone手机", ["iphone", "手机"]),
        ("字", ["字"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("", []),
        (" \n…!", []),
    ],
)
def test_words_of_any_script_without_html_debris_and_single_letters(
    text: str, words: list[str]
) -> None:
    assert split_words(fold(text)) == words


@given(st.text(max_size=80))
def test_every_word_stands_in_the_folded_text(text: str) -> None:
    folded = fold(text)

    assert all(word in folded for word in split_words(folded))


@pytest.mark.parametrize("text", ["خمسون", "Fünfzig خمسون", "שלום"])
def test_text_from_right_to_left_keeps_its_direction_to_itself(text: str) -> None:
    assert isolate(text) == f"\u2068{text}\u2069"


def test_other_text_is_left_as_it_is() -> None:
    assert [isolate(text) for text in ("plain", "口コミ", "мир", "")] == [
        "plain",
        "口コミ",
        "мир",
        "",
    ]
