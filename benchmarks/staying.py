"""Members of a class after a reload, in a new tab, and after a restart of the server.

    python benchmarks/staying.py --people 30

Simulated browsers join a class on a new home folder, keep the cookie that the server sets, and
enter a rank, a guess and a name of a run. Each then opens New run again: at once (a reload), while
the first page is open (a new tab), and after the server was stopped and started. Printed: how many
are still joined, and how many inputs are lost.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.crowd import Person, Times
from benchmarks.interface import ROOT, answers, wait_until
from tests.support.app.server import find_free_port, server_command

CODE = "whale"
RANK, GUESS = 4.0, 83.0


class Browser(Person):
    """A simulated browser that also reads the values of its widgets."""

    def __init__(self, address: str, times: Times, cookie: str = "") -> None:
        super().__init__(address, times, cookie)
        self.values: dict[str, object] = {}

    def _read(self, message: ForwardMsg) -> None:
        super()._read(message)
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind in ("number_input", "text_input"):
            widget = getattr(element, kind)
            value = widget.value if widget.set_value else widget.default
            self.values[widget.id.split("-", 2)[-1]] = value

    async def enter(self, key: str, value: float | str) -> None:
        """Enter a value, which reruns the page."""
        state = WidgetState(id=self.find(key))
        if isinstance(value, str):
            state.string_value = value
        else:
            state.double_value = value
        self.widgets[state.id] = state
        await self.rerun("enter")


async def join(address: str, times: Times, number: int) -> Browser:
    """Join the class, fetch the cookie as the page's script does, and fill the form."""
    person = Browser(address, times)
    await person.__aenter__()
    await person.rerun("arrive")
    await person.fill("join-name", f"Person {number}")
    await person.fill("join-code", CODE)
    await person.click("join-submit", "join")
    await person.fetch_cookie()
    await person.open("train")
    await person.enter("field-rank", RANK)
    await person.enter("guess", GUESS)
    await person.enter("run-name", f"run {number}")
    return person


async def come_back(address: str, times: Times, person: Browser, number: int) -> tuple[bool, int]:
    """Open New run in a new session; return whether it is joined, and the number of lost inputs."""
    async with Browser(address, times, person.cookie) as again:
        await again.rerun("arrive")
        if not again.has("leave"):
            return False, 3
        await again.open("train")
        entered = {"field-rank": RANK, "guess": GUESS, "run-name": f"run {number}"}
        return True, sum(again.values.get(key) != value for key, value in entered.items())


@contextmanager
def serve(port: int) -> Iterator[None]:
    """Run a server on this port."""
    server = subprocess.Popen(server_command(port), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield
    finally:
        server.terminate()
        server.wait()


async def measure(people: int, port: int, times: Times) -> int:
    """Let everyone join, come back in three ways, and print the counts; return the losses."""
    address, losses = f"127.0.0.1:{port}", 0

    async def report(way: str) -> int:
        outcomes = [
            await come_back(address, times, person, number) for number, person in enumerate(joined)
        ]
        still, lost = sum(stays for stays, _ in outcomes), sum(inputs for _, inputs in outcomes)
        print(f"{way}: {still} of {people} still joined, {lost} of {3 * people} inputs lost")
        return people - still + lost

    with serve(port):
        joined = [await join(address, times, number) for number in range(people)]
        losses += await report("new tab")
        for person in joined:
            await person.__aexit__()
        losses += await report("reload")
    with serve(port):
        losses += await report("restart of the server")
    return losses


def main() -> None:
    """Measure; the exit status is 1 if anyone or any input was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30)
    people, times = parser.parse_args().people, Times()
    with tempfile.TemporaryDirectory(prefix="staying-") as home:
        os.environ |= {
            "LORALAB_HOME": home,
            "LORALAB_MODE": "classroom",
            "LORALAB_CLASS_CODE": CODE,
            "LORALAB_SUPERVISE": "false",
            "LORALAB_HUB": "false",
        }
        losses = asyncio.run(measure(people, find_free_port(), times))
    sys.exit(int(losses > 0))


if __name__ == "__main__":
    main()
