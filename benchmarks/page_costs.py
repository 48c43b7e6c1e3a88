"""Processor time of the server for each page that a class visits, compared to the bare page.

    python benchmarks/page_costs.py --home HOME --json

Serves the home folder (or a new one) in classroom mode while a run trains. One student repeats each
action, without ticks; the first time, when what is shared is computed, is not counted.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.class_server import Class, print_figures, say, serve_class
from benchmarks.compared_load import measure_bare
from benchmarks.crowd import Person
from benchmarks.interface import long_training
from core.storage.store import Store

BARE_PEOPLE, BARE_SECONDS = 5, 10.0
WORDS = ("market", "game", "space", "police")
TEXTS = ("The striker scored twice in the final.", "Shares fell after the central bank spoke.")

Action = Callable[[int], Awaitable[None]]  # receives the number of times before


def list_actions(group: Class, item: Person) -> dict[str, tuple[str, str, Action | None]]:
    """Return by description: page, query, and what is repeated there; None to open the page."""
    run = f"run={group.finished[0]}"

    async def filter_texts(number: int) -> None:
        await item.fill("word", WORDS[number % len(WORDS)], "filter texts")

    async def change_preset(number: int) -> None:
        await item.choose("preset", ("taste", "quick")[number % 2], "change the form")

    async def change_split(number: int) -> None:
        await item.choose("scored-on", ("validation", "test")[number % 2], "change the split")

    async def classify(number: int) -> None:
        await item.fill("text", TEXTS[number % len(TEXTS)], "type a text")
        await item.click("classify", "classify a text")

    opened = {f"open {page}": (page, run, None) for page in ("evaluate", "errors", "calibration")}
    return {
        "open explore": ("explore", "", None),
        "filter texts": ("explore", "", filter_texts),
        "open tokens": ("tokens", "", None),
        "open quality": ("quality", "", None),
        "open train": ("train", "", None),
        "change the preset": ("train", "", change_preset),
        "open runs, one training": ("runs", f"run={group.training.id}", None),
        **opened,
        "change the split": ("evaluate", run, change_split),
        "open board": ("board", run, None),
        "open through_time": ("through_time", run, None),
        "open classify": ("classify", f"run={group.usable[0]}", None),
        "classify a text, 2 reruns": ("classify", f"run={group.usable[0]}", classify),
    }


async def measure(group: Class, seconds: Callable[[], float], repeats: int) -> dict[str, float]:
    """Return the processor time of the server in ms for each action."""
    figures: dict[str, float] = {}
    async with Person(group.addresses[0], group.times, pace=0) as item:
        await group.join(item)
        for description, (page, query, action) in list_actions(group, item).items():
            await item.open(page, query)
            numbers = cycle(range(4))  # the four words are shared after the first round
            for _ in range(4):
                await repeat(item, page, query, action, next(numbers))
            before = seconds()
            for _ in range(repeats):
                await repeat(item, page, query, action, next(numbers))
            figures[description] = 1000 * (seconds() - before) / repeats
            say(f"{figures[description]:>7.1f} ms  {description}")
    return figures


async def repeat(item: Person, page: str, query: str, action: Action | None, number: int) -> None:
    """Do the action, or open the page again."""
    await (action(number) if action else item.open(page, query))


def main() -> None:
    """Print the ms of each action and its ratio to the bare page; ``--json`` for one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a home folder to copy, with finished runs")
    parser.add_argument("--repeats", type=int, default=40, help="reruns counted for each action")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    bare = measure_bare(BARE_PEOPLE, BARE_SECONDS, empty=False)
    with serve_class(arguments.home) as server:
        training = long_training(server.settings)
        group = Class(server.addresses, Store(server.settings), training)
        costs = asyncio.run(measure(group, lambda: server.used_seconds, arguments.repeats))
    if group.times.errors:
        sys.exit(f"{len(group.times.errors)} errors, the first: {group.times.errors[0]}")
    ratios = {f"{name}, ratio": cost / bare.rerun for name, cost in costs.items()}
    figures = {"bare page": bare.rerun, **costs, **ratios}
    print_figures(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
