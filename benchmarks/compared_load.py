"""Load that hardly depends on the machine: processor time of the server compared to that of a bare
Streamlit page, and the number of people that it holds.

    python benchmarks/compared_load.py --before CHECKOUT --without uvloop

compares the processor time of the same class to that of an earlier version by turns. ``CHECKOUT``
is a worktree of that version; its folder ``benchmarks`` is replaced, so that the same people visit.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from benchmarks.class_server import (
    ARRIVES_SECONDS,
    Class,
    ClassServer,
    Habit,
    crowd,
    percentile,
    print_figures,
    say,
    used_seconds,
)
from benchmarks.crowd import Person, Times
from benchmarks.interface import ROOT, answers, wait_until
from core.storage.store import Store
from tests.support.app.server import find_free_port

PEOPLE = 30  # of the crowd without ticks
TICK_SECONDS = 2.0  # on every page, bare or not
STILL_PAGES = ("explore", "runs", "train", "evaluate", "classify", "gallery")
BARE_SECONDS = 0.5  # between two reruns of the bare page: its cost does not depend on the pace
SETTLE_SECONDS = 4.0  # after a page was opened
LIMIT_MS = 500
SIZES = (10, 20, 30, 45, 60, 90)
TURNS = ("before", "after", "after", "before")
USED = "cores used by the server"


@dataclass(frozen=True)
class Costs:
    """Processor time of the server in ms for each tick and each rerun."""

    tick: float
    rerun: float


async def compare_ticks(
    server: ClassServer, people: int, seconds: float, ticking: Costs, empty: Costs
) -> dict[str, float]:
    """Measure ticks without news, and compare them to those of the bare page.

    Nothing may be running on the server.
    """
    group = Class(server.addresses, Store(server.settings), pace=TICK_SECONDS)
    async with AsyncExitStack() as stack:
        for number in range(people):
            item = await stack.enter_async_context(group.enter())
            await group.join(item)
            await item.open(STILL_PAGES[number % len(STILL_PAGES)])
        cost = await _measure_ticks(lambda: server.used_seconds, group.times, seconds)
    _require_none(group.times)
    return {
        "tick without news, server ms": cost,
        "tick that draws a table and a chart on the bare page, server ms": ticking.tick,
        "tick without news / tick of the bare page (1.5)": cost / ticking.tick,
        "tick without news / empty tick of the bare page": cost / empty.tick,
    }


async def compare_reruns(
    group: Class, server: ClassServer, seconds: float, habits: Sequence[Habit], bare: Costs
) -> dict[str, float]:
    """Measure the crowd's actions without ticks, and compare them to reruns of the bare page."""
    still = Class(server.addresses, group.store, group.training, pace=0)
    before = server.used_seconds
    await crowd(still, PEOPLE, seconds + ARRIVES_SECONDS, habits)
    reruns = len(still.times.list_reruns())
    cost = 1000 * (server.used_seconds - before) / reruns
    _require_none(still.times)
    return {
        f"rerun of the crowd, mean of {reruns:,}, server ms": cost,
        "rerun of the bare page, server ms": bare.rerun,
        "rerun of the crowd / rerun of the bare page (4)": cost / bare.rerun,
    }


async def count_held(group: Class, seconds: float, habits: Sequence[Habit]) -> int:
    """Return the largest number of people with a p95 of reruns within the limit and no error.

    Bisects the sizes, because more people never make it faster.
    """
    low, high = 0, len(SIZES)  # all sizes before ``low`` are held, those from ``high`` on are not
    while low < high:
        middle = (low + high) // 2
        some = Class(group.addresses, group.store, group.training)
        await crowd(some, SIZES[middle], seconds + ARRIVES_SECONDS, habits)
        p95 = percentile(some.times.list_reruns(), 95)
        errors = len(some.times.errors)
        say(f"{SIZES[middle]} people: p95 {p95:.0f} ms, {errors} errors")
        if p95 <= LIMIT_MS and not errors:
            low = middle + 1
        else:
            high = middle
    return SIZES[low - 1] if low else 0


def measure_bare(people: int, seconds: float, *, empty: bool) -> Costs:
    """Measure the bare page; with ``empty`` its fragment draws nothing."""
    with _serve_bare() as (process, address):
        return asyncio.run(_visit_bare(process, address, people, seconds, empty=empty))


async def _visit_bare(
    process: psutil.Process, address: str, people: int, seconds: float, *, empty: bool
) -> Costs:
    times = Times()
    async with AsyncExitStack() as stack:
        visitors = [
            await stack.enter_async_context(Person(address, times, pace=TICK_SECONDS))
            for _ in range(people)
        ]
        for item in visitors:
            item.query = "tick=empty" if empty else ""
            await item.rerun("arrive")
        tick = await _measure_ticks(lambda: used_seconds(process), times, seconds)
    async with AsyncExitStack() as stack:
        visitors = [
            await stack.enter_async_context(Person(address, times, pace=0)) for _ in range(people)
        ]
        rerun = await _measure_reruns(process, visitors, seconds)
    _require_none(times)
    return Costs(tick, rerun)


async def _measure_ticks(used: Callable[[], float], times: Times, seconds: float) -> float:
    await asyncio.sleep(SETTLE_SECONDS)
    before, ticks = used(), times.requested
    await asyncio.sleep(seconds)
    return 1000 * (used() - before) / (times.requested - ticks)


async def _measure_reruns(
    process: psutil.Process, visitors: Sequence[Person], seconds: float
) -> float:
    for item in visitors:
        await item.rerun("arrive")
    before, until = used_seconds(process), time.monotonic() + seconds

    async def repeat(item: Person) -> int:
        reruns = 0
        while time.monotonic() < until:
            await item.rerun("run again")
            reruns += 1
            await asyncio.sleep(BARE_SECONDS)
        return reruns

    reruns = sum(await asyncio.gather(*map(repeat, visitors)))
    return 1000 * (used_seconds(process) - before) / reruns


@contextmanager
def _serve_bare() -> Iterator[tuple[psutil.Process, str]]:
    """Serve the bare page with the settings of this project's server."""
    address = f"127.0.0.1:{(port := find_free_port())}"
    command = [sys.executable, "-m", "streamlit", "run", "benchmarks/bare_page.py"]
    options = ["--server.headless", "true", "--server.port", str(port)]
    server = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"http://{address}"))
        yield psutil.Process(server.pid), address
    finally:
        server.terminate()
        server.wait()


def _require_none(times: Times) -> None:
    """Stop with the first error: a page that fails is cheap."""
    if times.errors:
        sys.exit(f"{len(times.errors)} errors, the first: {times.errors[0]}")


def compare_versions(
    before: Path, without: Sequence[str], people: int, seconds: float, turns: int
) -> dict[str, float]:
    """Return the cores that the server used in each of the first ``turns``, and their ratio."""
    shutil.copytree(ROOT / "benchmarks", before / "benchmarks", dirs_exist_ok=True)
    used: dict[str, list[float]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in without:
            (Path(folder) / f"{name}.py").write_text(f"raise ImportError({name!r})\n")
        sides = {"before": (before, {"PYTHONPATH": folder}), "after": (ROOT, dict[str, str]())}
        for turn in TURNS[:turns]:
            figures = _visit_version(*sides[turn], people, seconds)
            say(f"{turn}: {json.dumps(figures)}")
            used[turn].append(figures[USED])
    means = {side: sum(cores) / len(cores) for side, cores in used.items()}
    return {
        **{f"{USED}, {side}": cores for side, cores in means.items()},
        f"{USED}, after / before (0.45)": means["after"] / means["before"],
    }


def _visit_version(
    root: Path, environment: dict[str, str], people: int, seconds: float
) -> dict[str, float]:
    command = [sys.executable, "benchmarks/load.py", "--json", "--bare", "0"]
    done = subprocess.run(
        [*command, "--people", str(people), "--seconds", str(seconds)],
        cwd=root,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if figures["errors (0)"]:
        sys.exit(f"{root}: {figures['errors (0)']} errors")
    return figures


def main() -> None:
    """Print the cores used by either version, and their ratio; ``--json`` for one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="worktree of an earlier version")
    parser.add_argument(
        "--without", nargs="*", default=[], help="modules that the earlier version did not have"
    )
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seconds", type=float, default=30, help="of each turn")
    parser.add_argument("--turns", type=int, default=3, help="2 to 4")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = compare_versions(
        arguments.before.absolute(),
        arguments.without,
        arguments.people,
        arguments.seconds,
        arguments.turns,
    )
    print_figures(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
