"""Terms of docs/glossary.md, explained where a page uses them."""

import re
from collections.abc import Mapping
from functools import cache

from core.settings import PROJECT
from core.translation import translate

SOURCE = PROJECT / "docs" / "glossary.md"
ROW = re.compile(r"^\| (?P<terms>.+?) \| (?P<meaning>.+) \|$")
HEADING = "term"  # of a table's first column
PAGE_TERMS: Mapping[str, tuple[str, ...]] = {  # by the title of the page
    "LoRA Lab": ("dataset", "base model", "adapter", "run"),
    "Your data": ("source", "saved dataset", "split", "label"),
    "Explore": ("split", "class", "distinctive word", "boilerplate"),
    "Quality": ("finding", "near duplicate", "leakage", "label error", "cleaning recipe"),
    "Tokens": ("token", "truncate"),
    "Inside the model": ("token", "hidden state", "first token", "head", "adapter"),
    "Embeddings": ("embedding map", "hidden state", "first token"),
    "New run": ("preset", "hyperparameter", "step", "epoch", "rank", "target modules"),
    "Runs": ("run", "state", "validation", "baseline", "diagnosis"),
    "Lesson": ("run", "guess", "accuracy", "95 % interval"),
    "Class": ("leaderboard", "owner", "95 % interval"),
    "Evaluate": ("accuracy", "macro-F1", "95 % interval", "confusion matrix", "baseline"),
    "Through time": ("validation", "dynamics", "step"),
    "Calibration": ("confidence", "accuracy", "calibration"),
    "Errors": ("prediction", "slice", "disputed label"),
    "Compare": ("comparison", "significance", "95 % interval"),
    "Adapter": ("adapter", "rank", "target modules"),
    "Playground": ("head", "step", "label noise", "held-out text", "95 % interval"),
    "Gallery": ("bundled run", "divergence", "leakage"),
    "Classify": ("probability", "attribution", "nearest texts", "untrained score"),
    "Export": ("export", "verification"),
}


def explain(*terms: str) -> str:
    """Return the meanings of ``terms`` as Markdown, for the ``help`` of a heading or a metric."""
    rows = read_rows()
    return "\n\n".join(
        f"**{translate(names)}**: {translate(meaning)}"
        for names, meaning in dict.fromkeys(rows[term] for term in terms)
    )


def explain_page(title: str) -> str | None:
    """Return the meanings of the terms that a page uses; None for a page without any."""
    return explain(*PAGE_TERMS[title]) if title in PAGE_TERMS else None


@cache
def read_rows() -> dict[str, tuple[str, str]]:
    """Read the glossary: the names and the meaning of each term, several of which share a row."""
    rows = map(ROW.match, SOURCE.read_text(encoding="utf-8").splitlines())
    return {
        term: (row["terms"], row["meaning"])
        for row in rows
        if row and row["terms"] != HEADING
        for term in row["terms"].split(", ")
    }
