"""A class on one server during a training.

    python benchmarks/load.py --people 30 --seconds 120 --visits 1000

Starts the server in classroom mode on a new home folder (or a copy of ``--home``) with the data of
``LORALAB_DATA`` or the demo corpus. Simulated visitors explore, launch, watch, evaluate and
classify, with 2 to 8 seconds between actions. They share the cores with the server, so the figures
are on the slow side. The teacher visits every page once before the class arrives; the times of this
first tour are reported separately.

With ``--servers 2`` two server processes share the home folder, and the visitors are divided among
them as by the cookie of ``deploy/nginx.conf``.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from itertools import pairwise
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
    serve_class,
    used_seconds,
)
from benchmarks.compared_load import compare_reruns, compare_ticks, count_held, measure_bare
from benchmarks.crowd import Lost, Person, Times
from benchmarks.interface import MB, long_training
from core.access import Role
from core.runs.requests import read_train_request
from core.storage import accounts
from core.storage.job import JobKind
from core.storage.store import Store

TEACHERS_OWN = {"data"}  # a student is reported so, with an error's words
TEXTS = (
    "The striker scored twice in the final.",
    "Shares fell after the central bank spoke.",
    "A probe reached the moon's orbit.",
)


async def explore(group: Class, item: Person) -> None:
    """Open the data, then the texts with one word."""
    await item.open("explore")
    await group.think()
    await item.fill(
        "word", group.draw.choice(["market", "game", "space", "police"]), "filter texts"
    )
    await group.think()
    await item.open(group.draw.choice(["tokens", "quality"]))


async def launch(group: Class, item: Person) -> None:
    """Set up a run; visitors who have launched one only open the form again."""
    await item.open("train")
    await group.think()
    await item.choose("preset", "taste", "change the form")
    await group.think()
    if not item.launched:
        await item.click("launch", "launch")
        item.launched = True
        group.launches += 1


async def watch(group: Class, item: Person) -> None:
    """Watch the run for a while as it trains."""
    await item.open("runs", f"run={group.training.id}")
    await asyncio.sleep(group.draw.uniform(10, 20))


async def evaluate(group: Class, item: Person) -> None:
    """Open the errors of a finished run."""
    run = f"run={group.draw.choice(group.finished)}"
    await item.open("evaluate", run)
    await group.think()
    await item.choose("scored-on", "validation", "change the split")
    await group.think()
    await item.open(group.draw.choice(["errors", "calibration", "board", "through_time"]), run)


async def classify(group: Class, item: Person) -> None:
    """Classify a text with a finished run."""
    await item.open("classify", f"run={group.draw.choice(group.usable)}")
    await group.think()
    await item.fill("text", group.draw.choice(TEXTS), "type a text")
    await item.click("classify", "classify a text")


HABITS: tuple[Habit, ...] = (explore, launch, watch, evaluate, classify)


async def walk(group: Class) -> dict[str, float]:
    """Visit all pages of each server process once after its start; return the slowest time."""
    for _ in group.addresses:
        async with group.enter() as item:
            await group.join(item)
            for habit in HABITS:
                await habit(group, item)
            for run in group.finished:
                for page in sorted(item.pages.keys() - TEACHERS_OWN):
                    await item.open(page, f"run={run}")
    first = {subject: max(some) for subject, some in group.times.reruns.items()}
    slowest = sorted(first, key=lambda subject: -first[subject])
    listed = ", ".join(f"{subject} {first[subject]:.0f}" for subject in slowest[:8])
    say(f"walked through all pages; slowest, ms: {listed}")
    group.times = Times(errors=group.times.errors)
    return {"slowest first visit of a page, ms": first[slowest[0]]}


async def slowdown(
    group: Class, server: ClassServer, number: int, rounds: int, window: float
) -> dict[str, float]:
    """Measure by how many per cent training slows down while it is watched, in alternating
    intervals of ``window`` seconds, and what server and people take of all cores meanwhile: the
    slowdown if every core loses the same.
    """
    alone, watched, cores = [], [], []
    for _ in range(rounds):
        alone.append(await rows_per_second(group, window))
        onlookers = [
            asyncio.create_task(group.person(time.monotonic() + 600, [watch]))
            for _ in range(number)
        ]
        await asyncio.sleep(ARRIVES_SECONDS + 5)
        before, began = used_by_watching(server), time.monotonic()
        watched.append(await rows_per_second(group, window))
        cores.append((used_by_watching(server) - before) / (time.monotonic() - began))
        for item in onlookers:
            item.cancel()
        await asyncio.gather(*onlookers, return_exceptions=True)
        await asyncio.sleep(5)
    say(
        f"rows/s alone {[round(speed, 1) for speed in alone]}, watched"
        f" {[round(speed, 1) for speed in watched]}, cores used by server and people"
        f" {[round(used, 2) for used in cores]}"
    )
    slower = 100 * (1 - statistics.mean(watched) / statistics.mean(alone))
    return {
        f"training slowed by {number} watching people, % (12)": slower,
        "cores used by them and the server, %": 100
        * statistics.mean(cores)
        / (os.cpu_count() or 1),
    }


def used_by_watching(server: ClassServer) -> float:
    """Return the processor time of the server processes and of this one, the people, so far."""
    return server.used_seconds + used_seconds(psutil.Process())


async def rows_per_second(group: Class, window: float) -> float:
    """Return the current training speed without validations, as an interval contains one or none of
    them, and in whole epochs if it contains one, as steps take longer with longer texts.
    """
    after = group.store.read_metrics(group.training.id)[-1].id
    await asyncio.sleep(window)
    metrics = group.store.read_metrics(group.training.id, after)
    seconds = [
        later.at - step.at
        for step, later in pairwise(metrics)
        if step.split == later.split == "train"
    ]
    epoch = round(metrics[-1].step / metrics[-1].epoch)
    del seconds[len(seconds) // epoch * epoch or len(seconds) :]
    return read_train_request(group.training).config.batch_size * len(seconds) / sum(seconds)


async def visits(group: Class, number: int, server: ClassServer) -> list[float]:
    """Measure the memory of the largest server process after each of this many visits of three
    pages, with four visitors at a time.
    """
    memory: list[float] = []
    waiting = iter(range(number))

    async def visitor() -> None:
        for _ in waiting:
            try:
                async with group.enter() as item:
                    await group.come_back(item)
                    run = group.draw.choice(group.finished)
                    for page in group.draw.sample(
                        [
                            "explore",
                            "runs",
                            "evaluate",
                            "train",
                            "errors",
                            "board",
                            "compare",
                            "gallery",
                        ],
                        2,
                    ):
                        await item.open(page, f"run={run}")
            except (Lost, OSError) as error:
                group.times.errors.append(str(error))
            memory.append(max(process.memory_info().rss for process in server.processes) / MB)
            if len(memory) % 100 == 0:
                say(f"{len(memory)} visits: {memory[-1]:.0f} MB")

    await asyncio.gather(*(visitor() for _ in range(4)))
    return memory


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    arguments = read_arguments()
    figures: dict[str, float] = {}
    people, seconds = arguments.people, arguments.bare
    if seconds:
        bare = measure_bare(people, seconds, empty=False)
        empty = measure_bare(people, seconds, empty=True)
    with serve_class(arguments.home, arguments.servers) as server:
        if seconds:
            figures |= asyncio.run(compare_ticks(server, people, seconds, bare, empty))
        training = long_training(server.settings)
        group = Class(server.addresses, Store(server.settings), training)
        if seconds or arguments.seconds:
            figures |= asyncio.run(walk(group))
        if seconds:
            figures |= asyncio.run(compare_reruns(group, server, seconds, HABITS, bare))
        figures |= asyncio.run(measure(arguments, server, group))
    print_figures(figures, as_json=arguments.json)


async def measure(
    arguments: argparse.Namespace, server: ClassServer, group: Class
) -> dict[str, float]:
    """Run all requested measurements on the same server."""
    number = arguments.people
    figures: dict[str, float] = {}
    if arguments.seconds:
        ours = psutil.Process()
        used = (server.used_seconds, used_seconds(ours))
        began = time.monotonic()
        await crowd(group, number, arguments.seconds, HABITS)
        cores = [
            (now - before) / (time.monotonic() - began)
            for now, before in zip((server.used_seconds, used_seconds(ours)), used, strict=True)
        ]
        say(f"cores used by the server {cores[0]:.2f}, by the people {cores[1]:.2f}")
        figures |= report(group.times, number)
        figures["cores used by the server"] = cores[0]
        figures["runs launched"] = group.launches
    if arguments.rounds:
        figures |= await slowdown(group, server, number, arguments.rounds, arguments.window)
    if arguments.visits:
        group.keys = group.keys or [await first_key(group)]
        memory = await visits(group, arguments.visits, server)
        half = memory[len(memory) // 2]
        figures[f"server after {len(memory):,} visits, MB (300)"] = memory[-1]
        figures["growth over the second half of them, % (5)"] = 100 * (memory[-1] / half - 1)
    if arguments.held:
        figures["people held at p95 <= 500 ms (60)"] = await count_held(
            group, arguments.held, HABITS
        )
    figures["errors (0)"] = len(group.times.errors)
    for error, times in Counter(group.times.errors).most_common(10):
        say(f"{times} × {error}")
    students = sum(item.role is Role.STUDENT for item in accounts.list_people(group.store))
    say(f"{students} students, {len(group.store.list_jobs(JobKind.TRAIN))} runs at the end")
    return figures


async def first_key(group: Class) -> str:
    """Join and return the key."""
    async with group.enter() as item:
        await group.join(item)
        return item.key


def report(times: Times, number: int) -> dict[str, float]:
    """Print percentiles of all reruns, and by action to standard error."""
    everything = times.list_reruns()
    for subject, some in sorted(times.reruns.items(), key=lambda pair: -percentile(pair[1], 95)):
        p50, p95 = percentile(some, 50), percentile(some, 95)
        say(f"{p50:>7.0f} {p95:>7.0f} ms  {len(some):>5} × {subject}")
    limit = 500 if number <= 30 else 1000
    return {
        f"reruns of {number} people": len(everything),
        "rerun, p50, ms": percentile(everything, 50),
        f"rerun, p95, ms ({limit})": percentile(everything, 95),
        "live ticks with news": len(times.ticks),
        "live tick, p50, ms": percentile(times.ticks, 50),
        "live tick, p95, ms": percentile(times.ticks, 95),
    }


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30, help="how many at once")
    parser.add_argument(
        "--seconds", type=float, default=120, help="how long they stay; 0 leaves this out"
    )
    parser.add_argument(
        "--servers", type=int, default=1, help="server processes, among which people are divided"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=0,
        help="windows of training, alone and watched by turns; 3 take 8 minutes with --seconds 0"
        " --bare 0",
    )
    parser.add_argument(
        "--window", type=float, default=60, help="seconds of each window of --rounds"
    )
    parser.add_argument(
        "--visits", type=int, default=0, help="short visits, for the server's memory"
    )
    parser.add_argument(
        "--bare",
        type=float,
        default=20,
        help="seconds of each comparison with a bare page; 0 leaves them out",
    )
    parser.add_argument(
        "--held",
        type=float,
        default=0,
        help="seconds of each number of people in the search for the largest one",
    )
    parser.add_argument(
        "--home", type=Path, help="a home folder to copy; its runs are what people look at"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
