"""A class on one server: who may join, and what the teacher allows.

People and rules live in the database beside the jobs. A visitor proves who they are with a key that
is shown once and kept here only as its hash; the two codes open the door, one as student, one as
teacher.
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
from core.settings import memory_mb
from core.storage import accounts
from core.storage.job import Job, JobState
from core.storage.store import Store

# without what is mistaken for something else when read from a projector
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
WINDOW_SECONDS, WRONG_IN_WINDOW = 60.0, 10
RUNNING_PER_STUDENT = 1
SERVER_MB = 1000  # pages of a class take up to 300, the process that classifies about 600
Found = TypeVar("Found")


class Rules(BaseModel):
    """What a student may ask for. The teacher changes it while the class goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: bool = Field(
        True,
        title="The class is open",
        description="When closed, nobody joins and no student launches.",
    )
    waiting: int = Field(
        2,
        ge=0,
        le=20,
        title="Runs that wait, per student",
        description="Beside the one that is under way.",
    )
    rows: int = Field(
        8000,
        ge=100,
        le=1_000_000,
        title="Training rows × epochs, at most",
        description="Bounds how long one run takes.",
    )
    max_tokens: int = Field(
        128,
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
        title="Names on the board",
        description="When off, the board shows runs without their owners.",
    )


@dataclass
class Attempts:
    """Wrong codes by address: after ten in a minute an address waits."""

    timer: Callable[[], float] = time.monotonic
    wrong: dict[str, list[float]] = field(default_factory=dict)
    _one_at_a_time: Lock = field(default_factory=Lock)

    def check(self, address: str, look: Callable[[], Found | None]) -> Found | None:
        """What ``look`` finds, and a wrong code more where it finds nothing. Raises NotAllowed
        while the address has to wait.

        One at a time, so that many tries at once are no way round, and many right ones are all let
        in.
        """
        place = _network(address)
        with self._one_at_a_time:
            now = self.timer()
            self.wrong = {
                one: kept
                for one, times in self.wrong.items()
                if (kept := [at for at in times if now - at < WINDOW_SECONDS])
            }
            if len(self.wrong.get(place, ())) >= WRONG_IN_WINDOW:
                raise NotAllowed(
                    "Too many wrong codes from here.", "Wait a minute, then try again."
                )
            found = look()
            if found is None:
                self.wrong.setdefault(place, []).append(now)
            return found


@dataclass(frozen=True)
class Codes:
    """What opens the door: the class code for students, the other one for the teacher."""

    student: str
    teacher: str

    def role(self, code: str) -> Role | None:
        """Whose code it is, compared in constant time; None for a wrong one."""
        given = code.strip().lower().encode(errors="replace")
        is_teacher = hmac.compare_digest(given, self.teacher.lower().encode())
        is_student = hmac.compare_digest(given, self.student.lower().encode())
        return Role.TEACHER if is_teacher else Role.STUDENT if is_student else None


def read_codes(store: Store) -> Codes:
    """The codes of the settings; what is not given there is made up once and kept."""
    settings = store.settings
    kept = accounts.read_options(store)
    if not {"class-code", "teacher-code"} <= kept.keys():
        accounts.keep_options(
            store, {"class-code": new_key(1), "teacher-code": new_key(3)}, replace=False
        )
        kept = accounts.read_options(store)  # somebody else may have been quicker
    return Codes(
        settings.class_code or kept["class-code"], settings.teacher_code or kept["teacher-code"]
    )


def read_rules(store: Store) -> Rules:
    """The rules of the class; until somebody sets them those that fit this machine. Raises
    ArtifactDamaged where they cannot be read.
    """
    kept = accounts.read_options(store).get("rules")
    if kept is None:
        return fitting_rules(memory_mb())
    try:
        return Rules.model_validate_json(kept)
    except ValidationError as error:
        raise ArtifactDamaged(
            "The rules of the class cannot be read.", "Save them again on the page Class."
        ) from error


def fitting_rules(machine_mb: int) -> Rules:
    """Rules for a machine with so much memory: a run gets what the server, pages and the
    classifying process leave.
    """
    usual, least = Rules(), 700
    return usual.model_copy(
        update={"memory_mb": max(least, min(usual.memory_mb, machine_mb - SERVER_MB))}
    )


def change_rules(store: Store, rules: Rules) -> None:
    """Let other rules hold from now on. Raises NotAllowed."""
    require(store.visitor, Action.MANAGE)
    accounts.keep_options(store, {"rules": rules.model_dump_json()})
    accounts.note(store, "change the rules", rules.model_dump_json())


def clear_class(store: Store) -> None:
    """End the class: students' keys stop working, their waiting runs leave the queue, and the class
    code becomes another one.

    Finished runs stay. Raises NotAllowed.
    """
    require(store.visitor, Action.MANAGE)
    students = {visitor.id for visitor in accounts.people(store) if visitor.role is Role.STUDENT}
    for job in store.jobs(None, JobState.QUEUED):
        if job.owner in students:
            store.transition(job, JobState.CANCELLED, JobState.QUEUED, ended_at=store.clock())
    accounts.forget_students(store)
    accounts.keep_options(store, {"class-code": new_key(1)})
    accounts.note(store, "end the class")


def join(
    store: Store, attempts: Attempts, code: str, name: str, address: str
) -> tuple[Visitor, str]:
    """The new visitor and the key to come back with. Raises NotAllowed on a wrong code, a closed
    class, or an address that must wait.
    """
    role = attempts.check(address, lambda: read_codes(store).role(code))
    if role is None:
        raise NotAllowed("This is not the class code.", "It is on the teacher's screen.")
    if role is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    if not (tidy := sanitize_name(name, LONGEST_NAME)):
        raise NotAllowed("A name is missing.", "Type the name that the class knows you by.")
    visitor = Visitor(secrets.token_hex(6), tidy, role)
    key = new_key(3)
    accounts.add_person(store, visitor, _hash(key))
    accounts.note(store, "join", visitor.name, visitor)
    return visitor, key


def sign_in(store: Store, visitor: Visitor) -> None:
    """Let in somebody for whom a provider vouches. Raises NotAllowed for a student where the class
    is closed.
    """
    if visitor.role is Role.STUDENT and not read_rules(store).open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    accounts.welcome(store, visitor)
    accounts.note(store, "sign in", visitor.name, visitor)


def come_back(store: Store, attempts: Attempts, key: str, address: str) -> Visitor:
    """The visitor that the key was given to. Raises NotAllowed on a wrong key or an address that
    must wait.
    """
    visitor = attempts.check(address, lambda: accounts.find_person(store, _hash(key)))
    if visitor is None:
        raise NotAllowed("Nobody here has this key.", "Join with the class code instead.")
    accounts.note(store, "come back", visitor.name, visitor)
    return visitor


def require_place(store: Store, jobs: Iterable[Job], config: RunConfig) -> None:
    """Raise NotAllowed where a student asks for more than the rules allow. ``jobs`` are the runs
    queued or under way.
    """
    if store.visitor.role is not Role.STUDENT:
        return
    rules = read_rules(store)
    if not rules.open:
        raise NotAllowed("The class is closed.", "Ask your teacher to open it.")
    mine = sum(job.owner == store.visitor.id for job in jobs)
    if mine >= rules.waiting + RUNNING_PER_STUDENT:
        raise NotAllowed(
            f"You have {mine} runs waiting or under way, the most for one student.",
            "Stop one, or wait for its end.",
        )
    asked = config.train_rows * config.epochs
    if not config.train_rows or asked > rules.rows:
        rows = "all rows" if not config.train_rows else f"{asked:,} rows over all epochs"
        raise NotAllowed(
            f"{rows.capitalize()} are more than this class allows.",
            f"Train on {rows_allowed(rules, config):,} or fewer.",
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


def rows_allowed(rules: Rules, config: RunConfig) -> int:
    """The most training rows with the configuration's epochs."""
    return rules.rows // config.epochs


def new_key(groups: int) -> str:
    """A random key of groups of four letters and digits, 20 bits a group."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(groups))


def _network(address: str) -> str:
    """What waits together: an address, or of IPv6 the network of 64 bits that one machine can have
    all of.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return (
        str(ip_network((found, 64), strict=False))
        if found.version == 6 and not found.ipv4_mapped
        else address
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.strip().lower().encode(errors="replace")).hexdigest()
