"""The page boundary, which shows errors to the reader; one of two places that catch any
exception. What a script needs often is read once within it.
"""

import logging
import secrets
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import streamlit as st

from core.access import Action, is_allowed
from core.errors import LoraLabError, StoreDamaged
from core.settings import Settings
from core.translation import mark, translate
from ui.session.local_machine import find_local_visitor
from ui.text import plain

UNEXPECTED = mark(
    "Something went wrong (error {id}). See the server's log for details. Reload the page to try"
    " again."
)

T = TypeVar("T")
log = logging.getLogger("ui")
_values: ContextVar[dict[Hashable, Any] | None] = ContextVar("values", default=None)


@contextmanager
def boundary() -> Iterator[None]:
    """Show an error with its fix; an unexpected one gets an id, and its details go to the log.

    The script of a page, each tick of a fragment and each callback begins without the values of
    ``read_once``.
    """
    token = _values.set({}) if _values.get() is None else None
    try:
        yield
    except StoreDamaged as error:
        _show_damaged_store(error)
    except LoraLabError as error:
        show(error)
    except Exception as error:
        error_id = secrets.token_hex(4)
        log.error("error %s", error_id, exc_info=error)
        st.error(translate(UNEXPECTED, id=error_id))
    finally:
        if token:
            _values.reset(token)


def read_once(key: Hashable, read: Callable[[], T]) -> T:
    """Return what ``read`` returned for ``key`` earlier within the outermost boundary, else call
    it. Outside of a boundary it is called each time.
    """
    values = _values.get()
    if values is None:
        return read()
    if key not in values:
        values[key] = read()
    value: T = values[key]
    return value


def read_settings() -> Settings:
    """Return the settings of the server, read once within a boundary. Raises ConfigError."""
    return read_once("settings", Settings)


def show(error: LoraLabError) -> None:
    """Show the error's message and fix."""
    st.error(f"**{plain(error.message)}** {plain(error.fix)}", icon=":material/error:")


def _show_damaged_store(error: StoreDamaged) -> None:
    st.error(f"**{plain(error.message)}**", icon=":material/error:")

    visitor = find_local_visitor(Settings())  # class members are stored in the damaged file
    if not is_allowed(visitor, Action.REPAIR):
        st.caption(translate("Ask the administrator of this server to repair it."))
        return
    st.caption(
        "Repair renames the file and rebuilds the list of runs from their folders. Nothing is"
        " deleted."
    )
    if st.button("Repair database", key="repair", type="primary"):
        # keeps this module independent of the store it reports on
        from core.storage import recovery  # noqa: PLC0415

        restored, aside = recovery.repair(Settings(), visitor)
        st.toast(
            f"{restored:,} runs restored. The old file is"
            f" {plain(aside.name) if aside else 'unchanged'}."
        )
        st.rerun()
