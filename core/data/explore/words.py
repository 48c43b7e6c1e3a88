"""Split a text of any language into the words that are counted, searched and compared."""

import re
import unicodedata

import regex

# scripts without spaces between words
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
RUN_OR_WORD = (
    rf"([{UNSPACED}][{UNSPACED}\p{{M}}]*)"
    rf"|([[\p{{L}}\p{{N}}]--[{UNSPACED}]][[\p{{L}}\p{{N}}\p{{M}}]--[{UNSPACED}]]*"
    r"(?:['’]\p{L}[\p{L}\p{M}]*)*)"
)
NOT_SPACE = r"[^\s\x1c-\x1f]"  # "re" counts the separators 1c to 1f as spaces, "regex" does not
# tags and web addresses are not words
MARKUP = (
    rf"&?\blt;/?[a-z].{{0,300}}?gt;|</?[a-z][^<>]*>|https?://{NOT_SPACE}+|www\.{NOT_SPACE}+"
    r"|&?#\d+;|&?\b(?:amp|lt|gt|quot|apos|nbsp);"
)
MARKUP_SIGNS = (";", "<", "://", "www.")  # every markup has one
TERM = regex.compile(f"{MARKUP}|{RUN_OR_WORD}", regex.V1)
# the same words of a text without markup, in less time
PLAIN_TERM = regex.compile(RUN_OR_WORD, regex.V1)
ASCII_WORD = re.compile(r"[a-z0-9]{2,}(?:'[a-z]+)*|[a-z0-9](?:'[a-z]+)+")
# the same words of an ASCII text with markup, in a third of the time
ASCII_TERM = re.compile(f"{MARKUP}|({ASCII_WORD.pattern})")


RIGHT_TO_LEFT = regex.compile(r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]")
ISOLATE, END = "\u2068", "\u2069"  # first strong isolate and its end (Unicode Standard Annex 9)


def isolate(text: str) -> str:
    """Isolate right-to-left ``text`` so that it does not reorder the numbers and punctuation around
    it.
    """
    if text.isascii() or not RIGHT_TO_LEFT.search(text):
        return text
    return f"{ISOLATE}{text}{END}"


def fold(text: str) -> str:
    """Normalize ``text`` for comparison: composed accents (NFC), case folded."""
    return unicodedata.normalize("NFC", text).casefold()


def split_words(folded: str) -> list[str]:
    """Return the words of a folded text in order; in scripts without spaces, pairs of adjacent
    characters.

    HTML remains and single ASCII letters or digits are left out.
    """
    plain = not any(sign in folded for sign in MARKUP_SIGNS)
    if folded.isascii():
        matches = (ASCII_WORD if plain else ASCII_TERM).findall(folded)
        return matches if plain else list(filter(None, matches))
    words = []
    for run, word in (PLAIN_TERM if plain else TERM).findall(folded):
        if word:
            if len(word) > 1 or not word.isascii():
                words.append(word)
        elif run:
            words += _pair_characters(run)
    return words


def _pair_characters(run: str) -> list[str]:
    graphemes = regex.findall(r"\X", run)  # a letter with its vowel signs
    return ["".join(pair) for pair in zip(graphemes, graphemes[1:], strict=False)] or graphemes
