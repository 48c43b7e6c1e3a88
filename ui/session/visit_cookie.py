"""The cookie with which a browser stays joined, and the route on which the server sets it.

A page cannot set a cookie that its own scripts cannot read. After joining it has the browser fetch
the cookie from ``ROUTE`` with a ticket that is valid once, and then checks whether it came back.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

ROUTE = "/_lab/visit"
LIFETIME_SECONDS, TICKET_SECONDS = 30 * 86_400, 60.0
AWAIT_SECONDS = 8.0  # on a slow network
MOST_TICKETS = 1000
# of the body of a request: a visitor who has not joined may send one, of any length and slowly
MOST_BODY_BYTES, LONGEST_BODY_SECONDS = 100, 10.0
SCRIPT = """<script>
fetch({route}, {{method: "POST", body: {ticket}}})
  .then(() => fetch({route} + "?ticket=" + {ticket}));
</script>"""


@dataclass
class Ticket:
    """Right to fetch one cookie.

    Args:
        token: Value of the cookie.
        issued_at: Time of the timer in seconds.
        used: Whether the cookie was sent to the browser.
        confirmed: Whether the browser has sent the cookie back.
    """

    token: str
    issued_at: float
    used: bool = False
    confirmed: bool = False


@dataclass
class Tickets:
    """Tickets of this server by their secret names."""

    timer: Callable[[], float] = time.monotonic
    _tickets: dict[str, Ticket] = field(default_factory=dict)

    def issue(self, token: str) -> str:
        """Return the name of a new ticket for the cookie ``token``."""
        while len(self._tickets) >= MOST_TICKETS:
            self._tickets.pop(next(iter(self._tickets)), None)
        name = secrets.token_urlsafe(24)
        self._tickets[name] = Ticket(token, self.timer())
        return name

    def find(self, name: str) -> Ticket | None:
        """Return the ticket; None if there is none or its time is over."""
        ticket = self._tickets.get(name)
        return ticket if ticket and self._measure_age(ticket) < TICKET_SECONDS else None

    def is_awaited(self, name: str) -> bool:
        """Return whether the browser may still send the cookie of the ticket back."""
        ticket = self.find(name)
        if ticket is None or ticket.confirmed:
            return False
        return self._measure_age(ticket) < AWAIT_SECONDS

    def is_confirmed(self, name: str) -> bool:
        """Return whether the browser has sent the cookie of the ticket back."""
        ticket = self.find(name)
        return ticket is not None and ticket.confirmed

    def _measure_age(self, ticket: Ticket) -> float:
        return self.timer() - ticket.issued_at


tickets = Tickets()


def name_cookie(host: str) -> str:
    """Return the cookie's name: a browser sends a cookie to every port of a host."""
    port = re.search(r":(\d+)$", host)
    return f"lora-lab-visit-{port[1] if port else 'web'}"


def read_token(cookies: Mapping[str, str], host: str) -> str:
    """Return the cookie's value; empty if the browser has none."""
    return cookies.get(name_cookie(host), "")


def make_script(ticket: str, base_path: str = "") -> str:
    """Return the HTML that has a browser fetch the cookie of the ticket."""
    route = f"/{base_path.strip('/')}{ROUTE}" if base_path.strip("/") else ROUTE
    return SCRIPT.format(route=f'"{route}"', ticket=f'"{ticket}"')


async def answer(request: Request, most_seconds: float = LONGEST_BODY_SECONDS) -> Response:
    """Set the cookie of a ticket, or record that the browser has sent it back."""
    host = request.headers.get("host", "")
    if request.method != "POST":
        ticket = tickets.find(request.query_params.get("ticket", ""))
        token = read_token(request.cookies, host)
        if ticket and secrets.compare_digest(token.encode(), ticket.token.encode()):
            ticket.confirmed = True
        return _without_content()
    ticket = tickets.find(await _read_name(request, most_seconds))
    if ticket is None or ticket.used:
        return Response(status_code=HTTPStatus.FORBIDDEN)
    ticket.used = True
    response = _without_content()
    response.set_cookie(
        name_cookie(host),
        ticket.token,
        max_age=LIFETIME_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _read_name(request: Request, most_seconds: float) -> str:
    """Read the name of a ticket; empty if the body is longer than one, or does not end in time."""
    body = b""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(most_seconds):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BODY_BYTES:
                    return ""
            return body.decode(errors="replace")
    return ""


def _without_content() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
