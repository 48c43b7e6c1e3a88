"""How often and how much: joins, explanations and characters of a visitor, with what is left.

An allowance counts uses in a moving window of time. Uses are stored, so a restart of the server
frees none.
"""

import re
import secrets
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from core.access import Role, Visitor
from core.errors import NotAllowed
from core.storage import accounts
from core.storage.store import Store

HOUR, DAY = 3600, 86_400
LINEAGE = re.compile(r"([\w-]{11})\.")  # start of a browser's secret


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most ``most`` uses in ``seconds``.

    Args:
        noun: Plural of what is counted, for messages, such as "explanations".
        whose: Whom a count belongs to, such as "one browser".
        advice: What to do when nothing is left, after the time at which it is free again.
    """

    noun: str
    whose: str
    most: int
    seconds: int
    advice: str

    @property
    def period(self) -> str:
        """The window of time in words, such as "a day"."""
        return {HOUR: "an hour", DAY: "a day"}[self.seconds]


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Most characters of a text."""

    classified: int
    explained: int


JOINS_OF_A_BROWSER = Allowance(
    "joins", "one browser", 10, DAY, "If you have joined before, enter your key."
)
JOINS_OF_A_NETWORK = Allowance(
    "joins",
    "one network",
    60,  # two classes behind the address of one school; a teacher may change it
    HOUR,
    "Your teacher can raise the limit on the page Class, under Rules.",
)
EXPLANATIONS_OF_A_STUDENT = Allowance(
    "explanations", "one student", 200, HOUR, "Explanations that were computed already are free."
)
EXPLANATIONS_OF_GUESTS = Allowance(
    "explanations",
    "guests of one network",
    60,
    HOUR,
    "Explanations that were computed already are free.",
)
OF_GUESTS = TextLimits(classified=5_000, explained=1_000)
# a model reads 512 tokens at most: longer input is a file, not a text
OF_MEMBERS = TextLimits(classified=100_000, explained=3_000)
GUESTS = (Role.GUEST, Role.GUEST_TRAINER)


@dataclass(frozen=True, slots=True)
class Left:
    """Uses of an allowance that are left.

    Args:
        allowance: The allowance.
        left: Number of uses that are left now.
        free_in_seconds: Time until one more is free; 0 if all are left.
    """

    allowance: Allowance
    left: int
    free_in_seconds: float

    def __str__(self) -> str:
        """Describe it in a sentence."""
        text = f"{self.left:,} of {self.allowance.most:,} {self.allowance.noun} left"
        text += f" for {self.allowance.whose}"
        if not self.free_in_seconds:
            return f"{text}."
        return f"{text}; one more {_in_minutes(self.free_in_seconds)}."


def read_left(store: Store, allowance: Allowance, user: str) -> Left:
    """Return what is left for ``user``, an id, a network or a browser."""
    now = store.clock()
    times = accounts.list_uses(store, name_use(allowance), user, now - allowance.seconds)
    # with more uses than the limit, which may have been lowered, several must become old
    awaited = times[max(0, len(times) - allowance.most)] if times else now - allowance.seconds
    free = awaited + allowance.seconds - now
    return Left(allowance, max(0, allowance.most - len(times)), max(0.0, free))


def spend(store: Store, *spent: tuple[Allowance, str]) -> None:
    """Count one use of each allowance by its user, or none if one has nothing left.

    Raises NotAllowed with the time at which one is free again.
    """
    uses = [
        accounts.Use(name_use(allowance), user, allowance.most, allowance.seconds)
        for allowance, user in spent
    ]
    position = accounts.add_uses(store, uses)
    if position is None:
        return
    allowance, user = spent[position]
    free = read_left(store, allowance, user).free_in_seconds
    raise NotAllowed(
        f"{allowance.most:,} {allowance.noun} {allowance.period} are allowed for {allowance.whose},"
        " and none is left.",
        f"The next one is possible {_in_minutes(free)}. {allowance.advice}",
    )


def find_explanations(visitor: Visitor, address: str) -> tuple[Allowance, str] | None:
    """Return the visitor's allowance of explanations and its user; None if there is no limit."""
    if visitor.role is Role.STUDENT:
        return EXPLANATIONS_OF_A_STUDENT, visitor.id
    # a guest's id is one of a visit, and a new visit costs nothing
    return (EXPLANATIONS_OF_GUESTS, find_network(address)) if visitor.role in GUESTS else None


def find_text_limits(visitor: Visitor) -> TextLimits:
    """Return how long the visitor's texts may be."""
    return OF_GUESTS if visitor.role in GUESTS else OF_MEMBERS


def find_network(address: str) -> str:
    """Return the key of a limit: the address, or the 64-bit network of an IPv6 address.

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


def make_token(earlier: str = "") -> str:
    """Return a new secret of a browser, which begins like its earlier one.

    The beginning identifies a browser that joins under several names.
    """
    match = LINEAGE.match(earlier)
    return f"{match[1] if match else secrets.token_urlsafe(8)}.{secrets.token_urlsafe(32)}"


def read_lineage(token: str) -> str:
    """Return the part of a browser's secret that its later ones share; empty without one."""
    match = LINEAGE.match(token)
    return match[1] if match else ""


def list_allowances() -> list[tuple[str, str]]:
    """List what is limited and how much, for tables."""
    counted = (
        JOINS_OF_A_BROWSER,
        JOINS_OF_A_NETWORK,
        EXPLANATIONS_OF_A_STUDENT,
        EXPLANATIONS_OF_GUESTS,
    )
    lengths = (("a member", OF_MEMBERS), ("a guest", OF_GUESTS))
    return [
        *((f"{each.noun} of {each.whose}", f"{each.most:,} {each.period}") for each in counted),
        *((f"text of {role}", f"{each.classified:,} characters") for role, each in lengths),
        *(
            (f"explained text of {role}", f"{each.explained:,} characters")
            for role, each in lengths
        ),
    ]


def name_use(allowance: Allowance) -> str:
    """Return the name under which the uses of an allowance are stored."""
    return f"{allowance.noun} of {allowance.whose}"


def _in_minutes(seconds: float) -> str:
    minutes = int(seconds // 60) + 1
    if minutes > 90:
        return f"in {round(minutes / 60)} hours"
    return "in a minute" if minutes == 1 else f"in {minutes} minutes"
