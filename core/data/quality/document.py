"""All that is known of a dataset as one HTML page that needs nothing beside it. All that comes from the data is escaped."""

from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from core.data.quality.portrait import Section
from core.data.quality.report import WORDS, Report

SHOWN_TEXTS = 200  # of one check; the numbers are of all
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}th{overflow-wrap:normal}td:last-child{white-space:pre-wrap}.wide{overflow-x:auto}"
)
COLUMNS = {"split": "Split", "row": "Row", "class": "Class", "competing class": "Competing class", "detail": "Detail", "score": "Score"}


def render_document(report: Report, named: pd.DataFrame, sections: Sequence[Section], notes: Sequence[str] = ()) -> str:
    """The page: ``sections`` on what the data are, then the findings. ``notes`` is what is said of the dataset itself.

    ``named`` are the findings with their texts, as ``name_rows`` gives them.
    """
    return "\n".join(_lines(report, named, sections, notes))


def _lines(report: Report, named: pd.DataFrame, sections: Sequence[Section], notes: Sequence[str]) -> Iterator[str]:
    name, view = escape(report.name), '<meta name="viewport" content="width=device-width">'
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8">{view}<title>Data report: {name}</title>'
    yield f"<style>{STYLE}</style></head>"
    yield f'<body><h1 dir="auto">{name}</h1><p>{report.rows:,} texts, fingerprint {escape(report.fingerprint)}.</p>'
    yield from (f'<p dir="auto">{escape(note)}</p>' for note in dict.fromkeys([*notes, *report.notes]))
    if not sections:
        yield "<p>Balance, lengths and words are left out: the index of the texts is missing. Prepare the data again.</p>"
    for section in sections:
        yield f"<h2>{escape(section.title)}</h2><p>{escape(section.said)}</p>"
        yield from _table(section.table)
    for finding in report.findings:
        words = WORDS[finding.check]
        yield f"<h2>{escape(words.title)}: {finding.texts:,} texts</h2><p>{escape(finding.said)}</p>"
        if finding.texts:
            yield f"<p>{escape(words.effect)} {escape(words.fix)}</p>"
            rows = named[named["check"] == finding.check.value]
            yield from _table(_texts(rows.head(SHOWN_TEXTS)))
            if len(rows) > SHOWN_TEXTS:
                yield f"<p>The first {SHOWN_TEXTS:,} of {len(rows):,}.</p>"
    yield "</body></html>"


def _texts(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[[*COLUMNS, "text"]].assign(score=rows["score"].map("{:.2f}".format)).fillna("")
    return shown.rename(columns={**COLUMNS, "text": "Text"})


def _table(rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        return
    yield '<div class="wide"><table><tr>' + "".join(f'<th scope="col">{escape(str(title))}</th>' for title in rows.columns) + "</tr>"
    for line in rows.itertuples(index=False):
        yield "<tr>" + "".join(f'<td dir="auto">{escape(str(cell))}</td>' for cell in line) + "</tr>"
    yield "</table></div>"
