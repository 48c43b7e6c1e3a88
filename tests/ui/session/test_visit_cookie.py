import asyncio
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from streamlit.testing.v1 import AppTest

from core.settings import Settings
from tests.support.event_loop import run_in_thread
from ui.app.request_guard import RequestGuard
from ui.session import visit_cookie, visitors
from ui.session.visit_cookie import ROUTE, Tickets, name_cookie, tickets


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer like a page that does not exist."""
    await send({"type": "http.response.start", "status": 404, "headers": []})


def send_request(
    home: Path, method: str, body: str = "", query: str = "", mode: str = "classroom", **more: str
) -> tuple[int, str]:
    """Send a request through the guard; return the status and the cookie that was set."""
    headers = {"host": "lab.example.org", "origin": "http://lab.example.org"} | more
    scheme, sent = headers.pop("scheme", "http"), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": body.encode()}

    scope: Scope = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": ROUTE,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.9", 5000),
    }
    run_in_thread(RequestGuard(refuse, Settings(home=home, mode=mode))(scope, receive, send))
    cookies = dict(sent[0]["headers"]).get(b"set-cookie", b"").decode()
    return sent[0]["status"], cookies


def test_a_ticket_sets_a_cookie_that_no_script_and_no_other_site_can_use(tmp_path: Path) -> None:
    status, header = send_request(tmp_path, "POST", tickets.issue("secret"), scheme="https")

    cookie = SimpleCookie(header)["lora-lab-visit-web"]
    assert (status, cookie.value) == (204, "secret")
    assert cookie["httponly"] and cookie["secure"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"


def send_parts(part: bytes, most: int) -> tuple[int, int]:
    """Answer a request whose body does not end; return the status and how many parts were read.

    After ``most`` parts nothing more arrives.
    """
    reads = 0

    async def receive() -> Message:
        nonlocal reads
        if reads == most:
            await asyncio.Event().wait()
        reads += 1
        return {"type": "http.request", "body": part, "more_body": True}

    scope: Scope = {"type": "http", "method": "POST", "path": ROUTE, "headers": []}
    response = run_in_thread(visit_cookie.answer(Request(scope, receive), most_seconds=0.01))
    return response.status_code, reads


def test_a_request_whose_body_does_not_end_is_refused() -> None:
    """A visitor who has not joined took the memory of the server with one."""
    assert send_parts(bytes(60), most=1000) == (403, 2)
    assert send_parts(b"", most=3) == (403, 3)


def test_without_tls_the_cookie_is_set_without_secure(tmp_path: Path) -> None:
    header = send_request(tmp_path, "POST", tickets.issue("secret"))[1]

    assert not SimpleCookie(header)["lora-lab-visit-web"]["secure"]


def test_a_ticket_is_valid_once(tmp_path: Path) -> None:
    ticket = tickets.issue("secret")
    send_request(tmp_path, "POST", ticket)

    assert send_request(tmp_path, "POST", ticket) == (403, "")
    assert send_request(tmp_path, "POST", "unknown") == (403, "")


def test_another_web_page_cannot_set_the_cookie(tmp_path: Path) -> None:
    status, header = send_request(
        tmp_path, "POST", tickets.issue("secret"), origin="https://evil.example"
    )

    assert (status, header) == (403, "")


def test_a_ticket_in_an_address_sets_no_cookie(tmp_path: Path) -> None:
    assert send_request(tmp_path, "GET", query=f"ticket={tickets.issue('secret')}")[1] == ""


@pytest.mark.parametrize("mode", ["local", "public"])
def test_other_modes_have_no_such_route(tmp_path: Path, mode: str) -> None:
    status, header = send_request(tmp_path, "POST", tickets.issue("secret"), mode=mode)

    assert status in (403, 404) and not header


def test_a_browser_that_returns_the_cookie_is_confirmed(tmp_path: Path) -> None:
    ticket, refused = tickets.issue("secret"), tickets.issue("other")
    query, cookie = "ticket=", "lora-lab-visit-web=secret"
    for each in (ticket, refused):
        send_request(tmp_path, "GET", query=query + each, cookie=cookie)

    assert (tickets.is_confirmed(ticket), tickets.is_confirmed(refused)) == (True, False)


def test_a_ticket_expires(tmp_path: Path) -> None:
    now = [0.0]
    mine = Tickets(timer=lambda: now[0])
    ticket = mine.issue("secret")
    assert mine.find(ticket) and mine.is_awaited(ticket)

    now[0] = visit_cookie.AWAIT_SECONDS
    assert mine.find(ticket) and not mine.is_awaited(ticket)
    now[0] = visit_cookie.TICKET_SECONDS
    assert mine.find(ticket) is None


def test_tickets_do_not_fill_the_memory() -> None:
    mine = Tickets()
    names = [mine.issue("secret") for _ in range(visit_cookie.MOST_TICKETS + 3)]

    assert [mine.find(name) is None for name in names[:4]] == [True, True, True, False]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8501", "lora-lab-visit-8501"),
        ("lab.example.org", "lora-lab-visit-web"),
        ("[::1]:8501", "lora-lab-visit-8501"),
        ("[::1]", "lora-lab-visit-web"),
    ],
)
def test_each_server_of_a_host_has_its_own_cookie(host: str, name: str) -> None:
    assert name_cookie(host) == name


def test_a_cookie_that_came_back_is_not_awaited_any_more() -> None:
    app = AppTest.from_string("""
import streamlit as st
from ui.session import visitors
visitors._await_cookie(st.session_state[visitors.TICKET])
""")
    name = app.session_state[visitors.TICKET] = tickets.issue("secret")
    ticket = tickets.find(name)
    assert ticket
    ticket.confirmed = True

    app.run()

    assert not app.exception
    assert visitors.TICKET not in app.session_state
