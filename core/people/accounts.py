"""Who has joined a class, what the teacher has set, and who did what: three small tables beside the
jobs.

Whose turn it is where several people wait. Free of pydantic: the supervisor stays small.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from core.access import GUEST_PREFIX, Role, Visitor
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

# a class of 30 writes some hundreds in a lesson; a click costs nothing, so a bound is needed
KEPT_NOTES = 20_000


def add_person(store: Store, visitor: Visitor, key_hash: str) -> None:
    """Let somebody in."""
    with store.transaction() as db:
        db.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
            (visitor.id, visitor.name, visitor.role, key_hash, store.clock()),
        )


def welcome(store: Store, visitor: Visitor) -> None:
    """Let somebody in who has signed in elsewhere, with the name and role of today. There is no key
    to come back with.
    """
    again = (
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, key_hash ="
        " excluded.key_hash"
    )
    values = (visitor.id, visitor.name, visitor.role, f"signed in {visitor.id}", store.clock())
    with store.transaction() as db:
        db.execute(f"INSERT INTO people VALUES (?, ?, ?, ?, ?) {again}", values)


def find_person(store: Store, key_hash: str) -> Visitor | None:
    """Whom the key was given to."""
    with store.transaction() as db:
        row = db.execute(
            "SELECT id, name, role FROM people WHERE key_hash = ?", (key_hash,)
        ).fetchone()
    return Visitor(row["id"], row["name"], Role(row["role"])) if row else None


def is_here(store: Store, visitor: Visitor) -> bool:
    """Whether the visitor has come in and not been sent out since: of whom a backup tells only the
    name is known.
    """
    query = (
        "SELECT 1 FROM people WHERE id = ? AND role = ? AND key_hash NOT LIKE 'gone %' AND key_hash"
        " NOT LIKE 'restored %'"
    )
    with store.transaction() as db:
        return db.execute(query, (visitor.id, visitor.role)).fetchone() is not None


def was_sent_out(store: Store, visitor: Visitor) -> bool:
    """Whether the visitor was there and the class has been ended since."""
    with store.transaction() as db:
        query = "SELECT 1 FROM people WHERE id = ? AND key_hash LIKE 'gone %'"
        return db.execute(query, (visitor.id,)).fetchone() is not None


def remember(store: Store, visitors: Iterable[Visitor]) -> None:
    """Know names again that a backup tells. No key leads to them; who signs in with the same id is
    the same person.
    """
    rows = [(one.id, one.name, one.role, f"restored {one.id}", store.clock()) for one in visitors]
    with store.transaction() as db:
        db.executemany("INSERT OR IGNORE INTO people VALUES (?, ?, ?, ?, ?)", rows)


def people(store: Store) -> list[Visitor]:
    """Everybody who has joined, in that order."""
    with store.transaction() as db:
        return [
            Visitor(row["id"], row["name"], Role(row["role"]))
            for row in db.execute("SELECT * FROM people ORDER BY joined_at")
        ]


def forget_students(store: Store) -> None:
    """Let no student come back with an old key. Their names stay on their runs."""
    with store.transaction() as db:
        db.execute("UPDATE people SET key_hash = 'gone ' || id WHERE role = ?", (Role.STUDENT,))


def read_options(store: Store) -> dict[str, str]:
    """What has been set, by name."""
    with store.transaction() as db:
        return {row["name"]: row["value"] for row in db.execute("SELECT name, value FROM options")}


def keep_options(store: Store, options: Mapping[str, str], *, replace: bool = True) -> None:
    """Set options; without ``replace`` only those that nobody has set."""
    verb = "REPLACE" if replace else "IGNORE"
    with store.transaction() as db:
        db.executemany(f"INSERT OR {verb} INTO options VALUES (?, ?)", options.items())


def started_by_owner(store: Store) -> Counter[str]:
    """How many runs of each owner have begun and are not waiting again."""
    query = (
        "SELECT owner, COUNT(*) AS runs FROM jobs WHERE kind = ? AND state != ? AND started_at IS"
        " NOT NULL GROUP BY owner"
    )
    with store.transaction() as db:
        return Counter(
            {
                row["owner"]: row["runs"]
                for row in db.execute(query, (JobKind.TRAIN, JobState.QUEUED))
            }
        )


def note(store: Store, action: str, what: str = "", visitor: Visitor | None = None) -> None:
    """Write down who did what, except for the machine's owner, who is alone. Of very many notes the
    oldest go.
    """
    who = visitor or store.visitor
    if who.role is Role.OWNER:
        return
    with store.transaction() as db:
        db.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?)", (store.clock(), who.id, action, what[:500])
        )
        db.execute(
            "DELETE FROM audit WHERE rowid <= (SELECT MAX(rowid) FROM audit) - ?", (KEPT_NOTES,)
        )


def audit(store: Store, limit: int = 200) -> list[tuple[float, str, str, str]]:
    """The newest notes: (seconds since 1970, visitor's id, action, to what)."""
    with store.transaction() as db:
        rows = db.execute(
            "SELECT at, visitor, action, what FROM audit ORDER BY rowid DESC LIMIT ?", (limit,)
        )
        return [(row["at"], row["visitor"], row["action"], row["what"]) for row in rows]


def fair_order(queued: Iterable[Job], started: Mapping[str, int]) -> list[Job]:
    """Queued runs in the order in which they start: by turns of their owners, who have had
    ``started`` runs so far.

    Nobody's second run comes before everybody's first; within a turn the one that was asked for
    first is first. All guests together are one owner: each of their visits is a new one.
    """
    turns = Counter(started)
    turns[GUEST_PREFIX] = sum(
        runs for owner, runs in started.items() if owner.startswith(GUEST_PREFIX)
    )
    placed = []
    for job in sorted(queued, key=lambda job: job.created_at):
        owner = GUEST_PREFIX if job.owner.startswith(GUEST_PREFIX) else job.owner
        placed.append((turns[owner], job.created_at, job.id, job))
        turns[owner] += 1
    return [job for *_, job in sorted(placed, key=lambda place: place[:3])]
