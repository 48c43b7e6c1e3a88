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
from ui.text import count, plain
from ui.widgets import tables

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHOWN_PAIRS = 6
MADE = "random split"
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
            label = f"{plain(table.file.name)} is"
            parts.append(
                (
                    st.selectbox(
                        label,
                        SPLITS,
                        SPLITS.index(guess),
                        key=f"part-{position}-{table.file.name}",
                    ),
                    table,
                )
            )
    if all(split != "train" for split, _ in parts):
        raise DataError(
            "None of the files is the training split.", "Choose the training file above."
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
            "Texts",
            names,
            [proposal.text],
            key=f"text|{key}",
            help="Several columns are joined, each on its own line.",
        )
        label = st.selectbox(
            "Labels",
            names,
            names.index(proposal.label) if proposal.label else None,
            key=f"label|{key}",
        )
        splitting = not any(split == "test" for split, _ in parts)
        usable = [name for name in names if read_splits(first.frame[name])] if single else []
        ways = [MADE, *usable] if splitting else ["the files"]
        split = st.selectbox(
            "Split",
            ways,
            ways.index(proposal.split) if proposal.split in ways else 0,
            key=f"split|{key}",
        )
    if not text or not label:
        raise DataError("The text or label column is missing.", "Choose a column for each.")
    if label in text:
        raise DataError("A column cannot be both text and label.", "Choose another label column.")
    share = 0.2
    if splitting and split == MADE:
        words = {part: f"{part:.0%}".replace("%", " %") for part in SHARES}
        share = st.segmented_control(
            "Test split",
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
    st.markdown(
        f"**{report.rows_kept:,} of {count(report.rows_read, 'rows')} kept**"
        + (f", {left_out:,} dropped" if left_out else "")
    )
    median, longest = f"{report.median_characters:,}", f"{report.longest_characters:,}"
    st.caption(
        f"{count(len(report.classes), 'classes')}. The median text has {median} characters, the"
        f" longest {longest}."
    )
    sides = st.grid(2, min_column_width=330, gap="medium")
    with sides.cell():
        lines = pd.DataFrame(report.classes, columns=["class", *SPLITS])
        shown = lines if lines["validation"].any() else lines.drop(columns="validation")
        numbers: tables.Columns = {
            split: st.column_config.NumberColumn(format="localized") for split in SPLITS
        }
        tables.draw_plain(
            shown,
            key=f"{key}-classes",
            columns=numbers,
            rows_in_view=8,
            alt="Rows of each class in each split",
        )
    with sides.cell():
        if report.dropped:
            rows = [
                {
                    "reason": item.reason,
                    "rows": item.rows,
                    "lines": name_places(item.where, item.rows),
                }
                for item in report.dropped
            ]
            tables.draw_plain(
                pd.DataFrame(rows),
                key=f"{key}-dropped",
                columns={  # px: all three fit into a phone, and stretch on wider pages
                    "reason": st.column_config.TextColumn(width=160),
                    "rows": st.column_config.NumberColumn(format="localized", width=60),
                    "lines": st.column_config.TextColumn(width=110),
                },
                rows_in_view=8,
                alt="Dropped rows with the reason",
            )
        else:
            st.caption("All rows are kept.")
    for note in (*report.notes, *_describe_labels(report)):
        st.caption(plain(note))


def _describe_labels(report: BuildReport) -> list[str]:
    """Say which labels were renamed, and which ones look alike and stayed apart."""
    kinds = (
        ("Renamed labels", "is now", report.merged),
        ("Labels that look alike and stay apart", "and", report.similar),
    )
    return [
        f"{title}: "
        + "; ".join(f"{spell(label)} {verb} {spell(name)}" for label, name in named[:SHOWN_PAIRS])
        + (f" and {len(named) - SHOWN_PAIRS:,} more." if len(named) > SHOWN_PAIRS else ".")
        for title, verb, named in kinds
        if named
    ]


def _choose_classes(parts: Sequence[tuple[Split, Table]], label: str, key: str) -> dict[str, str]:
    for _, table in parts:
        table.require(label)
    reading = read_labels([table.frame[label] for _, table in parts])
    counts = dict(reading.counts)
    unlabeled = _ask_about_minus_one(reading, key)
    if len(counts) > MOST_LABELS:
        raise DataError(
            f"{label!r} has {len(counts):,} different values; at most {MAX_CLASSES} classes are"
            " supported.",
            "Choose another label column.",
        )
    start, changed = _propose_classes(counts, label, key)
    if unlabeled:
        start[unlabeled] = ""
    editable = pd.DataFrame(
        {"label": list(counts), "rows": list(counts.values()), "class": list(start.values())}
    )
    st.caption(
        "Edit a class name to rename it, enter the name of another class to merge both, or clear"
        " the cell to drop its rows."
    )
    edited = st.data_editor(
        editable,
        key=f"classes|{label}|{changed}|{unlabeled}|{key}",
        hide_index=True,
        disabled=["label", "rows"],
        height=tables.compute_height(len(editable), 8),
        column_config={
            "class": st.column_config.TextColumn("Class", max_chars=80),
            "label": "Label",
            "rows": "Rows",
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
            f"{spell(name)} into {spell(into)}" for name, into in list(similar.items())[:6]
        ) + ("; …" if len(similar) > 6 else "")
        merge = st.toggle(
            f"Merge {count(len(similar), 'near-duplicate labels')}",
            key=f"merge|{label}|{key}",
        )
        st.caption(plain(shown))
    if rare:
        leave_out = st.toggle(
            f"Drop {count(len(rare), 'labels')} with fewer than {MIN_CLASS_ROWS} rows",
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
    ways = ["no label", "a class"]
    way = st.segmented_control(f"The label {name} means", ways, key=f"minus-one|{key}")
    if way is None:
        raise DataError(
            f"The label {name!r} ({reading.counts[name]:,} rows) may be a class, or mark rows"
            " without a label.",
            "Choose above what it means.",
        )
    return name if way == ways[0] else ""
