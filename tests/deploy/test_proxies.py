"""The proxies of deploy/ in front of a server of a class."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.support.app.server import ROOT, find_free_port, serving

DEPLOY = ROOT / "deploy"
TRUSTING = ssl._create_unverified_context()  # the proxies sign their certificates themselves
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a server in classroom mode."""
    folder = tmp_path_factory.mktemp("app")
    home = str(folder / "home")
    with serving(folder / "log", LORALAB_HOME=home, LORALAB_MODE="classroom") as address:
        yield urlsplit(address).port or 0


def start_nginx(folder: Path, apps: Sequence[int], port: int) -> list[str]:
    """Write the configuration of nginx for these ports and return the command that runs it."""
    certificate, key = folder / "lab.pem", folder / "lab.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    server = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("lab.example.org", "localhost"),
        ("/etc/ssl/lab.pem", str(certificate)),
        ("/etc/ssl/lab.key", str(key)),
        ("server 127.0.0.1:8501;", "".join(f"server 127.0.0.1:{app};" for app in apps)),
    ):
        assert old in server
        server = server.replace(old, new)
    folders = "".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"pid {folder / 'pid'}; daemon off; error_log stderr;"
        f"events {{}} http {{ access_log off; {folders} {server} }}"
    )
    return ["nginx", "-e", "stderr", "-c", str(configuration)]


def start_caddy(folder: Path, apps: Sequence[int], port: int) -> list[str]:
    """Write Caddy's configuration for a port and return the command that runs it."""
    configuration = folder / "Caddyfile"
    options = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
    configuration.write_text(options + (DEPLOY / "Caddyfile").read_text())
    return [
        "env",
        f"LORALAB_ADDRESS=localhost:{port}",
        f"LORALAB_APP={' '.join(f'127.0.0.1:{app}' for app in apps)}",
        f"XDG_DATA_HOME={folder / 'data'}",
        f"XDG_CONFIG_HOME={folder / 'config'}",
        *("caddy", "run", "--config", str(configuration), "--adapter", "caddyfile"),
    ]


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[str]:
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            address = f"https://localhost:{port}"
            deadline = time.monotonic() + 60
            while request(address, "/_stcore/health")[0] != 200:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait()


@contextmanager
def proxying(name: str, folder: Path, apps: Sequence[int]) -> Iterator[str]:
    """Run a proxy in front of the servers on these ports; return its address."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    start, port = {"nginx": start_nginx, "caddy": start_caddy}[name], find_free_port()
    with running(start(folder, apps, port), port, folder / "log") as address:
        yield address


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, app: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the address of the app behind a proxy."""
    with proxying(request.param, tmp_path_factory.mktemp(request.param), [app]) as address:
        yield address


class NamingServer(ThreadingHTTPServer):
    """Answers every request with its port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", find_free_port()), NamingHandler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class NamingHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, NamingServer)
        body = str(self.server.server_port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *details: object) -> None:
        """Print nothing."""


def find_process(browser: httpx.Client, address: str) -> int:
    return int(browser.get(address).raise_for_status().text)


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_a_browser_stays_with_one_server_process_as_long_as_it_runs(
    name: str, tmp_path: Path
) -> None:
    with NamingServer() as first_server, ExitStack() as stack:
        second_server = stack.enter_context(NamingServer())
        ports = [server.server_port for server in (first_server, second_server)]
        address = stack.enter_context(proxying(name, tmp_path, ports))
        browsers = [stack.enter_context(httpx.Client(verify=TRUSTING)) for _ in range(20)]
        first = [find_process(browser, address) for browser in browsers]

        assert set(first) == set(ports)
        for _ in range(3):
            assert [find_process(browser, address) for browser in browsers] == first
        second_server.shutdown()
        second_server.server_close()
        assert {find_process(browser, address) for browser in browsers} == {ports[0]}


def request(
    address: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of an answer; status 0 if no one answers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    message = urllib.request.Request(address + path, data=body, headers=names)
    try:
        with urllib.request.urlopen(message, context=TRUSTING, timeout=60) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)
    except OSError:
        return 0, {}


def test_the_app_answers_with_the_headers_of_the_proxy(proxy: str) -> None:
    status, headers = request(proxy, "/")
    lower = {name.lower(): value for name, value in headers.items()}

    assert status == 200
    assert lower["strict-transport-security"] == "max-age=31536000"
    assert lower["x-content-type-options"] == "nosniff"
    assert lower["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'self'" in lower["content-security-policy"]


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/auth/login", "/oauth2callback"])
def test_closed_paths_are_not_found(proxy: str, path: str) -> None:
    assert request(proxy, path)[0] == 404


def test_a_large_body_is_refused(proxy: str) -> None:
    status, _headers = request(proxy, "/_stcore/upload_file/a/b", bytes(27_000_000))

    # by nginx, which may close the connection early, or by the app behind Caddy
    assert status in (0, 403, 405, 413)


def test_a_page_is_drawn_through_the_web_socket(proxy: str) -> None:
    address = f"{proxy.replace('https', 'wss')}/_stcore/stream"
    with connect(
        address,
        origin=Origin(proxy),
        subprotocols=[Subprotocol("streamlit")],
        ssl=TRUSTING,
        proxy=None,
    ) as socket:
        socket.send(BackMsg(rerun_script=ClientState()).SerializeToString())
        assert len(socket.recv(timeout=60)) > 0


def test_a_foreign_page_is_refused_the_web_socket(proxy: str) -> None:
    address = f"{proxy.replace('https', 'wss')}/_stcore/stream"
    with pytest.raises(InvalidStatus):
        connect(address, origin=Origin("https://evil.example"), ssl=TRUSTING, proxy=None)


CLOSED = b"GET /_stcore/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + CLOSED
SMUGGLED = (  # headers that two programs may read differently, and the body
    (f"Content-Length: {len(CHUNKED)}\r\nTransfer-Encoding: chunked", CHUNKED),
    (f"Content-Length: {len(CHUNKED)}\r\nTransfer-Encoding : chunked", CHUNKED),
    (f"Content-Length: {len(CHUNKED)}\r\nTransfer-Encoding:\r\n chunked", CHUNKED),
    (f"Content-Length: {len(CHUNKED)}\r\nTransfer-Encoding: \x0bchunked", CHUNKED),
    (f"Content-Length: 0\r\nContent-Length: {len(CLOSED)}", CLOSED),
    ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM", CLOSED),
)


class RecordingApp:
    """Answers everything, as the app's server does, and records the paths."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await Response("")(scope, receive, send)


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_no_request_is_smuggled_through_a_proxy(name: str, tmp_path: Path) -> None:
    recorder, port = RecordingApp(), find_free_port()
    options = uvicorn.Config(recorder, port=port, log_level="critical", lifespan="off", http="h11")
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with proxying(name, tmp_path, [port]) as address:
            for headers, body in SMUGGLED:
                plain = socket.create_connection(("127.0.0.1", urlsplit(address).port), timeout=10)
                with TRUSTING.wrap_socket(plain, server_hostname="localhost") as connection:
                    head = f"POST / HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n{headers}"
                    connection.sendall(head.encode() + b"\r\n\r\n" + body)
                    connection.recv(1000)
            assert request(address, "/last")[0] == 200
        through_proxy = list(recorder.paths)
        request(f"http://127.0.0.1:{port}", "/_stcore/metrics")
    finally:
        server.should_exit = True
        thread.join()

    assert recorder.paths[-1] == "/_stcore/metrics"  # is recorded without a proxy
    assert "/last" in through_proxy
    assert not [path for path in through_proxy if "metrics" in path]


def test_both_proxies_set_the_same_policy() -> None:
    policies = {
        re.search(r'Content-Security-Policy "([^"]+)"', (DEPLOY / name).read_text())
        for name in ("nginx.conf", "Caddyfile")
    }

    assert len({policy and policy[1] for policy in policies}) == 1
