"""Who is here and what they may do. Every action asks here: a button that a page draws too many
gives nothing away.

Names that people give, as they are kept.
"""

from dataclasses import dataclass
from enum import StrEnum

from core.errors import NotAllowed

LONGEST_NAME = 40  # letters of a visitor's name


class Mode(StrEnum):
    """Whom a server is for: one person at the machine itself, a class, or anybody."""

    LOCAL = "local"
    CLASSROOM = "classroom"
    PUBLIC = "public"


class Role(StrEnum):
    """What somebody is on this server."""

    OWNER = "owner"
    TEACHER = "teacher"
    STUDENT = "student"
    GUEST = "guest"
    TASTER = "taster"  # a guest who may start a Taste run: core/runs/guests.py


class Action(StrEnum):
    """What can be asked for, in the words of a refusal."""

    LAUNCH = "launch a run"
    LAUNCH_SET = "launch a set of runs"
    IMPORT = "import a run"
    STOP = "stop this run"
    RESUME = "resume this run"
    RENAME = "rename this run"
    DELETE = "delete this run"
    TAG = "tag texts of this run"
    SCORE = "score this run"
    READ_LOG = "read the log of this run"  # it tells of the machine
    WORK = "start this work"  # preparing, checking, mapping: shared by all, owned by nobody
    KEEP_DATA = "add or delete datasets"
    NAME_FOLDER = "use a model from a folder of this machine"
    MANAGE = "change the class"
    REPAIR = "repair the database"


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
OF_STUDENTS = ON_A_RUN | {Action.LAUNCH, Action.LAUNCH_SET, Action.IMPORT, Action.WORK}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who uses the app. ``id`` is what a job's ``owner`` says."""

    id: str
    name: str
    role: Role

    @property
    def in_charge(self) -> bool:
        """Whether everything is theirs to decide."""
        return self.role in (Role.OWNER, Role.TEACHER)

    @property
    def shelf(self) -> str:
        """The folder name of what is theirs alone; who is in charge has none, and shares what lies
        beside.
        """
        return "" if self.in_charge else self.id


GUEST_PREFIX = "guest-"  # of the ids of guests who may start a Taste run
MACHINE_OWNER = Visitor("local", "", Role.OWNER)  # sits at the machine, or has its command line
GUEST = Visitor("guest", "", Role.GUEST)


def may(visitor: Visitor, action: Action, owner: str = "") -> bool:
    """Whether the visitor may do this; ``owner`` is that of the job it is done to."""
    if visitor.in_charge:
        return True
    if visitor.role is Role.STUDENT:
        return action in OF_STUDENTS and (action not in ON_A_RUN or owner == visitor.id)
    if visitor.role is Role.TASTER:
        return action is Action.LAUNCH or (action is Action.STOP and owner == visitor.id)
    return False


def require(visitor: Visitor, action: Action, owner: str = "") -> None:
    """Raise NotAllowed where the visitor may not do this."""
    if may(visitor, action, owner):
        return
    if visitor.role is Role.TASTER and action is Action.STOP:
        raise NotAllowed(
            "You cannot stop this run: another visit started it.", "It is over in a few minutes."
        )
    if visitor.role is Role.STUDENT and action in ON_A_RUN:
        raise NotAllowed(
            f"You cannot {action}: it is somebody else's.",
            "Clone it into the form to have one of your own.",
        )
    if visitor.role is Role.STUDENT:
        raise NotAllowed(f"Only the teacher can {action}.", "Ask your teacher.")
    raise NotAllowed(
        f"Nobody can {action} on this public page.",
        "Install LoRA Lab on your own machine to do it.",
    )


def sanitize_name(text: str, longest: int) -> str:
    """``text`` on one line, at most so many letters: without control characters, and those that
    turn the direction of writing.
    """
    whole = (
        text[: 10 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    )  # halves of pairs become �
    words = " ".join(whole.split())
    return "".join(letter for letter in words if letter.isprintable())[:longest].strip()
