"""A server of the app in its own process."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def find_free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def server_command(port: int, *options: str) -> list[str]:
    """Return the command that starts the app on ``port``, for this machine only."""
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.headless", "true"]
    return [*command, "--server.port", str(port), "--server.address", "127.0.0.1", *options]


@contextmanager
def serving(log_path: Path, **variables: str) -> Iterator[str]:
    """Start a server with these variables; afterwards its output must not contain a traceback."""
    port = find_free_port()
    defaults = {"LORALAB_HUB": "false", "LORALAB_SUPERVISE": "true"}
    environment = {**os.environ, **defaults, **variables}
    log = log_path.open("w+")
    process = subprocess.Popen(
        server_command(port),
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        wait_for_health(f"http://127.0.0.1:{port}", log_path)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        log.close()
    assert "Traceback" not in log_path.read_text()


def wait_for_health(url: str, log: Path) -> None:
    """Wait until the server answers.

    An open port is not enough: Streamlit opens it once to test whether it is free.
    """
    deadline = time.monotonic() + 180  # on a busy machine two slow cores need more than 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=10):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server does not answer\n{log.read_text()}")
