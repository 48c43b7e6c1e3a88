"""Visitors, their roles and their permissions.

Every action checks its permission here, so that a wrongly drawn button has no effect.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from core.errors import NotAllowed
from core.translation import mark

LONGEST_NAME = 40  # characters of a visitor's name
# a column of accents covers the lines above and below
ACCENTS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
FURTHER_MARKS = re.compile(f"(?<=[{ACCENTS}]{{3}})[{ACCENTS}]+")


class Mode(StrEnum):
    """Audience of a server: the machine's user, a class, or the public."""

    LOCAL = "local"
    CLASSROOM = "classroom"
    PUBLIC = "public"


class Role(StrEnum):
    """Role of a visitor on this server."""

    OWNER = mark("owner")
    TEACHER = mark("teacher")
    STUDENT = mark("student")
    GUEST = mark("guest")
    GUEST_TRAINER = "taster"  # a guest who may start a Taste run: core/runs/limits.py


class Action(StrEnum):
    """Actions, worded to complete an error message: "You cannot …"."""

    LAUNCH = mark("start a run")
    LAUNCH_SWEEP = mark("start a sweep")
    IMPORT = mark("import a run")
    STOP = mark("stop this run")
    RESUME = mark("resume this run")
    RENAME = mark("rename this run")
    DELETE = mark("delete this run")
    TAG = mark("tag texts of this run")
    SCORE = mark("score this run")
    READ_LOG = mark("read the log of this run")  # logs contain details of the machine
    WORK = mark("start this job")  # preparing, checking, mapping: shared by all, without an owner
    DISPUTE = mark("mark labels as disputed")
    MANAGE_DATASETS = mark("add or delete datasets")
    NAME_FOLDER = mark("use a model from a folder of this machine")
    ANSWER = mark("take part in the lesson")
    TEACH = mark("lead the lesson")
    MANAGE = mark("change the class")
    REPAIR = mark("repair the database")


ON_A_RUN = frozenset(
    {
        Action.STOP,
        Action.RESUME,
        Action.RENAME,
        Action.DELETE,
        Action.TAG,
        Action.SCORE,
        Action.READ_LOG,
    }
)
OF_STUDENTS = ON_A_RUN | {
    Action.LAUNCH,
    Action.LAUNCH_SWEEP,
    Action.IMPORT,
    Action.WORK,
    Action.DISPUTE,
    Action.ANSWER,
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user of the app; ``id`` is the ``owner`` of their jobs."""

    id: str
    name: str
    role: Role
    on_command_line: bool = False  # may read what the account on this machine may read

    @property
    def is_admin(self) -> bool:
        """Whether the visitor is an admin, who may do everything."""
        return self.role in (Role.OWNER, Role.TEACHER)

    @property
    def folder(self) -> str:
        """Name of the visitor's own folder; empty for admins, who share the parent folder."""
        return "" if self.is_admin else self.id


GUEST_PREFIX = "guest-"  # prefix of the ids of guest trainers
MACHINE_OWNER = Visitor("local", "", Role.OWNER, on_command_line=True)
LOCAL_BROWSER = Visitor("local", "", Role.OWNER)  # the same person, through a browser
GUEST = Visitor("guest", "", Role.GUEST)


def is_allowed(visitor: Visitor, action: Action, owner: str = "") -> bool:
    """Return whether the visitor may take the action; ``owner`` is the owner of its job."""
    if visitor.is_admin:
        return True
    if visitor.role is Role.STUDENT:
        return action in OF_STUDENTS and (action not in ON_A_RUN or owner == visitor.id)
    if visitor.role is Role.GUEST_TRAINER:
        return action is Action.LAUNCH or (action is Action.STOP and owner == visitor.id)
    return False


def require(visitor: Visitor, action: Action, owner: str = "") -> None:
    """Raise NotAllowed if the visitor may not take the action."""
    if is_allowed(visitor, action, owner):
        return
    if visitor.role is Role.GUEST_TRAINER and action is Action.STOP:
        raise NotAllowed(
            "You cannot stop this run: another visitor started it.", "It ends in a few minutes."
        )
    if visitor.role is Role.STUDENT and action in ON_A_RUN:
        raise NotAllowed(
            "You cannot {action}: it belongs to another student.",
            "Clone it to start your own run.",
            action=action,
        )
    if visitor.role is Role.STUDENT:
        raise NotAllowed("Only the teacher can {action}.", "Ask your teacher.", action=action)
    raise NotAllowed(
        "You cannot {action} on this public page.",
        "Install LoRA Lab on your own machine to do this.",
        action=action,
    )


def sanitize_name(text: str, longest: int) -> str:
    """Return ``text`` on one line, with at most ``longest`` characters.

    Control characters, characters that change the writing direction, and further accents of a
    letter with many are removed.
    """
    # unpaired surrogates become �
    whole = text[: 10 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    words = " ".join(whole.split())
    visible = "".join(letter for letter in words if letter.isprintable())
    return FURTHER_MARKS.sub("", visible)[:longest].strip()
