"""Find single texts that look wrong: nearly empty, with encoding errors or HTML remains, or of
unusual length.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHORTEST_CHARACTERS = 4  # "good" can be classified, "ok" hardly
# modified z-score: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), section 3.3
OUTLIER = 3.5
# lower limit of the spread of log lengths: if most are equal, 40 % longer is not unusual
MIN_SPREAD = 0.1
TAGS = (
    "a|abbr|b|big|blockquote|br|center|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|li|ol|p|pre"
    "|script|small|span|strong|sub|sup|table|td|th|tr|tt|u|ul"
)
DEBRIS = {
    "HTML entity": re.compile(
        r"&(?:[a-z]{2,8}|#\d{1,6}|#x[0-9a-f]{1,6});|(?<!&)#\d{2,5};"
        r"|(?<![\w&])(?:amp|lt|gt|quot|nbsp|apos);",
        re.I,
    ),
    "HTML tag": re.compile(
        rf"(?:<|&lt;|(?<!\w)lt;)\s*/?\s*(?:{TAGS})(?:\s[^<>]{{0,300}}?)?/?\s*(?:>|&gt;|gt;)", re.I
    ),
    "backslash": re.compile(r"(?<![A-Za-z]:)\\(?!\\)"),  # C:\ is a path
    # UTF-8 decoded as Latin-1 or Windows-1252
    "mojibake": re.compile("[ÃÂ][\u0080-\u00bf]|â€|ðŸ|ï»¿|ï¿½|\ufffd"),
    "control character": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
}


def find_nearly_empty(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Find texts (n,) without a letter or with fewer than four characters."""
    return np.array(
        [
            len(text.strip()) < SHORTEST_CHARACTERS or not any(map(str.isalpha, text))
            for text in texts
        ],
        dtype=bool,
    )


def name_debris(texts: Sequence[str]) -> list[str]:
    """List the kinds of encoding errors and HTML remains in each text, separated by commas."""
    return [
        ", ".join(name for name, pattern in DEBRIS.items() if pattern.search(text))
        for text in texts
    ]


def length_scores(texts: Sequence[str]) -> NDArray[np.float64]:
    """Score how unusual each length is (n,): modified z-scores of log lengths; beyond ±3.5 is an
    outlier.
    """
    lengths = np.log1p([len(text) for text in texts])
    if not len(lengths):
        return np.zeros(0)
    middle = np.median(lengths)
    spread = max(1.4826 * float(np.median(np.abs(lengths - middle))), MIN_SPREAD)
    return np.asarray((lengths - middle) / spread, dtype=np.float64)
