import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.terms import fold, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT sat, twice.", ["the", "cat", "sat", "twice"]),
        ("Iraq #39;s quot;oil quot; &lt;b&gt; &amp; <a href=x>gas</a>", ["iraq", "oil", "gas"]),
        ('buy &lt;A HREF="http://a.com/q.aspx?ticker=GE"&gt;GE.N&lt;/A&gt; at www.b.com now', ["buy", "ge", "at", "now"]),
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
def test_words_of_any_script_without_html_debris_and_single_letters(text: str, words: list[str]) -> None:
    assert split_words(fold(text)) == words


@given(st.text(max_size=80))
def test_every_word_stands_in_the_folded_text(text: str) -> None:
    folded = fold(text)

    assert all(word in folded for word in split_words(folded))
