"""The data report: summary tables of a dataset and its findings as one self-contained HTML page.

Everything that comes from the data is escaped.
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
from core.data.quality.findings import CHECK_TEXTS, QualityReport

LIMITS = (32, 64, 128, 256, 512)  # max tokens, up to the limit of the base models
WORDS_PER_CLASS, MAX_PATTERNS = 12, 30
UNITS: tuple[Length, ...] = ("characters", "words", "tokens")
SPECIAL_TOKENS = 2  # added to each text by the tokenizer


@dataclass(frozen=True, eq=False)
class SummarySection:
    """A section: title, summary sentence, and a table of formatted cells, which may be empty."""

    title: str
    summary: str
    table: pd.DataFrame


def describe_data(dataset: Dataset, index: TextIndex) -> list[SummarySection]:
    """Build the sections in the order of the Explore page. Lengths, words and sources cover the
    training texts.
    """
    return [
        _summarize_balance(dataset, index),
        _summarize_lengths(dataset, index),
        _summarize_truncation(index),
        _summarize_tokens_per_word(dataset, index),
        _summarize_words(dataset, index),
        _summarize_patterns(dataset, index),
    ]


def _summarize_balance(dataset: Dataset, index: TextIndex) -> SummarySection:
    counts = statistics.class_balance(index, np.ones(len(index), dtype=bool), len(dataset.classes))
    # (C,) each
    texts = {split: counts.loc[counts["split"] == split, "texts"].to_numpy() for split in SPLITS}
    table = pd.DataFrame({"Class": dataset.classes})
    for split in SPLITS:
        table[split] = [f"{number:,}" for number in texts[split]]
    table["of train"] = [
        _format_percent(share) for share in texts["train"] / max(int(texts["train"].sum()), 1)
    ]
    largest, smallest = texts["train"].max(), texts["train"].min()
    summary = (
        f"{len(dataset.classes)} classes. The largest has {largest:,} training texts, the smallest"
        f" {smallest:,}."
    )
    return SummarySection("Texts per class", summary, table)


def _summarize_lengths(dataset: Dataset, index: TextIndex) -> SummarySection:
    train, lines = _find_training_rows(index), []
    for unit in UNITS:
        boxes = statistics.length_boxes(
            index.lengths[unit][train], index.labels[train], len(dataset.classes)
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
        "Tokens of the default model, including its two special tokens.",
        table,
    )


def _summarize_truncation(index: TextIndex) -> SummarySection:
    tokens = index.lengths["tokens"][_find_training_rows(index)]
    cuts = [(limit, statistics.cut_at(tokens, limit)) for limit in LIMITS]
    lines = [
        (f"{limit}", f"{cut.texts:,}", _format_percent(cut.share), _format_percent(cut.lost))
        for limit, cut in cuts
    ]
    table = pd.DataFrame(
        lines, columns=["Max tokens", "Training texts truncated", "of all", "Tokens lost"]
    )
    return SummarySection(
        "Truncation by token limit", "A run truncates each text to its max tokens.", table
    )


def _summarize_tokens_per_word(dataset: Dataset, index: TextIndex) -> SummarySection:
    train = _find_training_rows(index)
    sums = {
        unit: np.bincount(
            index.labels[train],
            weights=index.lengths[unit][train],
            minlength=len(dataset.classes),
        )
        for unit in UNITS
    }
    texts = np.bincount(index.labels[train], minlength=len(dataset.classes))
    tokens = sums["tokens"] - SPECIAL_TOKENS * texts
    table = pd.DataFrame(
        {
            "Class": dataset.classes,
            "Tokens per word": (tokens / np.maximum(sums["words"], 1)).round(2),
            "Characters per token": (sums["characters"] / np.maximum(tokens, 1)).round(2),
        }
    )
    summary = (
        "Words are separated by blanks. Few characters per token mean that the model's vocabulary"
        " does not fit the language."
    )
    return SummarySection("Tokens per word", summary, table)


def _summarize_words(dataset: Dataset, index: TextIndex) -> SummarySection:
    word_counts = count_words(index, np.ones(len(index), dtype=bool), "train", len(dataset.classes))
    lines = []
    for label, name in enumerate(dataset.classes):
        words = distinctive_words(index, word_counts, label, WORDS_PER_CLASS)
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
    summary = (
        "Highest log-odds first, with a Dirichlet prior (z above 1.96); in brackets the number of"
        " occurrences in the class."
    )
    return SummarySection(
        "Distinctive words of each class", summary, pd.DataFrame(lines, columns=["Class", "Words"])
    )


def _summarize_patterns(dataset: Dataset, index: TextIndex) -> SummarySection:
    in_training = np.zeros(len(index), dtype=bool)
    in_training[_find_training_rows(index)] = True
    patterns = evidence(index.patterns, index.labels, in_training, len(dataset.classes)).head(
        MAX_PATTERNS
    )
    table = pd.DataFrame(
        {
            "Pattern": patterns["pattern"],
            "Description": [
                DEBRIS_HELP.get(name, kind)
                for name, kind in zip(patterns["pattern"], patterns["kind"], strict=True)
            ],
            "Texts": patterns["texts"].map("{:,}".format),
            "Indicates": [dataset.classes[int(label)] for label in patterns["top"]],
            "of that class": patterns["share"].map(_format_percent),
            "Likelihood ratio": patterns["ratio"].map("{:,.1f}".format),
            "Bits": patterns["bits"].map("{:.4f}".format),
        }
    )
    summary = (
        "Most informative about the class first."
        if len(table)
        else "No source marks, HTML remains or web addresses were found."
    )
    return SummarySection("Sources and boilerplate in the training texts", summary, table)


def _find_training_rows(index: TextIndex) -> np.ndarray:
    return positions_in_split(index, np.ones(len(index), dtype=bool), "train")


def _format_percent(share: float) -> str:
    return f"{share * 100:.1f} %"


SHOWN_TEXTS = 200  # per check; the counts cover all
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5"
    " system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.3rem"
    " .5rem;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}th{overflow-wrap:normal}td:last-child{white-space:pre-wrap}"
    ".wide{overflow-x:auto}"
)
COLUMNS = {
    "split": "Split",
    "row": "Row",
    "class": "Class",
    "competing class": "Suggested label",
    "detail": "Detail",
    "score": "Score",
}


def render_document(
    report: QualityReport,
    named: pd.DataFrame,
    sections: Sequence[SummarySection],
    notes: Sequence[str] = (),
) -> str:
    """Render the page: ``notes`` and ``sections`` about the data, then the findings.

    ``named`` are the findings with their texts, as returned by ``name_rows``.
    """
    return "\n".join(_render_lines(report, named, sections, notes))


def _render_lines(
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
            "<p>Balance, lengths and words are missing because there is no text index. Prepare the"
            " data again.</p>"
        )
    for section in sections:
        yield f"<h2>{escape(section.title)}</h2><p>{escape(section.summary)}</p>"
        yield from _render_table(section.table)
    for finding in report.findings:
        words = CHECK_TEXTS[finding.check]
        yield (
            f"<h2>{escape(words.title)}: {finding.texts:,} texts</h2>"
            f"<p>{escape(finding.summary)}</p>"
        )
        if finding.texts:
            yield f"<p>{escape(words.effect)} {escape(words.fix)}</p>"
            rows = named[named["check"] == finding.check.value]
            yield from _render_table(_format_texts(rows.head(SHOWN_TEXTS)))
            if len(rows) > SHOWN_TEXTS:
                yield f"<p>The first {SHOWN_TEXTS:,} of {len(rows):,}.</p>"
    yield "</body></html>"


def _format_texts(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[[*COLUMNS, "text"]].assign(score=rows["score"].map("{:.2f}".format)).fillna("")
    return shown.rename(columns={**COLUMNS, "text": "Text"})


def _render_table(rows: pd.DataFrame) -> Iterator[str]:
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
