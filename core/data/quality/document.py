"""A report as one HTML page that needs nothing beside it. All that comes from the data is escaped."""

from collections.abc import Iterator
from html import escape

import pandas as pd

from core.data.quality.report import WORDS, Report

SHOWN_TEXTS = 200  # of one check; the numbers are of all
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}td:last-child{white-space:pre-wrap}"
)
COLUMNS = {"split": "Split", "row": "Row", "class": "Class", "competing class": "Competing class", "detail": "Detail", "score": "Score"}


def render_document(report: Report, named: pd.DataFrame) -> str:
    """The page; ``named`` are the findings with their texts, as ``name_rows`` gives them."""
    return "\n".join(_lines(report, named))


def _lines(report: Report, named: pd.DataFrame) -> Iterator[str]:
    name = escape(report.name)
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Quality of {name}</title><style>{STYLE}</style></head><body>'
    yield f"<h1>Quality of {name}</h1><p>{report.rows:,} texts, fingerprint {escape(report.fingerprint)}.</p>"
    yield from (f"<p>{escape(note)}</p>" for note in report.notes)
    for finding in report.findings:
        words = WORDS[finding.check]
        yield f"<h2>{escape(words.title)}: {finding.texts:,} texts</h2><p>{escape(finding.said)}</p>"
        if finding.texts:
            yield f"<p>{escape(words.effect)} {escape(words.fix)}</p>"
            rows = named[named["check"] == finding.check.value]
            yield from _table(rows.head(SHOWN_TEXTS))
            if len(rows) > SHOWN_TEXTS:
                yield f"<p>The first {SHOWN_TEXTS:,} of {len(rows):,}.</p>"
    yield "</body></html>"


def _table(rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        return
    yield "<table><tr>" + "".join(f"<th>{title}</th>" for title in [*COLUMNS.values(), "Text"]) + "</tr>"
    shown = rows[[*COLUMNS, "text"]].assign(score=rows["score"].map("{:.2f}".format)).fillna("")
    for line in shown.itertuples(index=False):
        yield "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in line) + "</tr>"
    yield "</table>"
