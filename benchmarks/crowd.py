"""A simulated visitor that uses the server's protocol as a browser does, but draws nothing."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import httpx
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import BackendOperationResponse, ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PAGE_TIMEOUT_SECONDS = 60.0  # a page that takes longer counts as an error
HEARTBEAT_SECONDS = 20.0
TICKET = re.compile(r'body: "([\w-]+)"')  # of the cookie, in the script of the page


class Lost(Exception):
    """The server did not answer, or closed the connection."""


@dataclass
class Times:
    """Measurements of all simulated visitors: reruns in milliseconds by action, live ticks, and
    error messages. ``requested`` also counts ticks that the server does not answer, as it had no
    news.
    """

    reruns: dict[str, list[float]] = field(default_factory=dict)
    ticks: list[float] = field(default_factory=list)
    requested: int = 0
    errors: list[str] = field(default_factory=list)

    def list_reruns(self) -> list[float]:
        """Return the milliseconds of all reruns, whatever their action."""
        return [time for some in self.reruns.values() for time in some]


class Person:
    """One session.

    A rerun is timed from the request to the end of the script, on the client's side. ``pace`` is
    the number of seconds between two ticks of a fragment, whatever the page requests; 0 for none.
    """

    source = ""  # address of the visitor; the usual one of this machine if empty

    def __init__(
        self, address: str, times: Times, cookie: str = "", pace: float | None = None
    ) -> None:
        self.address, self.times, self.cookie, self.pace = address, times, cookie, pace
        self.query, self.page = "", ""
        self.widgets: dict[str, WidgetState] = {}
        self.widget_ids: dict[str, str] = {}  # by the widget's key
        self.fragments: dict[str, str] = {}  # of widgets inside a fragment, by the widget's id
        self.pages: dict[str, str] = {}  # hash by name in the URL
        self.files: dict[str, str] = {}  # what a download button asks for, by the button's key
        self.session = ""
        self.key, self.ticket = "", ""
        self.title = ""  # of the page as it was drawn last
        self.launched = False
        self._cached: dict[str, ForwardMsg] = {}
        self._ticking: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._asked: dict[str, float] = {}
        self._done = asyncio.Event()
        self._awaited = ""  # the fragment that an action reruns
        self._socket: ClientConnection | None = None
        self._answers: asyncio.Queue[BackendOperationResponse] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._socket = await connect(
            f"ws://{self.address}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            additional_headers={"Cookie": self.cookie} if self.cookie else None,
            max_size=None,
            local_addr=(self.source, 0) if self.source else None,
        )
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in [*self._tasks, *(task for _, task in self._ticking.values())]:
            task.cancel()
        assert self._socket
        await self._socket.close()

    async def open(self, page: str, query: str = "") -> None:
        """Open a page, as a click on its link does. A page without a heading counts as an error."""
        self.page, self.query = self.pages.get(page, ""), query
        self.widgets.clear()
        self.widget_ids.clear()
        self._quiet()
        self.title = ""
        await self.rerun(f"open {page or 'home'}")
        if not self.title:
            self.times.errors.append(f"{page or 'home'} has no heading")

    async def fetch_cookie(self) -> None:
        """Fetch the cookie with which a browser stays joined, as the script of the page does."""
        route = f"http://{self.address}/_lab/visit"
        async with httpx.AsyncClient() as client:
            origin = {"Origin": f"http://{self.address}"}
            await client.post(route, content=self.ticket, headers=origin)
            await client.get(route, params={"ticket": self.ticket})
            self.cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())

    async def fill(self, key: str, value: str, description: str = "") -> None:
        """Type into a field.

        With ``what`` the page is rerun and timed under that name; without it the field belongs to a
        form.
        """
        state = WidgetState(id=self.find(key))
        state.string_value = value
        self.widgets[state.id] = state
        if description:
            await self._rerun_around(state, description)

    async def choose(self, key: str, value: str, description: str) -> None:
        """Choose a segment or an entry of a list."""
        state = WidgetState(id=self.find(key))
        state.string_array_value.data.append(value)
        self.widgets[state.id] = state
        await self._rerun_around(state, description)

    async def slide(self, key: str, value: float, description: str) -> None:
        """Move a slider."""
        state = WidgetState(id=self.find(key))
        state.double_array_value.data.append(value)
        self.widgets[state.id] = state
        await self._rerun_around(state, description)

    async def click(self, key: str, description: str) -> None:
        """Click a button."""
        state = WidgetState(id=self.find(key), trigger_value=True)
        await self._rerun_around(state, description, state)

    async def request_file(self, file_id: str) -> str:
        """Have the server write a file for a download, and return its address; empty if refused."""
        message = BackMsg()
        request = message.backend_operation_request
        request.request_id, request.session_id = secrets.token_hex(4), self.session
        request.deferred_file.file_id = file_id
        assert self._socket
        await self._socket.send(message.SerializeToString())
        answer = await asyncio.wait_for(self._answers.get(), PAGE_TIMEOUT_SECONDS)
        return answer.deferred_file.url

    async def _rerun_around(
        self, state: WidgetState, description: str, trigger: WidgetState | None = None
    ) -> None:
        """Rerun the fragment of a widget, or the page if it is in none, as a browser does."""
        await self.rerun(description, trigger, self.fragments.get(state.id, ""))

    async def rerun(
        self, description: str, trigger: WidgetState | None = None, fragment: str = ""
    ) -> None:
        """Run the page's script, or only ``fragment``, and wait for its end. Raises Lost."""
        self._done.clear()
        self._awaited = fragment
        began = time.perf_counter()
        await self._send(fragment, trigger, live=False)
        try:
            await asyncio.wait_for(self._done.wait(), PAGE_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise Lost(f"{description}: no end after {PAGE_TIMEOUT_SECONDS:.0f} s") from error
        self.times.reruns.setdefault(description, []).append(1000 * (time.perf_counter() - began))

    def find(self, key: str) -> str:
        """Return the id of the widget with this key. Raises Lost if the page has none."""
        if key not in self.widget_ids:
            raise Lost(
                f"no widget {key!r} on {self.title} ({self.query}); there are"
                f" {', '.join(sorted(self.widget_ids))}"
            )
        return self.widget_ids[key]

    def has(self, key: str) -> bool:
        """Return whether the page has drawn such a widget in this session."""
        return key in self.widget_ids

    async def _send(
        self, fragment: str = "", trigger: WidgetState | None = None, live: bool = True
    ) -> None:
        message = BackMsg()
        ask = message.rerun_script
        ask.query_string, ask.page_script_hash, ask.fragment_id = self.query, self.page, fragment
        ask.is_auto_rerun = bool(fragment) and live
        ask.context_info.timezone, ask.context_info.locale = "Europe/Berlin", "en-GB"
        ask.cached_message_hashes.extend(self._cached)
        ask.widget_states.widgets.extend([*self.widgets.values(), *([trigger] if trigger else [])])
        assert self._socket
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed as error:
            raise Lost("the server closed the connection") from error

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            assert self._socket
            await self._socket.send(BackMsg(app_heartbeat=True).SerializeToString())

    async def _tick(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self._asked[fragment] = time.perf_counter()
            self.times.requested += 1
            await self._send(fragment)

    async def _listen(self) -> None:
        assert self._socket
        try:
            async for payload in self._socket:
                assert isinstance(payload, bytes)
                self._read(ForwardMsg.FromString(payload))
        except ConnectionClosed:
            self.times.errors.append("the server closed the connection")

    def _read(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            known = self._cached.get(message.ref_hash)
            if known is None:
                self.times.errors.append("the server refers to a message that was not sent")
                return
            message, kind = known, known.WhichOneof("type")
        elif message.metadata.cacheable:
            self._cached[message.hash] = message
        if read := self._readers.get(str(kind)):
            read(self, message)

    def _read_session(self, message: ForwardMsg) -> None:
        self.session = message.new_session.initialize.session_id or self.session
        if (
            not message.metadata.run.fragment_ids
        ):  # the whole page is drawn again: what ticked on it is asked to tick again
            self._quiet()

    def _read_navigation(self, message: ForwardMsg) -> None:
        self.pages = {
            page.url_pathname: page.page_script_hash for page in message.navigation.app_pages
        }
        self.page = message.navigation.page_script_hash

    def _read_page(self, message: ForwardMsg) -> None:
        self.query = message.page_info_changed.query_string

    def _read_delta(self, message: ForwardMsg) -> None:
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "heading" and element.heading.tag == "h1":
            self.title = element.heading.body
        elif kind == "exception":
            self.times.errors.append(f"{element.exception.type}: {element.exception.message}"[:200])
        elif kind == "alert" and element.alert.format == Alert.ERROR:
            self.times.errors.append(element.alert.body[:200])
        elif kind == "download_button" and element.download_button.deferred_file_id:
            key = element.download_button.id.split("-", 2)[-1]
            self.files[key] = element.download_button.deferred_file_id
        elif kind == "html" and (ticket := TICKET.search(element.html.body)):
            self.ticket = ticket[1]
        elif kind == "code" and not self.key and element.code.code_text.count("-") == 3:
            self.key = element.code.code_text
        widget_id = str(getattr(getattr(element, str(kind), None), "id", ""))
        if widget_id.startswith("$$ID-"):
            self.widget_ids[widget_id.split("-", 2)[-1]] = widget_id
            self.fragments[widget_id] = message.delta.fragment_id

    def _read_pace(self, message: ForwardMsg) -> None:
        fragment, seconds = message.auto_rerun.fragment_id, message.auto_rerun.interval
        if self.pace == 0:
            return
        seconds = self.pace or seconds
        known = self._ticking.get(fragment)
        if known and known[0] == seconds:
            return
        self._stop(fragment)
        self._ticking[fragment] = (seconds, asyncio.create_task(self._tick(fragment, seconds)))

    def _read_stop(self, message: ForwardMsg) -> None:
        for fragment in message.stop_auto_rerun.fragment_ids:
            self._stop(fragment)

    def _quiet(self) -> None:
        for fragment in list(self._ticking):
            self._stop(fragment)

    def _stop(self, fragment: str) -> None:
        self._asked.pop(fragment, None)
        if known := self._ticking.pop(fragment, None):
            known[1].cancel()

    def _read_end(self, message: ForwardMsg) -> None:
        fragments = message.metadata.run.fragment_ids
        if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.times.errors.append("a script does not compile")
        elif message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._done.set()  # one that ends early is followed by the rerun it asked for
        elif fragments:
            # the server marks the end of a fragment as early if it has not yet sent it, with all
            # that was drawn, when a tick of another fragment begins
            now = time.perf_counter()
            for ticked in self._asked.keys() & set(fragments):
                self.times.ticks.append(1000 * (now - self._asked.pop(ticked)))
            if self._awaited in fragments:
                self._done.set()
        if not fragments:
            self._asked.clear()

    def _read_answer(self, message: ForwardMsg) -> None:
        self._answers.put_nowait(message.backend_operation_response)

    _readers: dict[str, Callable[["Person", ForwardMsg], None]] = {
        "new_session": _read_session,
        "navigation": _read_navigation,
        "page_info_changed": _read_page,
        "delta": _read_delta,
        "auto_rerun": _read_pace,
        "stop_auto_rerun": _read_stop,
        "script_finished": _read_end,
        "backend_operation_response": _read_answer,
    }
