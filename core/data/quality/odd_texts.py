"""Single texts that look wrong: nothing to read in them, debris of an encoding or of HTML, an
unusual length.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHORTEST_CHARACTERS = 4  # "good" can be judged, "ok" hardly
# modified z-score: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), section 3.3
OUTLIER = 3.5
LEAST_SPREAD = 0.1  # of the logarithm: where most lengths are equal, 40 % longer is not yet unusual
TAGS = (
    "a|abbr|b|big|blockquote|br|center|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|li|ol|p|pre|script|small|span|strong|sub|sup"
    "|table|td|th|tr|tt|u|ul"
)
DEBRIS = {
    "HTML entity": re.compile(
        r"&(?:[a-z]{2,8}|#\d{1,6}|#x[0-9a-f]{1,6});|(?<!&)#\d{2,5};|(?<![\w&])(?:amp|lt|gt|quot|nbsp|apos);",
        re.I,
    ),
    "HTML tag": re.compile(
        rf"(?:<|&lt;|(?<!\w)lt;)\s*/?\s*(?:{TAGS})(?:\s[^<>]{{0,300}}?)?/?\s*(?:>|&gt;|gt;)", re.I
    ),
    "backslash": re.compile(r"(?<![A-Za-z]:)\\(?!\\)"),  # C:\ is a path
    "mojibake": re.compile(
        "[ÃÂ][\u0080-\u00bf]|â€|ðŸ|ï»¿|ï¿½|\ufffd"
    ),  # UTF-8 that was read as Latin-1 or Windows-1252
    "control character": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
}


def find_nearly_empty(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts hold no letter, or fewer than four characters (n,)."""
    return np.array(
        [
            len(text.strip()) < SHORTEST_CHARACTERS or not any(map(str.isalpha, text))
            for text in texts
        ],
        dtype=bool,
    )


def name_debris(texts: Sequence[str]) -> list[str]:
    """For each text the kinds of debris in it, separated by commas; empty for a clean one."""
    return [
        ", ".join(name for name, pattern in DEBRIS.items() if pattern.search(text))
        for text in texts
    ]


def length_scores(texts: Sequence[str]) -> NDArray[np.float64]:
    """How unusual each length is (n,): the modified z-score of the logarithm of characters; beyond
    ±3.5 counts as an outlier.
    """
    lengths = np.log1p([len(text) for text in texts])
    if not len(lengths):
        return np.zeros(0)
    middle = np.median(lengths)
    spread = max(1.4826 * float(np.median(np.abs(lengths - middle))), LEAST_SPREAD)
    return np.asarray((lengths - middle) / spread, dtype=np.float64)
