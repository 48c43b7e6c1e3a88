"""The filter bar of the Explore page. The URL holds the filters; clicks on charts change them."""

from typing import get_args

import streamlit as st

from core.data.dataset import SPLITS, Dataset
from core.data.explore.filters import Dimension, Filters
from core.data.explore.index import Length, TextIndex
from core.data.explore.words import fold
from core.data.sources import Split
from core.translation import mark, translate, translate_plural
from ui import navigation
from ui.explore.view_cache import View
from ui.text import capitalize, plain

LENGTHS: tuple[Length, ...] = get_args(Length)[::-1]
UNIT: Length = "tokens"
LONGEST_TEXT = 1_000_000
UNITS = mark("characters"), mark("words"), mark("tokens")
FOUND = {
    "train": mark("{matching:,} of {n:,} texts in train match"),
    "validation": mark("{matching:,} of {n:,} texts in validation match"),
    "test": mark("{matching:,} of {n:,} texts in test match"),
}
SPLIT_KEY, CLASSES_KEY, LENGTH_KEY, SHORTEST_KEY, LONGEST_KEY, SEARCH_KEY = (
    "split",
    "classes",
    "length-in",
    "shortest",
    "longest",
    "search",
)
WORD_KEY, PATTERN_KEY, MAX_TOKENS_KEY = "word", "pattern", "max-tokens"
BALANCE_KEY, BOXES_KEY, LENGTHS_KEY, PATTERNS_KEY = "balance", "boxes", "lengths", "patterns"
SEEN_KEY = "seen-clicks"
FIELDS = {
    BALANCE_KEY: ("class",),
    BOXES_KEY: ("class",),
    LENGTHS_KEY: ("from", "to"),
    PATTERNS_KEY: ("pattern",),
}
BLANKS: dict[Dimension, dict[str, object]] = {
    Dimension.CLASS: {CLASSES_KEY: []},
    Dimension.LENGTH: {SHORTEST_KEY: None, LONGEST_KEY: None},
    Dimension.TEXT: {SEARCH_KEY: ""},
    Dimension.WORD: {WORD_KEY: ""},
    Dimension.PATTERN: {PATTERN_KEY: None},
}
Mark = tuple[object, ...]


def choose_view(dataset: Dataset, index: TextIndex) -> View:
    """Draw the filter bar and return the selected view."""
    _take_clicks(dataset)
    with st.container(border=True, key="filters", gap="small"):
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            split = navigation.choose(translate("Split"), SPLITS, key=SPLIT_KEY, default="train")
            classes = st.multiselect(
                translate("Classes"),
                dataset.classes,
                placeholder=translate("all"),
                key=CLASSES_KEY,
                bind="query-params",
            )
            text = st.text_input(
                translate("Search"),
                placeholder=translate("text contains"),
                key=SEARCH_KEY,
                bind="query-params",
            )
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            unit = navigation.choose(
                translate("Length in"), LENGTHS, key=LENGTH_KEY, default=UNIT, list_width=140
            )
            limits = _choose_limits()
            word = st.text_input(
                translate("Whole word"),
                placeholder=translate("any"),
                key=WORD_KEY,
                bind="query-params",
                width=160,
            )
            names = [pattern.name for pattern in index.patterns]
            pattern = st.selectbox(
                translate("Source or boilerplate"),
                names,
                index=None,
                placeholder=translate("any"),
                key=PATTERN_KEY,
                bind="query-params",
                width=200,
            )
    labels = tuple(dataset.classes.index(name) for name in classes)
    filters = Filters(split, labels, unit, *limits, text.strip(), fold(word.strip()), pattern or "")
    return View(dataset, index, filters)


def _choose_limits() -> tuple[int | None, int | None]:
    """Draw the shortest and the longest length, and return them."""
    shortest = st.number_input(
        capitalize(translate("from")),
        0,
        LONGEST_TEXT,
        None,
        placeholder=translate("any"),
        key=SHORTEST_KEY,
        bind="query-params",
        width=120,
    )
    longest = st.number_input(
        capitalize(translate("to")),
        0,
        LONGEST_TEXT,
        None,
        placeholder=translate("any"),
        key=LONGEST_KEY,
        bind="query-params",
        width=120,
    )
    return _whole(shortest), _whole(longest)


def draw_finding(view: View) -> None:
    """Draw the number of selected texts and a button to remove each filter; stop if none match."""
    filters, matching = view.filters, len(view.positions())
    part = view.index.splits[filters.split]
    total = part.stop - part.start
    with st.container(key="selection", horizontal=True, gap="small", vertical_alignment="center"):
        heading = (
            translate(FOUND[filters.split], matching=matching, n=total)
            if filters.active
            else _count_texts(filters.split, total)
        )
        st.subheader(heading, anchor=False, width="content")
        for dimension in filters.active:
            label, lift = plain(_named(view, dimension)), f"lift-{dimension}"
            st.button(
                label,
                key=lift,
                icon=":material/close:",
                on_click=_lift,
                args=(dimension,),
                help=translate("Remove this filter"),
            )
        off = not filters.active
        st.button(
            translate("Show all"),
            key="show-all",
            icon=":material/filter_alt_off:",
            disabled=off,
            on_click=_lift,
            args=tuple(Dimension),
        )
    if not matching:
        st.info(
            translate("No texts match. Shorten the search, widen the length range, or show all."),
            icon=":material/search_off:",
        )
        st.stop()


def _count_texts(split: Split, n: int) -> str:
    if split == "train":
        return translate_plural("{n:,} text in train", "{n:,} texts in train", n)
    if split == "validation":
        return translate_plural("{n:,} text in validation", "{n:,} texts in validation", n)
    return translate_plural("{n:,} text in test", "{n:,} texts in test", n)


def only_cut(max_tokens: int) -> None:
    """Select the texts that are longer than ``max_tokens``."""
    st.query_params.pop(LENGTH_KEY, None)
    st.session_state.update({SHORTEST_KEY: max_tokens + 1, LONGEST_KEY: None})


def words_key(show: str, label: int) -> str:
    """Return the key of the chart of a class's words."""
    return f"words-{show}-{label}"


def _named(view: View, dimension: Dimension) -> str:
    filters = view.filters
    match dimension:
        case Dimension.CLASS:
            return ", ".join(view.classes[label] for label in filters.classes[:3]) + (
                " …" if len(filters.classes) > 3 else ""
            )
        case Dimension.LENGTH:
            low, high = filters.shortest, filters.longest
            unit = translate(filters.unit)
            return (
                translate("{low:,} and more {unit}", low=low, unit=unit)
                if high is None
                else translate("{low:,}–{high:,} {unit}", low=low or 0, high=high, unit=unit)
            )
        case Dimension.TEXT:
            return f"“{filters.text}”"
        case Dimension.WORD:
            return translate("word {word}", word=filters.word)
        case Dimension.PATTERN:
            return filters.pattern


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _lift(*dimensions: Dimension) -> None:
    for dimension in dimensions:
        st.session_state.update(BLANKS[dimension])


def _take_clicks(dataset: Dataset) -> None:
    """Apply each new click on a chart to its filter; old clicks never undo later changes."""
    words = {
        words_key(show, label): ("word",)
        for show in ("cloud", "bars")
        for label in range(len(dataset.classes))
    }
    for key, fields in {**FIELDS, **words}.items():
        for click in _new_clicks(key, fields):
            _toggle(key, click, dataset)


def _new_clicks(key: str, fields: tuple[str, ...]) -> list[Mark]:
    """Return marks whose selection has changed: a click selects a mark, the next one clears it."""
    seen: dict[str, set[Mark]] = st.session_state.setdefault(SEEN_KEY, {})
    event = st.session_state.get(key)
    points = event["selection"].get("chosen") or [] if event else []
    now = {tuple(point.get(field) for field in fields) for point in points}
    before, seen[key] = seen.get(key, set()), now
    if event is None:  # the chart was not drawn, so the browser has dropped its selection
        return []
    return sorted(now - before or before - now, key=str)[:1]


def _toggle(key: str, mark: Mark, dataset: Dataset) -> None:
    state, value = st.session_state, mark[0]
    if key in (BALANCE_KEY, BOXES_KEY):
        chosen: list[str] = state.get(CLASSES_KEY, [])
        after = [name for name in chosen if name != value] if value in chosen else [*chosen, value]
        state[CLASSES_KEY] = [name for name in dataset.classes if name in after]
    elif key == LENGTHS_KEY:
        _toggle_length(mark)
    elif key == PATTERNS_KEY:
        state[PATTERN_KEY] = None if state.get(PATTERN_KEY) == value else value
    else:
        state[WORD_KEY] = "" if state.get(WORD_KEY, "") == value else str(value)


def _toggle_length(mark: Mark) -> None:
    """Start the range with the first bin, widen it with another, clear it with one inside."""
    low, high = (int(str(end).partition(".")[0]) for end in mark)
    shortest: float | None = st.session_state.get(SHORTEST_KEY)
    longest: float | None = st.session_state.get(LONGEST_KEY)
    if shortest is None or longest is None:
        limits: tuple[int | None, int | None] = (low, high)
    elif shortest <= low and high <= longest:
        limits = (None, None)
    else:
        limits = (int(min(shortest, low)), int(max(longest, high)))
    st.session_state[SHORTEST_KEY], st.session_state[LONGEST_KEY] = limits
