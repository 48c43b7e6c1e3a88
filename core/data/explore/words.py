"""Split a text of any language into the words that are counted, searched and compared."""

import unicodedata

import regex

# scripts without spaces between words
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
TERM = regex.compile(
    # tags and web addresses are not words
    r"&?\blt;/?[a-z].{0,300}?gt;|</?[a-z][^<>]*>|https?://\S+|www\.\S+"
    r"|&?#\d+;|&?\b(?:amp|lt|gt|quot|apos|nbsp);"
    rf"|(?P<run>[{UNSPACED}][{UNSPACED}\p{{M}}]*)"
    rf"|(?P<word>[[\p{{L}}\p{{N}}]--[{UNSPACED}]][[\p{{L}}\p{{N}}\p{{M}}]--[{UNSPACED}]]*"
    r"(?:['’]\p{L}[\p{L}\p{M}]*)*)",
    regex.V1,
)


RIGHT_TO_LEFT = regex.compile(r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]")
ISOLATE, END = "\u2068", "\u2069"  # first strong isolate and its end (Unicode Standard Annex 9)


def isolate(text: str) -> str:
    """Isolate right-to-left ``text`` so that it does not reorder the numbers and punctuation around
    it.
    """
    return f"{ISOLATE}{text}{END}" if RIGHT_TO_LEFT.search(text) else text


def fold(text: str) -> str:
    """Normalize ``text`` for comparison: composed accents (NFC), case folded."""
    return unicodedata.normalize("NFC", text).casefold()


def split_words(folded: str) -> list[str]:
    """Return the words of a folded text in order; in scripts without spaces, pairs of adjacent
    characters.

    HTML remains and single ASCII letters or digits are left out.
    """
    words = []
    for match in TERM.finditer(folded):
        if word := match["word"]:
            if len(word) > 1 or not word.isascii():
                words.append(word)
        elif run := match["run"]:
            words += _pair_characters(run)
    return words


def _pair_characters(run: str) -> list[str]:
    graphemes = regex.findall(r"\X", run)  # a letter with its vowel signs
    return ["".join(pair) for pair in zip(graphemes, graphemes[1:], strict=False)] or graphemes
