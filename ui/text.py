"""How numbers, times and other people's words are put into sentences."""

import re

from core.data.explore.words import isolate
from core.errors import ConfigError
from core.evaluation.scores import Proportion
from core.settings import Settings, hide_folders

MINUTE, HOUR, DAY = 60, 3600, 86_400
CONTROL = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
DIRECTION = (
    r"\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
UNSEEN = re.compile(f"[{CONTROL}{DIRECTION}]")
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$~&^=])")
JOINTS = re.compile(r":(?=\S)|(?<=\w)@(?=\S)|(?i:\bwww)(?=\\?\.)|\\[-<>~](?=\\[-=>])")
# after these it keeps :name: from becoming an emoji, :red[…] a colour, addresses links, and <- an
# arrow
WORD_JOINER = "\u2060"


def plain(text: str) -> str:
    """``text`` as it is, for places that read Markdown: labels, captions, messages.

    Control characters and those that turn the direction of writing are shown as �. Outside
    ``local`` mode folders are left out.
    """
    seen = UNSEEN.sub("\ufffd", " ".join(without_folders(text).split()))
    escaped = JOINTS.sub(lambda found: found[0] + WORD_JOINER, MARKDOWN.sub(r"\\\1", seen))
    return isolate(escaped)


def without_folders(text: str) -> str:
    """``text`` for a table cell: as it is, but outside ``local`` mode without folders of the
    machine.
    """
    if "/" not in text:
        return text
    try:
        settings = Settings()
    except ConfigError:  # then all that is shown is which variable is wrong
        return text
    return hide_folders(settings, text)


def count(number: float, unit: str) -> str:
    """``1 row``, ``4,000 rows``."""
    return f"{number:,.0f} {unit if number != 1 else unit.removesuffix('s')}"


def duration(seconds: float) -> str:
    """Two significant digits: ``42 s``, ``3.4 min``, ``12 min``, ``1.5 h``."""
    if seconds < 1:
        return "under 1 s"
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * MINUTE:
        return f"{_two_digits(seconds / MINUTE)} min"
    return (
        f"{_two_digits(seconds / HOUR)} h"
        if seconds < 2 * DAY
        else f"{_two_digits(seconds / DAY)} days"
    )


def age(seconds: float) -> str:
    """How long ago: ``just now``, ``4 min ago``, ``3 h ago``, ``2 days ago``."""
    for size, unit in ((DAY, "day"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"


def per_cent(share: float) -> str:
    """``91.2 %``."""
    return f"{share * 100:.1f} %"


def accuracy(hits_of: Proportion) -> str:
    """``91.2 % ± 0.6``: a share with its 95 % interval."""
    return (
        f"{per_cent(hits_of.value)} ± {hits_of.half_width * 100:.1f}" if hits_of.n else "no texts"
    )


def megabytes(number: float) -> str:
    """``12 KB``, ``640 MB`` or ``1.4 GB``."""
    if number < 1:
        return f"{max(1, round(number * 1024))} KB"
    return f"{number:,.0f} MB" if number < 1000 else f"{number / 1024:,.1f} GB"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
