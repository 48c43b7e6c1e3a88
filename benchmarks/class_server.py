"""A server in classroom mode on a home folder of its own, and the class that visits it."""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

import psutil

from benchmarks.crowd import Lost, Person, Times
from benchmarks.interface import prepare_data, serve, stop_all
from core.people.classroom import change_rules, read_rules
from core.runs.run import Run
from core.settings import Settings
from core.storage.job import Job, JobKind, JobState
from core.storage.recovery import open_store
from core.storage.store import Store

CODE = "whale"
JOINS = 1000  # an hour: all visitors come from one address, as from one school
_numbers = count(1)  # a class refuses a name that it knows
THINKS = (2.0, 8.0)  # seconds between two actions: a person reads before the next click
ARRIVES_SECONDS = 15.0  # a class comes in over a quarter of a minute


@dataclass(frozen=True)
class ClassServer:
    """Running server processes of one home folder: settings, processes, and addresses without
    ``http://``.
    """

    settings: Settings
    processes: tuple[psutil.Process, ...]
    addresses: tuple[str, ...]

    @property
    def used_seconds(self) -> float:
        """Processor time of the server processes so far, without their child processes."""
        return sum(map(used_seconds, self.processes))


@contextmanager
def serve_class(home: Path | None = None, processes: int = 1) -> Iterator[ClassServer]:
    """Serve a new home folder with prepared data, or a copy of ``home``; stop its jobs at the end.

    The data are those of ``LORALAB_DATA``, or the demo corpus. The rules of the class allow
    ``JOINS`` an hour, so that its visitors may join from one machine.
    """
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended from outside")
    )  # no training is left behind
    os.environ |= {"LORALAB_MODE": "classroom", "LORALAB_CLASS_CODE": CODE}
    with tempfile.TemporaryDirectory(prefix="class-") as folder:
        settings = Settings(home=Path(folder) / "home")
        if home:
            shutil.copytree(home, settings.home, ignore=shutil.ignore_patterns("*.lock"))
        store = open_store(settings)  # a new home has the bundled run to look at
        change_rules(store, read_rules(store).model_copy(update={"joins": JOINS}))
        prepare_data(settings)
        with ExitStack() as stack:
            running = [stack.enter_context(serve(settings)) for _ in range(processes)]
            stack.callback(stop_all, settings)
            addresses = tuple(url.removeprefix("http://") for _, url in running)
            yield ClassServer(settings, tuple(process for process, _ in running), addresses)


class Class:
    """State shared by all visitors of a server: the active run, the finished runs, and the visitors
    with a key.

    Visitors are divided among the ``addresses`` of the server's processes by turns and stay there,
    as behind a proxy that gives each browser a cookie. ``pace`` overrides the seconds between the
    ticks of each page, as in ``Person``.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        store: Store,
        training: Job | None = None,
        *,
        pace: float | None = None,
        seed: int = 1,
    ) -> None:
        self.addresses, self.store, self.pace = addresses, store, pace
        self._turns = cycle(addresses)
        self._training = training
        self.draw = random.Random(seed)
        self.times = Times()
        self.keys: list[str] = []
        jobs = store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED])
        runs = [Run.of(store, job) for job in jobs]
        self.finished = [run.id for run in runs if run.has_predictions()]
        self.usable = [run.id for run in runs if run.has_adapter]  # to classify texts with
        self.launches = 0

    @property
    def training(self) -> Job:
        """The run that trains meanwhile."""
        assert self._training
        return self._training

    def enter(self) -> Person:
        """Return a new visitor of the next server process."""
        return Person(next(self._turns), self.times, pace=self.pace)

    async def think(self) -> None:
        """Wait as a person who reads the page."""
        await asyncio.sleep(self.draw.uniform(*THINKS))

    async def person(self, until: float, habits: Sequence["Habit"]) -> None:
        """Join, act and leave; every error is recorded."""
        await asyncio.sleep(self.draw.uniform(0, ARRIVES_SECONDS))
        try:
            async with self.enter() as item:
                await self.join(item)
                while time.monotonic() < until:
                    await self.draw.choice(habits)(self, item)
                    await self.think()
        except (Lost, OSError) as error:
            self.times.errors.append(str(error))

    async def join(self, item: Person) -> None:
        """Sign in on the sign-in page with the class code. Raises Lost if the page refuses."""
        await item.rerun("arrive")
        await item.fill("join-name", f"Person {next(_numbers)}")
        await item.fill("join-code", CODE)
        await item.click("join-submit", "join")
        if not item.has("leave"):
            raise Lost("the class did not admit a person")
        await item.fetch_cookie()
        self.keys.append(item.key)

    async def come_back(self, item: Person) -> None:
        """Sign in on the sign-in page with a key."""
        await item.rerun("arrive")
        await item.fill("back-key", self.draw.choice(self.keys))
        await item.click("back-submit", "come back")


Habit = Callable[[Class, Person], Awaitable[None]]


async def crowd(group: Class, number: int, seconds: float, habits: Sequence[Habit]) -> None:
    """Run this many visitors for this long."""
    until = time.monotonic() + seconds
    await asyncio.gather(*(group.person(until, habits) for _ in range(number)))


def used_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process so far, without its child processes."""
    return float(sum(process.cpu_times()[:2]))


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that this percentage of the values does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * share // 100) - 1)] if ranked else float("nan")


def say(text: str) -> None:
    """Print to standard error."""
    print(text, file=sys.stderr, flush=True)


def print_figures(figures: dict[str, float], *, as_json: bool) -> None:
    """Print one figure per line, or one JSON object."""
    lines = (f"{value:>9,.1f}  {name}" for name, value in figures.items())
    print(json.dumps(figures) if as_json else "\n".join(lines))
