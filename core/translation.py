"""Texts in the language of the visit, with gettext and the catalogs ``languages/*.po``.

The English text is the message id. A value stands in braces, ``{rows:,}``, and its digits are
grouped as in the language. One server answers people in several languages at the same time, so
there is no language of the process: each text asks whom it is for (``follow``).
"""

import ast
import gettext
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache, partial
from io import BytesIO
from numbers import Real
from pathlib import Path
from string import Formatter
from typing import TypeVar

T = TypeVar("T")
Message = TypeVar("Message", bound=str)

CATALOGS = Path(__file__).with_name("languages")
ENGLISH = "en"  # of the texts in the code
FIELD = re.compile(r'^(?:(?P<name>msg\w+(?:\[\d\])?) )?(?P<text>".*")$', re.MULTILINE)

# a value in braces, and in a text where it is filled in: a number, and a figure with its unit
VALUE = re.compile(r"\{(?P<name>[\w.]+)[^{}]*\}")
NUMERIC = re.compile(r"[,%defgn]$")
NUMBER = r"-?(?:[\d.,]+(?:e[+-]?\d+)?|inf|nan)%?"
FIGURE = NUMBER + r"(?: ?(?:s|min|h|%|KB|MB|GB)(?: ± [\d.]+)?)?"
FEWEST_LETTERS, FEWEST_OF_NUMBERS = 12, 4  # of a message, and of one whose values are numbers
SENTENCE_END = re.compile(r"(?<=[.:]) ")


@dataclass(frozen=True, slots=True)
class Language:
    """A language as its speakers call it, and what groups and divides its digits."""

    name: str
    thousands: str
    decimal: str


LANGUAGES = {
    ENGLISH: Language("English", ",", "."),
    "de": Language("Deutsch", ".", ","),
    "es": Language("Español", ".", ","),
}


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A message of a catalog: its ids, singular and plural, its translations, and its comments."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    comments: tuple[str, ...] = ()


def _find_english() -> str:
    return ENGLISH


_used: ContextVar[str] = ContextVar("language", default="")
_find_language: Callable[[], str] = _find_english


def follow(find: Callable[[], str]) -> None:
    """Have texts follow the language that ``find`` returns for the visit of the current thread."""
    global _find_language
    _find_language = find


@contextmanager
def use(language: str) -> Iterator[None]:
    """Use a language within this context, whatever the visit's is."""
    token = _used.set(language)
    try:
        yield
    finally:
        _used.reset(token)


def keep_language(make: Callable[[], T]) -> Callable[[], T]:
    """Return ``make`` with the current language, for a download, which runs outside a visit."""
    language = read_language()

    def make_in_language() -> T:
        with use(language):
            return make()

    return make_in_language


def read_language() -> str:
    """Return the code of the language that texts have now; a key of ``LANGUAGES``."""
    language = _used.get() or _find_language()
    return language if language in LANGUAGES else ENGLISH


def translate(message: str, /, **values: object) -> str:
    """Return a message in the language of the visit, with its values.

    A message without a translation stays English. A value that is a member of an enum is
    translated, too.
    """
    language = read_language()
    return _fill(_load(language).gettext(message) if message else "", values, language)


def translate_plural(singular: str, plural: str, n: int, /, **values: object) -> str:
    """Return the form of a message that fits the number ``n``, with its values and ``n``."""
    language = read_language()
    return _fill(_load(language).ngettext(singular, plural, n), {"n": n, **values}, language)


def format_number(number: float, spec: str) -> str:
    """Format a number as ``format`` does, with the separators of the visit's language."""
    return _LocalFormatter(LANGUAGES[read_language()]).format_field(number, spec)


def localize(figure: str) -> str:
    """Return an English figure, ``91.2 % ± 0.6``, with the separators of the visit's language."""
    return figure.translate(_LocalFormatter(LANGUAGES[read_language()]).separators)


def translate_recorded(text: str) -> str:
    """Return a text that was stored or cached in English in the language of the visit.

    It is a message whose values are filled in; they are kept, and numbers get the separators of the
    language. A text that fits no message of the catalog stays English.
    """
    language = read_language()
    return text if language == ENGLISH or not text else _translate_recorded(text, language)


def mark(message: Message) -> Message:
    """Return the English message, which is translated later, where it is shown."""
    return message


def match_language(preferred: str) -> str:
    """Return the first language of an ``Accept-Language`` header that has texts; else empty."""
    for part in preferred.split(","):
        code = part.split(";")[0].strip().split("-")[0].lower()
        if code in LANGUAGES:
            return code
    return ""


class _LocalFormatter(Formatter):
    """Formats numbers with the separators of a language, and translates members of enums."""

    def __init__(self, language: Language) -> None:
        self.separators = str.maketrans(",.", language.thousands + language.decimal)

    def format_field(self, value: object, format_spec: str) -> str:
        """Format one value."""
        if isinstance(value, Enum):
            return translate(str(value))
        text: str = super().format_field(value, format_spec)
        return text.translate(self.separators) if isinstance(value, Real) else text


def _fill(text: str, values: dict[str, object], language: str) -> str:
    return _LocalFormatter(LANGUAGES[language]).vformat(text, (), values) if values else text


@cache
def _load(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.GNUTranslations(BytesIO(_compile(read_entries(language))))


@lru_cache(maxsize=2000)
def _translate_recorded(text: str, language: str) -> str:
    """Translate a text, or each of its sentences."""
    if known := _translate_message(text, language):
        return known
    sentences = SENTENCE_END.split(text)
    for n in range(len(sentences) - 1, 0, -1):
        if known := _translate_message(" ".join(sentences[:n]), language):
            return f"{known} {_translate_recorded(' '.join(sentences[n:]), language)}"
    return text


def _translate_message(text: str, language: str) -> str:
    """Return a translated message, with its values; empty if the text is none."""
    if not text:  # the header of a catalog has the empty message id
        return ""
    if (exact := _load(language).gettext(text)) != text:
        return exact
    for literals, message, translation in _list_templates(language):
        if not all(literal in text for literal in literals):
            continue
        if values := _find_values(message, text):
            separators = _LocalFormatter(LANGUAGES[language]).separators
            for name, value in values.items():
                if re.fullmatch(FIGURE, value):
                    values[name] = value.translate(separators)
                elif " " in value:  # a reason, which may be a message, too
                    values[name] = _translate_message(value, language) or value
            return VALUE.sub(partial(_take_value, values), translation)
    return ""


@cache
def _list_templates(language: str) -> list[tuple[list[str], str, str]]:
    """List messages with values as literals, message and translation; the longest come first.

    Messages with fewer letters would fit texts that are no message.
    """
    pairs = [
        (ids, text)
        for entry in read_entries(language)[1:]
        for ids, text in zip(entry.ids, entry.texts, strict=True)
        if VALUE.search(ids) and text
    ]
    templates = [(VALUE.sub("\0", ids).split("\0"), ids, text) for ids, text in pairs]
    return sorted(
        (
            template
            for template in templates
            if sum(map(str.isalpha, "".join(template[0]))) >= _count_needed(template[1])
        ),
        key=lambda template: -len("".join(template[0])),
    )


def _count_needed(message: str) -> int:
    specs = [spec or "" for _, name, spec, _ in Formatter().parse(message) if name is not None]
    return FEWEST_OF_NUMBERS if all(map(NUMERIC.search, specs)) else FEWEST_LETTERS


def _find_values(message: str, text: str) -> dict[str, str]:
    """Return the values that turn the message into the text, as they stand there, by name."""
    pattern, names = "", list[str]()
    for literal, name, spec, conversion in Formatter().parse(message):
        pattern += re.escape(literal)
        if name is not None:
            is_number = not conversion and NUMERIC.search(spec or "")
            pattern += "(" + (NUMBER if is_number else ".+?") + ")"
            names.append(name)
    match = re.fullmatch(pattern, text, re.DOTALL)
    return dict(zip(names, match.groups(), strict=True)) if match else {}


def _take_value(values: dict[str, str], field: re.Match[str]) -> str:
    return values.get(field["name"], field[0])


def read_entries(language: str) -> list[CatalogEntry]:
    """Read the catalog of a language; the first entry is its header."""
    blocks = (CATALOGS / f"{language}.po").read_text(encoding="utf-8").strip().split("\n\n")
    return [_read_entry(block) for block in blocks]


def _read_entry(block: str) -> CatalogEntry:
    fields: dict[str, str] = {}
    name = ""
    for match in FIELD.finditer(block):
        name = match["name"] or name
        fields[name] = fields.get(name, "") + ast.literal_eval(match["text"])
    return CatalogEntry(
        tuple(text for name, text in fields.items() if name.startswith("msgid")),
        tuple(text for name, text in fields.items() if name.startswith("msgstr")),
        tuple(line for line in block.splitlines() if line.startswith("#")),
    )


def _compile(entries: list[CatalogEntry]) -> bytes:
    """Return the entries in gettext's binary format: tables of lengths and places, then texts."""
    pairs = sorted(
        ("\0".join(entry.ids).encode(), "\0".join(entry.texts).encode())
        for entry in entries
        if all(entry.texts)
    )
    n, begin = len(pairs), 28  # bytes of the first seven numbers
    place, tables, texts = begin + 16 * n, [], b""
    for column in (0, 1):
        for pair in pairs:
            tables += [len(pair[column]), place + len(texts)]
            texts += pair[column] + b"\0"
    head = (0x950412DE, 0, n, begin, begin + 8 * n, 0, 0)
    return struct.pack(f"<{len(head) + len(tables)}I", *head, *tables) + texts
