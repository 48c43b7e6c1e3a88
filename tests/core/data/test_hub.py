import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from core.data.hub import CACHE_SECONDS, hub_reachable, probe
from core.settings import Settings


class Mirror(HTTPServer):
    status = 200
    requests = 0


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Serve a Hub on this machine, with its address in ``HF_ENDPOINT``."""
    with Mirror(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def online(home: Path) -> Settings:
    return Settings(home=home, hub=True)


def remember(home: Path, endpoint: str, reachable: object, age: float) -> None:
    home.mkdir()
    (home / "hub.json").write_text(
        json.dumps({"endpoint": endpoint, "reachable": reachable, "checked_at": time.time() - age})
    )


def test_a_hub_that_is_answering_is_reachable_and_asked_once(
    mirror: Mirror, online: Settings
) -> None:
    assert [hub_reachable(online) for _ in range(3)] == [True, True, True]
    assert mirror.requests == 1


def test_a_disk_that_stores_no_answer_does_not_keep_the_page_from_it(
    mirror: Mirror, online: Settings
) -> None:
    (online.home / "hub.json").mkdir(parents=True)  # no file can get this name

    assert hub_reachable(online)


def test_a_mirror_without_a_root_page_is_reachable(mirror: Mirror, online: Settings) -> None:
    mirror.status = 404

    assert hub_reachable(online)


def test_a_proxy_that_forbids_is_not_reachable(mirror: Mirror, online: Settings) -> None:
    mirror.status = 403

    assert not hub_reachable(online)


@pytest.mark.parametrize("value", ["1", "true", "ON", "yes"])
def test_offline_mode_asks_nothing(
    mirror: Mirror, online: Settings, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)

    assert not hub_reachable(online)
    assert mirror.requests == 0


def test_a_hub_switched_off_is_not_asked(mirror: Mirror, home: Path) -> None:
    assert not hub_reachable(Settings(home=home, hub=False))
    assert mirror.requests == 0


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "no address", "http://"])
def test_an_endpoint_that_does_not_answer_is_not_reachable(
    online: Settings, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("no_proxy", "*")

    assert not hub_reachable(online)


def test_a_server_that_never_is_answering_is_asked_once(
    online: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")

        assert [hub_reachable(online) for _ in range(5)] == [False] * 5

        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_slow_name_look_up_is_not_waited_for() -> None:
    released = threading.Event()

    assert not probe("https://huggingface.co", lambda endpoint: released.wait(30), seconds=0.05)
    assert not released.is_set()
    released.set()


@pytest.mark.parametrize("age", [CACHE_SECONDS + 1, -3600])
def test_an_old_answer_or_one_from_the_future_is_asked_again(
    mirror: Mirror, home: Path, online: Settings, age: float
) -> None:
    remember(home, f"http://127.0.0.1:{mirror.server_port}", False, age)

    assert hub_reachable(online)


def test_the_answer_of_another_endpoint_is_not_taken(
    mirror: Mirror, home: Path, online: Settings
) -> None:
    remember(home, "https://huggingface.co", False, age=1)

    assert hub_reachable(online)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"text"',
        '{"reachable": true}',
        '{"endpoint": 1, "reachable": 1, "checked_at": "x"}',
    ],
)
def test_a_damaged_memory_is_written_again(
    mirror: Mirror, home: Path, online: Settings, content: str
) -> None:
    home.mkdir()
    (home / "hub.json").write_text(content)

    assert hub_reachable(online)
    assert json.loads((home / "hub.json").read_text())["reachable"] is True
