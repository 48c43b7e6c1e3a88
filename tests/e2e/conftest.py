"""A server and a Chromium browser.

Without Chromium the tests are skipped, unless ``LORALAB_TEST_BROWSER=required``.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from core.data.explore.index import ensure_index
from core.data.preparation import prepare
from core.data.sources import demo_source
from core.settings import Settings
from tests.support.app.browser import PATIENCE
from tests.support.app.oidc_provider import CLIENT, SECRET, SECRETS, Lesson, provider
from tests.support.app.server import ROOT, find_free_port, server_command, serving, wait_for_health
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

REQUIRED = os.environ.get("LORALAB_TEST_BROWSER") == "required"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
expect.set_options(timeout=PATIENCE)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if CHROMIUM is None:
        if REQUIRED:
            pytest.fail("no Chromium on the path, and LORALAB_TEST_BROWSER asks for one")
        pytest.skip("no Chromium on the path")
    return {"executable_path": CHROMIUM, "args": QUIET}


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "tiny-bert")


@pytest.fixture
def server(home: Path, tmp_path: Path) -> Iterator[str]:
    """Return the address of an app with a small dataset."""
    news = write_small_news(tmp_path / "small-news", train=400)
    with serving(
        tmp_path / "server.log",
        LORALAB_HOME=str(home),
        LORALAB_DATA=str(news),
        LORALAB_PATHS=str(tmp_path),  # where ``tiny_model`` is
    ) as address:
        yield address


@pytest.fixture
def example_server(home: Path, tmp_path: Path) -> Iterator[str]:
    """Return the address of an app on its first start, with the demo corpus prepared."""
    settings = Settings(home=home, hub=False)
    prepared = prepare(settings, demo_source(), lambda progress: None, lambda: False)
    ensure_index(prepared, lambda progress: None, lambda: False)
    with serving(tmp_path / "server.log", LORALAB_HOME=str(home)) as address:
        yield address


@pytest.fixture
def lesson(home: Path, tmp_path: Path) -> Iterator[Lesson]:
    news = write_small_news(tmp_path / "small-news", train=400)
    with provider() as served:
        port = find_free_port()
        url = f"http://localhost:{port}"  # as the provider redirects
        reported = tmp_path / "secrets.toml"
        reported.write_text(
            SECRETS.format(
                url=url, cookie="c" * 40, client=CLIENT, secret=SECRET, provider=served.url
            )
        )
        command = server_command(port, "--secrets.files", str(reported))
        environment = {
            **os.environ,
            "LORALAB_HOME": str(home),
            "LORALAB_DATA": str(news),
            "LORALAB_HUB": "false",
            "LORALAB_SUPERVISE": "true",
        }
        environment |= {"LORALAB_MODE": "classroom", "LORALAB_TEACHERS": "grace@school.example"}
        with (tmp_path / "server.log").open("w+") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                wait_for_health(f"http://127.0.0.1:{port}", tmp_path / "server.log")
                yield Lesson(url, served)
            finally:
                process.terminate()
                process.wait()
