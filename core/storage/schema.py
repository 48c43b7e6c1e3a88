"""The database's schema, its version, and the migrations that lead to it."""

import sqlite3
from dataclasses import dataclass, fields
from typing import Literal

from core.errors import StoreDamaged


@dataclass(frozen=True, slots=True)
class Metric:
    """One point of a curve. A training step has a loss and a speed, a validation also accuracy and
    macro-F1.
    """

    step: int
    split: Literal["train", "validation"]
    epoch: float
    loss: float
    at: float
    accuracy: float | None = None
    macro_f1: float | None = None
    learning_rate: float | None = None
    rows_per_second: float | None = None
    best: bool = False
    id: int = 0


METRIC_FIELDS = tuple(field.name for field in fields(Metric) if field.name != "id")
METRIC_COLUMNS = ", ".join(METRIC_FIELDS)

MIGRATIONS = (  # version n is reached by running the first n; a published one is never edited
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
        owner TEXT NOT NULL, launch_key TEXT NOT NULL UNIQUE, request_json TEXT NOT NULL, created_at REAL NOT NULL,
        phase TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL, pid INTEGER NOT NULL,
        started_at REAL, ended_at REAL, heartbeat_at REAL, stop_at REAL, fingerprint TEXT NOT NULL,
        cause TEXT NOT NULL, message TEXT NOT NULL, fix TEXT NOT NULL, error_id TEXT NOT NULL,
        result_json TEXT NOT NULL, version INTEGER NOT NULL
    );
    CREATE INDEX jobs_by_state ON jobs (state, created_at);
    CREATE TABLE metrics (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, step INTEGER NOT NULL, split TEXT NOT NULL,
        epoch REAL NOT NULL, loss REAL NOT NULL, at REAL NOT NULL, accuracy REAL, macro_f1 REAL, learning_rate REAL,
        rows_per_second REAL, best INTEGER NOT NULL
    );
    CREATE INDEX metrics_by_job ON metrics (job_id, id);
    """,
    "ALTER TABLE jobs ADD COLUMN proposal_json TEXT NOT NULL DEFAULT '{}'",
    """
    CREATE TABLE people (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, key_hash TEXT NOT NULL UNIQUE, joined_at REAL NOT NULL
    );
    CREATE TABLE options (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE audit (at REAL NOT NULL, visitor TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL);
    """,
    "ALTER TABLE jobs ADD COLUMN phase_at REAL",
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the database to the newest version. Raises StoreDamaged if it is newer than this
    program.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreDamaged(
            f"The database has schema version {version}; this program knows {len(MIGRATIONS)}.",
            "Update LoRA Lab.",
        )
    if version == len(MIGRATIONS):
        return
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(
        "BEGIN IMMEDIATE"
    )  # two processes that open a new database at once: the second waits, then finds it done
    current = int(db.execute("PRAGMA user_version").fetchone()[0])
    for number, script in enumerate(MIGRATIONS[current:], start=current + 1):
        for statement in filter(str.strip, script.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
