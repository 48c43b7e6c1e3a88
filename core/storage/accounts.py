"""The people of a class, the options that the teacher has set, and the audit log: three tables."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.access import Role, Visitor
from core.storage.store import Store

# A class of 30 writes some hundreds in a lesson.
AUDIT_ENTRIES = 20_000
USE_SECONDS = 86_400.0  # the longest time in which uses are counted
WRONG_TRIES = 500  # lines; an attacker can pretend to be any number of browsers
IS_MEMBER = " AND ".join(
    f"key_hash NOT LIKE '{standing} %'" for standing in ("gone", "restored", "blocked")
)
PEOPLE = "id, name, role, key_hash, joined_at"


class Standing(StrEnum):
    """Whether a person of the class may come back; the start of ``key_hash`` if they may not."""

    MEMBER = "member"
    REMOVED = "gone"
    RESTORED = "restored"  # known from a backup, without a key
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class WrongTries:
    """Wrong codes or keys from one browser at one address.

    Args:
        kind: The secret that was tried: "class code", "teacher's code" or "key".
        last_at: Time of the last try, in seconds since 1970.
    """

    kind: str
    address: str
    browser: str
    tries: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Use:
    """A use that is counted: at most ``most`` of a kind by a user within ``seconds``."""

    kind: str
    user: str
    most: int
    seconds: float


def add_person(store: Store, visitor: Visitor, key_hash: str) -> None:
    """Add a person who has joined the class with a key."""
    with store.transaction() as db:
        db.execute(
            f"INSERT INTO people ({PEOPLE}) VALUES (?, ?, ?, ?, ?)",
            (visitor.id, visitor.name, visitor.role, key_hash, store.clock()),
        )


def save_signed_in(store: Store, visitor: Visitor) -> None:
    """Add a person who has signed in with a provider, or update name and role. They get no key."""
    again = (
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, key_hash ="
        " excluded.key_hash"
    )
    values = (visitor.id, visitor.name, visitor.role, f"signed in {visitor.id}", store.clock())
    with store.transaction() as db:
        db.execute(f"INSERT INTO people ({PEOPLE}) VALUES (?, ?, ?, ?, ?) {again}", values)


def find_person(store: Store, key_hash: str) -> Visitor | None:
    """Return the person whose key has this hash; None if there is none."""
    with store.transaction() as db:
        row = db.execute(
            "SELECT id, name, role FROM people WHERE key_hash = ?", (key_hash,)
        ).fetchone()
    return Visitor(row["id"], row["name"], Role(row["role"])) if row else None


def is_member(store: Store, visitor: Visitor) -> bool:
    """Return whether the visitor is signed in: has joined and was not removed since.

    A person who is known only from a restored backup is not.
    """
    member = find_member(store, visitor.id)
    return member is not None and member.role is visitor.role


def was_removed(store: Store, visitor: Visitor) -> bool:
    """Return whether the visitor was removed because the class has ended."""
    with store.transaction() as db:
        query = "SELECT 1 FROM people WHERE id = ? AND key_hash LIKE 'gone %'"
        return db.execute(query, (visitor.id,)).fetchone() is not None


def add_restored(
    store: Store, visitors: Iterable[Visitor], keys: Mapping[str, str] | None = None
) -> None:
    """Add the people of a restored backup, so that their names are shown.

    ``keys`` are the hashes of their keys by id. No key of a person who is here already changes.
    """
    insert = f"INSERT OR IGNORE INTO people ({PEOPLE}) VALUES (?, ?, ?, ?, ?)"
    with store.transaction() as db:
        for visitor in visitors:
            without_key = f"restored {visitor.id}"
            values = (visitor.id, visitor.name, visitor.role, without_key, store.clock())
            db.execute(insert, values)
            db.execute(  # ignored if another person has the key
                "UPDATE OR IGNORE people SET key_hash = ? WHERE id = ? AND key_hash = ?",
                ((keys or {}).get(visitor.id, without_key), visitor.id, without_key),
            )


def list_people(store: Store) -> list[Visitor]:
    """List all people in the order in which they joined."""
    with store.transaction() as db:
        return [
            Visitor(row["id"], row["name"], Role(row["role"]))
            for row in db.execute("SELECT * FROM people ORDER BY joined_at")
        ]


def revoke_student_keys(store: Store) -> None:
    """Invalidate the keys of all students. Their names stay on their runs; blocked ones stay so."""
    with store.transaction() as db:
        db.execute(
            "UPDATE people SET key_hash = 'gone ' || id WHERE role = ? AND key_hash NOT LIKE"
            " 'blocked %'",
            (Role.STUDENT,),
        )


def read_options(store: Store) -> dict[str, str]:
    """Read the options that are set, by name."""
    return dict(store.share("options", _read_options))


def write_options(store: Store, options: Mapping[str, str], *, replace: bool = True) -> None:
    """Set options; without ``replace`` only those that are not set yet."""
    verb = "REPLACE" if replace else "IGNORE"
    with store.transaction() as db:
        db.executemany(f"INSERT OR {verb} INTO options VALUES (?, ?)", options.items())


def add_wrong_try(store: Store, kind: str, address: str, browser: str) -> None:
    """Count a wrong code or key; see ``WrongTries``."""
    again = "ON CONFLICT DO UPDATE SET tries = tries + 1, last_at = excluded.last_at"
    with store.transaction() as db:
        db.execute(
            f"INSERT INTO wrong_tries VALUES (?, ?, ?, 1, ?) {again}",
            (kind, address, browser, store.clock()),
        )
        db.execute(
            "DELETE FROM wrong_tries WHERE rowid NOT IN"
            " (SELECT rowid FROM wrong_tries ORDER BY last_at DESC LIMIT ?)",
            (WRONG_TRIES,),
        )


def list_wrong_tries(store: Store) -> list[WrongTries]:
    """List the wrong codes and keys by browser and address, the newest first."""
    with store.transaction() as db:
        rows = db.execute(
            "SELECT kind, address, browser, tries, last_at FROM wrong_tries ORDER BY last_at DESC"
        )
        return [WrongTries(*row) for row in rows]


def log_action(
    store: Store, action: str, subject: str = "", visitor: Visitor | None = None
) -> None:
    """Add an entry to the audit log, unless the visitor is the owner of the machine.

    The log keeps the newest ``AUDIT_ENTRIES`` entries.
    """
    actor = visitor or store.visitor
    if actor.role is Role.OWNER:
        return
    with store.transaction() as db:
        db.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?)",
            (store.clock(), actor.id, action, subject[:500]),
        )
        db.execute(
            "DELETE FROM audit WHERE rowid <= (SELECT MAX(rowid) FROM audit) - ?", (AUDIT_ENTRIES,)
        )


def read_audit_log(store: Store, limit: int = 200) -> list[tuple[float, str, str, str]]:
    """Read the newest entries of the audit log.

    Each is (seconds since 1970, visitor id, action, subject).
    """
    with store.transaction() as db:
        rows = db.execute(
            "SELECT at, visitor, action, what FROM audit ORDER BY rowid DESC LIMIT ?", (limit,)
        )
        return [(row["at"], row["visitor"], row["action"], row["what"]) for row in rows]


def list_uses(store: Store, kind: str, user: str, since: float) -> list[float]:
    """List the times of the uses of a kind by a user since a time, the oldest first.

    A use that the clock had in the future counts as of now.
    """
    now = store.clock()
    with store.transaction() as db:
        rows = db.execute(
            "SELECT at FROM uses WHERE kind = ? AND user = ? AND at > ? ORDER BY at",
            (kind, user, since),
        )
        return [min(row["at"], now) for row in rows]


def add_uses(store: Store, uses: Sequence[Use]) -> int | None:
    """Add all uses, or none if one would exceed its limit; return the position of that one."""
    now = store.clock()
    with store.transaction() as db:
        db.execute("BEGIN IMMEDIATE")  # two requests at once must not both see the last free use
        db.execute("UPDATE uses SET at = ? WHERE at > ?", (now, now))  # the clock was set back
        for position, use in enumerate(uses):
            (number,) = db.execute(
                "SELECT COUNT(*) FROM uses WHERE kind = ? AND user = ? AND at > ?",
                (use.kind, use.user, now - use.seconds),
            ).fetchone()
            if number >= use.most:
                return position
        db.executemany("INSERT INTO uses VALUES (?, ?, ?)", [(u.kind, u.user, now) for u in uses])
        db.execute("DELETE FROM uses WHERE at < ?", (now - USE_SECONDS,))
    return None


def count_newest(store: Store, use: Use) -> tuple[int, int]:
    """Add a use and return how many of its kind are stored of its user, and of all users.

    Of each user the ``most`` newest ones of the last ``seconds`` are stored.
    """
    with store.transaction() as db:
        db.execute("BEGIN IMMEDIATE")  # requests at once must not see the same number
        now = store.clock()  # not earlier than that of those before
        db.execute("INSERT INTO uses VALUES (?, ?, ?)", (use.kind, use.user, now))
        db.execute(  # a clock that was set back would leave some in the future
            "DELETE FROM uses WHERE kind = ? AND (at <= ? OR at > ?)",
            (use.kind, now - use.seconds, now),
        )
        db.execute(
            "DELETE FROM uses WHERE kind = ? AND user = ? AND rowid NOT IN (SELECT rowid FROM uses"
            " WHERE kind = ? AND user = ? ORDER BY at DESC, rowid DESC LIMIT ?)",
            (use.kind, use.user, use.kind, use.user, use.most),
        )
        own, everyones = db.execute(
            "SELECT SUM(user = ?), COUNT(*) FROM uses WHERE kind = ?", (use.user, use.kind)
        ).fetchone()
    return own, everyones


def forget_uses(store: Store, kind: str) -> None:
    """Delete the uses of a kind."""
    with store.transaction() as db:
        db.execute("DELETE FROM uses WHERE kind = ?", (kind,))


def add_browser(store: Store, visitor: Visitor, token_hash: str, most: int) -> None:
    """Add a browser in which the visitor stays joined; only their ``most`` newest ones stay."""
    with store.transaction() as db:
        db.execute("INSERT INTO browsers VALUES (?, ?, ?)", (token_hash, visitor.id, store.clock()))
        db.execute(
            "DELETE FROM browsers WHERE person = ? AND token_hash NOT IN (SELECT token_hash FROM"
            " browsers WHERE person = ? ORDER BY at DESC, rowid DESC LIMIT ?)",
            (visitor.id, visitor.id, most),
        )


def find_by_browser(store: Store, token_hash: str) -> Visitor | None:
    """Return the member who stays joined in this browser; None if there is none."""
    query = (
        "SELECT id, name, role FROM people JOIN browsers ON person = id WHERE token_hash = ? AND"
        f" {IS_MEMBER}"
    )
    with store.transaction() as db:
        row = db.execute(query, (token_hash,)).fetchone()
    return Visitor(row["id"], row["name"], Role(row["role"])) if row else None


def find_browser_standing(store: Store, token_hash: str) -> Standing | None:
    """Return the standing of the person of this browser; None if there is none."""
    query = "SELECT key_hash FROM people JOIN browsers ON person = id WHERE token_hash = ?"
    with store.transaction() as db:
        row = db.execute(query, (token_hash,)).fetchone()
    return _read_standing(row["key_hash"]) if row else None


def remove_browser(store: Store, token_hash: str) -> None:
    """Remove a browser."""
    with store.transaction() as db:
        db.execute("DELETE FROM browsers WHERE token_hash = ?", (token_hash,))


def find_member(store: Store, visitor_id: str) -> Visitor | None:
    """Return the member with this id, by their current name; None if they are no member."""
    return store.share("members", _read_members).get(visitor_id)


def note_seen(store: Store, visitor: Visitor, every_seconds: float) -> None:
    """Record that the visitor is here, unless that was recorded less than this long ago."""
    now = store.clock()
    with store.transaction() as db:
        row = db.execute("SELECT seen_at FROM people WHERE id = ?", (visitor.id,)).fetchone()
        if row and not 0 <= now - (row["seen_at"] or 0.0) < every_seconds:
            db.execute("UPDATE people SET seen_at = ? WHERE id = ?", (now, visitor.id))


def list_standings(store: Store) -> list[tuple[Visitor, Standing, float, float | None]]:
    """List all people with standing, time of joining and time when they were last seen."""
    with store.transaction() as db:
        rows = db.execute("SELECT * FROM people ORDER BY joined_at").fetchall()
    return [
        (
            Visitor(row["id"], row["name"], Role(row["role"])),
            _read_standing(row["key_hash"]),
            row["joined_at"],
            row["seen_at"],
        )
        for row in rows
    ]


def find_standing(store: Store, visitor: Visitor) -> Standing | None:
    """Return the standing of the person; None if there is no such person."""
    people = (each for each in list_standings(store) if each[0].id == visitor.id)
    return next((standing for _, standing, *_ in people), None)


def set_key(store: Store, visitor: Visitor, key_hash: str) -> None:
    """Give the person a new key, which makes them a member."""
    with store.transaction() as db:
        db.execute("UPDATE people SET key_hash = ? WHERE id = ?", (key_hash, visitor.id))


def set_standing(store: Store, visitor: Visitor, standing: Standing) -> None:
    """Take the key from the person; only a blocked one is still recognized by the browser."""
    with store.transaction() as db:
        db.execute(
            "UPDATE people SET key_hash = ? || ' ' || id WHERE id = ?", (standing, visitor.id)
        )
        if standing is not Standing.BLOCKED:
            db.execute("DELETE FROM browsers WHERE person = ?", (visitor.id,))


def rename_person(store: Store, visitor: Visitor, name: str) -> None:
    """Rename the person."""
    with store.transaction() as db:
        db.execute("UPDATE people SET name = ? WHERE id = ?", (name, visitor.id))


def merge_people(store: Store, visitor: Visitor, into: Visitor) -> None:
    """Give the jobs and browsers of a person to another one, and remove the person."""
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET owner = ?, version = version + 1 WHERE owner = ?",
            (into.id, visitor.id),
        )
        for table in ("browsers", "lesson_entries", "lesson_pins"):
            db.execute(
                f"UPDATE OR IGNORE {table} SET person = ? WHERE person = ?", (into.id, visitor.id)
            )
        db.execute("DELETE FROM drafts WHERE person = ?", (visitor.id,))
        db.execute("DELETE FROM people WHERE id = ?", (visitor.id,))


def read_drafts(store: Store, visitor: Visitor) -> dict[str, str]:
    """Read the drafts of the person by name."""
    with store.transaction() as db:
        rows = db.execute("SELECT name, value FROM drafts WHERE person = ?", (visitor.id,))
        return {row["name"]: row["value"] for row in rows}


def write_drafts(
    store: Store, visitor: Visitor, drafts: Mapping[str, str | None], most: int
) -> None:
    """Store drafts of the person, of which only the ``most`` newest ones stay; None deletes one."""
    with store.transaction() as db:
        for name, value in drafts.items():
            db.execute("DELETE FROM drafts WHERE person = ? AND name = ?", (visitor.id, name))
            if value is not None:
                db.execute("INSERT INTO drafts VALUES (?, ?, ?)", (visitor.id, name, value))
        db.execute(
            "DELETE FROM drafts WHERE person = ? AND rowid NOT IN (SELECT rowid FROM drafts WHERE"
            " person = ? ORDER BY rowid DESC LIMIT ?)",
            (visitor.id, visitor.id, most),
        )


def read_keys(store: Store) -> dict[str, str]:
    """Read the hashes of the students' keys by the ids of their owners, for a backup."""
    with store.transaction() as db:
        rows = db.execute(
            f"SELECT id, key_hash FROM people WHERE role = ? AND {IS_MEMBER} AND length(key_hash) ="
            " 64",
            (Role.STUDENT,),
        )
        return {row["id"]: row["key_hash"] for row in rows}


def _read_options(db: sqlite3.Connection, _earlier: object) -> dict[str, str]:
    return {row["name"]: row["value"] for row in db.execute("SELECT name, value FROM options")}


def _read_members(db: sqlite3.Connection, _earlier: object) -> dict[str, Visitor]:
    rows = db.execute(f"SELECT id, name, role FROM people WHERE {IS_MEMBER}")
    return {row["id"]: Visitor(row["id"], row["name"], Role(row["role"])) for row in rows}


def _read_standing(key_hash: str) -> Standing:
    return next((each for each in Standing if key_hash.startswith(f"{each} ")), Standing.MEMBER)
