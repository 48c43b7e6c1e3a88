"""The Through time page: the matrix after a step, scores over the steps, and the map of texts."""

from collections.abc import Hashable
from pathlib import Path

import pandas as pd
import streamlit as st

from core import charts
from core.evaluation.dynamics import GROUPS, Dynamics
from core.runs import artifacts
from core.runs.run import Run
from core.translation import format_number, mark, translate, translate_plural
from ui import navigation
from ui.evaluate.confusion import with_interval
from ui.glossary import explain
from ui.session import cache
from ui.session.cache import BoundedCache
from ui.text import plain
from ui.widgets import chart_view, tables

STEP_KEY, TEXT_KEY, MAP_KEY, LAST_KEY, GROUP_KEY = (
    "step",
    "text-row",
    "training-map",
    "last-picked",
    "group",
)
SHOWN = 500
LISTS = (mark("all"), *GROUPS, mark("forgotten"))
# 500 rows of validation texts take some 300 KB
_tables: BoundedCache[Hashable, pd.DataFrame] = BoundedCache(16)
HOW_TO_READ = mark("""\
- **The texts** are the fixed sample of the validation split that the run is evaluated on during
  training.
- **Easy, ambiguous, hard** (training dynamics, Swayamdipta et al. 2020): a text is ambiguous if
  the probability of its true class varies by 0.2 or more (standard deviation over the
  validations). Of the others, texts with a mean of 0.5 or more are easy, the rest are hard. Hard
  texts include label errors.
- **Learned** is the step from which the text stayed correct. **Forgotten** counts how often it
  went from correct to incorrect between two validations (Toneva et al. 2019).
- With few validations these figures are coarse: ten validations are more reliable than three.
""")


def choose_step(dynamics: Dynamics) -> int:
    """Draw the choice of a validation and return its position; initially the last one."""
    steps = dynamics.steps.tolist()
    if len(steps) == 1:
        st.caption(translate("One validation so far, after step {step:,}.", step=steps[0]))
        return 0
    requested = st.session_state.get(STEP_KEY, st.query_params.get(STEP_KEY))
    st.session_state[STEP_KEY] = next(
        (step for step in steps if str(step) == str(requested)), steps[-1]
    )
    chosen = st.select_slider(
        translate("After step"),
        steps,
        format_func=lambda step: format_number(step, ","),
        key=STEP_KEY,
    )
    st.query_params[STEP_KEY] = str(chosen)
    return int(steps.index(chosen))


def draw_headline(dynamics: Dynamics) -> None:
    """Draw the first and last accuracy, and the numbers of learned and forgotten texts."""
    first, last = (with_interval(dynamics.compute_scores(at).accuracy) for at in (0, -1))
    st.subheader(
        translate_plural(
            "From {first} to {last} accuracy on {n:,} validation text",
            "From {first} to {last} accuracy on {n:,} validation texts",
            len(dynamics.rows),
            first=first,
            last=last,
        ),
        anchor=False,
        help=explain("accuracy", "validation", "dynamics"),
    )
    ends = int(dynamics.correct[-1].sum())
    forgotten = int((~dynamics.correct[-1] & dynamics.correct.any(axis=0)).sum())
    parts = (
        translate_plural("{n:,} validation", "{n:,} validations", len(dynamics.steps)),
        translate("{ends:,} correct at the end", ends=ends),
        translate_plural(
            "{n:,} was right at some point but wrong at the end",
            "{n:,} were right at some point but wrong at the end",
            forgotten,
        ),
    )
    st.caption(" · ".join(parts))


def draw_step(run: Run, dynamics: Dynamics, at: int) -> None:
    """Draw the matrix after the step, and F1 of each class over all steps."""
    step, scores = int(dynamics.steps[at]), dynamics.compute_scores(at)
    sides = st.grid(chart_view.count_columns(run.classes), min_column_width=400, gap="large")
    with sides.cell():
        st.markdown(
            translate(
                "After step {step:,}: **{accuracy} accuracy**, macro-F1 {f1:.3f} {classes}",
                step=step,
                accuracy=with_interval(scores.accuracy),
                f1=scores.macro_f1,
                classes=scores.described_classes,
            )
        )
        dark = chart_view.is_dark()
        matrix = chart_view.share(
            (*_name(run, dynamics), "matrix", step, dark),
            lambda: charts.draw_confusion_matrix(scores.counts, run.classes, dark=dark),
        )
        chart_view.draw(matrix, key="step-matrix")
    with sides.cell():
        chosen = chart_view.choose_class(run.classes, "course-class")
        course = chart_view.share(
            (*_name(run, dynamics), "course", step, chosen),
            lambda: charts.draw_over_steps(
                dynamics.tabulate_f1(run.classes),
                "f1",
                run.classes,
                step,
                translate("F1 per class over the steps"),
                chosen,
            ),
        )
        chart_view.draw(course, key="step-scores")


def draw_map(run: Run, dynamics: Dynamics) -> int | None:
    """Draw the map and the list of its texts; return the row selected in either, or None."""
    st.markdown(f"#### {translate('Easy, ambiguous and hard texts')}")
    table = _named(run, dynamics)
    counts = table["group"].value_counts()
    sizes = " · ".join(
        f"{translate(name)} {format_number(counts.get(name, 0), ',')}" for name in GROUPS
    )
    st.caption(f"{sizes}. {translate('Click a point, or select a row of the list.')}")
    group = navigation.choose(translate("List"), LISTS, key=GROUP_KEY, default="hard")
    listed = _listed(table, group)
    sides = st.grid(2, min_column_width=400, gap="large")
    with sides.cell():
        picked = _asked_row(set(table["row"].tolist()))
        chart = chart_view.share(
            (*_name(run, dynamics), "map", picked), lambda: charts.draw_training_map(table, picked)
        )
        points = chart_view.draw(chart, key=MAP_KEY, select="picked")
    with sides.cell():
        position = _draw_list(run, dynamics, listed, group) if len(listed) else None
        if listed.empty:
            st.caption(translate("No texts in this group."))
    clicked = (
        int(points[0]["row"])
        if isinstance(points, list) and points and "row" in points[0]
        else None
    )
    selected = int(listed["row"].iloc[position]) if position is not None else None
    return _newest(clicked, selected, set(table["row"].tolist()))


def draw_text(run: Run, dynamics: Dynamics, row: int, at: int) -> None:
    """Draw the text, when it was learned and forgotten, and its probabilities over the steps."""
    line = _named(run, dynamics).set_index("row").loc[row].to_dict()
    learned = (
        translate("correct from step {step:,}", step=int(line["learned"]))
        if pd.notna(line["learned"])
        else translate("incorrect at the end")
    )
    forgotten = (
        translate_plural("forgotten once", "forgotten {n:,} times", int(line["forgotten"]))
        if line["forgotten"]
        else translate("never forgotten")
    )
    name = translate("True class {name}", name=plain(str(line["class"])))
    with st.container(border=True, key="whole-text"):
        unnamed = translate("Row {row:,} of the validation split", row=row)
        st.text(str(line["text"]) or unnamed)
        st.markdown(f"{name} · {translate(line['group'])} · {learned} · {forgotten}")
    title = translate("Probabilities of row {row:,} over the steps", row=row)
    course = dynamics.list_probabilities(row, run.classes)
    chart_view.draw(
        charts.draw_over_steps(
            course, "probability", run.classes, int(dynamics.steps[at]), title, str(line["class"])
        ),
        key="text-course",
    )


def _name(run: Run, dynamics: Dynamics) -> tuple[Path, int, int, tuple[int, ...]]:
    """Return the key of what depends on the validations of a run, which may still train."""
    rows_key = hash(dynamics.rows.tobytes())  # some may be hidden later
    return run.folder, run.version, rows_key, tuple(dynamics.steps.tolist())


def _named(run: Run, dynamics: Dynamics) -> pd.DataFrame:
    """Return the table of texts with class names, and with the texts if the run has stored them,
    as it does at its end. Shared: never change it.
    """
    has_texts = artifacts.predictions_path(run.folder, "validation").is_file()
    key = *_name(run, dynamics), has_texts
    return _tables.get_or_make(key, lambda: _tabulate(run, dynamics, has_texts))


def _tabulate(run: Run, dynamics: Dynamics, has_texts: bool) -> pd.DataFrame:
    table = dynamics.summarize_texts()
    table["class"] = [run.classes[index] for index in table["true"]]
    if has_texts:
        frame = cache.read_predictions(
            run.folder, run.version, len(run.classes), "validation"
        ).frame
        if "text" in frame:
            return table.assign(text=table["row"].map(frame.set_index("row")["text"]).fillna(""))
    return table.assign(text="")


def _listed(table: pd.DataFrame, group: str) -> pd.DataFrame:
    if group == "forgotten":
        return table[table["forgotten"] > 0].sort_values(
            ["forgotten", "row"], ascending=[False, True], ignore_index=True
        )
    chosen = table if group == "all" else table[table["group"] == group]
    return chosen.sort_values(["mean", "row"], ignore_index=True)


def _draw_list(run: Run, dynamics: Dynamics, listed: pd.DataFrame, group: str) -> int | None:
    width = tables.class_width(listed["class"].tolist())
    columns = {
        "text": st.column_config.TextColumn(translate("Text"), width=150),
        "class": st.column_config.TextColumn(translate("True class"), width=width),
        "mean": st.column_config.NumberColumn(
            translate("Mean"),
            **tables.decimals(2),
            width=75,
            help=translate("Mean probability of the true class."),
        ),
        "learned": st.column_config.NumberColumn(
            translate("Learned"),
            format="localized",
            width=75,
            help=translate("Correct from this step on."),
        ),
        "forgotten": st.column_config.NumberColumn(
            translate("Forgotten"), format="localized", width=80
        ),
    }
    shown = tables.share(
        (*_name(run, dynamics), "list", group), lambda: listed.head(SHOWN)[list(columns)]
    )
    return tables.draw_texts(
        shown,
        key="map-list",
        columns=columns,
        rows_in_view=5,
        alt=translate("Texts of the group, lowest mean first"),
    )


def _newest(clicked: int | None, selected: int | None, known: set[int]) -> int | None:
    """Return the latest choice; an old click never undoes a later selection, nor vice versa."""
    before = st.session_state.get(LAST_KEY, (None, None))
    now = (clicked, selected)
    if now != before:
        st.session_state[LAST_KEY] = now
        changed = [
            new for new, old in zip(now, before, strict=True) if new != old and new is not None
        ]
        if changed and changed[0] != st.session_state.get(TEXT_KEY):
            st.session_state[TEXT_KEY] = changed[0]
            st.rerun()  # the map is drawn before the selected point is known
    row = _asked_row(known)
    if row is not None:
        st.query_params[TEXT_KEY] = str(row)
    return row


def _asked_row(known: set[int]) -> int | None:
    """Return the row chosen in this visit, else the row in the URL."""
    requested = str(st.session_state.get(TEXT_KEY, st.query_params.get(TEXT_KEY)))
    return next((row for row in known if str(row) == requested), None)
