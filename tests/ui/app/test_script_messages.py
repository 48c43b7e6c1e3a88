"""Requests that arrive while the messages of an ended script are on the way."""

import inspect
from collections.abc import Callable
from typing import cast

import pytest
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from ui.app.script_messages import deliver_before_replacing

MOVE, TICK = RerunData(query_string="move"), RerunData(query_string="tick")


class Runner:
    """A script that has ended, or still accepts requests."""

    def __init__(self, accepts: bool) -> None:
        self.accepts = accepts
        self.accepted: list[RerunData] = []

    def request_rerun(self, request: RerunData) -> bool:
        if self.accepts:
            self.accepted.append(request)
        return self.accepts


class Loop:
    """An event loop whose time passes on request."""

    def __init__(self) -> None:
        self.later: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def call_later(self, seconds: float, function: Callable[..., None], *args: object) -> None:
        self.later.append((function, args))

    def wait(self) -> None:
        """Run what is due."""
        due, self.later = self.later, []
        for function, args in due:
            function(*args)


class Session:
    """The parts of a session of Streamlit that start scripts."""

    def __init__(self) -> None:
        self._scriptrunner: Runner | None = None
        self._state = AppSessionState.APP_NOT_RUNNING
        self._event_loop = Loop()
        self.started: list[RerunData] = []

    def _create_scriptrunner(self, request: RerunData) -> None:
        self.started.append(request)
        self._scriptrunner = Runner(accepts=True)


@pytest.fixture
def session() -> Session:
    patched = type("Patched", (Session,), {})
    deliver_before_replacing(cast(type[AppSession], patched))
    return cast(Session, patched())


def test_a_session_without_a_script_starts_one_at_once(session: Session) -> None:
    session._create_scriptrunner(MOVE)

    assert session.started == [MOVE]


def test_a_request_waits_until_the_ended_script_is_released(session: Session) -> None:
    session._scriptrunner = Runner(accepts=False)

    session._create_scriptrunner(TICK)
    session._event_loop.wait()
    assert session.started == [], "its messages would be dropped"
    session._scriptrunner = None  # by its last message
    session._event_loop.wait()

    assert session.started == [TICK]
    assert session._event_loop.later == []


def test_two_requests_that_wait_share_one_script(session: Session) -> None:
    session._scriptrunner = Runner(accepts=False)
    session._create_scriptrunner(TICK)
    session._create_scriptrunner(MOVE)

    session._scriptrunner = None
    session._event_loop.wait()

    assert session.started == [TICK]
    assert session._scriptrunner is not None
    assert session._scriptrunner.accepted == [MOVE]


def test_a_session_that_is_shutting_down_starts_nothing(session: Session) -> None:
    session._scriptrunner = Runner(accepts=False)
    session._create_scriptrunner(TICK)

    session._scriptrunner, session._state = None, AppSessionState.SHUTDOWN_REQUESTED
    session._event_loop.wait()

    assert session.started == []


def test_the_installed_streamlit_has_the_parts() -> None:
    source = inspect.getsource(AppSession)

    for name in ("_scriptrunner", "_event_loop", "_state"):
        assert f"self.{name}" in source
    assert "self._create_scriptrunner(rerun_data)" in source
    assert "if sender is not self._scriptrunner:" in source, "it may not drop messages any more"
