"""Speed and memory of the interface with a real server and browser.

    python benchmarks/interface.py --parts idle training

Starts the server in a new home folder on the data of ``LORALAB_DATA`` (or the demo corpus) and
prints one figure per line with its limit. Reruns are timed in the browser, from the request to the
end of the script, so the figures include the browser's share.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from playwright.sync_api import Browser, Page, WebSocket, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.data.sources import find_source
from core.jobs import actions, launching
from core.presets import Preset, make_config
from core.runs.requests import PrepareRequest, TrainRequest
from core.settings import Settings
from core.storage.job import UNFINISHED, Job, JobKind
from core.storage.locks import is_locked
from core.storage.store import Store
from tests.support.app.server import find_free_port, server_command

ROOT = Path(__file__).parents[1]

PAGES = ("home", "explore", "train", "runs", "evaluate", "classify")
PARTS = ("start", "launch", "idle", "training")
ROUNDS = 7
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
)
MB = 2**20


class Wire:
    """Times of a page's reruns, read from its WebSocket; ``ticks`` are reruns of fragments.

    A tick without news is never answered, so a tick is timed by the fragment that draws.
    """

    def __init__(self, page: Page) -> None:
        self.reruns: list[float] = []
        self.ticks: list[float] = []
        self._sent = dict[str, float]()  # by fragment; "" is the page
        self._drew = ""
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framesent", self._on_sent)
        socket.on("framereceived", self._on_received)

    def _on_sent(self, payload: str | bytes) -> None:
        message = BackMsg.FromString(payload) if isinstance(payload, bytes) else BackMsg()
        if message.WhichOneof("type") == "rerun_script":
            self._sent[message.rerun_script.fragment_id] = time.perf_counter()

    def _on_received(self, payload: str | bytes) -> None:
        message = ForwardMsg.FromString(payload) if isinstance(payload, bytes) else ForwardMsg()
        match message.WhichOneof("type"):
            case "new_session":
                self._drew = ""
            case "delta":
                self._drew = message.delta.fragment_id
            case "script_finished":
                # a run of the page draws its fragments, too
                fragment = "" if "" in self._sent else self._drew
                if sent := self._sent.pop(fragment, 0.0):
                    (self.ticks if fragment else self.reruns).append(
                        1000 * (time.perf_counter() - sent)
                    )


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured; default: all"
    )
    arguments = parser.parse_args()
    parts, figures = arguments.parts, dict[str, float]()
    # a call that is ended from outside leaves no job behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        settings = Settings(home=Path(home))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM))
        if "start" in parts:
            with serve(settings) as (server, url):
                visit(browser, url)
            figures["first page drawn, second start, s (5)"] = first_page(browser, settings)
        with serve(settings) as (server, url), stopped_at_the_end(settings):
            prepare_data(settings)
            if "launch" in parts:
                figures |= launch(browser, url, settings, server)
            if "idle" in parts:
                figures |= reruns(browser, url, settings, "idle", 150)
                figures["server after every page and a classification, MB (280)"] = classify(
                    browser, url, server
                )
            if "training" in parts:
                long_training(settings)
                figures |= reruns(browser, url, settings, "training", 300)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{value:>9,.1f}  {name}" for name, value in figures.items()))


def first_page(browser: Browser, settings: Settings) -> float:
    """Return the seconds from the start of the server to the first page's cards in the browser."""
    began = time.perf_counter()
    with serve(settings) as (_, url):
        page = visit(browser, url)
        page.close()
        return time.perf_counter() - began


def launch(
    browser: Browser, url: str, settings: Settings, server: psutil.Process
) -> dict[str, float]:
    """Measure a Taste run from Home: click to first metric (second launch), launch to end, memory
    of all processes.
    """
    page = visit(browser, url)
    store = Store(settings)
    for attempt in (1, 2):
        page.goto(f"{url}/")
        button = page.get_by_role("button", name="Start a taste run")
        button.wait_for()
        began = time.perf_counter()
        button.click()
        page.get_by_text("Loss", exact=False).locator("visible=true").first.wait_for(
            timeout=120_000
        )
        page.locator(
            "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg"
        ).first.wait_for(timeout=120_000)
        first_metric = time.perf_counter() - began
        job = store.list_jobs(JobKind.TRAIN)[0]
        peak: dict[str, float] = {}
        while not store.read_job(job.id).state.is_finished:
            page.wait_for_timeout(300)
            peak = max(peak, memory_of_all(settings, server), key=lambda parts: sum(parts.values()))
        print(
            f"taste run {attempt}: {store.read_job(job.id).state}, first metric after"
            f" {first_metric:.1f} s; MB at the peak:",
            ", ".join(f"{name} {size:.0f}" for name, size in peak.items()),
            file=sys.stderr,
        )
    page.close()
    job = store.read_job(job.id)
    return {
        "launch click to first live metric, second launch, s (15)": first_metric,
        "taste run, launch to completed, s (75)": (job.ended_at or 0) - job.created_at,
        "server, supervisor and a taste run together, MB (1400)": sum(peak.values()),
    }


def reruns(
    browser: Browser, url: str, settings: Settings, when: str, limit: int
) -> dict[str, float]:
    """Measure the median rerun of each page, and of the live tick during a training."""
    figures = {}
    ticks: list[float] = []
    for name in PAGES:
        page = browser.new_page()
        wire = Wire(page)
        page.goto(f"{url}/{'' if name == 'home' else name}")
        page.get_by_role("heading", level=1).wait_for()
        page.wait_for_timeout(2500)
        wire.reruns.clear()
        wire.ticks.clear()
        for _ in range(ROUNDS):
            page.locator("body").press("r")
            page.wait_for_timeout(1200)
        page.wait_for_timeout(4500 if when == "training" else 0)
        figures[f"rerun of {name}, {when}, ms ({limit})"] = statistics.median(wire.reruns)
        ticks += wire.ticks if name == "runs" else []
        page.close()
    if when == "training" and ticks:
        figures["live tick on runs, ms (50)"] = statistics.median(ticks)
    return figures


def classify(browser: Browser, url: str, server: psutil.Process) -> float:
    """Measure the memory of the server process after visiting every page and classifying a text."""
    page = visit(browser, f"{url}/classify")
    page.get_by_role("textbox", name="Text").fill("The striker scored twice in the final.")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.get_by_text("Untrained").first.wait_for(timeout=90_000)
    page.wait_for_timeout(3000)
    page.close()
    return server.memory_info().rss / MB


def prepare_data(settings: Settings) -> None:
    """Prepare the data in use, as the Prepare button does."""
    store = Store(settings)
    job = launching.launch(store, PrepareRequest(source=find_source(settings)), "data")
    wait_until(lambda: store.read_job(job.id).state.is_finished)


def long_training(settings: Settings) -> Job:
    """Start a run that trains while pages are measured."""
    store = Store(settings)
    job = actions.launch_training(
        store,
        TrainRequest(
            config=make_config(Preset.STANDARD, {"epochs": 20}), source=find_source(settings)
        ),
    )
    wait_until(lambda: len(store.read_metrics(job.id)) > 3)
    return job


def stop_all(settings: Settings) -> None:
    """Stop active and queued jobs, and wait for the supervisor's end."""
    store = Store(settings)
    for job in reversed(store.list_jobs(states=UNFINISHED)):
        actions.stop(store, job)
    wait_until(lambda: not store.list_jobs(states=UNFINISHED))
    wait_until(lambda: not is_locked(settings.home / "supervisor.lock"))


@contextmanager
def stopped_at_the_end(settings: Settings) -> Iterator[None]:
    """Stop the jobs of the home folder, also after an error."""
    try:
        yield
    finally:
        stop_all(settings)


def memory_of_all(settings: Settings, server: psutil.Process) -> dict[str, float]:
    """Return the memory of the server, of its children, of the supervisor and of the workers of
    each kind of job in MB, with shared pages counted once (PSS). Processes of other home folders do
    not count.
    """
    home = str(settings.home.absolute())
    kinds = {job.id: job.kind for job in Store(settings).list_jobs()}
    sizes: dict[str, float] = {}
    children = server.children(recursive=True)
    for process in {server, *children}.union(psutil.process_iter()):
        try:
            if process == server or process in children:
                name = "server" if process == server else "its children"
            elif _is_job_process(process, home):
                named = (kinds[part] for part in process.cmdline() if part in kinds)
                name = next(named, "supervisor")
            else:
                continue
            sizes[name] = sizes.get(name, 0) + process.memory_full_info().pss / MB
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return sizes


def _is_job_process(process: psutil.Process, home: str) -> bool:
    is_job = "core.jobs." in " ".join(process.cmdline())
    return is_job and process.environ().get("LORALAB_HOME") == home


@contextmanager
def serve(settings: Settings) -> Iterator[tuple[psutil.Process, str]]:
    """Start a server on a free port and yield once it answers."""
    port = find_free_port()
    server = subprocess.Popen(
        server_command(port),
        cwd=ROOT,
        env={**os.environ, "LORALAB_HOME": str(settings.home)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield psutil.Process(server.pid), f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def visit(browser: Browser, url: str) -> Page:
    """Open a page and wait for its heading."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url)
    page.get_by_role("heading", level=1).wait_for(timeout=60_000)
    return page


def answers(url: str) -> bool:
    """Return whether the server answers.

    An open port is not enough: Streamlit opens it once to test whether it is free.
    """
    try:
        with urllib.request.urlopen(
            f"http://{url.removeprefix('http://')}/_stcore/health", timeout=1
        ) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def find_chromium() -> str:
    """Return the path of the system's Chromium."""
    result = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    return result or sys.exit("No Chromium on the path: install one first.")


def wait_until(done: Callable[[], bool], seconds: float = 300) -> None:
    """Poll ``done`` until it is true; give up after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            sys.exit("waited too long")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
