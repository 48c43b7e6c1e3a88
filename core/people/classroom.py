"""A class on one server: its codes, its members, and the rules that the teacher sets.

Members and rules are stored in the database. A visitor joins with one of two codes, as student or
as teacher, and comes back with a key that is shown once; only its hash is stored.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.access import LONGEST_NAME, Action, Role, Visitor, require, sanitize_name
from core.config import RunConfig
from core.errors import ArtifactDamaged, NotAllowed
from core.settings import read_memory_mb
from core.storage import accounts
from core.storage.job import Job, JobState
from core.storage.store import Store

# without characters that are easily confused when read from a projector
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
WINDOW_SECONDS, WRONG_IN_WINDOW = 60.0, 10
RUNNING_PER_STUDENT = 1
SERVER_MB = 1000  # pages of a class take up to 300, the process that classifies about 600
Match = TypeVar("Match")


class Rules(BaseModel):
    """Limits for students. The teacher may change them during the class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: bool = Field(
        True,
        title="The class is open",
        description="When closed, no one can join and students cannot start runs.",
    )
    waiting: int = Field(
        2,
        ge=0,
        le=20,
        title="Queued runs per student",
        description="In addition to the running one.",
    )
    rows: int = Field(
        12_000,  # Quick on few rows of many or of rare classes
        ge=100,
        le=1_000_000,
        title="Training rows × epochs, at most",
        description="Bounds how long one run takes.",
    )
    max_tokens: int = Field(
        256,
        ge=8,
        le=512,
        title="Max tokens, at most",
        description="Longer texts take more time and memory.",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=256,
        title="Batch size, at most",
        description="Larger batches take more memory.",
    )
    minutes: int = Field(
        30,
        ge=1,
        le=1440,
        title="Minutes of a run, at most",
        description="As estimated before it begins.",
    )
    memory_mb: int = Field(
        3000,
        ge=700,
        le=1_000_000,
        title="MB of memory of a run, at most",
        description="As estimated before it begins.",
    )
    disk_mb: int = Field(
        300,
        ge=10,
        le=100_000,
        title="MB of disk of a run, at most",
        description="As estimated before it begins.",
    )
    names: bool = Field(
        True,
        title="Names on the leaderboard",
        description="When off, the leaderboard shows runs without their owners.",
    )


@dataclass
class Attempts:
    """Wrong codes by address; after ten in a minute the address has to wait."""

    timer: Callable[[], float] = time.monotonic
    wrong: dict[str, list[float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def check(self, address: str, find: Callable[[], Match | None]) -> Match | None:
        """Return the result of ``find``; None counts as a wrong code.

        Only one call runs at a time, so that parallel tries do not evade the limit. Raises
        NotAllowed while the address has to wait.
        """
        network = _find_network(address)
        with self._lock:
            now = self.timer()
            self.wrong = {
                other: recent
                for other, times in self.wrong.items()
                if (recent := [at for at in times if now - at < WINDOW_SECONDS])
            }
            if len(self.wrong.get(network, ())) >= WRONG_IN_WINDOW:
                raise NotAllowed(
                    "Too many wrong codes from your network.", "Wait a minute, then try again."
                )
            match = find()
            if match is None:
                self.wrong.setdefault(network, []).append(now)
            return match


@dataclass(frozen=True)
class Codes:
    """The codes with which visitors join: one for students, one for teachers."""

    student: str
    teacher: str

    def find_role(self, code: str) -> Role | None:
        """Return the role that the code gives, compared in constant time; None if it is wrong."""
        given = code.strip().lower().encode(errors="replace")
        is_teacher = hmac.compare_digest(given, self.teacher.lower().encode())
        is_student = hmac.compare_digest(given, self.student.lower().encode())
        return Role.TEACHER if is_teacher else Role.STUDENT if is_student else None


def read_codes(store: Store) -> Codes:
    """Return the codes of the settings; missing ones are generated once and stored."""
    settings = store.settings
    stored = accounts.read_options(store)
    if not {"class-code", "teacher-code"} <= stored.keys():
        accounts.write_options(
            store, {"class-code": make_key(1), "teacher-code": make_key(3)}, replace=False
        )
        stored = accounts.read_options(store)  # another process may have been faster
    return Codes(
        settings.class_code or stored["class-code"],
        settings.teacher_code or stored["teacher-code"],
    )


def read_rules(store: Store) -> Rules:
    """Read the rules of the class; until they are set, those that fit this machine.

    Raises ArtifactDamaged if they cannot be read.
    """
    stored = accounts.read_options(store).get("rules")
    if stored is None:
        return fit_rules(read_memory_mb())
    try:
        return Rules.model_validate_json(stored)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The rules of the class cannot be read.", "Save them again on the page Class."
        ) from error


def fit_rules(machine_mb: int) -> Rules:
    """Return rules for a machine with ``machine_mb`` of memory.

    A run may use what the server, its pages and the inference process leave.
    """
    usual, least = Rules(), 700
    return usual.model_copy(
        update={"memory_mb": max(least, min(usual.memory_mb, machine_mb - SERVER_MB))}
    )


def change_rules(store: Store, rules: Rules) -> None:
    """Replace the rules of the class. Raises NotAllowed."""
    require(store.visitor, Action.MANAGE)
    accounts.write_options(store, {"rules": rules.model_dump_json()})
    accounts.log_action(store, "change the rules", rules.model_dump_json())


def clear_class(store: Store) -> None:
    """End the class: revoke the students' keys, cancel their queued runs, replace the class code.

    Finished runs stay. Raises NotAllowed.
    """
    require(store.visitor, Action.MANAGE)
    students = {
        visitor.id for visitor in accounts.list_people(store) if visitor.role is Role.STUDENT
    }
    for job in store.list_jobs(states=[JobState.QUEUED]):
        if job.owner in students:
            store.transition(
                job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=store.clock()
            )
    accounts.revoke_student_keys(store)
    accounts.write_options(store, {"class-code": make_key(1)})
    accounts.log_action(store, "end the class")


def join(
    store: Store, attempts: Attempts, code: str, name: str, address: str
) -> tuple[Visitor, str]:
    """Add a member; return the visitor and the key with which they come back.

    Raises NotAllowed for a wrong code, a closed class, or an address that has to wait.
    """
    role = attempts.check(address, lambda: read_codes(store).find_role(code))
    if role is None:
        raise NotAllowed("This is not the class code.", "It is on the teacher's screen.")
    if role is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    if not (tidy := sanitize_name(name, LONGEST_NAME)):
        raise NotAllowed("A name is missing.", "Type a name that your class knows.")
    visitor = Visitor(secrets.token_hex(6), tidy, role)
    key = make_key(3)
    accounts.add_person(store, visitor, _hash(key))
    accounts.log_action(store, "join", visitor.name, visitor)
    return visitor, key


def sign_in(store: Store, visitor: Visitor) -> None:
    """Add a visitor who has signed in with a provider.

    Raises NotAllowed for a student if the class is closed.
    """
    if visitor.role is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    accounts.save_signed_in(store, visitor)
    accounts.log_action(store, "sign in", visitor.name, visitor)


def sign_in_with_key(store: Store, attempts: Attempts, key: str, address: str) -> Visitor:
    """Return the visitor to whom the key belongs.

    Raises NotAllowed for a wrong key, or an address that has to wait.
    """
    visitor = attempts.check(address, lambda: accounts.find_person(store, _hash(key)))
    if visitor is None:
        raise NotAllowed("This key is unknown here.", "Join with the class code instead.")
    accounts.log_action(store, "come back", visitor.name, visitor)
    return visitor


def require_student_limits(
    store: Store, jobs: Iterable[Job], config: RunConfig, all_rows: int = 0
) -> None:
    """Raise NotAllowed if a student requests more than the rules allow.

    ``jobs`` are the queued and active runs. ``all_rows`` is the number of training rows of the
    data, 0 if it is unknown.
    """
    if store.visitor.role is not Role.STUDENT:
        return
    rules = read_rules(store)
    if not rules.open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    mine = sum(job.owner == store.visitor.id for job in jobs)
    if mine >= rules.waiting + RUNNING_PER_STUDENT:
        raise NotAllowed(
            f"You have {mine} runs queued or running, the most that a student may have.",
            "Stop one, or wait until one ends.",
        )
    total_rows = (config.train_rows or all_rows) * config.epochs
    if not total_rows or total_rows > rules.rows:
        rows = f"{total_rows:,} rows over all epochs" if total_rows else "all rows"
        raise NotAllowed(
            f"{rows.capitalize()} are more than this class allows.",
            f"Train on {count_allowed_rows(rules, config):,} or fewer.",
        )
    if config.max_tokens > rules.max_tokens:
        raise NotAllowed(
            f"{config.max_tokens} tokens are more than this class allows.",
            f"Choose {rules.max_tokens} or fewer.",
        )
    if config.batch_size > rules.batch_size:
        raise NotAllowed(
            f"A batch of {config.batch_size} is more than this class allows.",
            f"Choose {rules.batch_size} or fewer.",
        )


def count_allowed_rows(rules: Rules, config: RunConfig) -> int:
    """Return the most training rows that the rules allow with the configuration's epochs."""
    return rules.rows // config.epochs


def make_key(groups: int) -> str:
    """Return a random key with groups of four letters and digits, 20 bits per group."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(groups))


def _find_network(address: str) -> str:
    """Return the key of the limit: the address, or the 64-bit network of an IPv6 address.

    One machine can have all addresses of such a network.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return (
        str(ip_network((parsed, 64), strict=False))
        if parsed.version == 6 and not parsed.ipv4_mapped
        else address
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.strip().lower().encode(errors="replace")).hexdigest()
