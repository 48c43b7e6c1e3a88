"""The server imports the modules of all pages, builds the message with the theme once, sends
messages together, and leaves out ticks without news.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from streamlit import config
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.scriptrunner import ScriptRunner
from streamlit.runtime.state import SafeSessionState, SessionState

from core.access import Role, Visitor
from tests.support.event_loop import run_in_thread
from ui.app.server_start import (
    MESSAGES_TOGETHER,
    Calls,
    StateView,
    bundle,
    find_asker,
    gather,
    leave_out_ticks,
    send_each,
    share_messages,
    start_aside,
    wake,
)
from ui.session.error_boundary import WHO, Asker, Shown, Ticks

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, gc, sys
from ui.app import server_start

async def serve():
    async with server_start.prepare(None):
        before = "ui.runs.detail" in sys.modules
    return before

print(asyncio.run(serve()), "ui.runs.detail" in sys.modules)
server_start.import_modules()
print("ui.runs.detail" in sys.modules, "altair" in sys.modules, "torch" in sys.modules)
print(gc.get_freeze_count() > 10 * len(gc.get_objects()))
"""


def test_the_modules_of_all_pages_are_imported_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    # a server that ends at once imports nothing; what was imported is not searched for garbage
    assert done.stdout.split() == ["False", "False", "True", "True", "False", "True"]


SECTIONS = ("", ".light", ".dark", ".sidebar", ".light.sidebar", ".dark.sidebar")


@pytest.mark.parametrize("part", SECTIONS)
def test_the_shared_theme_is_the_one_that_streamlit_builds(part: str) -> None:
    section = f"theme{part}"
    config.get_config_options(force_reparse=True)
    expected, first, second = CustomThemeConfig(), CustomThemeConfig(), CustomThemeConfig()
    app_session._populate_theme_msg(expected, section)
    populate = share_messages(app_session._populate_theme_msg)

    populate(first, section)
    populate(second, section)

    assert expected.SerializeToString() == first.SerializeToString() == second.SerializeToString()


def test_a_section_of_the_theme_is_built_once() -> None:
    sections = list[str]()

    def build(msg: CustomThemeConfig, section: str = "theme") -> None:
        sections.append(section)
        msg.primary_color = "#0072B2"

    populate, message = share_messages(build), CustomThemeConfig()
    for _ in range(3):
        populate(message)
        populate(message.dark, "theme.dark")

    assert sections == ["theme", "theme.dark"]
    assert message.dark.primary_color == "#0072B2"


def test_a_section_without_options_stays_unset() -> None:
    message = CustomThemeConfig()

    share_messages(lambda msg, section="theme": None)(message.sidebar, "theme.sidebar")

    assert not message.HasField("sidebar")


TICK = ClientState(fragment_id="lines", is_auto_rerun=True)
CLICK = ClientState(query_string="click")


class Session:
    """Stand-in for a session of Streamlit with one fragment."""

    def __init__(self) -> None:
        self._fragment_storage = MemoryFragmentStorage()


class OneFragment(Ticks):
    """Ticks of a fragment that shows 1 and would draw what ``read_again`` returns."""

    def __init__(self, read_again: Callable[[], object]) -> None:
        super().__init__()
        self.shown = Shown(1, read_again)

    def find(self, storage: object, fragment_id: str) -> Shown | None:
        return self.shown if fragment_id == "lines" else None


def request(read_again: Callable[[], object], *states: ClientState) -> list[ClientState]:
    """Return the requests that reach Streamlit; those after a tick are made while it is read."""
    reached, submitted = list[ClientState](), list[Callable[[], None]]()

    def reach(_session: Any, state: ClientState | None) -> None:
        assert state
        reached.append(state)

    async def make_requests() -> None:
        session: Any = Session()
        rerun = leave_out_ticks(reach, OneFragment(read_again), submitted.append)
        for state in states:
            rerun(session, state)
        for read in submitted:
            with suppress(ZeroDivisionError):  # a thread of the server drops the error
                read()
        await asyncio.sleep(0)

    run_in_thread(make_requests())
    return reached


def test_a_tick_without_news_starts_no_script() -> None:
    assert request(lambda: 1, TICK) == []


def test_a_tick_with_news_draws_them() -> None:
    assert request(lambda: 2, TICK) == [TICK]


def test_ticks_of_one_fragment_are_read_once_at_a_time() -> None:
    assert request(lambda: 2, TICK, TICK, TICK) == [TICK]


def test_a_tick_that_cannot_be_read_is_drawn_so_that_the_page_says_why() -> None:
    assert request(lambda: 1 / 0, TICK) == [TICK]


def test_what_a_visitor_does_is_never_left_out() -> None:
    assert request(lambda: 1, CLICK, CLICK) == [CLICK, CLICK]


def test_a_tick_of_an_unknown_fragment_is_drawn() -> None:
    other = ClientState(fragment_id="other", is_auto_rerun=True)

    assert request(lambda: 1, other) == [other]


def test_a_tick_does_not_restore_the_widgets_of_before_a_click() -> None:
    assert request(lambda: 2, TICK, CLICK) == [CLICK]


def test_the_event_loop_does_not_wait_for_the_thread_of_a_script_to_start() -> None:
    runner, started = ScriptRunner.__new__(ScriptRunner), list[ScriptRunner]()
    submitted = list[Callable[[], None]]()

    start_aside(started.append, submitted.append, lambda _runner: Asker(""))(runner)

    assert not started
    submitted[0]()
    assert started == [runner]


def test_scripts_are_started_in_turn_for_visitors() -> None:
    order, submitted = list[str](), list[Callable[[], None]]()
    owners = {ScriptRunner.__new__(ScriptRunner): name for name in ("flood", "flood ", "ada")}
    start = start_aside(
        lambda runner: order.append(owners[runner]),
        submitted.append,
        lambda runner: Asker(owners[runner].strip(), is_member=owners[runner] == "ada"),
    )

    for runner in owners:
        start(runner)
    for start_next in submitted:
        start_next()

    assert order == ["ada", "flood", "flood "]


def test_a_script_is_of_a_member_or_of_an_address() -> None:
    runner, state = ScriptRunner.__new__(ScriptRunner), SessionState()
    runner._session_id, runner._session_state = "s", SafeSessionState(state, lambda: None)
    client = SimpleNamespace(client_context=SimpleNamespace(remote_ip="192.0.2.1"))

    before = find_asker(runner, {"s": client}.get)
    closed = find_asker(runner, lambda _session: None)
    state[WHO] = Visitor("ada", "Ada", Role.STUDENT)
    joined = find_asker(runner, lambda _session: None)

    assert (before, closed) == (Asker("192.0.2.1"), Asker(""))
    assert joined == Asker("ada", is_member=True)


def test_a_script_that_cannot_be_started_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_runner: ScriptRunner) -> None:
        raise RuntimeError("can't start new thread")

    runner = ScriptRunner.__new__(ScriptRunner)
    start_aside(refuse, lambda start: start(), lambda _runner: Asker(""))(runner)

    assert "can't start new thread" in caplog.text


def test_the_server_starts_scripts_in_another_thread() -> None:
    code = """
import asyncio
from streamlit.runtime.scriptrunner import ScriptRunner
from ui.app import server_start
async def run():
    async with server_start.prepare(None):
        return ScriptRunner.start.__qualname__
assert "start_aside" in asyncio.run(run())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_messages_are_sent_in_bundles_and_in_their_order() -> None:
    sent = list[Any]()
    messages: list[Any] = list(range(2 * MESSAGES_TOGETHER + 1))
    session: Any = None
    send = send_each(lambda _runtime, _session, message: sent.append(message))

    bundles = bundle(lambda _session: messages)(session)
    for some in bundles:
        send(session, session, some)

    assert [len(some) for some in bundles] == [MESSAGES_TOGETHER, MESSAGES_TOGETHER, 1]
    assert sent == messages
    assert bundle(lambda _session: [])(session) == []


def test_the_event_loop_wakes_once_for_the_calls_that_wait() -> None:
    called, failed = list[str](), list[Exception]()

    async def call() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
        session: Any = type("", (), {"_event_loop": loop, "call_soon": gather(Calls())})()
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wakes:
            session.call_soon(lambda: called.append("first"))
            session.call_soon(lambda: 1 // 0)  # the others are called
            session.call_soon(lambda: called.append("last"))
            assert called == []
            await asyncio.sleep(0.01)
            assert called == ["first", "last"]
            session.call_soon(lambda: called.append("later"))
            await asyncio.sleep(0.01)
            return wakes.call_count

    assert run_in_thread(call()) == 2
    assert called == ["first", "last", "later"]
    assert [type(error) for error in failed] == [ZeroDivisionError]


def test_calls_of_a_closed_event_loop_are_dropped() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    calls, called = Calls(), list[str]()
    calls.add(closed, lambda: called.append("ended"))

    async def call() -> None:
        calls.add(asyncio.get_running_loop(), lambda: called.append("other"))
        await asyncio.sleep(0.01)

    run_in_thread(call())
    assert called == ["other"]


def test_messages_of_the_event_loop_wake_the_sender_without_another_call() -> None:
    requests = list[Any]()

    class Known:
        def __init__(self) -> None:
            self.eventloop, self.need_send_data = asyncio.get_running_loop(), asyncio.Event()

    async def enqueue() -> bool:
        known = Known()
        runtime: Any = type("", (), {"_get_async_objs": lambda self: known})()
        note = wake(requests.append)
        await asyncio.to_thread(note, runtime)
        assert len(requests) == 1 and not known.need_send_data.is_set()
        note(runtime)
        return known.need_send_data.is_set()

    assert run_in_thread(enqueue())
    assert len(requests) == 1


def test_the_view_of_a_session_has_the_values_that_streamlit_would_copy() -> None:
    state = SessionState()
    state["rank"], state["name"] = 8, None
    safe = SafeSessionState(state, lambda: None)

    view = StateView(safe)

    assert dict(view) == state.filtered_state == {"rank": 8, "name": None}
    assert "name" in view and view["name"] is None
    assert "other" not in view
    assert len(view) == 2
