import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from broken import parquet

from core.data import fetching
from core.data.fetching import fetch
from core.data.reader import read_table
from core.errors import DataError
from core.settings import Settings

ROWS = parquet(text=["a", "b"], label=["x", "y"])


class Hub(BaseHTTPRequestHandler):
    """A Hub with three datasets."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        here = f"http://127.0.0.1:{self.server.server_address[1]}/file"
        listings = {
            "/api/datasets/some/pets/parquet": {"default": {"test": [here], "train": [here, here], "extra": [here]}},
            "/api/datasets/some/many/parquet": {"de": {"train": [here]}, "en": {"train": [here]}},
            "/api/datasets/some/odd/parquet": {"default": {"all": [here]}},
        }
        found = ROWS if self.path == "/file" else json.dumps(listings[self.path]).encode() if self.path in listings else None
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, home: object) -> Iterator[Settings]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("LORALAB_HUB", "true")
    yield Settings()
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_files_of_the_splits_are_fetched_train_first(online: Settings) -> None:
    paths = fetch(online, "some/pets")

    assert [path.name for path in paths] == ["train-00000.parquet", "train-00001.parquet", "test-00000.parquet"]
    assert read_table(paths[0].name, paths[0].read_bytes()).frame["text"].tolist() == ["a", "b"]


def test_one_configuration_is_chosen_by_its_name(online: Settings) -> None:
    assert len(fetch(online, "some/many:de")) == 1
    with pytest.raises(DataError, match="has several configurations: de, en. Write some/many:ONE"):
        fetch(online, "some/many")
    with pytest.raises(DataError, match="has no configuration 'fr'"):
        fetch(online, "some/many:fr")


@pytest.mark.parametrize(
    ("hub_id", "message"),
    [
        ("../etc", "is no dataset id"),
        ("one", "is no dataset id"),
        ("some/thing", "is not on the Hub, or needs a login"),
        ("some/odd", "has no training split. Its splits are all."),
    ],
)
def test_what_cannot_be_fetched_is_said(online: Settings, hub_id: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fetch(online, hub_id)


def test_a_dataset_that_is_too_large_is_refused(online: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", len(ROWS) + 1)

    with pytest.raises(DataError, match="has more than"):
        fetch(online, "some/pets")


def test_without_a_network_it_is_said(settings: Settings) -> None:
    with pytest.raises(DataError, match="The Hub cannot be reached from here"):
        fetch(settings, "some/pets")
