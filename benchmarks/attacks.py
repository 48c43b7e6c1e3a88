"""Try to enter a running server of each mode as other pages, proxies and visitors would.

    python benchmarks/attacks.py

Requests with other Hosts, Origins and forwarding headers, uploads without a session, closed paths,
and paths of files as a visitor may type them. Prints per mode how many were tried and succeeded,
the slowest answer to another visitor meanwhile, and the memory of the server.
"""

import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from core.access import Mode
from core.errors import LoraLabError
from core.settings import Settings, find_readable
from tests.security.test_request_guard import (
    FOREIGN,
    HOSTS,
    ORIGINS,
    PROXIES,
    STREAM,
    UPGRADE,
    name_host,
    request_status,
)
from tests.security.test_typed_paths import OUTSIDE
from tests.support.app.server import serving

PATHS = ("/", STREAM, "/_stcore/health", "/media/x")
Request = tuple[str, dict[str, str], str]  # path, headers, method


@dataclass
class Watch:
    """Answer times of the server to another visitor, and its memory, until it is stopped."""

    address: str
    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        """Measure every tenth of a second."""
        port = urlsplit(self.address).port
        (server,) = (
            process for process in psutil.Process().children() if str(port) in process.cmdline()
        )
        while not self._ended.wait(0.1):
            began = time.perf_counter()
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=60):
                self.seconds.append(time.perf_counter() - began)
            self.megabytes = max(self.megabytes, server.memory_info().rss / 10**6)

    def end(self) -> None:
        """Stop measuring."""
        self._ended.set()


def list_local_requests(address: str) -> Iterator[Request]:
    """Yield requests that local mode must refuse."""
    port, own = str(urlsplit(address).port), name_host(address)
    hosts = [{"Host": host.format(port=port)} for host in HOSTS]
    origins = [own | {"Origin": origin.format(port=port)} for origin in ORIGINS]
    proxies = [own | {name: value} for name, value in PROXIES]
    for path in PATHS:
        for headers in (*hosts, *origins, *proxies):
            yield path, (UPGRADE if path == STREAM else {}) | headers, "GET"


def list_remote_requests(address: str) -> Iterator[Request]:
    """Yield requests that a server for others must refuse."""
    own = name_host(address)
    for origin in FOREIGN * 10:
        yield STREAM, UPGRADE | own | {"Origin": origin}, "GET"
        yield "/_stcore/upload_file/a/b", own | {"Origin": origin}, "PUT"
    for number in range(50):
        yield f"/_stcore/upload_file/session-{number}/file", own | {"Content-Length": "0"}, "PUT"
        yield "/_stcore/metrics", own, "GET"


def try_mode(mode: str, home: Path) -> tuple[int, int, Watch]:
    """Return the numbers of tries and successes, and what was measured meanwhile."""
    with serving(home / "log", LORALAB_HOME=str(home / "home"), LORALAB_MODE=mode) as address:
        watch = Watch(address)
        follower = threading.Thread(target=watch.follow)
        follower.start()
        lister = list_local_requests if mode == Mode.LOCAL else list_remote_requests
        requests = list(lister(address))
        answers = [
            request_status(address, path, headers, method) for path, headers, method in requests
        ]
        watch.end()
        follower.join()
    succeeded = sum(status < 400 for status in answers)
    settings = Settings(home=home / "home", mode=mode)
    typed = [path for path in OUTSIDE if path.startswith(("/", "~root"))]
    return len(requests) + len(typed), succeeded + sum(_is_read(settings, p) for p in typed), watch


def _is_read(settings: Settings, path: str) -> bool:
    try:
        return find_readable(settings, path).exists()
    except LoraLabError:
        return False


def main() -> int:
    """Print a line per mode; return 1 if a try has succeeded."""
    total = 0
    for mode in Mode:
        with tempfile.TemporaryDirectory() as folder:
            tries, succeeded, watch = try_mode(mode, Path(folder))
        total += succeeded
        print(
            f"{mode:<10} {tries:>4} tries, {succeeded} succeeded; others answered in at most"
            f" {max(watch.seconds) * 1000:.0f} ms, median"
            f" {sorted(watch.seconds)[len(watch.seconds) // 2] * 1000:.0f} ms; server"
            f" {watch.megabytes:.0f} MB",
            flush=True,
        )
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
