"""Hundreds of pages at once: how many may be open, by address and in all, and who comes first."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from core.access import Role
from core.people import classroom, membership
from core.settings import Settings
from core.storage.recovery import open_store
from tests.support.event_loop import run_in_thread
from ui.app.request_guard import (
    COUNTED_SECONDS,
    PAGES_A_SECOND,
    PAGES_AT_ONCE,
    PAGES_OF_MEMBER,
    OpenPages,
    RequestGuard,
)

STREAM = "/_stcore/stream"


def find_no_one() -> str:
    return ""


class Clock:
    """Time that passes in steps, with the calls that will be made then."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.seconds

    def later(self, wait: float, function: Callable[[], None]) -> None:
        """Remember a call."""
        self.calls.append((self.seconds + wait, function))

    def pass_time(self, seconds: float) -> None:
        """Pass time and make the calls that are due."""
        self.seconds += seconds
        for due in [call for call in self.calls if call[0] <= self.seconds]:
            self.calls.remove(due)
            due[1]()


def make_pages(most: int, most_of_address: int, reserved: int = 0) -> tuple[OpenPages, Clock]:
    """Return pages whose time passes by a clock of the test."""
    clock = Clock()
    return OpenPages(most, most_of_address, reserved, clock.later, clock), clock


def open_pages(pages: OpenPages, stack: ExitStack, addresses: list[str]) -> int:
    """Open a page from each address and return how many there was room for."""
    opened = 0
    for address in addresses:
        if owner := pages.find_place(address, find_no_one):
            stack.enter_context(pages.count(owner))
            opened += 1
    return opened


def test_a_class_behind_one_address_has_room_and_a_flood_has_not() -> None:
    settings = Settings()
    pages, _ = make_pages(settings.pages, settings.pages_of_address)

    with ExitStack() as stack:
        opened = open_pages(pages, stack, ["school"] * 600)
        elsewhere = open_pages(pages, stack, ["library"] * 60)

    assert opened == settings.pages_of_address >= 2 * 60  # people with two tabs
    assert elsewhere == 60


def test_no_more_pages_are_open_than_the_memory_holds() -> None:
    pages, _ = make_pages(240, 120)

    with ExitStack() as stack:
        opened = open_pages(pages, stack, [f"192.0.2.{number % 200}" for number in range(600)])

    assert opened == 240


def test_members_open_pages_when_a_flood_has_taken_the_others() -> None:
    pages, _ = make_pages(40, 20, reserved=20)

    with ExitStack() as stack:
        open_pages(pages, stack, ["flood"] * 600)
        owners = [pages.find_place("flood", lambda: "ada")]
        while owners[-1]:
            stack.enter_context(pages.count(owners[-1]))
            owners.append(pages.find_place("flood", lambda: "ada"))
        bob = pages.find_place("flood", lambda: "bob")

    assert owners == [*["ada"] * PAGES_OF_MEMBER, ""]
    assert bob == "bob"


def test_a_page_that_is_opened_and_closed_again_and_again_counts_for_a_while() -> None:
    pages, clock = make_pages(10, 5)

    def open_and_close() -> int:
        with ExitStack() as stack:
            return open_pages(pages, stack, ["flood"])

    opened = sum(open_and_close() for _ in range(100))
    clock.pass_time(COUNTED_SECONDS)

    assert opened == 5
    assert open_and_close() == 1
    clock.pass_time(COUNTED_SECONDS)
    assert not pages.counts


def test_pages_open_in_turn_and_not_all_at_once() -> None:
    async def open_many() -> tuple[list[str], float]:
        pages, order = OpenPages(240, 120), list[str]()

        async def open_one(owner: str) -> None:
            await pages.wait(owner)
            order.append(owner)

        began = asyncio.get_running_loop().time()
        waiting = [asyncio.create_task(open_one("flood")) for _ in range(PAGES_AT_ONCE + 8)]
        await asyncio.gather(*waiting, open_one("ada"))
        return order, asyncio.get_running_loop().time() - began

    order, seconds = run_in_thread(open_many())

    assert order.index("ada") <= 2
    assert seconds >= 8 / PAGES_A_SECOND


def make_scope(kind: str, path: str, client: str = "203.0.113.9", **headers: str) -> Scope:
    """Return the scope of a request."""
    return {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 5000),
    }


def send_all(guard: RequestGuard, *scopes: Scope) -> list[list[Message]]:
    """Send requests one after another, while earlier WebSockets stay open; return the answers."""

    async def send_each() -> list[list[Message]]:
        answers: list[list[Message]] = []
        tasks = []
        for scope in scopes:
            answer: list[Message] = []

            async def send(message: Message, answer: list[Message] = answer) -> None:
                answer.append(message)

            async def receive() -> Message:
                return {"type": "websocket.connect"}

            tasks.append(asyncio.create_task(guard(scope, receive, send)))
            while not answer:
                await asyncio.sleep(0.001)
            answers.append(answer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return answers

    return run_in_thread(send_each())


async def stay_open(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a page, and keep a WebSocket open."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 204, "headers": []})


@pytest.mark.parametrize("mode", ["local", "classroom", "public"])
def test_full_server_says_so_on_a_page_that_opens_later(tmp_path: Path, mode: str) -> None:
    settings = Settings(home=tmp_path, mode=mode, pages=8, pages_of_address=2)
    client, german = "127.0.0.1", {"accept-language": "de-DE,de;q=0.9"}
    socket = make_scope("websocket", STREAM, client, host="localhost")
    page = make_scope("http", "/explore", client, host="localhost", **german)
    files = [
        make_scope("http", path, client, host="localhost")
        for path in ("/_stcore/health", "/media/a", "/static/a.js", "/favicon.png")
    ]

    *opened, refused, shown, health, media, script, icon = send_all(
        RequestGuard(stay_open, settings), socket, socket, socket, page, *files
    )

    assert [answer[0]["type"] for answer in opened] == ["websocket.accept"] * 2
    assert refused[0] == {"type": "websocket.close", "code": 1008}
    assert shown[0]["status"] == 503
    assert (b"refresh", b"10") in shown[0]["headers"]
    assert b"zu viele Seiten" in shown[1]["body"]
    assert [answer[0]["status"] for answer in (health, media, script, icon)] == [204] * 4


def test_member_of_the_class_is_recognized_by_the_cookie_of_the_browser(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mode="classroom", pages=8, pages_of_address=2)
    store = open_store(settings)
    code = classroom.read_codes(store).student
    ada, _ = classroom.join(store, code, "Ada", "192.0.2.1", role=Role.STUDENT)
    token = membership.remember_browser(store, ada, "")
    socket = make_scope("websocket", STREAM, host="lab.example.org")
    of_ada = make_scope(
        "websocket", STREAM, host="lab.example.org", cookie=f"lora-lab-visit-web={token}"
    )
    forged = make_scope(
        "websocket", STREAM, host="lab.example.org", cookie=f"lora-lab-visit-web={token[:-1]}"
    )

    *_, for_ada, for_forged = send_all(
        RequestGuard(stay_open, settings), socket, socket, of_ada, forged
    )

    assert for_ada[0]["type"] == "websocket.accept"
    assert for_forged[0]["type"] == "websocket.close"
