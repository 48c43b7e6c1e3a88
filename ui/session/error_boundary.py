"""The page boundary, which shows errors to the reader; one of two places that catch any
exception. What a script needs often is read once within it, and scripts take turns to enter it. A
tick that would draw what is shown already starts none.
"""

import errno
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import streamlit as st
from streamlit.runtime.fragment import FragmentStorage
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

from core.access import Action, is_allowed
from core.errors import ConfigError, LoraLabError, NotEnoughRoom, StoreDamaged
from core.settings import Settings
from core.translation import mark, translate
from ui.session.local_machine import find_local_visitor, read_address
from ui.text import plain

UNEXPECTED = mark(
    "Something went wrong (error {id}). See the server's log for details. Reload the page to try"
    " again."
)
FULL = NotEnoughRoom("The disk of this server is full.", "Free some space, then try again.")
READ_ONLY = ConfigError(
    "The disk of this server is read-only.", "Ask the administrator of this server to repair it."
)
UNWRITABLE = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY}

# scripts at the same time: Python runs one of them, and each call that lets others run, such as a
# read of a file, costs up to 5 ms for each other one. With four a page took 2 s in a flood of
# pages, with two 0.3 s
PLACES = 2
LONG_SECONDS = 0.25  # a script that waits for something else does not keep others out for longer
# between two looks of a waiting script whether its page is still open; hundreds of threads wait in
# a flood, and each that wakes keeps the event loop from the processor
READER_SECONDS = 2.0
WHO = "visitor"  # of the session: the member of a class

T = TypeVar("T")
log = logging.getLogger("ui")
_turn: ContextVar[Event | None] = ContextVar("turn", default=None)
_values: ContextVar[dict[Hashable, Any] | None] = ContextVar("values", default=None)


@dataclass(frozen=True, slots=True)
class Asker:
    """A visitor who waits: the id of a member of the class, else the address."""

    id: str
    is_member: bool = False


class AskerQueue(Generic[T]):
    """Queue in which members of the class and others alternate, and the visitors among each of
    them. Not thread-safe.

    A member waits for one item of those who open hundreds of pages without having joined, from
    however many addresses they come.
    """

    def __init__(self) -> None:
        # by whether they are members, and by id; what is next is first
        self._groups: dict[bool, dict[str, deque[T]]] = {True: {}, False: {}}

    def __len__(self) -> int:
        return sum(len(items) for group in self._groups.values() for items in group.values())

    def add(self, asker: Asker, item: T) -> None:
        """Add an item behind those of the visitor."""
        self._groups[asker.is_member].setdefault(asker.id, deque()).append(item)

    def remove(self, asker: Asker, item: T) -> None:
        """Remove an item if it waits."""
        group = self._groups[asker.is_member]
        if item in (items := group.get(asker.id, deque())):
            items.remove(item)
            if not items:
                del group[asker.id]

    def pop(self) -> T:
        """Remove the next item and return it. Raises IndexError if none waits."""
        for is_member, group in list(self._groups.items()):
            if group:
                asker = next(iter(group))
                items = group.pop(asker)
                item = items.popleft()
                if items:
                    group[asker] = items  # behind the others
                self._groups[is_member] = self._groups.pop(is_member)
                return item
        raise IndexError("nothing waits")


class ScriptTurns:
    """Places for scripts that run at the same time, given in turn to the visitors that wait.

    Streamlit starts a thread for each session. Six hundred of them left the server's event loop so
    little of the processor that it answered no one for half a minute. Visitors take turns, and so
    does each with the own scripts: one visitor's scripts delay those of others by one place. A
    script that takes longer than ``long_seconds`` no longer counts.
    """

    def __init__(
        self,
        places: int = PLACES,
        long_seconds: float = LONG_SECONDS,
        reader_seconds: float = READER_SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places, self.long_seconds, self.timer = places, long_seconds, timer
        self.reader_seconds = reader_seconds
        self._lock = Lock()
        self._began: dict[Event, float] = {}  # of the scripts that run
        self._waiting = AskerQueue[Event]()
        self._watched = False  # whether a thread admits scripts when another becomes a long one

    @contextmanager
    def take(self, asker: Asker, require_reader: Callable[[], object] = str) -> Iterator[None]:
        """Wait for a place, and free it at the end.

        ``require_reader`` is called while waiting and raises what ends a script that no one awaits.
        """
        turn = Event()
        with self._lock:
            self._waiting.add(asker, turn)
            self._admit()
            if self._waiting and not self._watched:
                self._start_watch()
        try:
            while not turn.wait(self.reader_seconds):
                require_reader()
            token = _turn.set(turn)
            try:
                yield
            finally:
                _turn.reset(token)
        finally:
            with self._lock:
                self._began.pop(turn, None)
                self._waiting.remove(asker, turn)
                self._admit()

    def give_way(self) -> None:
        """Free the place of this thread's script, which will wait for another process."""
        if turn := _turn.get():
            with self._lock:
                self._began.pop(turn, None)
                self._admit()

    def _start_watch(self) -> None:
        try:
            Thread(target=self._watch, name="turns", daemon=True).start()
        except RuntimeError as error:  # the system allows no more threads; the next script tries
            log.warning("scripts wait until others end: %s", error)
        else:
            self._watched = True

    def _watch(self) -> None:
        while True:
            time.sleep(self.long_seconds)
            with self._lock:
                self._admit()
                if not self._waiting:
                    self._watched = False
                    return

    def _admit(self) -> None:
        now = self.timer()
        counted = sum(now - began < self.long_seconds for began in self._began.values())
        while counted < self.places and self._waiting:
            turn = self._waiting.pop()
            self._began[turn] = now
            turn.set()
            counted += 1


SCRIPTS = ScriptTurns()
give_way = SCRIPTS.give_way


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The content that a fragment has drawn, and a function to read it again without a script."""

    value: object
    read_again: Callable[[], object]

    def has_news(self) -> bool:
        """Return whether a tick would draw something else."""
        return self.read_again() != self.value


class Ticks:
    """Contents of the fragments that draw themselves again every few seconds.

    Streamlit starts a thread for each tick and sends ten messages, 4 ms of processor time even if
    nothing is drawn. The server (``ui.app.server_start``) asks here first.
    """

    def __init__(self) -> None:
        self._shown: WeakKeyDictionary[FragmentStorage, dict[str, Shown]] = WeakKeyDictionary()

    @contextmanager
    def show(self, value: object, read_again: Callable[[], object]) -> Iterator[None]:
        """Remember what the current fragment shows once it is drawn, and until it is drawn again.

        ``read_again`` is called in another thread, without the state of a session. If it returns an
        equal value, a tick is left out.
        """
        place = _find_fragment()
        if place:
            self._known(place[0]).pop(place[1], None)
        yield
        if place:
            self._known(place[0])[place[1]] = Shown(value, read_again)

    def find(self, storage: FragmentStorage, fragment_id: str) -> Shown | None:
        """Return what a fragment of this session shows; None if it was not remembered."""
        return self._shown.get(storage, {}).get(fragment_id)

    def _known(self, storage: FragmentStorage) -> dict[str, Shown]:
        known = self._shown.setdefault(storage, {})
        for fragment_id in [name for name in known if not storage.contains(name)]:
            del known[fragment_id]  # of another page
        return known


TICKS = Ticks()


def _find_fragment() -> tuple[FragmentStorage, str] | None:
    """Return the session's fragments and the id of the one that is drawn; None outside of one."""
    context = get_script_run_ctx(suppress_warning=True)
    fragment_id = ThreadState.get().fragment_id if context else None
    return (context.fragment_storage, fragment_id) if context and fragment_id else None


@contextmanager
def boundary() -> Iterator[None]:
    """Show an error with its fix; an unexpected one gets an id, and its details go to the log.

    The script of a page, each tick of a fragment and each callback waits for its turn, and begins
    without the values of ``read_once``.
    """
    if _values.get() is not None:
        with _showing_errors():
            yield
        return
    with SCRIPTS.take(_find_asker(), _find_asker):
        token = _values.set({})
        try:
            with _showing_errors():
                yield
        finally:
            _values.reset(token)


def _find_asker() -> Asker:
    """Return the visitor of the page.

    Reading the state of a session whose page was closed or loaded again ends its script.
    """
    if get_script_run_ctx(suppress_warning=True) is None:
        return Asker("")
    member = st.session_state.get(WHO)
    return Asker(member.id, is_member=True) if member else Asker(read_address())


@contextmanager
def _showing_errors() -> Iterator[None]:
    try:
        yield
    except StoreDamaged as error:
        _show_damaged_store(error)
    except LoraLabError as error:
        show(error)
    except OSError as error:
        if (known := UNWRITABLE.get(error.errno or 0)) is None:
            _show_unexpected(error)
        else:
            log.warning("%s", error)
            show(known)
    except Exception as error:
        _show_unexpected(error)


def _show_unexpected(error: Exception) -> None:
    error_id = secrets.token_hex(4)
    log.error("error %s", error_id, exc_info=error)
    st.error(translate(UNEXPECTED, id=error_id))


def read_once(key: Hashable, read: Callable[[], T]) -> T:
    """Return what ``read`` returned for ``key`` earlier within the outermost boundary, else call
    it. Outside of a boundary it is called each time.
    """
    values = _values.get()
    if values is None:
        return read()
    if key not in values:
        values[key] = read()
    value: T = values[key]
    return value


def remember(key: Hashable, value: object) -> None:
    """Have ``read_once`` return ``value`` for ``key`` within the outermost boundary from now on."""
    values = _values.get()
    if values is not None:
        values[key] = value


def read_settings() -> Settings:
    """Return the settings of the server, read once within a boundary. Raises ConfigError."""
    return read_once("settings", Settings)


def show(error: LoraLabError) -> None:
    """Show the error's message and fix."""
    st.error(f"**{plain(error.message)}** {plain(error.fix)}", icon=":material/error:")


def _show_damaged_store(error: StoreDamaged) -> None:
    st.error(f"**{plain(error.message)}**", icon=":material/error:")

    visitor = find_local_visitor(Settings())  # class members are stored in the damaged file
    if not is_allowed(visitor, Action.REPAIR):
        st.caption(translate("Ask the administrator of this server to repair it."))
        return
    st.caption(
        "Repair renames the file and rebuilds the list of runs from their folders. Nothing is"
        " deleted."
    )
    if st.button("Repair database", key="repair", type="primary"):
        # keeps this module independent of the store it reports on
        from core.storage import recovery  # noqa: PLC0415

        restored, aside = recovery.repair(Settings(), visitor)
        st.toast(
            f"{restored:,} runs restored. The old file is"
            f" {plain(aside.name) if aside else 'unchanged'}."
        )
        st.rerun()
