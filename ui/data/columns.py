"""Choice of columns, classes and split on the page Your data, and the report on the rows kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import streamlit as st

from core.data.rows import MAX_CLASSES, MIN_CLASS_ROWS
from core.data.sources import Split, split_of
from core.data.splits.build_splits import (
    BuildOptions,
    BuildReport,
    BuiltDataset,
    build,
    name_places,
)
from core.data.splits.columns import propose_columns, read_splits
from core.data.splits.labels import LabelReading, near_equal, read_labels, spell
from core.data.tables.table import Table
from core.errors import DataError
from core.translation import mark, translate, translate_plural
from ui.text import capitalize, plain
from ui.widgets import tables

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHOWN_PAIRS = 6
MADE, FILES = mark("random split"), mark("the files")
MOST_LABELS = 500  # more are not classes, and too many for an editable table
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3)


def choose_splits(read: Sequence[Table]) -> list[tuple[Split, Table]]:
    """Let the reader assign a split to each table; a single table is the training split."""
    if len(read) == 1:
        return [("train", read[0])]
    parts: list[tuple[Split, Table]] = []
    with st.grid(3, min_column_width=200):
        for position, table in enumerate(read):
            guess = split_of(Path(table.file.name)) or "train"
            label = translate("{file} is", file=plain(table.file.name))
            parts.append(
                (
                    st.selectbox(
                        label,
                        SPLITS,
                        SPLITS.index(guess),
                        format_func=translate,
                        key=f"part-{position}-{table.file.name}",
                    ),
                    table,
                )
            )
    if all(split != "train" for split, _ in parts):
        raise DataError(
            mark("None of the files is the training split."),
            mark("Choose the training file above."),
        )
    return sorted(parts, key=lambda part: part[0] != "train")


def choose(parts: Sequence[tuple[Split, Table]]) -> BuildOptions:
    """Draw the choice of columns, classes and split. Raises DataError for unusable columns."""
    first, single = parts[0][1], len(parts) == 1
    proposal, names = propose_columns(first), first.columns
    key = "|".join(
        table.file.name + str(table.rows) + "".join(table.columns)[:200] for _, table in parts
    )
    with st.grid(3, min_column_width=200, vertical_alignment="bottom"):
        text = st.multiselect(
            translate("Texts"),
            names,
            [proposal.text],
            key=f"text|{key}",
            help=translate("Several columns are joined, each on its own line."),
        )
        label = st.selectbox(
            translate("Labels"),
            names,
            names.index(proposal.label) if proposal.label else None,
            key=f"label|{key}",
        )
        splitting = not any(split == "test" for split, _ in parts)
        usable = [name for name in names if read_splits(first.frame[name])] if single else []
        ways = [MADE, *usable] if splitting else [FILES]
        split = st.selectbox(
            translate("Split"),
            ways,
            ways.index(proposal.split) if proposal.split in ways else 0,
            format_func=lambda way: translate(way) if way in (MADE, FILES) else way,
            key=f"split|{key}",
        )
    if not text or not label:
        raise DataError(
            mark("The text or label column is missing."), mark("Choose a column for each.")
        )
    if label in text:
        raise DataError(
            mark("A column cannot be both text and label."), mark("Choose another label column.")
        )
    share = 0.2
    if splitting and split == MADE:
        words = {part: f"{part:.0%}".replace("%", " %") for part in SHARES}
        share = st.segmented_control(
            translate("Test split"),
            SHARES,
            default=0.2,
            required=True,
            format_func=words.__getitem__,
            key="test-share",
        )
    classes = _choose_classes(parts, str(label), key)
    return BuildOptions(
        tuple(text), str(label), classes, split if split in usable else "", share or 0.2
    )


# shared between reruns of one visitor's page; never changed
@st.cache_resource(max_entries=2, show_spinner=False)
def build_dataset(
    key: str, choice_key: str, _parts: Sequence[tuple[Split, Table]], _choice: BuildOptions
) -> BuiltDataset:
    """Build the dataset from the tables. Raises DataError."""
    return build(_parts, _choice)


def choice_key(choice: BuildOptions) -> str:
    """Return a cache key for the choice."""
    return str(asdict(choice))


def draw_report(report: BuildReport, key: str) -> None:
    """Draw the numbers of kept and dropped rows, with the reasons, and the rows of each class."""
    left_out = report.rows_read - report.rows_kept
    text = translate("**{kept:,} of {n:,} rows kept**", kept=report.rows_kept, n=report.rows_read)
    st.markdown(text + (translate(", {n:,} dropped", n=left_out) if left_out else ""))
    st.caption(
        translate(
            "{classes:,} classes. The median text has {median:,} characters, the longest"
            " {longest:,}.",
            classes=len(report.classes),
            median=report.median_characters,
            longest=report.longest_characters,
        )
    )
    sides = st.grid(2, min_column_width=330, gap="medium")
    with sides.cell():
        lines = pd.DataFrame(report.classes, columns=["class", *SPLITS])
        shown = lines if lines["validation"].any() else lines.drop(columns="validation")
        numbers: tables.Columns = {
            split: st.column_config.NumberColumn(translate(split), format="localized")
            for split in SPLITS
        } | {"class": translate("class")}
        tables.draw_plain(
            shown,
            key=f"{key}-classes",
            columns=numbers,
            rows_in_view=8,
            alt=translate("Rows of each class in each split"),
        )
    with sides.cell():
        if report.dropped:
            rows = [
                {
                    "reason": translate(item.reason),
                    "rows": item.rows,
                    "lines": name_places(item.where, item.rows),
                }
                for item in report.dropped
            ]
            tables.draw_plain(
                pd.DataFrame(rows),
                key=f"{key}-dropped",
                columns={  # px: all three fit into a phone, and stretch on wider pages
                    "reason": st.column_config.TextColumn(translate("reason"), width=160),
                    "rows": st.column_config.NumberColumn(
                        translate("rows"), format="localized", width=60
                    ),
                    "lines": st.column_config.TextColumn(translate("lines"), width=110),
                },
                rows_in_view=8,
                alt=translate("Dropped rows with the reason"),
            )
        else:
            st.caption(translate("All rows are kept."))
    for note in (*report.notes, *_describe_labels(report)):
        st.caption(plain(note))


def _describe_labels(report: BuildReport) -> list[str]:
    """Say which labels were renamed, and which ones look alike and stayed apart."""
    kinds = (
        (mark("Renamed labels: {pairs}."), mark("{label} is now {other}"), report.merged),
        (
            mark("Labels that look alike and stay apart: {pairs}."),
            mark("{label} and {other}"),
            report.similar,
        ),
    )
    lines = []
    for sentence, pair, named in kinds:
        pairs = "; ".join(
            translate(pair, label=spell(label), other=spell(name))
            for label, name in named[:SHOWN_PAIRS]
        )
        if (more := len(named) - SHOWN_PAIRS) > 0:
            pairs = translate("{pairs} and {more:,} more", pairs=pairs, more=more)
        if named:
            lines.append(translate(sentence, pairs=pairs))
    return lines


def _choose_classes(parts: Sequence[tuple[Split, Table]], label: str, key: str) -> dict[str, str]:
    for _, table in parts:
        table.require(label)
    reading = read_labels([table.frame[label] for _, table in parts])
    counts = dict(reading.counts)
    unlabeled = _ask_about_minus_one(reading, key)
    if len(counts) > MOST_LABELS:
        raise DataError(
            mark("{label!r} has {n:,} different values; at most {most} classes are supported."),
            mark("Choose another label column."),
            label=label,
            n=len(counts),
            most=MAX_CLASSES,
        )
    start, changed = _propose_classes(counts, label, key)
    if unlabeled:
        start[unlabeled] = ""
    editable = pd.DataFrame(
        {"label": list(counts), "rows": list(counts.values()), "class": list(start.values())}
    )
    st.caption(
        translate(
            "Edit a class name to rename it, enter the name of another class to merge both, or"
            " clear the cell to drop its rows."
        )
    )
    edited = st.data_editor(
        editable,
        key=f"classes|{label}|{changed}|{unlabeled}|{key}",
        hide_index=True,
        disabled=["label", "rows"],
        height=tables.compute_height(len(editable), 8),
        column_config={
            "class": st.column_config.TextColumn(capitalize(translate("class")), max_chars=80),
            "label": capitalize(translate("label")),
            "rows": translate("Rows"),
        },
    )
    return {
        str(name): str(called or "")
        for name, called in zip(edited["label"], edited["class"].fillna(""), strict=True)
    }


def _propose_classes(counts: Mapping[str, int], label: str, key: str) -> tuple[dict[str, str], str]:
    """Offer to merge similar labels and to drop rare ones; return the class of each label, and the
    choice as a key.
    """
    similar = near_equal(counts)
    rare = [
        name
        for name, rows in counts.items()
        if sum(counts[n] for n in counts if similar.get(n, n) == similar.get(name, name))
        < MIN_CLASS_ROWS
    ]
    merge = leave_out = False
    if similar:
        shown = "; ".join(
            translate("{label} into {other}", label=spell(name), other=spell(into))
            for name, into in list(similar.items())[:6]
        ) + ("; …" if len(similar) > 6 else "")
        merge = st.toggle(
            translate_plural(
                "Merge {n:,} near-duplicate label",
                "Merge {n:,} near-duplicate labels",
                len(similar),
            ),
            key=f"merge|{label}|{key}",
        )
        st.caption(plain(shown))
    if rare:
        leave_out = st.toggle(
            translate_plural(
                "Drop {n:,} label with fewer than {least} rows",
                "Drop {n:,} labels with fewer than {least} rows",
                len(rare),
                least=MIN_CLASS_ROWS,
            ),
            key=f"rare|{label}|{key}",
        )
    start = {}
    for name in counts:
        merged = similar.get(name, name) if merge else name
        start[name] = "" if leave_out and name in rare else merged
    return start, f"{merge}|{leave_out}"


def _ask_about_minus_one(reading: LabelReading, key: str) -> str:
    """Return the label -1 if it marks rows without a label. Raises DataError until it is clear."""
    name = reading.unclear
    if not name:
        return ""
    ways = [mark("no label"), mark("a class")]
    way = st.segmented_control(
        translate("The label {label} means", label=name),
        ways,
        format_func=translate,
        key=f"minus-one|{key}",
    )
    if way is None:
        raise DataError(
            mark("The label {label!r} ({n:,} rows) may be a class, or mark rows without a label."),
            mark("Choose above what it means."),
            label=name,
            n=reading.counts[name],
        )
    return name if way == ways[0] else ""
