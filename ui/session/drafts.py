"""Drafts: what a member of a class has entered and not sent yet, stored on the server.

After a reload, in a new tab or after a restart of the server, widgets start with their drafts.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping

import streamlit as st

from core.access import Role
from core.people.membership import read_drafts, write_drafts
from core.storage.store import Store

MEMBERS = frozenset({Role.STUDENT, Role.TEACHER})
WITH_OWNER = MEMBERS | {Role.OWNER}  # in local mode
KEY = "drafts"  # id of this visit's member, and their drafts as stored


def follow(
    store: Store,
    defaults: Mapping[str, object],
    accept: Callable[[str, object], bool],
    about: str = "",
    roles: Container[Role] = MEMBERS,
) -> None:
    """Fill widgets that have no value from their drafts, and store what the others have now.

    Call this before the widgets are drawn. ``defaults`` are the values of untouched widgets by key,
    which are not stored. A draft that ``accept`` refuses, because the options of its widget have
    changed, is left out. ``about`` distinguishes drafts of a widget for several objects. Visitors
    of other ``roles`` have no drafts.
    """
    if store.visitor.role not in roles:
        return
    stored, changes = _read(store), dict[str, str | None]()
    for key, default in defaults.items():
        name = f"{about}{key}"
        if key in st.session_state:
            value = st.session_state[key]
            draft = None if value == default else json.dumps(value)
            if stored.get(name) != draft:
                changes[name] = draft
        elif name in stored and accept(key, value := json.loads(stored[name])):
            st.session_state[key] = value
    _write(store, changes)


def forget(store: Store, keys: Iterable[str], about: str = "") -> None:
    """Delete drafts, because what they held was sent."""
    stored = _read(store) if store.visitor.role in WITH_OWNER else {}
    _write(store, {name: None for key in keys if (name := f"{about}{key}") in stored})


def is_text(key: str, value: object) -> bool:
    """Accept any text."""
    return isinstance(value, str)


def _read(store: Store) -> dict[str, str]:
    owner, stored = st.session_state.get(KEY, ("", {}))
    if owner != store.visitor.id:
        stored = read_drafts(store)
        st.session_state[KEY] = (store.visitor.id, stored)
    return dict(stored)


def _write(store: Store, changes: Mapping[str, str | None]) -> None:
    if changes:
        write_drafts(store, changes)
        st.session_state[KEY] = (store.visitor.id, read_drafts(store))
