"""The pages of the app, their order, links between them, and choices kept in their addresses."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import streamlit as st

from core.settings import PROJECT
from core.translation import mark, read_language, translate

T = TypeVar("T", bound=str)
D = TypeVar("D", bound=str | None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the app; ``follows_run`` keeps the chosen run in links to pages about a run."""

    file: str
    title: str
    icon: str
    follows_run: bool = False


HOME, DATA, EXPLORE, QUALITY = (
    "pages/home.py",
    "pages/data.py",
    "pages/explore.py",
    "pages/quality.py",
)
TOKENS, INSIDE, EMBEDDINGS = "pages/tokens.py", "pages/inside.py", "pages/embeddings.py"
TRAIN, RUNS = "pages/train.py", "pages/runs.py"
CLASS = "pages/board.py"  # its address is /board, which classes have bookmarked
CALIBRATION, ERRORS, THROUGH_TIME = (
    "pages/calibration.py",
    "pages/errors.py",
    "pages/through_time.py",
)
EVALUATE, COMPARE, CLASSIFY = "pages/evaluate.py", "pages/compare.py", "pages/classify.py"
ADAPTER, GALLERY = "pages/adapter.py", "pages/gallery.py"
PLAYGROUND = "pages/playground.py"
EXPORT = "pages/export.py"
LESSON = "pages/lesson.py"

SECTIONS: Mapping[str, tuple[Entry, ...]] = {
    "": (
        Entry(HOME, "Home", ":material/home:"),
        Entry(LESSON, "Lesson", ":material/menu_book:"),
    ),
    mark("Data"): (
        Entry(DATA, "Your data", ":material/upload_file:"),
        Entry(EXPLORE, "Explore", ":material/bar_chart:"),
        Entry(QUALITY, "Quality", ":material/fact_check:"),
        Entry(TOKENS, "Tokens", ":material/segment:"),
        Entry(INSIDE, "Inside the model", ":material/layers:"),
        Entry(EMBEDDINGS, "Embeddings", ":material/scatter_plot:"),
    ),
    mark("Train"): (
        Entry(TRAIN, "New run", ":material/tune:"),
        Entry(RUNS, "Runs", ":material/monitoring:", True),
        Entry(CLASS, "Class", ":material/school:"),
    ),
    mark("Understand"): (
        Entry(EVALUATE, "Evaluate", ":material/grid_on:", True),
        Entry(THROUGH_TIME, "Through time", ":material/timeline:", True),
        Entry(CALIBRATION, "Calibration", ":material/speed:", True),
        Entry(ERRORS, "Errors", ":material/error_outline:", True),
        Entry(COMPARE, "Compare", ":material/compare_arrows:"),
        Entry(ADAPTER, "Adapter", ":material/biotech:", True),
        Entry(PLAYGROUND, "Playground", ":material/toys:"),
        Entry(GALLERY, "Gallery", ":material/healing:"),
    ),
    mark("Use"): (
        Entry(CLASSIFY, "Classify", ":material/label:", True),
        Entry(EXPORT, "Export", ":material/download:", True),
    ),
}
ENTRIES = {entry.file: entry for entries in SECTIONS.values() for entry in entries}
_below_home: ContextVar[bool] = ContextVar("below_home", default=False)


@cache
def exists(file: str) -> bool:
    """Return whether the page's file exists."""
    return (PROJECT / file).is_file()


@contextmanager
def home() -> Iterator[st.Page]:
    """Set up the navigation and yield the page to run; a page draws only inside this context."""
    page = st.navigation(_sections(), position="hidden")
    token = _below_home.set(True)
    try:
        yield page
    finally:
        _below_home.reset(token)


def require_home() -> None:
    """Rerun through ``Home.py`` if Streamlit runs a file of ``pages/`` directly.

    It does so until ``st.navigation`` has been called once: for the first link opened after a
    server start.
    """
    if not _below_home.get():
        st.navigation(_sections(), position="hidden")
        st.rerun()


def _sections() -> dict[str, list[st.Page]]:
    """Return the pages for ``st.navigation``, Home first; it marks the one that may run."""
    pages = _build_pages(read_language())
    return {
        section: [copy.copy(pages[entry.file]) for entry in entries if exists(entry.file)]
        for section, entries in SECTIONS.items()
    }


@cache
def _build_pages(_language: str) -> Mapping[str, st.Page]:
    """Build the pages by file, with titles in the current language; their paths are resolved
    once, not at each link.
    """
    return {
        entry.file: st.Page(
            PROJECT / entry.file,
            title=translate(entry.title),
            icon=entry.icon,
            default=entry.file == HOME,
        )
        for entry in ENTRIES.values()
        if exists(entry.file)
    }


def link(
    file: str, label: str = "", *, run_id: str = "", icon: str | None = None, **query: str
) -> None:
    """Draw a link to a page, optionally to a run on it; plain text if the page does not exist."""
    entry = ENTRIES[file]
    params = {**({"run": run_id} if run_id else {}), **query}
    if exists(file):
        st.page_link(
            _build_pages(read_language())[file],
            label=label or None,  # its own title and icon, which are not checked again
            icon=icon,
            query_params=params or None,
        )
    else:
        st.text(label or translate(entry.title))


def open_page(file: str, run_id: str = "", **query: str | list[str]) -> None:
    """Switch to another page and end this script."""
    st.switch_page(file, query_params={**({"run": run_id} if run_id else {}), **query} or None)


def choose(
    label: str,
    options: Sequence[T],
    *,
    key: str,
    default: T,
    names: Callable[[T], str] = translate,
    label_visibility: Literal["visible", "collapsed"] = "visible",
    list_width: int = 0,
) -> T:
    """Draw a choice that the address of the page keeps as the option itself; as buttons, or as a
    list with a visible label if it has a width in px.

    A widget that is bound to the address would write the name that it shows, which only a reader
    of the same language could open.
    """
    if list_width:
        return _draw_list(label, options, key, default, names, width=list_width)
    current = _read_choice(options, key, default)
    st.segmented_control(
        label,
        options,
        format_func=names,
        required=True,
        key=key,
        on_change=_write_choice,
        args=(key, default),
        label_visibility=label_visibility,
    )
    return current


def choose_or_none(
    label: str,
    options: Sequence[T],
    *,
    key: str,
    placeholder: str,
    names: Callable[[T], str] = translate,
) -> T | None:
    """Draw a list from which nothing may be chosen, as ``choose`` does."""
    return _draw_list(label, options, key, None, names, placeholder=placeholder)


def _draw_list(
    label: str,
    options: Sequence[T],
    key: str,
    default: D,
    names: Callable[[T], str],
    *,
    width: int | Literal["stretch"] = "stretch",
    placeholder: str | None = None,
) -> T | D:
    current = _read_choice(options, key, default)
    st.selectbox(
        label,
        options,
        index=0 if default else None,
        format_func=names,
        key=key,
        on_change=_write_choice,
        args=(key, default),
        width=width,
        placeholder=placeholder,
    )
    return current


def _read_choice(options: Sequence[T], key: str, default: D) -> T | D:
    """Return the option in the address, else ``default``, and set the widget to it."""
    current = next((option for option in options if option == st.query_params.get(key)), default)
    st.session_state[key] = current
    return current


def _write_choice(key: str, default: str | None) -> None:
    chosen = st.session_state[key]
    if chosen == default:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = chosen
