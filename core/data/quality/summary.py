"""What the report says of a dataset before any fault: balance, lengths, what is cut, words, sources
and boilerplate, each as a table.

All that is known of a dataset as one HTML page that needs nothing beside it. All that comes from
the data is escaped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from core.data.dataset import SPLITS, Dataset
from core.data.explore import statistics
from core.data.explore.boilerplate import DEBRIS_HELP, evidence
from core.data.explore.distinctive_words import count_words, distinctive_words
from core.data.explore.filters import positions_in_split
from core.data.explore.index import Length, TextIndex
from core.data.quality.findings import WORDS, QualityReport

LIMITS = (32, 64, 128, 256, 512)  # max tokens: up to what the base models can read
WORDS_EACH, MOST_PATTERNS = 12, 30
UNITS: tuple[Length, ...] = ("characters", "words", "tokens")
SPECIAL = 2  # tokens that the tokenizer puts around each text


@dataclass(frozen=True, eq=False)
class SummarySection:
    """A title, a sentence, and a table of ready cells; the sentence alone where there is nothing to
    list.
    """

    title: str
    said: str
    table: pd.DataFrame


def describe_data(dataset: Dataset, index: TextIndex) -> list[SummarySection]:
    """The sections in the order of the Explore page. Lengths, words and sources are those of the
    training texts.
    """
    return [
        _balance(dataset, index),
        _lengths(dataset, index),
        _cuts(index),
        _tokens_per_word(dataset, index),
        _words(dataset, index),
        _patterns(dataset, index),
    ]


def _balance(dataset: Dataset, index: TextIndex) -> SummarySection:
    counts = statistics.class_balance(index, np.ones(len(index), dtype=bool), len(dataset.classes))
    texts = {
        split: counts.loc[counts["split"] == split, "texts"].to_numpy() for split in SPLITS
    }  # (C,) each
    table = pd.DataFrame({"Class": dataset.classes})
    for split in SPLITS:
        table[split] = [f"{number:,}" for number in texts[split]]
    table["of train"] = [
        _per_cent(share) for share in texts["train"] / max(int(texts["train"].sum()), 1)
    ]
    largest, smallest = texts["train"].max(), texts["train"].min()
    said = (
        f"{len(dataset.classes)} classes. The largest has {largest:,} training texts, the smallest"
        f" {smallest:,}."
    )
    return SummarySection("Texts per class", said, table)


def _lengths(dataset: Dataset, index: TextIndex) -> SummarySection:
    places, lines = _train(index), []
    for unit in UNITS:
        boxes = statistics.length_boxes(
            index.lengths[unit][places], index.labels[places], len(dataset.classes)
        )
        for box in boxes.to_dict("records"):
            lines.append(
                (
                    dataset.classes[box["label"]],
                    unit,
                    *(f"{box[name]:,}" for name in ("low", "median", "high", "longest")),
                )
            )
    table = pd.DataFrame(
        lines,
        columns=["Class", "In", "5 % are shorter than", "Median", "5 % are longer than", "Longest"],
    )
    return SummarySection(
        "Lengths of the training texts",
        "Tokens are those of the default model, its two special ones included.",
        table,
    )


def _cuts(index: TextIndex) -> SummarySection:
    tokens = index.lengths["tokens"][_train(index)]
    cuts = [(limit, statistics.cut_at(tokens, limit)) for limit in LIMITS]
    lines = [
        (f"{limit}", f"{cut.texts:,}", _per_cent(cut.share), _per_cent(cut.lost))
        for limit, cut in cuts
    ]
    table = pd.DataFrame(
        lines, columns=["Max tokens", "Training texts cut", "of all", "Tokens lost"]
    )
    return SummarySection(
        "What a limit of tokens cuts off", "A run reads no further than its max tokens.", table
    )


def _tokens_per_word(dataset: Dataset, index: TextIndex) -> SummarySection:
    places = _train(index)
    sums = {
        unit: np.bincount(
            index.labels[places],
            weights=index.lengths[unit][places],
            minlength=len(dataset.classes),
        )
        for unit in UNITS
    }
    texts = np.bincount(index.labels[places], minlength=len(dataset.classes))
    pieces = sums["tokens"] - SPECIAL * texts
    table = pd.DataFrame(
        {
            "Class": dataset.classes,
            "Tokens per word": (pieces / np.maximum(sums["words"], 1)).round(2),
            "Characters per token": (sums["characters"] / np.maximum(pieces, 1)).round(2),
        }
    )
    said = (
        "Words are what stands between blanks. Few characters per token mean that the model hardly"
        " knows the language."
    )
    return SummarySection("Tokens per word", said, table)


def _words(dataset: Dataset, index: TextIndex) -> SummarySection:
    found = count_words(index, np.ones(len(index), dtype=bool), "train", len(dataset.classes))
    lines = []
    for label, name in enumerate(dataset.classes):
        words = distinctive_words(index, found, label, WORDS_EACH)
        lines.append(
            (
                name,
                ", ".join(
                    f"{word} ({count:,})"
                    for word, count in zip(words["word"], words["count"], strict=True)
                )
                or "none",
            )
        )
    said = (
        "Surest first, by log-odds with a Dirichlet prior (z above 1.96), with how often each"
        " stands in the class."
    )
    return SummarySection(
        "Words that set each class apart", said, pd.DataFrame(lines, columns=["Class", "Words"])
    )


def _patterns(dataset: Dataset, index: TextIndex) -> SummarySection:
    kept = np.zeros(len(index), dtype=bool)
    kept[_train(index)] = True
    found = evidence(index.patterns, index.labels, kept, len(dataset.classes)).head(MOST_PATTERNS)
    table = pd.DataFrame(
        {
            "Pattern": found["pattern"],
            "What it is": [
                DEBRIS_HELP.get(name, kind)
                for name, kind in zip(found["pattern"], found["kind"], strict=True)
            ],
            "Texts": found["texts"].map("{:,}".format),
            "Points at": [dataset.classes[int(label)] for label in found["top"]],
            "of that class": found["share"].map(_per_cent),
            "Times as likely there": found["ratio"].map("{:,.1f}".format),
            "Bits": found["bits"].map("{:.4f}".format),
        }
    )
    said = (
        "What gives most of the class away comes first."
        if len(table)
        else "No source mark, HTML debris or web address was found."
    )
    return SummarySection("Sources and boilerplate in the training texts", said, table)


def _train(index: TextIndex) -> np.ndarray:
    return positions_in_split(index, np.ones(len(index), dtype=bool), "train")


def _per_cent(share: float) -> str:
    return f"{share * 100:.1f} %"


SHOWN_TEXTS = 200  # of one check; the numbers are of all
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5"
    " system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.3rem"
    " .5rem;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}th{overflow-wrap:normal}td:last-child{white-space:pre-wrap}.wide{overflow-x:auto}"
)
COLUMNS = {
    "split": "Split",
    "row": "Row",
    "class": "Class",
    "competing class": "Competing class",
    "detail": "Detail",
    "score": "Score",
}


def render_document(
    report: QualityReport,
    named: pd.DataFrame,
    sections: Sequence[SummarySection],
    notes: Sequence[str] = (),
) -> str:
    """The page: ``sections`` on what the data are, then the findings. ``notes`` is what is said of
    the dataset itself.

    ``named`` are the findings with their texts, as ``name_rows`` gives them.
    """
    return "\n".join(_lines(report, named, sections, notes))


def _lines(
    report: QualityReport,
    named: pd.DataFrame,
    sections: Sequence[SummarySection],
    notes: Sequence[str],
) -> Iterator[str]:
    name, view = escape(report.name), '<meta name="viewport" content="width=device-width">'
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{view}<title>Data report:'
        f" {name}</title>"
    )
    yield f"<style>{STYLE}</style></head>"
    yield (
        f'<body><h1 dir="auto">{name}</h1><p>{report.rows:,} texts, fingerprint'
        f" {escape(report.fingerprint)}.</p>"
    )
    yield from (
        f'<p dir="auto">{escape(note)}</p>' for note in dict.fromkeys([*notes, *report.notes])
    )
    if not sections:
        yield (
            "<p>Balance, lengths and words are left out: the index of the texts is missing. Prepare"
            " the data again.</p>"
        )
    for section in sections:
        yield f"<h2>{escape(section.title)}</h2><p>{escape(section.said)}</p>"
        yield from _table(section.table)
    for finding in report.findings:
        words = WORDS[finding.check]
        yield (
            f"<h2>{escape(words.title)}: {finding.texts:,} texts</h2><p>{escape(finding.said)}</p>"
        )
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
    yield (
        '<div class="wide"><table><tr>'
        + "".join(f'<th scope="col">{escape(str(title))}</th>' for title in rows.columns)
        + "</tr>"
    )
    for line in rows.itertuples(index=False):
        yield (
            "<tr>" + "".join(f'<td dir="auto">{escape(str(cell))}</td>' for cell in line) + "</tr>"
        )
    yield "</table></div>"
