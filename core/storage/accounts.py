"""The people of a class, the options that the teacher has set, and the audit log: three tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.access import Role, Visitor
from core.storage.store import Store

# A class of 30 writes some hundreds in a lesson.
AUDIT_ENTRIES = 20_000
WRONG_TRIES = 500  # lines; an attacker can pretend to be any number of browsers
PEOPLE = "id, name, role, key_hash, joined_at"


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
    query = (
        "SELECT 1 FROM people WHERE id = ? AND role = ? AND key_hash NOT LIKE 'gone %' AND key_hash"
        " NOT LIKE 'restored %'"
    )
    with store.transaction() as db:
        return db.execute(query, (visitor.id, visitor.role)).fetchone() is not None


def was_removed(store: Store, visitor: Visitor) -> bool:
    """Return whether the visitor was removed because the class has ended."""
    with store.transaction() as db:
        query = "SELECT 1 FROM people WHERE id = ? AND key_hash LIKE 'gone %'"
        return db.execute(query, (visitor.id,)).fetchone() is not None


def add_restored(store: Store, visitors: Iterable[Visitor]) -> None:
    """Add the people of a restored backup, so that their names are shown. They have no key."""
    rows = [
        (visitor.id, visitor.name, visitor.role, f"restored {visitor.id}", store.clock())
        for visitor in visitors
    ]
    with store.transaction() as db:
        db.executemany(f"INSERT OR IGNORE INTO people ({PEOPLE}) VALUES (?, ?, ?, ?, ?)", rows)


def list_people(store: Store) -> list[Visitor]:
    """List all people in the order in which they joined."""
    with store.transaction() as db:
        return [
            Visitor(row["id"], row["name"], Role(row["role"]))
            for row in db.execute("SELECT * FROM people ORDER BY joined_at")
        ]


def revoke_student_keys(store: Store) -> None:
    """Invalidate the keys of all students. Their names stay on their runs."""
    with store.transaction() as db:
        db.execute("UPDATE people SET key_hash = 'gone ' || id WHERE role = ?", (Role.STUDENT,))


def read_options(store: Store) -> dict[str, str]:
    """Read the options that are set, by name."""
    with store.transaction() as db:
        return {row["name"]: row["value"] for row in db.execute("SELECT name, value FROM options")}


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
