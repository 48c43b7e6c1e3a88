"""Speed and memory of the Explore page on 120,000 training texts.

    LORALAB_DATA=FOLDER python benchmarks/explore.py

Repeats the train split of the folder with small edits, adds its test split, and prepares and
indexes the rows in a temporary home as the job does. Then it starts the server and uses every
filter of the page in a browser. Each change is new, so that no cache contains the answer. Times are
measured in the server, from the start of the script to its end, including garbage collection. Bytes
are counted on the page's WebSocket, without Streamlit's own files.
"""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
import psutil
from playwright.sync_api import Page, WebSocket, sync_playwright

from benchmarks.interface import CHROMIUM, MB, ROOT, answers, find_chromium, wait_until
from core.data.explore.index import ensure_index, index_folder
from core.data.preparation import prepare
from core.data.sources import AG_NEWS_CLASSES, find_source
from core.settings import Settings

ROWS = 120_000
WORDS = (
    "oil",
    "coach",
    "software",
    "minister",
    "shares",
    "microsoft",
    "goal",
    "iraq",
    "bank",
    "space",
    "season",
    "troops",
)
SEARCHES = (
    "the",
    "on mon",
    "president",
    "a",
    "quarter",
    "google",
    "zz",
    "world cup",
    "ing ",
    "un",
    "2004",
    "e",
)


class Traffic:
    """Bytes that reach the browser through the page's WebSocket."""

    def __init__(self, page: Page) -> None:
        self.received = 0
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._count)

    def _count(self, payload: str | bytes) -> None:
        self.received += len(payload)


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=ROWS, help="training texts")
    parser.add_argument(
        "--keep", type=Path, help="a folder for rows and index that a later call can use again"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        help="a file for what cProfile saw of the filter changes; the times are longer then",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.keep or Path(temporary)
        folder = write_rows(Settings(), place / "news", arguments.rows)
        settings = Settings(home=place / "home", data=folder)
        figures = build(settings) | drive(settings, arguments.profile)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{value:>9,.1f}  {name}" for name, value in figures.items()))


def write_rows(source: Settings, folder: Path, rows: int) -> Path:
    """Write ``rows`` training texts and the unchanged test split.

    In each repetition of a text one word is doubled, dropped or capitalized.
    """
    if folder.is_dir():
        return folder
    origin = find_source(source).folder
    if origin is None:
        sys.exit("LORALAB_DATA must name a folder of Parquet files.")
    folder.mkdir(parents=True)
    splits = {
        name: pd.concat(map(pd.read_parquet, sorted(origin.glob(f"{name}*.parquet"))))
        for name in ("train", "test")
    }
    names = dict(
        enumerate(AG_NEWS_CLASSES)
    )  # pandas does not keep the names that the files give to the numbers
    splits = {name: frame.assign(label=frame["label"].map(names)) for name, frame in splits.items()}
    train, draw = splits["train"], random.Random(0)
    repeated = train.iloc[np.arange(rows) % len(train)].reset_index(drop=True)
    repeated.loc[len(train) :, "text"] = [
        edited(text, draw) for text in repeated["text"].iloc[len(train) :]
    ]
    repeated.to_parquet(folder / "train.parquet", index=False)
    splits["test"].to_parquet(folder / "test.parquet", index=False)
    return folder


def edited(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    place = draw.randrange(len(words))
    words[place] = draw.choice(("", f"{words[place]} {words[place]}", words[place].upper()))
    return " ".join(words)


def build(settings: Settings) -> dict[str, float]:
    """Prepare and index, as the job does."""
    dataset = prepare(settings, find_source(settings), lambda progress: None, lambda: False)
    began = time.perf_counter()
    ensure_index(dataset, lambda progress: None, lambda: False)
    seconds, size = (
        time.perf_counter() - began,
        sum(path.stat().st_size for path in index_folder(dataset).iterdir()),
    )
    return {
        "texts": sum(file.rows for file in dataset.files),
        "index, s": seconds,
        "index on disk, MB": size / MB,
    }


def drive(settings: Settings, profile: Path | None = None) -> dict[str, float]:
    """Use every filter in a browser, each with new values."""
    with sync_playwright() as playwright, timed_server(settings, profile) as (server, url, log):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        traffic = Traffic(page)
        page.goto(f"{url}/explore")
        page.get_by_role("heading", name=re.compile("texts in train")).wait_for(timeout=120_000)
        settle(page, log)
        figures = {
            "first view to the browser, MB (2)": traffic.received / MB,
            "first view, server ms": sum(wall for wall, _ in read_times(log)),
        }
        times, sizes = [], []
        kinds: dict[str, list[float]] = defaultdict(list)
        for kind, change in changes(page):
            before, traffic.received = len(read_times(log)), 0
            change()
            settle(page, log, before)
            used = read_times(log)[before:]
            times += used
            kinds[kind] += [wall for wall, _ in used]
            sizes.append(traffic.received / MB)
        wall, processor = zip(*times, strict=True)
        figures |= {
            "filter changes measured": len(sizes),
            "filter change, server ms, p50": float(np.percentile(wall, 50)),
            "filter change, server ms, p95 (300)": float(np.percentile(wall, 95)),
            "filter change, server ms, longest": max(wall),
            "filter change, processor ms, p50": float(np.percentile(processor, 50)),
            "filter change, processor ms, p95": float(np.percentile(processor, 95)),
            **{
                f"  {kind}, server ms, longest of {len(used)}": max(used)
                for kind, used in kinds.items()
            },
            "load of the machine": os.getloadavg()[0],
            "filter change to the browser, MB, longest (2)": max(sizes),
            "server memory, MB (600)": server.memory_info().rss / MB,
            "server memory without mapped files, MB": server.memory_full_info().uss / MB,
        }
    return figures


def changes(page: Page) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield filter changes with their kind: searches, words, lengths, classes, splits, patterns,
    and combinations.
    """
    show_all = "show all", partial(page.get_by_role("button", name="Show all").click)
    for text in SEARCHES:
        yield "search", partial(fill, page, "Search", text)
    for limit in range(20, 60, 8):
        yield (
            "length and search",
            partial(fill, page, "From", str(limit)),
        )  # on top of the last search
    yield show_all
    for word in WORDS:
        yield "word", partial(fill, page, "Whole word", word)
    for name in ("validation", "test", "train"):
        yield (
            "split",
            partial(
                page.get_by_role("radio", name=name)
                .or_(page.get_by_text(name, exact=True))
                .first.click
            ),
        )
    yield show_all
    for limit in range(25, 65, 5):
        yield "length", partial(fill, page, "To", str(limit))
    yield show_all
    for bar in range(4):
        yield "class", partial(click_mark, page, "balance", bar)
    yield show_all
    for bar in range(6):
        yield "pattern", partial(click_mark, page, "patterns", bar)


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")


def click_mark(page: Page, chart: str, number: int) -> None:
    page.locator(f".st-key-{chart}-chart svg.marks .mark-rect path").nth(number).click()


def settle(page: Page, log: Path, after: int = 0) -> None:
    """Wait until a rerun has ended and no other one follows it."""
    deadline = time.monotonic() + 60
    while len(read_times(log)) <= after and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.wait_for_timeout(1200)


def read_times(log: Path) -> list[tuple[float, float]]:
    """Read the milliseconds of each rerun: wall time and CPU time, which other programs hardly
    affect.
    """
    lines = log.read_text().splitlines() if log.exists() else []
    return [(float(wall), float(processor)) for wall, processor in (line.split() for line in lines)]


TIMED = """
import cProfile, sys, time
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.web.cli import main
run, profile, reruns = ScriptRunner._run_script, {profile!r}, 0
seen = cProfile.Profile()
def timed(runner, data):
    global reruns
    reruns += 1
    wall, processor = time.perf_counter(), time.thread_time()
    if profile and reruns > 2:  # the first views fill the caches
        seen.runcall(run, runner, data)
        seen.dump_stats(profile)
    else:
        run(runner, data)
    with open({log!r}, "a") as file:
        taken = time.perf_counter() - wall, time.thread_time() - processor
        file.write(f"{{1000 * taken[0]}} {{1000 * taken[1]}}\\n")
ScriptRunner._run_script = timed
options = ["--server.headless", "true", "--server.port", "{port}", "--server.address", "127.0.0.1"]
main(["run", "Home.py", *options])
"""


@contextmanager
def timed_server(
    settings: Settings, profile: Path | None = None
) -> Iterator[tuple[psutil.Process, str, Path]]:
    """Serve the app and write the time of each script run to a file; ``profile`` adds a profile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = settings.home / "reruns.log"
    log.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "LORALAB_HOME": str(settings.home),
        "LORALAB_DATA": str(settings.data),
    }
    command = [
        sys.executable,
        "-c",
        TIMED.format(log=str(log), port=port, profile=str(profile.absolute()) if profile else ""),
    ]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield psutil.Process(server.pid), f"http://127.0.0.1:{port}", log
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
