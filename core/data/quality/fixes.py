"""The fix that a finding offers, as a step of a cleaning recipe. Only training texts are changed:
scores stay those of the same texts.

Take the debris of an encoding or of HTML out of a text.
"""

import html
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.data.quality.findings import Check
from core.data.quality.odd_texts import DEBRIS
from core.data.recipe import Fix, Step

FIXES = {
    Check.LEAKAGE: Fix.DROP,
    Check.CONFLICT: Fix.DROP,
    Check.EXACT: Fix.KEEP_ONE,
    Check.NEAR: Fix.KEEP_ONE,
    Check.DEBRIS: Fix.REPAIR,
    Check.EMPTY: Fix.DROP,
    Check.LENGTH: Fix.DROP,
}
USUAL = (
    Check.LEAKAGE,
    Check.EXACT,
    Check.DEBRIS,
    Check.EMPTY,
)  # what hardly anybody would want to keep


def suggest_step(check: Check, found: pd.DataFrame, texts: pd.DataFrame) -> Step | None:
    """The step that mends all training texts of ``check``; None where there are none, or each has
    to be read by a person.

    ``found`` are the findings of all checks as ``read_findings`` gives them, ``texts`` all texts as
    ``read_texts`` gives them.
    """
    fix = FIXES.get(check)
    if fix is None:
        return None
    if check is Check.LEAKAGE:
        rows = _leaked(found, texts)
    else:
        train = found[(found["check"] == check.value) & (found["split"] == "train")].sort_values(
            "row"
        )
        rows = train["row"][train.duplicated("group")] if fix is Fix.KEEP_ONE else train["row"]
    return Step(check=check.value, fix=fix, rows=_sorted(rows)) if len(rows) else None


def relabel(chosen: pd.DataFrame) -> Step | None:
    """Give the chosen label suspects of the training split their competing class; ``chosen`` has
    split, row and rival.
    """
    train = chosen[(chosen["split"] == "train") & (chosen["rival"] >= 0)].sort_values("row")
    if train.empty:
        return None
    labels = tuple(int(label) for label in train["rival"])
    return Step(
        check=Check.SUSPECT.value, fix=Fix.RELABEL, rows=_sorted(train["row"]), labels=labels
    )


def drop(check: Check, chosen: pd.DataFrame) -> Step | None:
    """Drop the chosen texts, as far as they are in the training split; ``chosen`` has split and
    row.
    """
    rows = chosen.loc[chosen["split"] == "train", "row"]
    return Step(check=check.value, fix=Fix.DROP, rows=_sorted(rows)) if len(rows) else None


def _leaked(found: pd.DataFrame, texts: pd.DataFrame) -> pd.Series:
    """Training texts that equal a leaking text, or are in its group of near duplicates."""
    leaks = found[found["check"] == Check.LEAKAGE.value]
    near = found[(found["check"] == Check.NEAR.value) & (found["split"] == "train")]
    held_out = leaks.merge(texts, on=["split", "row"])["text"]
    train = texts[texts["split"] == "train"]
    equal = train.loc[train["text"].isin(held_out), "row"]
    return pd.Series(
        np.union1d(equal, near.loc[near["group"].isin(leaks["group"]), "row"]), dtype="int64"
    )


def _sorted(rows: Sequence[int] | pd.Series) -> tuple[int, ...]:
    return tuple(sorted({int(row) for row in rows}))


BARE_ENTITY = re.compile(
    r"(?<!&)(#\d{2,5};)|(?<![\w&])((?:amp|lt|gt|quot|nbsp|apos);)", re.I
)  # an entity that lost its ampersand
SPACES = re.compile("[ \u00a0]{2,}")
TWICE = 2  # &amp;lt; is an entity in an entity


def repair(text: str) -> str:
    """``text`` with entities as the characters they stand for, without tags, backslashes and
    control characters, and mojibake read anew.

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
