"""How often and how much: joins, explanations and characters of a visitor, with what is left.

An allowance counts uses in a moving window of time. Uses are stored, so a restart of the server
frees none.
"""

import math
import re
import secrets
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from core.access import Role, Visitor
from core.errors import NotAllowed
from core.storage import accounts
from core.storage.store import Store
from core.translation import mark, translate

HOUR, DAY = 3600, 86_400
LINEAGE = re.compile(r"([\w-]{11})\.")  # start of a browser's secret


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most ``most`` uses in ``seconds``; the texts are messages with values in braces.

    Args:
        title: Subject of the limit, for tables; its uses are stored under this name.
        left: Message about what is left.
        refused: Message when nothing is left.
        advice: Message with what to do then.
    """

    title: str
    most: int
    seconds: int
    left: str
    refused: str
    advice: str

    @property
    def rate(self) -> str:
        """The limit in words, such as "10 a day"."""
        return f"{self.most:,} {({HOUR: 'an hour', DAY: 'a day'})[self.seconds]}"


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Most characters of a text."""

    classified: int
    explained: int


JOINS_OF_A_BROWSER = Allowance(
    "joins of one browser",
    10,
    DAY,
    mark("{left:,} of {most:,} joins are left for this browser; one more in {time}."),
    mark("{most:,} joins a day are allowed for one browser, and none is left."),
    mark("Wait {time}. If you have joined before, enter your key."),
)
JOINS_OF_A_NETWORK = Allowance(
    "joins of one network",
    60,  # two classes behind the address of one school; a teacher may change it
    HOUR,
    mark("{left:,} of {most:,} joins are left for your network; one more in {time}."),
    mark("{most:,} joins an hour are allowed for one network, and none is left."),
    mark("Wait {time}, or have your teacher raise the limit on the page Class, under Rules."),
)
OF_EXPLANATIONS = (
    mark("{left:,} of {most:,} explanations are left; one more in {time}."),
    mark("{most:,} explanations an hour are allowed, and none is left."),
    mark("Wait {time}. Explanations that were computed already are free."),
)
EXPLANATIONS_OF_A_STUDENT = Allowance("explanations of one student", 200, HOUR, *OF_EXPLANATIONS)
EXPLANATIONS_OF_GUESTS = Allowance(
    "explanations of guests of one network", 60, HOUR, *OF_EXPLANATIONS
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
        most, time = self.allowance.most, format_wait_time(self.free_in_seconds)
        return translate(self.allowance.left, left=self.left, most=most, time=time)


def read_left(store: Store, allowance: Allowance, user: str) -> Left:
    """Return what is left for ``user``, an id, a network or a browser."""
    now = store.clock()
    times = accounts.list_uses(store, allowance.title, user, now - allowance.seconds)
    # with more uses than the limit, which may have been lowered, several must become old
    awaited = times[max(0, len(times) - allowance.most)] if times else now - allowance.seconds
    free = awaited + allowance.seconds - now
    return Left(allowance, max(0, allowance.most - len(times)), max(0.0, free))


def spend(store: Store, *spent: tuple[Allowance, str]) -> None:
    """Count one use of each allowance by its user, or none if one has nothing left.

    Raises NotAllowed with the time at which one is free again.
    """
    uses = [
        accounts.Use(allowance.title, user, allowance.most, allowance.seconds)
        for allowance, user in spent
    ]
    position = accounts.add_uses(store, uses)
    if position is None:
        return
    allowance, user = spent[position]
    free = read_left(store, allowance, user).free_in_seconds
    time = format_wait_time(free)
    raise NotAllowed(allowance.refused, allowance.advice, most=allowance.most, time=time)


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

    One machine can have all addresses of such a network. Characters of another text that cannot be
    stored become question marks.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address.encode(errors="replace").decode()
    return (
        str(ip_network((parsed, 64), strict=False))
        if parsed.version == 6 and not parsed.ipv4_mapped
        else address
    )


def make_token(earlier: str = "") -> str:
    """Return a new secret of a browser, which begins like its earlier one.

    The beginning identifies a browser that joins under several names.
    """
    return f"{read_lineage(earlier) or secrets.token_urlsafe(8)}.{secrets.token_urlsafe(32)}"


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
        *((each.title, each.rate) for each in counted),
        *((f"text of {role}", f"{each.classified:,} characters") for role, each in lengths),
        *(
            (f"explained text of {role}", f"{each.explained:,} characters")
            for role, each in lengths
        ),
    ]


def format_wait_time(seconds: float) -> str:
    """Format the time until a use is free again, rounded up."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes <= 90 else f"{math.ceil(minutes / 60)} h"
