"""Jobs and metrics in one SQLite database, with one folder per job.

A state changes in one UPDATE that names the job, the attempt and the states from which it may
change, so a stale worker cannot write. Each change is also written to ``jobs/<id>/job.json``, from
which a lost database is rebuilt.
"""

import copy
import json
import logging
import secrets
import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar, Unpack

from core.access import MACHINE_OWNER, Role, Visitor, sanitize_name
from core.errors import (
    ArtifactDamaged,
    ConfigError,
    JobNotFound,
    LoraLabError,
    NotEnoughRoom,
    StateConflict,
    StoreBusy,
    StoreDamaged,
)
from core.settings import Settings
from core.storage import files
from core.storage.database import (
    METRIC_COLUMNS,
    Metric,
    append_metrics,
    insert_metrics,
    migrate,
    open_pool,
    read_metrics,
)
from core.storage.job import (
    ACTIVE,
    BUNDLED_OWNERS,
    TRANSITIONS,
    Job,
    JobChanges,
    JobState,
    Snapshot,
    is_current,
    make_active_conflict,
    parse_row,
    read_record,
    write_record,
)
from core.storage.snapshot import Query, open_snapshot

T = TypeVar("T")
LONGEST_NAME = 120  # characters
BEGAN = "class-began"  # option: when the class began, in seconds since 1970
SHORTEST_BETWEEN_SECONDS = 1e-4  # two jobs
NEWEST_FIRST = "ORDER BY created_at DESC, rowid DESC"
COLUMNS = tuple(field.name for field in fields(Job))

log = logging.getLogger(__name__)


class Store:
    """The database of one home folder, used on behalf of one visitor.

    Any method raises StoreDamaged if the database cannot be used, StoreBusy if another process
    holds it, and NotEnoughRoom if it has no room to grow.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        database: Path | None = None,
        create: bool = True,
        visitor: Visitor = MACHINE_OWNER,
        shared: bool = False,
    ) -> None:
        """Open the database, or ``create`` it.

        A ``shared`` store reads what many visitors read from the snapshot of the database.
        ``clock`` returns seconds since 1970. Users can set the clock, so nothing is timed with it.
        """
        self.settings = settings
        self._visitor = visitor
        self._shared = shared
        self.clock = clock
        self.database = database or settings.database
        files.make_folder(settings.jobs)
        with self.transaction(create) as db:
            migrate(db)

    @property
    def visitor(self) -> Visitor:
        """The visitor on whose behalf the store acts; ``for_visitor`` returns that of another."""
        return self._visitor

    def for_visitor(self, visitor: Visitor) -> Self:
        """Return a store of the same database that acts on behalf of ``visitor``."""
        store = copy.copy(self)
        store._visitor = visitor
        return store

    def get_folder(self, job: Job) -> Path:
        """Return the folder of the job's artifacts."""
        return self.settings.jobs / job.id

    def create(
        self,
        kind: str,
        name: str,
        request: Mapping[str, object],
        launch_key: str,
        owner: str = "",
        record: Callable[[Job], None] = lambda job: None,
    ) -> Job:
        """Queue a job of the visitor; a launch key that is known returns its job.

        What ``record`` writes is in the same transaction.
        """
        job = Job(
            id=secrets.token_hex(4),
            kind=kind,
            name=sanitize_name(name, 2 * LONGEST_NAME),  # an action and the name of a run
            state=JobState.QUEUED,
            attempt=1,
            owner=owner or self.visitor.id,
            request_json=json.dumps(request, allow_nan=False),
            created_at=self.clock(),
        )
        with self.together(), self.transaction() as db:
            insert_job(db, date_last(db, job), launch_key)  # ignored when the key is known
            row = db.execute("SELECT id FROM jobs WHERE launch_key = ?", (launch_key,)).fetchone()
            created = self.read_job(row["id"])
            record(created)
        self.write_record_file(created)
        return created

    def find_launched(self, launch_key: str) -> Job | None:
        """Return the job with this launch key; None if there is none."""
        with self.transaction() as db:
            row = db.execute("SELECT id FROM jobs WHERE launch_key = ?", (launch_key,)).fetchone()
        return self.read_job(row["id"]) if row else None

    def read_job(self, job_id: str) -> Job:
        """Read the current state of a job. Raises JobNotFound."""
        # the database rejects halves of surrogate pairs
        encodable = job_id.encode(errors="replace").decode()
        with self.transaction() as db:
            row = db.execute(
                f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE id = ?", (encodable,)
            ).fetchone()
            if row is not None:
                return _parse_job(row)
        raise JobNotFound(f"There is no run {job_id!r}.", "Choose one from the list of runs.")

    def list_jobs(self, kind: str | None = None, *, states: Collection[JobState] = ()) -> list[Job]:
        """List jobs, newest first; filtered by kind and states if any are given.

        Runs that a student has imported or restored are listed for this student and for admins:
        they come from elsewhere, and may be many. Runs of an archived class are listed for admins.
        """
        jobs = [
            job
            for job in (
                self.share("jobs", _read_all_jobs).values()
                if self._shared
                else self._read_jobs(kind, states)
            )
            if kind in (None, job.kind) and (not states or job.state in states)
        ]
        if self.visitor.is_admin:
            return jobs
        students = self.share("students", _read_students)
        began = self.share("class began", _read_beginning)
        return [
            job
            for job in jobs
            if _is_listed(job, self.visitor, students) and not _is_archived(job, began)
        ]

    def _read_jobs(self, kind: str | None, states: Collection[JobState]) -> list[Job]:
        query, values = f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE TRUE", list[str](states)
        if kind:
            query, values = f"{query} AND kind = ?", [kind, *values]
        if states:
            query = f"{query} AND state IN ({_join_marks(states)})"
        with self.transaction() as db:
            rows = db.execute(f"{query} {NEWEST_FIRST}", values)
            return [_parse_job(row) for row in rows]

    def share(self, key: Hashable, query: Query[T]) -> T:
        """Read a value that visitors share, by ``key``; it must not be changed.

        ``query`` gets the connection and the value before the last change, or None. It sees
        everything: the caller returns only what the visitor may see.
        """
        if not self._shared:
            with self.transaction() as db:
                return query(db, None)
        with self._translating():
            return open_snapshot(self.database, self.settings.busy_seconds).read(key, query)

    def share_for(self, seconds: float, key: Hashable, compute: Callable[[], T]) -> T:
        """Return a value that was computed for ``key`` at most ``seconds`` ago for any visitor.

        ``key`` holds everything that the value depends on but the time and the progress of jobs.
        """
        if not self._shared:
            return compute()
        return open_snapshot(self.database, self.settings.busy_seconds).compute(
            key, seconds, compute
        )

    def transition(
        self,
        job: Job,
        to: JobState,
        *,
        only_from: JobState | None = None,
        **changes: Unpack[JobChanges],
    ) -> bool:
        """Move this attempt of the job to another state and change other columns with it.

        Returns False if the job is in no state that leads to ``to``, or not in ``only_from``.
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
                f" AND state IN ({_join_marks(sources)})",
                [*sets.values(), job.id, job.attempt, *sources],
            )
        if cursor.rowcount:
            self.write_record_file(self.read_job(job.id))
        return cursor.rowcount == 1

    def update(self, job: Job, **changes: Unpack[JobChanges]) -> bool:
        """Write columns of this attempt while it is active; False for a stale attempt."""
        assignments = ", ".join(f"{column} = ?" for column in changes)
        with self.transaction() as db:
            cursor = db.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND attempt = ? AND state IN"
                f" ({_join_marks(ACTIVE)})",
                [*changes.values(), job.id, job.attempt, *ACTIVE],
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
        self.write_record_file(self.read_job(job.id))

    def rename(self, job: Job, name: str) -> None:
        """Rename the job. Raises StateConflict on an empty name."""
        if not (tidy := sanitize_name(name, LONGEST_NAME)):
            raise StateConflict("A run needs a name.", "Type at least one character.")
        with self.transaction() as db:
            db.execute(
                "UPDATE jobs SET name = ?, version = version + 1 WHERE id = ?", (tidy, job.id)
            )
        self.write_record_file(self.read_job(job.id))

    def renew_versions(self) -> None:
        """Give all jobs a new version: what a reader of their files may see has changed."""
        with self.transaction() as db:
            db.execute("UPDATE jobs SET version = version + 1")

    def requeue(self, job: Job) -> bool:
        """Queue the next attempt of a job that ended early; False if its state has changed."""
        fresh: JobChanges = {
            "attempt": job.attempt + 1,
            "phase": "",
            "done": 0,
            "total": 0,
            "pid": 0,
            "started_at": None,
            "ended_at": None,
            "stop_at": None,
            "phase_at": None,
            "heartbeat_at": None,
            "cause": "",
            "message": "",
            "fix": "",
            "error_id": "",
            "proposal_json": "{}",
        }
        return self.transition(job, JobState.QUEUED, **fresh)

    def delete(self, job: Job) -> None:
        """Delete an inactive job from the database; the caller removes its folder.

        Raises StateConflict if the job is active.
        """
        with self.transaction() as db:
            cursor = db.execute(
                f"DELETE FROM jobs WHERE id = ? AND state NOT IN ({_join_marks(ACTIVE)})",
                (job.id, *ACTIVE),
            )
            db.execute("DELETE FROM metrics WHERE job_id NOT IN (SELECT id FROM jobs)")
        if not cursor.rowcount:
            raise make_active_conflict(self.read_job(job.id), job)

    def add_metrics(self, job: Job, metrics: list[Metric]) -> None:
        """Append rows; those of a stale attempt are dropped."""
        with self.transaction() as db:
            if _lock_if_current(db, job):
                insert_metrics(db, job.id, metrics)

    def read_metrics(self, job_id: str, after: int = 0) -> list[Metric]:
        """Read the rows with an id above ``after``, in order."""
        if not self._shared:
            with self.transaction() as db:
                return read_metrics(db, job_id, after)
        metrics: list[Metric] = self.share(("metrics", job_id), partial(append_metrics, job_id))
        return metrics[bisect_right(metrics, after, key=lambda metric: metric.id) :]

    def read_last_metrics(self, job_id: str, most: int) -> list[Metric]:
        """Read the last ``most`` rows of training steps, in order."""
        query = f"SELECT {METRIC_COLUMNS}, id FROM metrics WHERE job_id = ? AND split = 'train'"

        def read(db: sqlite3.Connection, _earlier: object) -> list[Metric]:
            rows = db.execute(f"{query} ORDER BY id DESC LIMIT ?", (job_id, most))
            return [Metric(*row) for row in rows]

        return self.share(("last metrics", job_id, most), read)[::-1]

    def read_accuracies(self, job_ids: Sequence[str]) -> dict[str, list[float]]:
        """Read the validation accuracies of several runs, in order, by run id; one query for all.

        Runs without one are left out.
        """
        accuracies: dict[str, list[float]] = {}
        with self.transaction() as db:
            query = (
                "SELECT job_id, accuracy FROM metrics WHERE accuracy IS NOT NULL AND job_id IN"
                f" ({_join_marks(job_ids)}) ORDER BY id"
            )
            for row in db.execute(query, list(job_ids)):
                accuracies.setdefault(row["job_id"], []).append(row["accuracy"])
        return accuracies

    def count_completed(self, *kinds: str) -> int:
        """Count the completed jobs of these kinds."""
        with self.transaction() as db:
            query = f"SELECT COUNT(*) FROM jobs WHERE state = ? AND kind IN ({_join_marks(kinds)})"
            return int(db.execute(query, (JobState.COMPLETED, *kinds)).fetchone()[0])

    def count_started(self, *kinds: str) -> Counter[str]:
        """Count the jobs of these kinds that have started and are not queued again, by owner."""
        query = (
            f"SELECT owner, COUNT(*) FROM jobs WHERE kind IN ({_join_marks(kinds)}) AND state != ?"
            " AND started_at IS NOT NULL GROUP BY owner"
        )
        with self.transaction() as db:
            rows = db.execute(query, (*kinds, JobState.QUEUED))
            return Counter({owner: jobs for owner, jobs in rows})

    def drop_metrics_after(self, job: Job, step: int) -> None:
        """Delete rows past the checkpoint from which a run resumes; not for a stale attempt.

        Without this its curves would have two points per step.
        """
        with self.transaction() as db:
            if _lock_if_current(db, job):
                db.execute("DELETE FROM metrics WHERE job_id = ? AND step > ?", (job.id, step))

    def explain_wait(self, job: Job, message: str, fix: str) -> None:
        """Record why a queued job waits."""
        if (job.message, job.fix) != (message, fix):
            with self.transaction() as db:
                db.execute(
                    "UPDATE jobs SET message = ?, fix = ? WHERE id = ? AND state = ?",
                    (message, fix, job.id, JobState.QUEUED),
                )

    def write_record_file(self, job: Job) -> None:
        """Write ``job.json`` with the curve so far.

        A failure is logged, not raised, because the database is right; see ``repair_record``.
        Inside ``together`` the file is written at its end.
        """
        self.after(lambda: self._write_record_file(job))

    def _write_record_file(self, job: Job) -> None:
        try:
            written = write_record(self.get_folder(job), lambda: self._snapshot(job.id))
        except OSError as error:
            log.warning("job.json of %s could not be written: %s", job.id, error)
        except JobNotFound:
            log.info("%s was deleted meanwhile", job.id)
        else:
            if not written:
                log.warning("job.json of %s is held by another process", job.id)

    def repair_record(self, job: Job) -> None:
        """Write ``job.json`` if it does not have this version of the job."""
        if not is_current(self.get_folder(job), job):
            self.write_record_file(job)

    def check(self) -> None:
        """Read every page and take the write lock. Raises StoreDamaged or StoreBusy."""
        with self.transaction() as db:
            (answer,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
            db.execute("BEGIN IMMEDIATE")

    def insert_from_folder(self, folder: Path) -> Job:
        """Insert the job of ``folder/job.json``. Raises ArtifactDamaged if it describes none."""
        job, metrics = read_record(folder)
        with self.transaction() as db:
            if insert_job(db, job, f"adopted:{job.id}"):  # else another process was faster
                insert_metrics(db, job.id, metrics)
        return job

    def _snapshot(self, job_id: str) -> Snapshot:
        return self.read_job(job_id), self.read_metrics(job_id)

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Run a transaction, or continue the one of ``together``.

        Without ``create`` a missing file is an error: it is being rebuilt, and an empty file must
        not take its place.
        """
        pool = open_pool(self.database, self.settings.busy_seconds)
        with self._translating(), pool.transaction(create) as db:
            yield db

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write in one transaction what this thread writes inside the context, or nothing of it.

        Each transaction is synced, and others wait for it: an action of a user and its entry in the
        audit log are one. Inside no file is written: records of jobs follow at the end.
        """
        pool = open_pool(self.database, self.settings.busy_seconds)
        with self._translating(), pool.together():
            yield

    @contextmanager
    def alone(self) -> Iterator[Self]:
        """Write what depends on what is stored, as in ``together``, while no one else writes.

        Yields a store that reads the database itself, not the snapshot.
        """
        current = copy.copy(self)
        current._shared = False
        with self.together(), self.transaction() as db:
            if not db.in_transaction:
                db.execute("BEGIN IMMEDIATE")
            yield current

    def after(self, act: Callable[[], None]) -> None:
        """Call ``act`` now, or inside ``together`` once its writes are stored."""
        open_pool(self.database, self.settings.busy_seconds).after(act)

    def on_failure(self, act: Callable[[], None]) -> None:
        """Call ``act`` if the writes of ``together``, in which this is, are not stored."""
        open_pool(self.database, self.settings.busy_seconds).on_failure(act)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        # UnicodeDecodeError: SQLite's own message quotes damaged bytes
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise _translate_error(error, self.database.name) from error


def _lock_if_current(db: sqlite3.Connection, job: Job) -> bool:
    """Lock the database and return whether this attempt is the job's current one."""
    db.execute("BEGIN IMMEDIATE")
    return (
        db.execute(
            "SELECT 1 FROM jobs WHERE id = ? AND attempt = ?", (job.id, job.attempt)
        ).fetchone()
        is not None
    )


def _translate_error(error: Exception, name: str) -> LoraLabError:
    repair = (
        "Run `python -m core doctor --repair`: it sets the file aside and rebuilds the list from"
        " the runs' folders."
    )
    # the lower byte is the kind of error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return NotEnoughRoom(
            "The database {name} has no room to grow ({error}).",
            "Free some space; nothing that was saved is lost.",
            name=name,
            error=str(error),
        )
    if code == sqlite3.SQLITE_READONLY:
        return ConfigError(
            f"The database {name} cannot be written ({error}).",
            "Make its disk and folder writable for this program; nothing is damaged.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"Another program holds the database {name} ({error}).", f"Close that program. {repair}"
        )
    return StoreDamaged(f"The database {name} cannot be read or written ({error}).", repair)


def _read_all_jobs(
    db: sqlite3.Connection, earlier: Mapping[tuple[object, ...], Job] | None
) -> dict[tuple[object, ...], Job]:
    """Read all jobs by their rows, newest first; the jobs of unchanged rows are those of before,
    with what they have parsed.
    """
    known = earlier or {}
    rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM jobs {NEWEST_FIRST}")
    return {(key := tuple(row)): known.get(key) or _parse_job(row) for row in rows}


def _read_students(db: sqlite3.Connection, _earlier: object) -> frozenset[str]:
    rows = db.execute("SELECT id FROM people WHERE role = ?", (Role.STUDENT,))
    return frozenset(row["id"] for row in rows)


def _read_beginning(db: sqlite3.Connection, _earlier: object) -> float:
    row = db.execute("SELECT value FROM options WHERE name = ?", (BEGAN,)).fetchone()
    return float(row["value"]) if row else 0.0


def _is_archived(job: Job, began: float) -> bool:
    """Return whether the job is of an archived class; bundled runs belong to no class."""
    return job.created_at < began and job.state.is_finished and job.owner not in BUNDLED_OWNERS


def _is_listed(job: Job, visitor: Visitor, students: Collection[str]) -> bool:
    """Return whether the job is the visitor's own, or was not imported by another student."""
    if job.owner == visitor.id or job.owner not in students:
        return True
    try:
        return job.result.get("imported") is None
    except ArtifactDamaged:  # it was not imported: such a record is complete when it is stored
        return True


def _parse_job(row: sqlite3.Row) -> Job:
    try:
        return parse_row(dict(row))
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a row of jobs is damaged: {error}") from error


def insert_job(db: sqlite3.Connection, job: Job, launch_key: str) -> bool:
    """Insert the job unless its launch key or id is known; return whether it was inserted."""
    values = {**asdict(job), "launch_key": launch_key}
    cursor = db.execute(
        f"INSERT OR IGNORE INTO jobs ({', '.join(values)}) VALUES ({_join_marks(values)})",
        list(values.values()),
    )
    return cursor.rowcount == 1


def date_last(db: sqlite3.Connection, job: Job) -> Job:
    """Return the job so that it is newer than all others, and than the beginning of the class.

    It would not be, if the clock was set back, and a page that shows the newest one would ignore
    it. Bundled runs are not from this machine's clock.
    """
    bundled = _join_marks(BUNDLED_OWNERS)
    (newest,) = db.execute(
        f"SELECT MAX(created_at) FROM jobs WHERE owner NOT IN ({bundled})", BUNDLED_OWNERS
    ).fetchone()
    after = max(newest or 0.0, _read_beginning(db, None)) + SHORTEST_BETWEEN_SECONDS
    return replace(job, created_at=max(job.created_at, after))


def _join_marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
