"""The words of a text in any language: what is counted, searched and compared."""

import unicodedata

import regex

# scripts that set no space between words
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
TERM = regex.compile(
    # tags and addresses are no words
    r"&?\blt;/?[a-z].{0,300}?gt;|</?[a-z][^<>]*>|https?://\S+|www\.\S+"
    r"|&?#\d+;|&?\b(?:amp|lt|gt|quot|apos|nbsp);"
    rf"|(?P<run>[{UNSPACED}][{UNSPACED}\p{{M}}]*)"
    rf"|(?P<word>[[\p{{L}}\p{{N}}]--[{UNSPACED}]][[\p{{L}}\p{{N}}\p{{M}}]--[{UNSPACED}]]*(?:['’]\p{{L}}[\p{{L}}\p{{M}}]*)*)",
    regex.V1,
)


RIGHT_TO_LEFT = regex.compile(r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]")
ISOLATE, END = "\u2068", "\u2069"  # first strong isolate and its end (Unicode Standard Annex 9)


def isolate(text: str) -> str:
    """``text`` as part of a sentence: one that runs from right to left does not draw the numbers
    and signs beside it along.
    """
    return f"{ISOLATE}{text}{END}" if RIGHT_TO_LEFT.search(text) else text


def fold(text: str) -> str:
    """``text`` in the form in which texts are compared: composed accents (NFC), no difference of
    case.
    """
    return unicodedata.normalize("NFC", text).casefold()


def split_words(folded: str) -> list[str]:
    """Words of a folded text in their order; in scripts without spaces the pairs of neighbouring
    characters.

    HTML debris and single letters or digits of alphabets are left out: they are remains, not words.
    """
    found = []
    for match in TERM.finditer(folded):
        if word := match["word"]:
            if len(word) > 1 or not word.isascii():
                found.append(word)
        elif run := match["run"]:
            found += _pairs(run)
    return found


def _pairs(run: str) -> list[str]:
    letters = regex.findall(r"\X", run)  # a letter keeps its vowel signs
    return ["".join(pair) for pair in zip(letters, letters[1:], strict=False)] or letters
