"""Lesson files of a home folder, open lessons, what people enter in them, and the charts that they
pin: four tables.

An open lesson holds a copy of its file. Its owner is empty for that of a class, which all members
follow, and the id of the visitor for one at their own pace.
"""

import secrets
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Literal

from core.storage.store import Store

KEPT_OPEN = 50  # lessons whose entries are kept, of all owners; the oldest that have ended go first
EntryKind = Literal["guess", "done", "note"]
PLACE = "id, owner, step, revealed, deadline, started_at, ended_at"


@dataclass(frozen=True, slots=True)
class Place:
    """Place in an open lesson. ``deadline`` is the second at which the timer reveals the answer."""

    id: str
    owner: str
    step: int
    revealed: bool
    deadline: float | None
    started_at: float
    ended_at: float | None

    def is_revealed(self, now: float) -> bool:
        """Return whether the answer of the step may be shown."""
        return self.revealed or (self.deadline is not None and now >= self.deadline)


@dataclass(frozen=True, slots=True)
class Entry:
    """Guess, mark or sentence of a person in a step."""

    step: int
    person: str
    kind: EntryKind
    value: str
    at: float


@dataclass(frozen=True, slots=True)
class Pin:
    """A chart that a person has pinned in a step, as SVG; ``about`` says where it was seen."""

    id: str
    step: int
    title: str
    about: str
    alt: str
    svg: str
    at: float


def save_lesson(store: Store, title: str, content: str, most: int) -> bool:
    """Store a lesson file, replacing the one with the title.

    Return whether there was room among at most ``most`` files.
    """
    with store.transaction() as db:
        others = db.execute("SELECT COUNT(*) FROM lessons WHERE title != ?", (title,)).fetchone()[0]
        if others >= most:
            return False
        db.execute("REPLACE INTO lessons VALUES (?, ?, ?)", (title, content, store.clock()))
    return True


def remove_lesson(store: Store, title: str) -> None:
    """Remove a lesson file. Open lessons keep their copy."""
    with store.transaction() as db:
        db.execute("DELETE FROM lessons WHERE title = ?", (title,))


def list_lessons(store: Store) -> dict[str, str]:
    """Return the content of each stored lesson file by its title."""
    with store.transaction() as db:
        rows = db.execute("SELECT title, content FROM lessons ORDER BY title")
        return {row["title"]: row["content"] for row in rows}


def open_lesson(store: Store, owner: str, content: str) -> str:
    """Open a lesson, ending the owner's earlier one, and return its id."""
    lesson_id, now = secrets.token_hex(6), store.clock()
    with store.transaction() as db:
        db.execute(
            "UPDATE open_lessons SET ended_at = ? WHERE owner = ? AND ended_at IS NULL",
            (now, owner),
        )
        db.execute(
            "INSERT INTO open_lessons VALUES (?, ?, ?, 0, 0, NULL, ?, NULL)",
            (lesson_id, owner, content, now),
        )
        old = (
            "SELECT id FROM open_lessons WHERE ended_at IS NOT NULL ORDER BY started_at DESC"
            " LIMIT -1 OFFSET ?"
        )
        for table in ("lesson_entries", "lesson_pins"):
            db.execute(f"DELETE FROM {table} WHERE lesson IN ({old})", (KEPT_OPEN,))
        db.execute(f"DELETE FROM open_lessons WHERE id IN ({old})", (KEPT_OPEN,))
    return lesson_id


def find_place(store: Store, owner: str) -> Place | None:
    """Return the place in the owner's open lesson; None if there is none."""
    return store.share("open lessons", _read_open_places).get(owner)


def list_places(store: Store, owner: str) -> list[Place]:
    """List the owner's lessons with those that have ended, the newest first."""
    query = f"SELECT {PLACE} FROM open_lessons WHERE owner = ? ORDER BY started_at DESC, rowid DESC"
    with store.transaction() as db:
        return [_to_place(row) for row in db.execute(query, (owner,))]


def read_content(store: Store, lesson_id: str) -> str:
    """Return the file of an open or ended lesson; empty if it was removed."""
    with store.transaction() as db:
        row = db.execute("SELECT content FROM open_lessons WHERE id = ?", (lesson_id,)).fetchone()
    return str(row["content"]) if row else ""


def move(store: Store, place: Place, step: int) -> bool:
    """Go to another step; return false if the lesson is no longer at ``place``."""
    change = (
        "UPDATE open_lessons SET step = ?, revealed = 0, deadline = NULL"
        " WHERE id = ? AND step = ? AND ended_at IS NULL"
    )
    with store.transaction() as db:
        return db.execute(change, (step, place.id, place.step)).rowcount == 1


def set_reveal(store: Store, place: Place, revealed: bool, deadline: float | None) -> bool:
    """Reveal the answer of a step or set its timer; false if the lesson is no longer there."""
    change = (
        "UPDATE open_lessons SET revealed = ?, deadline = ?"
        " WHERE id = ? AND step = ? AND ended_at IS NULL"
    )
    with store.transaction() as db:
        return db.execute(change, (revealed, deadline, place.id, place.step)).rowcount == 1


def end_lessons(store: Store, owner: str) -> None:
    """End the owner's open lesson. Its entries are kept."""
    with store.transaction() as db:
        db.execute(
            "UPDATE open_lessons SET ended_at = ? WHERE owner = ? AND ended_at IS NULL",
            (store.clock(), owner),
        )


def reopen_lesson(store: Store, place: Place) -> None:
    """Open an ended lesson again at its place, ending another one of its owner."""
    end_lessons(store, place.owner)
    with store.transaction() as db:
        db.execute("UPDATE open_lessons SET ended_at = NULL WHERE id = ?", (place.id,))


def add_entry(
    store: Store, lesson_id: str, step: int, kind: EntryKind, value: str, *, replace: bool = False
) -> bool:
    """Add an entry of the store's visitor; return false if there is one that is not replaced."""
    verb = "REPLACE" if replace else "IGNORE"
    with store.transaction() as db:
        added = db.execute(
            f"INSERT OR {verb} INTO lesson_entries VALUES (?, ?, ?, ?, ?, ?)",
            (lesson_id, step, store.visitor.id, kind, value, store.clock()),
        )
        return added.rowcount == 1


def list_entries(
    store: Store, lesson_id: str, *, person: str | None = None, step: int | None = None
) -> list[Entry]:
    """List the entries of a lesson, optionally of one person or one step, the oldest first."""
    query = (
        "SELECT step, person, kind, value, at FROM lesson_entries WHERE lesson = ?"
        " AND (? IS NULL OR person = ?) AND (? IS NULL OR step = ?) ORDER BY at, rowid"
    )
    with store.transaction() as db:
        rows = db.execute(query, (lesson_id, person, person, step, step))
        return [Entry(**dict(row)) for row in rows]


def _read_open_places(db: Connection, _earlier: object) -> dict[str, Place]:
    rows = db.execute(
        f"SELECT {PLACE} FROM open_lessons WHERE ended_at IS NULL ORDER BY started_at, rowid"
    )
    return {row["owner"]: _to_place(row) for row in rows}  # of each owner the newest


def add_pin(store: Store, place: Place, title: str, about: str, alt: str, svg: str) -> None:
    """Add a chart to the notebook of the store's visitor."""
    values = (place.id, place.step, store.visitor.id, title, about, alt, svg, store.clock())
    with store.transaction() as db:
        db.execute(
            "INSERT INTO lesson_pins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (secrets.token_hex(6), *values),
        )


def list_pins(store: Store, lesson_id: str, person: str) -> list[Pin]:
    """List the charts that a person has pinned in a lesson, the oldest first."""
    query = (
        "SELECT id, step, title, about, alt, svg, at FROM lesson_pins WHERE lesson = ? AND"
        " person = ? ORDER BY at, rowid"
    )
    with store.transaction() as db:
        return [Pin(**dict(row)) for row in db.execute(query, (lesson_id, person))]


def delete_pin(store: Store, pin_id: str) -> None:
    """Delete a chart from the notebook of the store's visitor."""
    with store.transaction() as db:
        db.execute(
            "DELETE FROM lesson_pins WHERE id = ? AND person = ?", (pin_id, store.visitor.id)
        )


def _to_place(row: Row) -> Place:
    values = dict(row)
    return Place(**(values | {"revealed": bool(values["revealed"])}))
