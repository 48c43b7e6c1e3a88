"""Values that a script needs often: read once within its outermost boundary, again in the next;
scripts that take turns; and what fragments show.
"""

import time
from contextlib import ExitStack
from itertools import count
from threading import Event, Thread

import pytest
from streamlit.testing.v1 import AppTest

from ui.session.error_boundary import (
    SCRIPTS,
    Asker,
    AskerQueue,
    ScriptTurns,
    boundary,
    read_once,
)


def test_a_value_is_read_once_within_the_outermost_boundary() -> None:
    numbers = count()

    with boundary():
        first = read_once("number", lambda: next(numbers))
        with boundary():
            inner = read_once("number", lambda: next(numbers))
        last = read_once("number", lambda: next(numbers))

    assert (first, inner, last) == (0, 0, 0)


def test_the_next_script_reads_again() -> None:
    numbers = count()

    for expected in range(3):
        with boundary():
            assert read_once("number", lambda: next(numbers)) == expected


def test_a_script_that_ends_early_leaves_no_value() -> None:
    class Ending(BaseException):
        """Ends a script, as Streamlit's exceptions do."""

    with pytest.raises(Ending), boundary():
        read_once("number", lambda: 1)
        raise Ending

    assert read_once("number", lambda: 2) == 2


def test_without_a_boundary_each_call_reads() -> None:
    numbers = count()

    assert [read_once("number", lambda: next(numbers)) for _ in range(3)] == [0, 1, 2]


def test_an_error_is_not_stored() -> None:
    def fail() -> int:
        raise ValueError

    with boundary():
        with pytest.raises(ValueError, match=""):
            read_once("number", fail)
        assert read_once("number", lambda: 1) == 1


class Script:
    """A thread that takes a turn and holds it until its end."""

    def __init__(
        self, turns: ScriptTurns, visitor: str, order: list[str], is_member: bool = False
    ) -> None:
        self.ended = Event()

        def run() -> None:
            with turns.take(Asker(visitor, is_member)):
                order.append(visitor)
                self.ended.wait(10)

        self.thread = Thread(target=run, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """End the script."""
        self.ended.set()
        self.thread.join(10)


def wait_for(turns: ScriptTurns, waiting: int) -> None:
    """Wait until this many scripts wait for their turn."""
    deadline = time.monotonic() + 60
    while len(turns._waiting) < waiting:
        assert time.monotonic() < deadline, "fewer scripts wait"
        Event().wait(0.001)


def test_the_scripts_of_one_visitor_keep_another_one_waiting_for_one_place_at_most() -> None:
    turns, order = ScriptTurns(places=1, long_seconds=60), list[str]()
    scripts = []
    for number, visitor in enumerate(["flood"] * 5 + ["ada", "flood", "bob"]):
        scripts.append(Script(turns, visitor, order))
        wait_for(turns, number)

    for script in scripts:
        script.ended.set()
    for script in scripts:
        script.end()

    assert order == ["flood", "flood", "ada", "bob", "flood", "flood", "flood", "flood"]


def test_members_and_others_alternate() -> None:
    """A member does not wait for each address of a flood; who wants to join is not kept out."""
    waiting = AskerQueue[str]()
    for number in range(3):
        waiting.add(Asker(f"192.0.2.{number}"), f"flood {number}")
    for name in ("ada", "ada", "bob"):
        waiting.add(Asker(name, is_member=True), name)

    order = [waiting.pop() for _ in range(len(waiting))]

    assert order == ["ada", "flood 0", "bob", "flood 1", "ada", "flood 2"]


def test_a_member_is_next_after_a_script_of_a_flood() -> None:
    turns, order = ScriptTurns(places=1, long_seconds=60), list[str]()
    scripts = []
    for number in range(4):
        scripts.append(Script(turns, f"192.0.2.{number}", order))
        wait_for(turns, number)
    scripts.append(Script(turns, "ada", order, is_member=True))
    wait_for(turns, 4)

    for script in scripts:
        script.ended.set()
    for script in scripts:
        script.end()

    assert order[:2] == ["192.0.2.0", "ada"]


def test_no_more_scripts_run_than_there_are_places() -> None:
    turns, order = ScriptTurns(places=3, long_seconds=60), list[str]()

    scripts = [Script(turns, str(number), order) for number in range(20)]
    wait_for(turns, 17)

    assert len(turns._began) == 3
    for script in scripts:
        script.ended.set()
    for script in scripts:
        script.end()
    assert sorted(order, key=int) == [str(number) for number in range(20)]
    assert not turns._began
    assert not turns._waiting


def test_a_script_that_takes_long_keeps_no_one_out() -> None:
    """One that waits for the process that classifies, or after a wrong code."""
    turns, order = ScriptTurns(places=1, long_seconds=0.01), list[str]()

    long = Script(turns, "slow", order)
    short = Script(turns, "short", order)
    short.end()

    assert order == ["slow", "short"]
    long.end()


def test_a_script_that_waits_for_another_process_gives_its_place_to_others() -> None:
    turns, order = ScriptTurns(places=1, long_seconds=60), list[str]()

    with turns.take(Asker("classifies")):
        turns.give_way()
        other = Script(turns, "other", order)
        other.end()

    assert order == ["other"]
    assert not turns._began


def test_a_script_that_no_one_awaits_leaves_while_it_waits() -> None:
    class Ending(BaseException):
        """Ends a script, as Streamlit's exceptions do."""

    def end() -> None:
        raise Ending

    turns = ScriptTurns(places=0, reader_seconds=0.01)

    with pytest.raises(Ending), ExitStack() as stack:
        stack.enter_context(turns.take(Asker("closed"), end))

    assert not turns._waiting


def test_a_script_waits_for_its_turn_where_no_more_threads_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ending(BaseException):
        """Ends a script, as Streamlit's exceptions do."""

    def refuse(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    def end() -> None:
        raise Ending

    turns = ScriptTurns(places=0, reader_seconds=0.01)

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        with pytest.raises(Ending), turns.take(Asker("ada"), end):
            pass

    assert not turns._waiting
    assert not turns._watched


def fill_disk() -> None:
    import errno  # noqa: PLC0415 - AppTest runs this function alone

    from ui.session.error_boundary import boundary  # noqa: PLC0415

    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        with boundary():
            raise OSError(code, "of /srv/home/jobs")


def test_a_full_disk_is_named_with_what_to_do() -> None:
    app = AppTest.from_function(fill_disk).run()

    full = r"**The disk of this server is full\.** Free some space, then try again\."
    assert [error.value for error in app.error[:2]] == [full, full]
    assert app.error[2].value.startswith(r"**The disk of this server is read\-only\.** Ask ")


def test_a_script_of_a_page_takes_a_turn() -> None:
    places = []  # a boundary would catch a failed assertion

    with boundary():
        places.append(len(SCRIPTS._began))
        with boundary():
            places.append(len(SCRIPTS._began))

    assert places == [1, 1]
    assert not SCRIPTS._began


def draw_a_fragment_again() -> None:
    """Draw a fragment twice, with what is known of it while it is drawn and after that."""
    import streamlit as st  # noqa: PLC0415

    from ui.session.error_boundary import TICKS, _find_fragment  # noqa: PLC0415

    @st.fragment
    def part() -> None:
        place = _find_fragment()
        assert place
        for number in range(2):
            with TICKS.show(number, int):
                st.text(TICKS.find(*place))
            shown = TICKS.find(*place)
            st.text(f"{shown.value}, news: {shown.has_news()}" if shown else "")

    part()


def test_what_a_fragment_shows_is_known_once_it_is_drawn() -> None:
    app = AppTest.from_function(draw_a_fragment_again).run()

    assert not app.exception
    assert [text.value for text in app.text] == ["None", "0, news: False", "None", "1, news: True"]
