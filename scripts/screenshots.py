"""Make the pictures in docs/pictures: every page, with the example run on the demo corpus.

Run ``python -m scripts.screenshots [PAGE ...]`` with a Chromium on the path. ``--home`` reuses a
home folder; without it a temporary one is prepared first, which takes a few minutes.
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1400, 1050  # of the browser, in CSS pixels
PICTURE_SIZE = (1000, 750)
MAX_BYTES = 60_000  # pictures are part of every clone
TEACHER_CODE = "teacher-code-of-the-screenshots"
NO_SKELETON = "!document.querySelector('[data-testid=stMain] [data-testid=stSkeleton]')"
TEXT = "Shares fell after the chip maker's warning."

PREPARATION = (  # what the pages show besides the example run
    ["explore"],
    ["quality"],
    ["embed"],
    ["embed", "--run", "example"],
)
QUERIES = {
    "compare": "compared=example,gallery-4",  # a comparison needs two runs
    "bug_hunt": "gallery-shows=Bug+hunt",
}
ADDRESSES = {"home": "", "bug_hunt": "gallery"}  # of pages with another name
PAGES = (
    *(
        "home",
        "lesson",
        "data",
        "explore",
        "quality",
        "tokens",
        "inside",
        "embeddings",
        "train",
        "runs",
    ),
    # the first visit of the gallery stores the run of the comparison
    *("evaluate", "through_time", "calibration", "errors", "gallery", "compare", "adapter"),
    *("playground", "bug_hunt", "classify", "export", "board"),
)


def main() -> None:
    """Make the pictures of the pages that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with open_home(arguments.home) as home:
        local = [page for page in arguments.pages if page != "board"]
        take_pictures(home, local, mode="local")
        if "board" in arguments.pages:
            take_pictures(home, ["board"], mode="classroom")


@contextmanager
def open_home(folder: Path | None) -> Iterator[Path]:
    """Yield ``folder``, or else a prepared temporary home with a neutral name: Home shows it."""
    if folder:
        yield folder
        return
    home = Path(tempfile.gettempdir()) / "loralab"
    home.mkdir()
    try:
        prepare(home)
        yield home
    finally:
        shutil.rmtree(home)


def prepare(home: Path) -> None:
    """Compute the results that the pages show, so that no picture shows an empty page."""
    for arguments in PREPARATION:
        subprocess.run(
            [sys.executable, "-m", "core", *arguments],
            cwd=ROOT,
            env=environment(home, "local"),
            stdout=subprocess.DEVNULL,
            check=True,
        )


def environment(home: Path, mode: str) -> dict[str, str]:
    """Return the variables of a process that uses the demo corpus and no network."""
    inherited = {key: value for key, value in os.environ.items() if "LORALAB" not in key}
    return inherited | {
        "LORALAB_HOME": str(home),
        "LORALAB_HUB": "false",
        "LORALAB_MODE": mode,
        "LORALAB_TEACHER_CODE": TEACHER_CODE,
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def serve(home: Path, mode: str) -> Iterator[str]:
    """Start the app on a free port of this machine and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.headless=true"]
    server = subprocess.Popen(
        [*command, f"--server.port={port}", "--server.address=127.0.0.1"],
        cwd=ROOT,
        env=environment(home, mode),
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(address)
        yield address
    finally:
        server.terminate()
        server.wait()


def wait_until_healthy(address: str, timeout_seconds: float = 60) -> None:
    """Return when the server answers; raise ``TimeoutError`` when it does not."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"no answer from {address} after {timeout_seconds:.0f} s")


def take_pictures(home: Path, pages: list[str], mode: str) -> None:
    """Visit the pages in a browser and write a picture of each."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with serve(home, mode) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in pages:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            path = ADDRESSES.get(name, name)
            page.goto(f"{address}/{path}?run=example&{QUERIES.get(name, '')}")
            wait_until_drawn(page)
            if mode == "classroom":
                join_as_teacher(page)
                wait_until_drawn(page)
            if name == "classify":
                page.get_by_label("Text", exact=True).first.fill(TEXT)
                page.get_by_role("button", name="Classify", exact=True).click()
                page.wait_for_timeout(25_000)  # the first text waits for the model to load
                wait_until_drawn(page)
            if name == "inside":
                page.get_by_role("button", name="Run the model").click()
                page.wait_for_timeout(15_000)
                wait_until_drawn(page)
            write_picture(page.screenshot(), PICTURES / f"{name}.webp")
            page.close()
        browser.close()


def wait_until_drawn(page: Page) -> None:
    """Wait until the page's script has ended and its charts are drawn."""
    page.wait_for_selector("[data-testid=stMain] h1, [data-testid=stMain] h2", timeout=60_000)
    page.wait_for_timeout(1_000)
    page.wait_for_selector("[data-test-script-state=running]", state="detached", timeout=120_000)
    page.wait_for_timeout(5_000)
    page.wait_for_function(NO_SKELETON, timeout=60_000)


def join_as_teacher(page: Page) -> None:
    """Sign in on the sign-in page of a class."""
    page.get_by_text("I am the teacher").click()
    page.get_by_label("Teacher's name", exact=True).fill("Grace")
    page.get_by_label("Teacher's code", exact=True).fill(TEACHER_CODE)
    page.get_by_role("button", name="Open the class", exact=True).click()
    page.wait_for_timeout(3_000)


def write_picture(png: bytes, target: Path) -> None:
    """Write the picture as WebP of at most ``MAX_BYTES``, at the best quality that fits."""
    picture = (
        Image.open(io.BytesIO(png)).convert("RGB").resize(PICTURE_SIZE, Image.Resampling.LANCZOS)
    )
    for quality in (85, 75, 65, 55, 45, 35):
        encoded = io.BytesIO()
        picture.save(encoded, "WEBP", quality=quality, method=6)
        if len(encoded.getvalue()) <= MAX_BYTES:
            break
    target.write_bytes(encoded.getvalue())
    print(f"{target.name}: {len(encoded.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
