"""A class on the page Playground while one run trains.

    python benchmarks/playground.py --people 30 --seconds 90

Starts the server in classroom mode on a new home folder with the data of ``LORALAB_DATA`` or the
demo corpus. Each simulated student opens the page, then moves a slider every 2 to 8 seconds; now
and then a text is typed. They share the cores with the server and the training, so the figures are
on the slow side. A time ends when the new picture has arrived.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.class_server import Class, crowd, percentile, print_figures, say, serve_class
from benchmarks.crowd import Person, Times
from benchmarks.interface import long_training
from benchmarks.load import TEXTS
from core.storage.store import Store

SLIDERS = {
    "playground-steps": (1, 500),
    "playground-noise": (0, 50),
    "playground-per-class": (2, 20),
}
MOVE = "move a slider"
LIMIT_MS = 1000


async def experiment(group: Class, item: Person) -> None:
    """Move a slider, or type a text every fifth time."""
    if not item.has("playground-steps"):
        await item.open("playground")
        return
    if group.draw.random() < 0.2:
        text = f"{group.draw.choice(TEXTS)} {group.draw.randrange(1000)}"
        await item.fill("playground-text", text, "type a text")
        return
    key = group.draw.choice(sorted(SLIDERS))
    low, high = SLIDERS[key]
    step = 5 if key == "playground-noise" else 1
    await item.slide(key, step * group.draw.randint(low // step, high // step), MOVE)


async def measure(group: Class, people: int, seconds: float) -> dict[str, float]:
    """Open the page once, which computes the vectors, then let the class experiment."""
    async with group.enter() as item:
        await group.join(item)
        began = time.monotonic()
        await item.open("playground")
        first = time.monotonic() - began
    group.times = Times(errors=group.times.errors)
    await crowd(group, people, seconds, [experiment])
    for description, some in sorted(group.times.reruns.items()):
        p50, p95 = percentile(some, 50), percentile(some, 95)
        say(f"{p50:>7.0f} {p95:>7.0f} ms  {len(some):>5} × {description}")
    for error, number in Counter(group.times.errors).most_common(10):
        say(f"{number} × {error}")
    moves = group.times.reruns.get(MOVE, [])
    return {
        "first visit after the start, s": first,
        f"sliders moved by {people} people": len(moves),
        "new picture, p50, ms": percentile(moves, 50),
        f"new picture, p95, ms ({LIMIT_MS})": percentile(moves, 95),
        "errors (0)": len(group.times.errors),
    }


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30, help="how many at once")
    parser.add_argument("--seconds", type=float, default=90, help="how long they stay")
    parser.add_argument("--idle", action="store_true", help="without a training")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with serve_class() as server:
        job = None if arguments.idle else long_training(server.settings)
        group = Class(server.addresses, Store(server.settings), job)
        figures = asyncio.run(measure(group, arguments.people, arguments.seconds))
    print_figures(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
