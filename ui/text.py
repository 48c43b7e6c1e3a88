"""Formatting of numbers and times, and escaping of user text."""

import re

from core.data.explore.words import isolate
from core.errors import ConfigError
from core.evaluation.scores import Proportion
from core.settings import Settings, hide_folders
from core.translation import format_number, translate, translate_plural

MINUTE, HOUR, DAY = 60, 3600, 86_400
ALL_AT_ZERO = frozenset({"train_rows", "test_rows"})  # fields of RunConfig
CONTROL = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
DIRECTION = (
    r"\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
UNSEEN = re.compile(f"[{CONTROL}{DIRECTION}]")
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$~&^=])")
JOINTS = re.compile(r":(?=\S)|(?<=\w)@(?=\S)|(?i:\bwww)(?=\\?\.)|\\[-<>~](?=\\[-=>])")
# inserted after a joint, so that :name: is no emoji, :red[…] no color, URLs no links, <- no arrow
WORD_JOINER = "\u2060"


def plain(text: str) -> str:
    """Escape ``text`` for places that render Markdown: labels, captions, messages.

    Control characters and characters that change the writing direction become �. Outside ``local``
    mode, folders are removed.
    """
    escaped = JOINTS.sub(
        lambda match: match[0] + WORD_JOINER, MARKDOWN.sub(r"\\\1", _without_unseen(text))
    )
    return isolate(escaped)


def plain_option(text: str) -> str:
    """Return ``text`` for the options of a list, which do not render Markdown; otherwise as
    ``plain`` does.
    """
    return isolate(_without_unseen(text))


def _without_unseen(text: str) -> str:
    return UNSEEN.sub("\ufffd", " ".join(without_folders(text).split()))


def without_folders(text: str) -> str:
    """Return ``text`` for a table cell; outside ``local`` mode, folders of the machine are
    removed.
    """
    if "/" not in text:
        return text
    try:
        settings = Settings()
    except ConfigError:  # the page then only shows which variable is invalid
        return text
    return hide_folders(settings, text)


def count(number: float, unit: str) -> str:
    """Format a number with its unit: ``1 row``, ``4,000 rows``."""
    return f"{number:,.0f} {unit if number != 1 else unit.removesuffix('s')}"


def capitalize(text: str) -> str:
    """Return the text with a capital at its beginning, and the rest as it is."""
    return text[:1].upper() + text[1:]


def format_duration(seconds: float) -> str:
    """Format a duration with two significant digits: ``42 s``, ``3.4 min``, ``12 min``, ``1.5
    h``.
    """
    if seconds < 1:
        return translate("under 1 s")
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * MINUTE:
        return f"{_two_digits(seconds / MINUTE)} min"
    return (
        f"{_two_digits(seconds / HOUR)} h"
        if seconds < 2 * DAY
        else translate("{days} days", days=_two_digits(seconds / DAY))
    )


def format_age(seconds: float) -> str:
    """Format an age: ``just now``, ``4 min ago``, ``3 h ago``, ``2 days ago``."""
    if seconds >= DAY:
        return translate_plural("{n:,} day ago", "{n:,} days ago", int(seconds // DAY))
    if seconds >= HOUR:
        return translate("{hours} h ago", hours=int(seconds // HOUR))
    if seconds >= MINUTE:
        return translate("{minutes} min ago", minutes=int(seconds // MINUTE))
    return translate("just now")


def format_per_cent(share: float) -> str:
    """Format a proportion as a percentage, in English: ``91.2 %``."""
    return f"{share * 100:.1f} %"


def format_accuracy(hits_of: Proportion) -> str:
    """Format a proportion with its 95 % interval, in English: ``91.2 % ± 0.6``."""
    return (
        f"{format_per_cent(hits_of.value)} ± {hits_of.half_width * 100:.1f}"
        if hits_of.n
        else translate("no texts")
    )


def format_setting(name: str, value: object) -> str:
    """Format the value of a field of ``RunConfig``; 0 rows of a split are all of them."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or translate("model default")
    if isinstance(value, bool):
        return translate("yes" if value else "no")
    if isinstance(value, float):
        return format_number(value, "g")
    return translate("all") if value == 0 and name in ALL_AT_ZERO else without_folders(str(value))


def format_megabytes(number: float) -> str:
    """Format megabytes: ``12 KB``, ``640 MB`` or ``1.4 GB``."""
    if number < 1:
        return f"{max(1, round(number * 1024))} KB"
    return f"{number:,.0f} MB" if number < 1000 else f"{number / 1024:,.1f} GB"


def _two_digits(number: float) -> str:
    return format_number(number, ".1f" if number < 9.95 else ".0f")
