"""Checks of every request before Streamlit handles it: where it comes from, its upload, and how
many pages are open.
"""

import asyncio
import html
import math
import os
import secrets
import time
from asyncio import Future, Task
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from http import HTTPStatus

import streamlit as st
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime import get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from core.access import Mode
from core.errors import LoraLabError
from core.people import membership
from core.people.allowances import find_network
from core.people.classroom import read_codes
from core.settings import Settings
from core.storage.recovery import open_store
from core.translation import ENGLISH, mark, match_language, translate, use
from ui.session import visit_cookie
from ui.session.join_address import describe_joining
from ui.session.local_machine import (
    LOCAL_HOSTS,
    find_foreign_sign,
    is_same_origin,
    read_host_name,
)
from ui.session.visitors import find_uploader

UPLOADS, MEDIA, METRICS = "/_stcore/upload_file/", "/media/", "/_stcore/metrics"
HEALTH = "/_stcore/health"  # of container checks
RESOURCES = frozenset({"_stcore", "_lab", "media", "component", "static", "auth", "oauth2callback"})
# bytes of uploaded files in memory while they are shown, for visitors from other machines
MOST_OF_A_PERSON, MOST_OF_ALL = 40_000_000, 80_000_000
LEAST_OF_A_FILE = 100_000  # counted bytes: an empty file takes memory, too, and has an address
UNKNOWN_ADDRESS = "unknown"
# what pages send; Streamlit would also clear the caches of all visitors, or read this repository
MESSAGES = frozenset(
    {
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
    }
)
# others would write into this repository and into the home folder of the server's account
OPERATIONS = frozenset({"deferred_file", "dataframe_chunk"})
MOST_FILE_NAMES = 100  # of one message
# of one page: a dragged slider sends about ten a second
MESSAGES_AT_ONCE, MESSAGES_A_SECOND = 100, 20
# of a message: pasted texts may have 5 MB. What a page sends usually has a few KB; larger ones are
# held in memory while they wait, and take the event loop 20 ms a megabyte: all pages share a pace
MOST_OF_A_MESSAGE, LARGE_BYTES = 5_500_000, 10_000
LARGE_AT_ONCE, LARGE_A_SECOND, LONGEST_WAIT_SECONDS = 10_000_000, 2_000_000, 10.0
PAGES_OF_MEMBER = 12  # open at the same time, where the address has no more
# that open: a script begins outside of its turn
PAGES_AT_ONCE, PAGES_A_SECOND = 10, 20
# a page that was open for a shorter time still counts: one that is opened again and again costs
# more than one that stays open
COUNTED_SECONDS = 10.0
FORM_BYTES = 2000  # that a browser adds around an uploaded file
LOCAL_ADVICE = (
    "LoRA Lab was started in local mode, which answers a browser on this machine only. Open"
    " http://localhost with the port of this server. To give others access, start it with the"
    " environment variable LORALAB_MODE set to classroom (with a code) or public (read-only)."
)
TOKEN = "token"  # parameter of the address
TOKEN_ADVICE = "Open the address that the server printed when it started: it contains the token."
FULL = mark(
    "Too many pages of this server are open at the moment, from your network or in all. This page"
    " opens as soon as there is room. Close those that you do not need."
)
RETRY_SECONDS = 10
OTHER_PAGE = "The request comes from a web page of another address."


def count_stored_bytes() -> dict[str, int]:
    """Return the bytes of uploaded files by session."""
    manager = get_instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):
        raise TypeError(type(manager))
    return {
        session: sum(max(len(file.data), LEAST_OF_A_FILE) for file in list(files.values()))
        for session, files in list(manager.file_storage.items())
    }


def limit_upload_seconds(length: int) -> float:
    """Return how long an upload of ``length`` bytes may use the room of others, at 0.8 Mbit/s."""
    return 20 + length / 100_000


class Refusal(Exception):
    """A request that is not answered, with its HTTP status and the sentences that say why."""

    def __init__(self, status: HTTPStatus, reason: str, retry_seconds: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_seconds = retry_seconds  # after which a browser loads the page again; 0: never


class Pace:
    """At most ``burst`` at once, and ``a_second`` later on."""

    def __init__(
        self, burst: int, a_second: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst, self.a_second, self.timer = burst, a_second, timer
        self.left, self.at = float(burst), timer()

    def take(self, amount: int = 1) -> float:
        """Count ``amount``; return how many seconds it has to wait."""
        now = self.timer()
        self.left = min(self.burst, self.left + (now - self.at) * self.a_second) - amount
        self.at = now
        return max(0.0, -self.left / self.a_second)


class OpenPages:
    """Pages that are open now, each of which has a WebSocket, a session and a thread.

    Args:
        most: Pages of all visitors.
        most_of_address: Pages of one address.
        reserved: Places for members of the class alone, who may open pages although their address
            has no place left.
        later: Calls a function after some seconds.
    """

    def __init__(
        self,
        most: int,
        most_of_address: int,
        reserved: int = 0,
        later: Callable[[float, Callable[[], None]], object] | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.most_of_address, self.reserved = most, most_of_address, reserved
        self.later = later or (lambda wait, do: asyncio.get_running_loop().call_later(wait, do))
        self.timer = timer
        self.counts: Counter[str] = Counter()  # by address, or by member if the address has no more
        self.pace = Pace(PAGES_AT_ONCE, PAGES_A_SECOND, timer)
        self.waiting: dict[str, deque[Future[None]]] = {}  # by owner, who is next first
        self._admitting: Task[None] | None = None

    def find_place(self, address: str, find_member: Callable[[], str]) -> str:
        """Return under whom a further page counts; empty if there is no room for it."""
        total = self.counts.total()
        if self.counts[address] < self.most_of_address and total < self.most - self.reserved:
            return address
        if total >= self.most:
            return ""
        member = find_member()
        return member if member and self.counts[member] < PAGES_OF_MEMBER else ""

    @contextmanager
    def count(self, owner: str) -> Iterator[None]:
        """Count a page of ``owner`` while it is open, and at least for ``COUNTED_SECONDS``."""
        began = self.timer()
        self.counts[owner] += 1
        try:
            yield
        finally:
            if (rest := COUNTED_SECONDS - (self.timer() - began)) > 0:
                self.later(rest, lambda: self._free(owner))
            else:
                self._free(owner)

    async def wait(self, owner: str) -> None:
        """Wait until a page of ``owner`` may open: not too many at once, and owners in turn."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(owner, deque()).append(turn)
        if self._admitting is None or self._admitting.done():
            self._admitting = asyncio.create_task(self._admit())
        await turn

    async def _admit(self) -> None:
        while self.waiting:
            owner = next(iter(self.waiting))
            turns = self.waiting.pop(owner)
            turn = turns.popleft()
            if turns:
                self.waiting[owner] = turns  # behind the others
            await asyncio.sleep(self.pace.take())
            if not turn.done():
                turn.set_result(None)

    def _free(self, owner: str) -> None:
        self.counts[owner] -= 1
        if not self.counts[owner]:
            del self.counts[owner]


class RequestGuard:
    """ASGI middleware that refuses requests from other web pages and unwanted uploads.

    In local mode it also refuses what does not come from a browser on this machine. Streamlit would
    look up this server's public address on another server before it refuses a foreign Origin.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings | None = None,
        find_person: Callable[[str], str] = find_uploader,
        count_stored: Callable[[], dict[str, int]] = count_stored_bytes,
        limit_seconds: Callable[[int], float] = limit_upload_seconds,
    ) -> None:
        self.app = app
        self.given_settings = settings
        self.find_person = find_person  # who may upload, by session id; empty for others
        self.count_stored = count_stored  # bytes of uploaded files by session id
        self.limit_seconds = limit_seconds  # of an upload, by its bytes
        self.large_messages = Pace(LARGE_AT_ONCE, LARGE_A_SECOND)  # their bytes
        self.arriving: Counter[str] = Counter()  # bytes of unfinished uploads by person

    @cached_property
    def settings(self) -> Settings:
        """Settings of the server. Raises ConfigError."""
        return self.given_settings or Settings()

    @cached_property
    def pages(self) -> OpenPages:
        """Pages that are open now."""
        most, of_address = self.settings.pages, self.settings.pages_of_address
        has_members = self.settings.mode == Mode.CLASSROOM
        return OpenPages(most, of_address, most // 4 if has_members else 0)

    @cached_property
    def token(self) -> str:
        """Secret that a browser needs in local mode; empty if none is needed."""
        token = self.settings.token if self.settings.mode == Mode.LOCAL else ""
        return secrets.token_urlsafe(24) if token.lower() == "auto" else token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            self._print_address()
            await self.app(scope, receive, send)
            return
        try:
            _distrust_forwarded(scope)
            self._require_allowed_source(scope)
            if self.token and not self._has_token(scope):
                await self._set_token(scope)(scope, receive, send)
                return
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            await _refuse(refusal, scope, receive, send)
        except LoraLabError as error:
            unavailable = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            await _refuse(unavailable, scope, receive, send)

    def _print_address(self) -> None:
        with suppress(LoraLabError):  # the answer to every request says what is wrong
            if self.settings.mode == Mode.CLASSROOM:
                code = read_codes(open_store(self.settings, shared=self.settings.snapshot)).student
                print(describe_joining(code), flush=True)
            if self.token:
                address = f"http://localhost:{st.get_option('server.port')}"
                print(f"\n  Open {address}/?{TOKEN}={self.token}\n", flush=True)

    def _require_allowed_source(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self.settings.mode == Mode.LOCAL:
            peer = (scope.get("client") or ("",))[0]
            if sign := find_foreign_sign(headers, peer):
                raise Refusal(HTTPStatus.FORBIDDEN, f"{sign} {LOCAL_ADVICE}")
            return
        if scope["path"].endswith(METRICS):
            raise Refusal(HTTPStatus.NOT_FOUND, "Not found.")
        changes = scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD", "OPTIONS"}
        if changes and not _is_origin_allowed(headers):
            raise Refusal(HTTPStatus.FORBIDDEN, OTHER_PAGE)

    def _has_token(self, scope: Scope) -> bool:
        if scope["path"] == HEALTH:
            return True
        cookie = HTTPConnection(scope).cookies.get(_name_cookie(scope), "")
        return secrets.compare_digest(cookie.encode(), self.token.encode())

    def _set_token(self, scope: Scope) -> Response:
        """Return the answer that stores the token of the address in a cookie of the browser."""
        connection = HTTPConnection(scope)
        offered = connection.query_params.get(TOKEN, "")
        if not secrets.compare_digest(offered.encode(), self.token.encode()):
            raise Refusal(HTTPStatus.FORBIDDEN, TOKEN_ADVICE)
        url = connection.url.remove_query_params(TOKEN)
        answer = RedirectResponse(f"/{url.path.lstrip('/')}?{url.query}", HTTPStatus.SEE_OTHER)
        answer.set_cookie(_name_cookie(scope), self.token, httponly=True, samesite="strict")
        return answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if UPLOADS in path and scope.get("method") == "PUT":
            await self._receive_upload(scope, receive, send)
        elif path.endswith(visit_cookie.ROUTE) and self.settings.mode == Mode.CLASSROOM:
            response = await visit_cookie.answer(Request(scope, receive))
            await response(scope, receive, send)
        elif MEDIA in path:
            await self.app(scope, receive, _without_storing(send))
        elif scope["type"] == "websocket":
            with self.pages.count(owner := self._require_page(scope)):
                await self.pages.wait(owner)
                await self.app(scope, limit_messages(receive, self.large_messages), send)
        else:
            if _is_page(scope):
                self._require_page(scope)
            await self.app(scope, receive, send)

    def _require_page(self, scope: Scope) -> str:
        """Return under whom a further page counts. Raises Refusal if there is no room for it."""
        address = find_network((scope.get("client") or (UNKNOWN_ADDRESS,))[0])
        owner = self.pages.find_place(address, lambda: self._find_member(scope))
        if not owner:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, FULL, RETRY_SECONDS)
        return owner

    def _find_member(self, scope: Scope) -> str:
        """Return the id of the member of the class whose browser it is; empty for others."""
        if self.settings.mode != Mode.CLASSROOM:
            return ""
        connection = HTTPConnection(scope)
        token = visit_cookie.read_token(connection.cookies, connection.headers.get("host", ""))
        if not token:  # hundreds of these come at once
            return ""
        store = open_store(self.settings, shared=self.settings.snapshot)
        member = membership.find_remembered(store, token)
        return member.id if member else ""

    async def _receive_upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["path"].split(UPLOADS, 1)[1].split("/")[0]
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        # a body in chunks may be longer than the stated length
        if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "The request does not state its length.")
        person = self.find_person(session)
        if not person:
            raise Refusal(HTTPStatus.FORBIDDEN, "This visitor may not upload files.")
        self._require_room(person, int(length))
        arriving = Counter({person: int(length)})
        self.arriving += arriving
        try:
            async with asyncio.timeout(self.limit_seconds(int(length))):
                await self.app(scope, receive, send)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "The upload takes too long.") from None
        finally:
            self.arriving -= arriving

    def _require_room(self, person: str, length: int) -> None:
        if self.settings.mode == Mode.LOCAL:
            return
        stored = self.count_stored()
        own = self.arriving[person] + sum(
            size for session, size in stored.items() if self.find_person(session) == person
        )
        everyones = sum(stored.values()) + sum(self.arriving.values())
        file_bytes = max(length - FORM_BYTES, LEAST_OF_A_FILE)
        if own + file_bytes > MOST_OF_A_PERSON:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The files of one person may have {MOST_OF_A_PERSON // 10**6} MB in all.",
            )
        if everyones + file_bytes > MOST_OF_ALL:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Other visitors are uploading files. Try again in a minute.",
            )


def _distrust_forwarded(scope: Scope) -> None:
    """Forget the address of a request with X-Forwarded-For unless a proxy is configured.

    Without ``FORWARDED_ALLOW_IPS`` uvicorn believes every program on this machine.
    """
    if "x-forwarded-for" in Headers(scope=scope) and not os.environ.get("FORWARDED_ALLOW_IPS"):
        scope["client"] = (UNKNOWN_ADDRESS, 0)


def _name_cookie(scope: Scope) -> str:
    """Return the cookie's name: a browser sends a cookie to every port of a host."""
    host = Headers(scope=scope).get("host", "")
    return f"lora-lab-{TOKEN}-{host.rpartition(':')[2]}"


def _is_origin_allowed(headers: Headers) -> bool:
    """Return whether a page of this server sent the request, or no page did.

    Other origins are those that the administrator has listed, and the public name of the server if
    it is configured. A local name is not: other servers of the visitor's machine have it, too.
    """
    if not st.get_option("server.enableCORS"):
        return True
    host = headers.get("host", "")
    listed = {str(entry).rstrip("/") for entry in st.get_option("server.corsAllowedOrigins")}
    public = {str(st.get_option("browser.serverAddress")).lower()} - LOCAL_HOSTS
    return all(
        is_same_origin(origin, host)
        or origin in listed
        or read_host_name(origin.partition("://")[2]) in public
        for origin in headers.getlist("origin")
    )


def _without_storing(send: Send) -> Send:
    """Return ``send`` with an answer that no cache of a browser or proxy stores."""

    async def send_message(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Cache-Control"] = "no-store"
        await send(message)

    return send_message


def limit_messages(
    receive: Receive,
    large: Pace | None = None,
    timer: Callable[[], float] = time.monotonic,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Receive:
    """Return ``receive`` for a WebSocket with the messages of a page alone, and not too many.

    Other messages are dropped, and what is no message ends the connection. Streamlit reads messages
    without a pause, so that a flood of them would stop the server for everyone. ``large`` is the
    pace of the bytes of large messages of all pages; one that would wait too long ends the
    connection.
    """
    pace = Pace(MESSAGES_AT_ONCE, MESSAGES_A_SECOND, timer)
    of_all = large or Pace(LARGE_AT_ONCE, LARGE_A_SECOND, timer)

    async def receive_message() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            size = len(message.get("bytes") or b"")
            if size > MOST_OF_A_MESSAGE:
                return {"type": "websocket.disconnect", "code": 1009}
            seconds = pace.take()
            if size > LARGE_BYTES:
                seconds = max(seconds, of_all.take(size))
            if seconds > LONGEST_WAIT_SECONDS:
                of_all.left += size
                return {"type": "websocket.disconnect", "code": 1013}
            if seconds:
                await wait(seconds)
            content = _read_message(message.get("bytes"))
            if content is None:
                return {"type": "websocket.disconnect", "code": 1002}
            if _is_of_a_page(content):
                return message

    return receive_message


def _read_message(data: bytes | None) -> BackMsg | None:
    """Return the message of a browser; None for a text or what cannot be read."""
    try:
        return BackMsg.FromString(data) if data is not None else None
    except DecodeError:
        return None


def _is_of_a_page(message: BackMsg) -> bool:
    kind = message.WhichOneof("type")
    if kind == "backend_operation_request":
        return message.backend_operation_request.WhichOneof("payload") in OPERATIONS
    return (
        kind in MESSAGES
        and len(message.file_urls_request.file_names) <= MOST_FILE_NAMES
        and all(map(math.isfinite, _list_numbers(message)))
    )


def _list_numbers(message: BackMsg) -> Iterator[float]:
    """Yield the numbers of a rerun's widgets, which a page sends as finite ones.

    Streamlit 1.67 does not end a script with another one in a field for integers, and logs it.
    """
    for state in message.rerun_script.widget_states.widgets:
        yield state.double_value
        yield from state.double_array_value.data


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008})
        return
    with use(match_language(Headers(scope=scope).get("accept-language", "")) or ENGLISH):
        text = html.escape(translate(str(refusal)))
    page = f"<!doctype html><meta charset=utf-8><title>LoRA Lab</title><p>{text}</p>"
    again = {"Refresh": str(refusal.retry_seconds)} if refusal.retry_seconds else {}
    await HTMLResponse(page, refusal.status, again)(scope, receive, send)


def _is_page(scope: Scope) -> bool:
    """Return whether a browser asks for a page, and not for a file or an endpoint of it."""
    path = scope["path"]
    return (
        scope["method"] == "GET" and "." not in path and not RESOURCES.intersection(path.split("/"))
    )
