"""Work of the server at its start, done once so that no visitor waits for it."""

import asyncio
import gc
import hashlib
import importlib
import logging
import pkgutil
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from threading import Lock, Timer
from typing import Protocol
from weakref import WeakKeyDictionary

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import (
    app_session,
    backend_operation_handler,
    get_instance,
    memory_media_file_storage,
)
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner import ScriptRunner
from streamlit.runtime.session_manager import ActiveSessionInfo, SessionClient
from streamlit.runtime.state.safe_session_state import SafeSessionState

import ui
from core.errors import LoraLabError
from ui.session.error_boundary import TICKS, WHO, Asker, AskerQueue, Shown, Ticks

PREPARE_AFTER_SECONDS = 2.0  # the first page has the processor until then
MESSAGES_TOGETHER = 100  # Streamlit closes the connection of a browser for which 500 wait
YOUNG_OBJECTS = 5_000  # that are new before they are searched for garbage
# how long a file can be fetched that no page refers to, and how much memory such files may take
FETCHED_WITHIN_SECONDS, MOST_RELEASED_BYTES = 60.0, 100_000_000


class Populate(Protocol):
    """Function that writes one section of the theme's options into a message."""

    def __call__(self, msg: CustomThemeConfig, section: str = "theme") -> None:
        """Write the section."""


log = logging.getLogger(__name__)


@asynccontextmanager
async def prepare(_app: object) -> AsyncIterator[None]:
    """Import the modules of all pages in a thread soon after the start of the server."""
    share_theme()
    setattr(SafeSessionState, "filtered_state", property(StateView))  # noqa: B010
    readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ticks")
    request_rerun = leave_out_ticks(AppSession.request_rerun, TICKS, readers.submit)
    setattr(AppSession, "request_rerun", request_rerun)  # noqa: B010
    starters = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
    start = start_aside(ScriptRunner.start, starters.submit, find_asker)
    setattr(ScriptRunner, "start", start)  # noqa: B010
    timer = Timer(PREPARE_AFTER_SECONDS, import_modules)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


def import_modules() -> None:
    """Import the modules of all pages with their libraries, which a first visit would wait for.

    What they consist of is never garbage. With them a search of all objects for garbage took 110 to
    290 ms, two or three times a minute with a class, and it stops all visitors.
    """
    for module in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def share_theme() -> None:
    """Have Streamlit build the message with the theme once.

    Streamlit 1.67 builds it from all options again for each script and each tick of every visitor:
    15 % of the server's processor time with a class. Other options need a restart of the server.
    """
    app_session._populate_theme_msg = share_messages(app_session._populate_theme_msg)


def share_messages(populate: Populate) -> Populate:
    """Return ``populate`` so that it is called once per section of the theme."""

    @cache
    def build(section: str) -> CustomThemeConfig:
        message = CustomThemeConfig()
        populate(message, section)
        return message

    def merge(msg: CustomThemeConfig, section: str = "theme") -> None:
        if (shared := build(section)).ByteSize():  # an empty one would count as set
            msg.MergeFrom(shared)

    return merge


def send_together() -> None:
    """Have Streamlit hand messages of scripts to browsers together.

    Streamlit 1.67 wakes the event loop twice for each message, and lets it run once after each one
    it sends, so that each is a write of its own; a page has a hundred. Call it before the app is
    created.
    """
    replace = {
        (AppSession, "_call_soon_on_event_loop"): gather(Calls()),
        (AppSession, "flush_browser_queue"): bundle(AppSession.flush_browser_queue),
        (Runtime, "_send_message"): send_each(Runtime._send_message),
        (Runtime, "_enqueued_some_message"): wake(Runtime._enqueued_some_message),
    }
    for (owner, name), function in replace.items():
        setattr(owner, name, function)


Flush = Callable[[AppSession], list[ForwardMsg]]
Send = Callable[[Runtime, ActiveSessionInfo, ForwardMsg], None]


def bundle(flush: Flush) -> Callable[[AppSession], list[list[ForwardMsg]]]:
    """Return ``flush`` so that it returns bundles of at most ``MESSAGES_TOGETHER`` messages."""

    def flush_bundles(session: AppSession) -> list[list[ForwardMsg]]:
        messages = flush(session)
        starts = range(0, len(messages), MESSAGES_TOGETHER)
        return [messages[start : start + MESSAGES_TOGETHER] for start in starts]

    return flush_bundles


def send_each(send: Send) -> Callable[[Runtime, ActiveSessionInfo, list[ForwardMsg]], None]:
    """Return ``send`` so that it sends each message of a bundle."""

    def send_bundle(
        runtime: Runtime, session: ActiveSessionInfo, messages: list[ForwardMsg]
    ) -> None:
        for message in messages:
            send(runtime, session, message)

    return send_bundle


def wake(enqueued: Callable[[Runtime], None]) -> Callable[[Runtime], None]:
    """Return ``enqueued`` so that it sets its event at once where the event loop itself calls."""

    def wake_sender(runtime: Runtime) -> None:
        known = runtime._get_async_objs()
        if asyncio._get_running_loop() is known.eventloop:
            known.need_send_data.set()
        else:
            enqueued(runtime)

    return wake_sender


class StateView(Mapping[str, object]):
    """The values of a session by key, read when they are asked for.

    Streamlit 1.67 copies all of them for each number field, list and text field, which asks for
    one. ``st.session_state.to_dict()`` returns such a view, too.
    """

    def __init__(self, state: SafeSessionState) -> None:
        self._state = state

    def __getitem__(self, key: str) -> object:
        with self._state._lock:
            value: object = self._state._state[key]
            return value

    def __iter__(self) -> Iterator[str]:
        with self._state._lock:
            return iter(self._state._state.filtered_state)

    def __len__(self) -> int:
        with self._state._lock:
            return len(self._state._state.filtered_state)


def gather(calls: "Calls") -> Callable[[AppSession, Callable[[], None]], None]:
    """Return a method with which a session has its event loop call a function."""

    def call_soon(session: AppSession, callback: Callable[[], None]) -> None:
        calls.add(session._event_loop, callback)

    return call_soon


class Calls:
    """Calls from the threads of scripts, in their order, for which the server's event loop wakes
    once.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._lock = Lock()

    def add(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """Have the event loop call ``callback``, unless it is closed."""
        with self._lock:
            self._waiting.append(callback)
            if len(self._waiting) > 1:
                return
        try:
            loop.call_soon_threadsafe(self._call, loop)
        except RuntimeError:  # the server ends
            with self._lock:
                self._waiting.clear()
            if not loop.is_closed():
                raise

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for callback in waiting:
            loop.call_soon(callback)  # the loop reports the error of one and calls the others


class DownloadStorage(MemoryMediaFileStorage):
    """Files for browsers, each at an address that only the visitor knows who was given it.

    Streamlit 1.67 drops a file that was written for a download after two scripts of any visitors:
    with five people, 9 of 20 downloads over a network with 200 ms were not found. Here it stays for
    ``FETCHED_WITHIN_SECONDS``. It also derives the address from the content, of a large file from
    three parts of it: a user who knows a content knows its address, and a file with another line in
    between is taken for the one before.
    """

    def __init__(self, media_endpoint: str, timer: Callable[[], float] = time.monotonic) -> None:
        super().__init__(media_endpoint)
        self._timer = timer
        self._secret = secrets.token_bytes(32)
        self._released: dict[str, float] = {}  # when, by id, the first one first
        self._lock = Lock()

    def load_and_get_id(
        self,
        path_or_data: str | bytes,
        mimetype: str,
        kind: MediaFileKind,
        filename: str | None = None,
    ) -> str:
        """Store a file and return its id, which is the same for the same file."""
        data = self._read_file(path_or_data) if isinstance(path_or_data, str) else path_or_data
        digest = hashlib.blake2b(data, key=self._secret, digest_size=16)
        digest.update(repr((mimetype, filename)).encode())
        file_id = digest.hexdigest()
        with self._lock:
            self._released.pop(file_id, None)
            self._files_by_id.setdefault(file_id, MemoryFile(data, mimetype, kind, filename))
            self._drop_released()
        return file_id

    def get_file(self, filename: str) -> MemoryFile:
        """Return the file. Raises MediaFileStorageError if there is none."""
        with self._lock:
            self._drop_released()
        return super().get_file(filename)

    def delete_file(self, file_id: str) -> None:
        """Release a file that no page refers to."""
        with self._lock:
            if file_id in self._files_by_id:
                self._released.setdefault(file_id, self._timer())
            self._drop_released()

    def _drop_released(self) -> None:
        """Drop files that were released too long ago, and the first ones of too many."""
        size = sum(self._files_by_id[file_id].content_size for file_id in self._released)
        for file_id, at in list(self._released.items()):
            if self._timer() - at <= FETCHED_WITHIN_SECONDS and size <= MOST_RELEASED_BYTES:
                return
            del self._released[file_id]
            size -= self._files_by_id.pop(file_id).content_size


def keep_downloads() -> None:
    """Have Streamlit use ``DownloadStorage``. Call it before the app is created."""
    memory_media_file_storage.MemoryMediaFileStorage = DownloadStorage  # type: ignore[misc]
    logging.getLogger(backend_operation_handler.__name__).addFilter(shorten)


def shorten(record: logging.LogRecord) -> bool:
    """Log a download that failed for a known reason on one line, without its traceback.

    The button was drawn again or never existed, or what it downloads was deleted meanwhile.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, MediaFileStorageError) and (
        error.__cause__ is None or isinstance(error.__cause__, LoraLabError | FileNotFoundError)
    ):
        record.exc_info = None
    return True


def start_aside(
    start: Callable[[ScriptRunner], None],
    submit: Callable[[Callable[[], None]], object],
    find: Callable[[ScriptRunner], Asker],
) -> Callable[[ScriptRunner], None]:
    """Return ``start``, which starts the thread of a script, so that ``submit`` has another thread
    call it, in turn for the visitors that ``find`` returns.

    Starting a thread waits until it runs, for which it needs its turn among all running threads. In
    a flood of pages the event loop, which answers everyone, must not wait in this way, nor must one
    visitor's script wait for all threads of another.
    """
    waiting, lock = AskerQueue[ScriptRunner](), Lock()

    def start_next() -> None:
        with lock:
            runner = waiting.pop()
        try:
            start(runner)
        except RuntimeError as error:  # the system allows no more threads
            log.error("a script could not be started: %s", error)

    def start_later(runner: ScriptRunner) -> None:
        with lock:
            waiting.add(find(runner), runner)
        submit(start_next)

    return start_later


def find_asker(
    runner: ScriptRunner,
    find_client: Callable[[str], SessionClient | None] = lambda id: get_instance().get_client(id),
) -> Asker:
    """Return the visitor whose script it is.

    The state is read without its lock, which another script of the session may hold: a member may
    then count as a visitor who has not joined, for this start.
    """
    try:
        member = runner._session_state._state[WHO]
    except KeyError:
        member = None
    if member:
        return Asker(member.id, is_member=True)
    client = find_client(runner._session_id)
    context = client.client_context if client else None
    return Asker(context.remote_ip or "" if context else "")


RequestRerun = Callable[[AppSession, ClientState | None], None]


def leave_out_ticks(
    request_rerun: RequestRerun, ticks: Ticks, submit: Callable[[Callable[[], None]], object]
) -> RequestRerun:
    """Return ``request_rerun`` so that it ignores a tick that would draw what is shown already.

    ``submit`` calls a function in another thread, which finds whether it would: the event loop
    does not wait for it. A tick is forgotten if the visitor does something meanwhile, because it
    contains the values that all widgets had before that.
    """
    actions: WeakKeyDictionary[AppSession, int] = WeakKeyDictionary()
    pending: set[Shown] = set()

    def request(session: AppSession, state: ClientState | None) -> None:
        shown = None
        if state and state.is_auto_rerun:
            shown = ticks.find(session._fragment_storage, state.fragment_id)
        else:
            actions[session] = actions.get(session, 0) + 1
        if shown is None:
            request_rerun(session, state)
            return
        known, loop = actions.get(session, 0), asyncio.get_running_loop()

        def draw() -> None:
            if actions.get(session, 0) == known:
                request_rerun(session, state)

        if shown not in pending:
            pending.add(shown)
            submit(lambda: look(shown, lambda: loop.call_soon_threadsafe(draw)))

    def look(shown: Shown, draw: Callable[[], object]) -> None:
        news = True  # also if that cannot be read: the page says so
        try:
            news = shown.has_news()
        finally:
            pending.discard(shown)
            if news:
                draw()

    return request
