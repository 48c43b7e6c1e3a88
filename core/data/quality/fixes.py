"""Fixes of findings as steps of a cleaning recipe, and the repair of encoding errors and HTML
remains in a text.

Only training texts change, so scores of different runs refer to the same test texts.
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
# safe to apply without reading the texts
USUAL = (Check.LEAKAGE, Check.EXACT, Check.DEBRIS, Check.EMPTY)


def suggest_step(check: Check, findings: pd.DataFrame, texts: pd.DataFrame) -> Step | None:
    """Suggest the step that fixes all training texts of ``check``; None if there are none, or each
    needs to be read.

    ``findings`` are those of all checks (``read_findings``), ``texts`` their texts
    (``read_texts``).
    """
    fix = FIXES.get(check)
    if fix is None:
        return None
    if check is Check.LEAKAGE:
        rows = _find_leaked(findings, texts)
    else:
        train = findings[
            (findings["check"] == check.value) & (findings["split"] == "train")
        ].sort_values("row")
        rows = train["row"][train.duplicated("group")] if fix is Fix.KEEP_ONE else train["row"]
    return Step(check=check.value, fix=fix, rows=_sort_rows(rows)) if len(rows) else None


def relabel(chosen: pd.DataFrame) -> Step | None:
    """Build a step that gives the chosen training texts their suggested class; ``chosen`` has
    split, row and rival.
    """
    train = chosen[(chosen["split"] == "train") & (chosen["rival"] >= 0)].sort_values("row")
    if train.empty:
        return None
    labels = tuple(int(label) for label in train["rival"])
    return Step(
        check=Check.SUSPECT.value, fix=Fix.RELABEL, rows=_sort_rows(train["row"]), labels=labels
    )


def drop(check: Check, chosen: pd.DataFrame) -> Step | None:
    """Build a step that drops the chosen training texts; ``chosen`` has split and row."""
    rows = chosen.loc[chosen["split"] == "train", "row"]
    return Step(check=check.value, fix=Fix.DROP, rows=_sort_rows(rows)) if len(rows) else None


def _find_leaked(findings: pd.DataFrame, texts: pd.DataFrame) -> pd.Series:
    """Return training texts that equal a leaking text or share its group of near duplicates."""
    leaks = findings[findings["check"] == Check.LEAKAGE.value]
    near_duplicates = findings[
        (findings["check"] == Check.NEAR.value) & (findings["split"] == "train")
    ]
    held_out = leaks.merge(texts, on=["split", "row"])["text"]
    train = texts[texts["split"] == "train"]
    equal = train.loc[train["text"].isin(held_out), "row"]
    return pd.Series(
        np.union1d(
            equal, near_duplicates.loc[near_duplicates["group"].isin(leaks["group"]), "row"]
        ),
        dtype="int64",
    )


def _sort_rows(rows: Sequence[int] | pd.Series) -> tuple[int, ...]:
    return tuple(sorted({int(row) for row in rows}))


# an entity that lost its ampersand
BARE_ENTITY = re.compile(r"(?<!&)(#\d{2,5};)|(?<![\w&])((?:amp|lt|gt|quot|nbsp|apos);)", re.I)
SPACES = re.compile("[ \u00a0]{2,}")
UNESCAPE_PASSES = 2  # &amp;lt; is an entity in an entity


def repair(text: str) -> str:
    """Decode HTML entities and mojibake in ``text``, and remove tags, backslashes and control
    characters.

    Returns ``text`` unchanged if nothing would be left.
    """
    repaired = _decode_mojibake(text) if DEBRIS["mojibake"].search(text) else text
    for _ in range(UNESCAPE_PASSES):
        repaired = html.unescape(repaired)
    repaired = html.unescape(BARE_ENTITY.sub(r"&\1\2", repaired))
    for name in ("HTML tag", "backslash"):
        repaired = DEBRIS[name].sub(" ", repaired)
    repaired = DEBRIS["control character"].sub("", repaired)
    repaired = SPACES.sub(" ", repaired).strip()
    return repaired or text


def _decode_mojibake(text: str) -> str:
    """Decode UTF-8 that was read as Windows-1252 or Latin-1; unchanged if that fails."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text
