"""Jobs and metrics in one SQLite database; one folder per job beside it.

A state changes in one UPDATE that names the job, the attempt and the states it may come from, so a
stale worker cannot write. Each change is mirrored to ``jobs/<id>/job.json``, from which a lost
database is rebuilt.

A job goes with all its files.
"""

import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from core.access import MACHINE_OWNER, sanitize_name
from core.errors import (
    JobNotFound,
    LoraLabError,
    NotEnoughRoom,
    StateConflict,
    StoreBusy,
    StoreDamaged,
)
from core.settings import Settings
from core.storage import files
from core.storage.job import TRANSITIONS, Job, JobState
from core.storage.job_record import Snapshot, is_current, job_from_row, read_record, write_record
from core.storage.schema import METRIC_COLUMNS, METRIC_FIELDS, Metric, migrate
from core.storage.sqlite_pool import connection_pool

LONGEST_NAME = 120  # letters
COLUMNS = tuple(field.name for field in fields(Job))

log = logging.getLogger(__name__)


class Store:
    """The database of one home folder.

    Any method raises StoreDamaged where the database cannot be used, StoreBusy where another
    process holds it, and NotEnoughRoom where it has no room to grow.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        database: Path | None = None,
        create: bool = True,
    ) -> None:
        """Open or ``create`` the database. ``clock`` gives seconds since 1970; people set it, so
        nothing is timed with it.
        """
        self.settings = settings
        self.visitor = MACHINE_OWNER  # for whom it is used; pages set it
        self.clock = clock
        self.database = database or settings.database
        files.make_folder(settings.jobs)
        with self.transaction(create) as db:
            migrate(db)

    def folder(self, job: Job) -> Path:
        """Where the job's artifacts lie."""
        return self.settings.jobs / job.id

    def create(
        self,
        kind: str,
        name: str,
        request: Mapping[str, object],
        launch_key: str,
        owner: str = "",
    ) -> Job:
        """Queue a job of the visitor. The same launch key a second time returns the job it made the
        first time.
        """
        job = Job(
            secrets.token_hex(4),
            kind,
            sanitize_name(name, 2 * LONGEST_NAME),  # what is done, and to which run
            JobState.QUEUED,
            1,
            owner or self.visitor.id,
            json.dumps(request, allow_nan=False),
            self.clock(),
        )
        with self.transaction() as db:
            insert_job(db, job, launch_key)  # ignored when the key is known
            row = db.execute("SELECT id FROM jobs WHERE launch_key = ?", (launch_key,)).fetchone()
        created = self.job(row["id"])
        self.mirror(created)
        return created

    def launched(self, launch_key: str) -> Job | None:
        """The job that this launch key has made, if it has."""
        with self.transaction() as db:
            row = db.execute("SELECT id FROM jobs WHERE launch_key = ?", (launch_key,)).fetchone()
        return self.job(row["id"]) if row else None

    def job(self, job_id: str) -> Job:
        """The job as it is now. Raises JobNotFound."""
        wanted = job_id.encode(
            errors="replace"
        ).decode()  # the database takes no halves of surrogate pairs
        with self.transaction() as db:
            row = db.execute(
                f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE id = ?", (wanted,)
            ).fetchone()
            if row is not None:
                return _parsed(row)
        raise JobNotFound(f"There is no run {job_id!r}.", "Choose one from the list of runs.")

    def jobs(self, kind: str | None = None, *states: JobState) -> list[Job]:
        """All jobs of that kind in one of those states, newest first; no filter where none is
        given.
        """
        query, values = f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE TRUE", list[str](states)
        if kind:
            query, values = f"{query} AND kind = ?", [kind, *values]
        if states:
            query = f"{query} AND state IN ({_marks(states)})"
        with self.transaction() as db:
            rows = db.execute(f"{query} ORDER BY created_at DESC, rowid DESC", values)
            return [_parsed(row) for row in rows]

    def transition(
        self, job: Job, to: JobState, only_from: JobState | None = None, /, **changes: object
    ) -> bool:
        """Move this attempt of the job to a state; False if it is no longer in a state that leads
        there, or not in ``only_from``.
        """
        sources = [
            state
            for state, targets in TRANSITIONS.items()
            if to in targets and only_from in (None, state)
        ]
        sets = {"state": to, **changes}
        assignments = ", ".join(f"{column} = ?" for column in sets)
        with self.transaction() as db:
            cursor = db.execute(
                f"UPDATE jobs SET {assignments}, version = version + 1 WHERE id = ? AND attempt = ?"
                f" AND state IN ({_marks(sources)})",
                [*sets.values(), job.id, job.attempt, *sources],
            )
        if cursor.rowcount:
            self.mirror(self.job(job.id))
        return cursor.rowcount == 1

    def update(self, job: Job, **changes: object) -> bool:
        """Write columns of this attempt while it is active; False for a stale attempt."""
        assignments = ", ".join(f"{column} = ?" for column in changes)
        with self.transaction() as db:
            cursor = db.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND attempt = ? AND state IN"
                " ('starting', 'running', 'stopping')",
                [*changes.values(), job.id, job.attempt],
            )
        return cursor.rowcount == 1

    def replace_scores(
        self, job: Job, result_json: str, request_json: str, fingerprint: str
    ) -> None:
        """Replace the result of a completed job and the data that it was measured on."""
        with self.transaction() as db:
            db.execute(
                "UPDATE jobs SET result_json = ?, request_json = ?, fingerprint = ?,"
                " version = version + 1 WHERE id = ? AND state = ?",
                (result_json, request_json, fingerprint, job.id, JobState.COMPLETED),
            )
        self.mirror(self.job(job.id))

    def rename(self, job: Job, name: str) -> None:
        """Give the job another name. Raises StateConflict on an empty one."""
        if not (tidy := sanitize_name(name, LONGEST_NAME)):
            raise StateConflict("A run needs a name.", "Type at least one character.")
        with self.transaction() as db:
            db.execute(
                "UPDATE jobs SET name = ?, version = version + 1 WHERE id = ?", (tidy, job.id)
            )
        self.mirror(self.job(job.id))

    def requeue(self, job: Job) -> bool:
        """Put a job that ended early back into the queue as its next attempt; False if it has moved
        on meanwhile.
        """
        fresh = {
            "phase": "",
            "done": 0,
            "total": 0,
            "pid": 0,
            "started_at": None,
            "ended_at": None,
            "stop_at": None,
            "phase_at": None,
        }
        cleared = {
            "cause": "",
            "message": "",
            "fix": "",
            "error_id": "",
            "proposal_json": "{}",
            "heartbeat_at": None,
        }
        return self.transition(job, JobState.QUEUED, attempt=job.attempt + 1, **fresh, **cleared)

    def delete(self, job: Job) -> None:
        """Forget a job that no worker is at. Raises StateConflict otherwise. Its folder is the
        caller's to remove.
        """
        with self.transaction() as db:
            cursor = db.execute(
                "DELETE FROM jobs WHERE id = ? AND state NOT IN ('starting', 'running',"
                " 'stopping')",
                (job.id,),
            )
            db.execute("DELETE FROM metrics WHERE job_id NOT IN (SELECT id FROM jobs)")
        if not cursor.rowcount:
            raise StateConflict(
                f"{job.name} is still {self.job(job.id).state}.", "Stop it first, then delete it."
            )

    def add_metrics(self, job: Job, metrics: list[Metric]) -> None:
        """Append rows; of a stale attempt they are dropped."""
        with self.transaction() as db:
            if _claim(db, job):
                insert_metrics(db, job.id, metrics)

    def read_metrics(self, job_id: str, after: int = 0) -> list[Metric]:
        """Rows with an id above ``after``, in order."""
        with self.transaction() as db:
            rows = db.execute(
                f"SELECT {METRIC_COLUMNS}, id FROM metrics WHERE job_id = ? AND id > ? ORDER BY id",
                (job_id, after),
            )
            return [Metric(*row) for row in rows]

    def read_accuracies(self, job_ids: Sequence[str]) -> dict[str, list[float]]:
        """Read the validation accuracies of several runs, in order, by run id; one query for all.

        Runs without one are left out.
        """
        accuracies: dict[str, list[float]] = {}
        with self.transaction() as db:
            query = (
                "SELECT job_id, accuracy FROM metrics WHERE accuracy IS NOT NULL AND job_id IN"
                f" ({_marks(job_ids)}) ORDER BY id"
            )
            for row in db.execute(query, list(job_ids)):
                accuracies.setdefault(row["job_id"], []).append(row["accuracy"])
        return accuracies

    def count_completed(self, *kinds: str) -> int:
        """Count the completed jobs of these kinds."""
        with self.transaction() as db:
            query = f"SELECT COUNT(*) FROM jobs WHERE state = ? AND kind IN ({_marks(kinds)})"
            return int(db.execute(query, (JobState.COMPLETED, *kinds)).fetchone()[0])

    def drop_metrics_after(self, job: Job, step: int) -> None:
        """Forget rows past the checkpoint that a resumed run starts from, so its curves have no
        double points; not for a stale attempt.
        """
        with self.transaction() as db:
            if _claim(db, job):
                db.execute("DELETE FROM metrics WHERE job_id = ? AND step > ?", (job.id, step))

    def hold(self, job: Job, message: str, fix: str) -> None:
        """Say why a queued job waits; nothing for one that is not queued, or says so already."""
        if (job.message, job.fix) != (message, fix):
            with self.transaction() as db:
                db.execute(
                    "UPDATE jobs SET message = ?, fix = ? WHERE id = ? AND state = 'queued'",
                    (message, fix, job.id),
                )

    def mirror(self, job: Job) -> None:
        """Write ``job.json`` with the curve so far. A disk that refuses must not undo what the
        database has: it is logged, see ``mend``.
        """
        try:
            written = write_record(self.folder(job), lambda: self._snapshot(job.id))
        except OSError as error:
            log.warning("job.json of %s could not be written: %s", job.id, error)
        else:
            if not written:
                log.warning("job.json of %s is held by another process", job.id)

    def mend(self, job: Job) -> None:
        """Write ``job.json`` if it does not tell of this version of the job."""
        if not is_current(self.folder(job), job):
            self.mirror(job)

    def check(self) -> None:
        """Read every page and take the lock to write. Raises StoreDamaged, StoreBusy among it."""
        with self.transaction() as db:
            (answer,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
            db.execute("BEGIN IMMEDIATE")

    def adopt(self, folder: Path) -> Job:
        """Insert the job that ``folder/job.json`` describes. Raises ArtifactDamaged if it describes
        none.
        """
        job, metrics = read_record(folder)
        with self.transaction() as db:
            insert_job(db, job, f"adopted:{job.id}")
            insert_metrics(db, job.id, metrics)
        return job

    def _snapshot(self, job_id: str) -> Snapshot:
        return self.job(job_id), self.read_metrics(job_id)

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction. Without ``create`` a missing file stays missing: it is being rebuilt, and
        no empty one may take its place.
        """
        try:
            with connection_pool(self.database).transaction(create) as db:
                yield db
        except (
            sqlite3.DatabaseError,
            UnicodeDecodeError,
        ) as error:  # the latter where SQLite's own message quotes damaged bytes
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise _explained(error, self.database.name) from error


def _claim(db: sqlite3.Connection, job: Job) -> bool:
    """Whether this attempt is the job's current one; it stays so until the transaction ends."""
    db.execute("BEGIN IMMEDIATE")
    return (
        db.execute(
            "SELECT 1 FROM jobs WHERE id = ? AND attempt = ?", (job.id, job.attempt)
        ).fetchone()
        is not None
    )


def _explained(error: Exception, name: str) -> LoraLabError:
    repair = (
        "Run `python -m core doctor --repair`: it sets the file aside and rebuilds the list from"
        " the runs' folders."
    )
    code = (
        getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    )  # the lower byte is the kind of error
    if code == sqlite3.SQLITE_FULL:
        return NotEnoughRoom(
            f"The database {name} has no room to grow ({error}).",
            "Free some space; nothing that was saved is lost.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"Another program holds the database {name} ({error}).", f"Close that program. {repair}"
        )
    return StoreDamaged(f"The database {name} cannot be read or written ({error}).", repair)


def _parsed(row: sqlite3.Row) -> Job:
    try:
        return job_from_row(dict(row))
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a row of jobs is damaged: {error}") from error


def insert_job(db: sqlite3.Connection, job: Job, launch_key: str) -> None:
    """Insert the job as it is."""
    values = {**asdict(job), "launch_key": launch_key}
    db.execute(
        f"INSERT OR IGNORE INTO jobs ({', '.join(values)}) VALUES ({_marks(values)})",
        list(values.values()),
    )


def insert_metrics(db: sqlite3.Connection, job_id: str, metrics: list[Metric]) -> None:
    """Append the rows in their order; the database assigns new ids."""
    rows = [(job_id, *(getattr(metric, name) for name in METRIC_FIELDS)) for metric in metrics]
    db.executemany(
        f"INSERT INTO metrics (job_id, {METRIC_COLUMNS}) VALUES (?, {_marks(METRIC_FIELDS)})", rows
    )


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def remove_job(store: Store, job: Job) -> None:
    """Remove the job from database and disk; asks nobody. Raises StateConflict while a worker is at
    it.
    """
    store.delete(job)
    if store.folder(job).exists():
        files.remove_folder(store.folder(job))
