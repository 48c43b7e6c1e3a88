import pytest

from core.data.quality.odd_texts import find_nearly_empty, length_scores, name_debris


def test_texts_without_a_letter_or_with_three_characters_count_as_nearly_empty() -> None:
    assert find_nearly_empty(
        ["", "  ", "12345 !!", "ok", "good", "良い映画", "A text."]
    ).tolist() == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("It&#39;s here", "HTML entity"),
        ("It #39;s here", "HTML entity"),
        ("profits quot;rose", "HTML entity"),
        ("see <A HREF='x'>this</A>", "HTML tag"),
        ("&lt;b&gt;bold", "HTML entity, HTML tag"),
        ("two\\lines", "backslash"),
        ("cafÃ© and â€œquotesâ€", "mojibake"),
        ("lost \ufffd letter", "mojibake"),
        ("a\x00b", "control character"),
        ("Look in C:\\ for 3 < 4 & 5 > 2; we're #1, café, naïve, #2024", ""),
        ("a < b and an <unknown> word; Âge d'or", ""),
    ],
)
def test_debris_is_named(text: str, kinds: str) -> None:
    assert name_debris([text]) == [kinds]


def test_only_the_planted_lengths_are_unusual() -> None:
    texts = ["x" * length for length in range(180, 280)] + ["x" * 6, "x" * 9000]

    unusual = [place for place, score in enumerate(length_scores(texts)) if abs(score) > 3.5]

    assert unusual == [100, 101]


def test_texts_of_one_length_have_no_outlier() -> None:
    assert length_scores(["same", "size"]).tolist() == [0, 0]
    assert length_scores([]).tolist() == []
