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


@contextmanager
def serving(log_path: Path, **variables: str) -> Iterator[str]:
    """Start a server with these variables; afterwards its output must not contain a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "Home.py",
        "--server.headless",
        "true",
        "--server.port",
        str(port),
    ]
    defaults = {"LORALAB_HUB": "false", "LORALAB_SUPERVISE": "true"}
    environment = {**os.environ, **defaults, **variables}
    log = log_path.open("w+")
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"],
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server does not answer\n{log.read_text()}")
