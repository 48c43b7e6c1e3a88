"""The page boundary: what a reader sees of an error, here and in every fragment. One of the two
places that catch any exception.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError, StoreDamaged
from core.settings import Settings
from ui.session.local_machine import at_the_machine
from ui.text import plain

log = logging.getLogger("ui")


@contextmanager
def boundary() -> Iterator[None]:
    """Show an error as a sentence with its remedy. What nobody foresaw gets an id, and its details
    go to the log.
    """
    try:
        yield
    except StoreDamaged as error:
        _show_damaged_store(error)
    except LoraLabError as error:
        show(error)
    except Exception as error:
        error_id = secrets.token_hex(4)
        log.error("error %s", error_id, exc_info=error)
        st.error(
            f"Something went wrong here (error {error_id}). The server's log tells more. Reload the"
            " page to try again."
        )


def show(error: LoraLabError) -> None:
    """The error's sentence and what to do."""
    st.error(f"**{plain(error.message)}** {plain(error.fix)}", icon=":material/error:")


def _show_damaged_store(error: StoreDamaged) -> None:
    st.error(f"**{plain(error.message)}**", icon=":material/error:")

    visitor = at_the_machine(
        Settings()
    )  # who has joined a class is in the file that cannot be read
    if not may(visitor, Action.REPAIR):
        st.caption("Ask who runs this server to repair it.")
        return
    st.caption(
        "Repair sets the file aside and rebuilds the list of runs from their folders. Nothing is"
        " deleted."
    )
    if st.button("Repair the database", key="repair", type="primary"):
        # Keeps this module free of the store it reports on.
        from core.storage import recovery  # noqa: PLC0415

        found, aside = recovery.repair(Settings(), visitor)
        st.toast(
            f"{found:,} runs found. The old file is {plain(aside.name) if aside else 'unchanged'}."
        )
        st.rerun()
