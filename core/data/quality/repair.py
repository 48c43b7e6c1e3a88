"""Take the debris of an encoding or of HTML out of a text."""

import html
import re

from core.data.quality.texts import DEBRIS

BARE_ENTITY = re.compile(r"(?<!&)(#\d{2,5};)|(?<![\w&])((?:amp|lt|gt|quot|nbsp|apos);)", re.I)  # an entity that lost its ampersand
SPACES = re.compile("[ \u00a0]{2,}")
TWICE = 2  # &amp;lt; is an entity in an entity


def repair(text: str) -> str:
    """``text`` with entities as the characters they stand for, without tags, backslashes and control characters, and mojibake read anew.

    What would leave nothing to read stays as it is.
    """
    mended = _read_anew(text) if DEBRIS["mojibake"].search(text) else text
    for _ in range(TWICE):
        mended = html.unescape(mended)
    mended = html.unescape(BARE_ENTITY.sub(r"&\1\2", mended))
    for name in ("HTML tag", "backslash"):
        mended = DEBRIS[name].sub(" ", mended)
    mended = DEBRIS["control character"].sub("", mended)
    mended = SPACES.sub(" ", mended).strip()
    return mended or text


def _read_anew(text: str) -> str:
    """UTF-8 that was read as Windows-1252 or Latin-1, read as UTF-8; as it is where that fails."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text
