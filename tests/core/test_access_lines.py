import pytest

from core.access import sanitize_name


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  two \n words\t", "two words"),
        ("a\x07b\u202ec\u200bd", "abcd"),
        ("\ud83d x", "\ufffd x"),
        ("\ud83d\ude00", "😀"),
        ("x" * 12, "x" * 10),
        ("123456789 0", "123456789"),
        ("\u202e \n", ""),
        ("a" + "\u0301" * 80 + "b", "a\u0301\u0301\u0301b"),
        ("\u05d0\u05b8\u0591\u05bd\u05bf", "\u05d0\u05b8\u0591\u05bd\u05bf"),
    ],
)
def test_a_name_is_one_short_line_that_can_be_seen(text: str, stored: str) -> None:
    assert sanitize_name(text, 10) == stored
