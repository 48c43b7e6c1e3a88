"""A local Hugging Face Hub with the requests that the app makes: the listing of a branch, and the
files of a revision.
"""

import io
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq

REVISION, CONVERTED_REVISION = "a" * 40, "c" * 40
NAMES = json.dumps(
    {"info": {"features": {"label": {"names": ["Katze", "Hund"], "_type": "ClassLabel"}}}}
)


def rows(number: int) -> bytes:
    """Return a Parquet file as the Hub stores it: class ids, with class names in the schema."""
    table = pa.table(
        {
            "text": [f"Text {i} über Tiere" for i in range(number)],
            "label": [i % 2 for i in range(number)],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": NAMES}), buffer)
    return buffer.getvalue()


TRAIN, TEST = rows(60), rows(20)
CSV = "text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40))
REPOSITORIES: dict[str, dict[str, dict[str, bytes]]] = {  # by name and branch
    "some/pets": {
        "main": {"pets.py": b"raise SystemExit", "README.md": b"#"},
        "refs/convert/parquet": {
            "default/test/0000.parquet": TEST,
            "default/train/0000.parquet": TRAIN,
            "default/extra/0000.parquet": TEST,
        },
    },
    "some/many": {
        "main": {},
        "refs/convert/parquet": {"de/train/0000.parquet": TRAIN, "en/train/0000.parquet": TRAIN},
    },
    "some/odd": {"main": {}, "refs/convert/parquet": {"default/validation/0000.parquet": TEST}},
    "some/plain": {
        "main": {
            "train.csv": CSV.encode(),
            "data/test.csv": CSV.encode(),
            "run.py": b"",
            "train.pkl": b"pickle",
        }
    },
    "some/script": {"main": {"script.py": b"raise SystemExit", "train.zip": b"PK"}},
    "some/login": {"main": {"train.csv": CSV.encode()}},
    "some/short": {"main": {"train.csv": CSV.encode()}},
    "some/large": {"main": {"train.csv": CSV.encode()}},
}


class Hub(ThreadingHTTPServer):
    """State of the server:

    ``asked`` lists the requested paths; while ``held`` is cleared, files are sent incompletely.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.held = threading.Event()
        self.held.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path = urllib.parse.unquote(self.path)
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/(.+)\?blobs=true", path):
            result = self._card(*match.groups())
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/(\w{40})/(.+)", path):
            result = self._file(*match.groups())
        else:
            result = None
        self.send_response(404 if result is None else 200)
        self.end_headers()
        if result and "resolve" in path and not self.server.held.is_set():
            self.wfile.write(result[: len(result) // 2])
            self.wfile.flush()
            self.server.held.wait(30)
            result = result[len(result) // 2 :]
        self.wfile.write(result or b"")

    def _card(self, name: str, branch: str) -> bytes | None:
        held = REPOSITORIES.get(name, {}).get(branch)
        if held is None:
            return None
        more = {"some/short": 1, "some/large": 2**30}.get(name, 0)
        siblings = [
            {"rfilename": path, "size": len(content) + more} for path, content in held.items()
        ]
        sha = REVISION if branch == "main" else CONVERTED_REVISION
        return json.dumps(
            {
                "sha": sha,
                "gated": name == "some/login",
                "cardData": {"license": "mit"},
                "siblings": siblings,
            }
        ).encode()

    def _file(self, name: str, revision: str, path: str) -> bytes | None:
        branch = "main" if revision == REVISION else "refs/convert/parquet"
        return REPOSITORIES[name][branch].get(path)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve the Hub until the end of the block."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.held.set()
            hub.shutdown()
            thread.join()
