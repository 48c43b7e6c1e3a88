"""Requests of other web pages, through proxies, and uploads, against servers of every mode."""

import http.client
from asyncio import Event
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from core.settings import Settings
from tests.support.app.server import serving
from tests.support.event_loop import run_in_thread
from ui.app.request_guard import (
    LEAST_OF_A_FILE,
    MESSAGES_A_SECOND,
    MESSAGES_AT_ONCE,
    MOST_OF_A_PERSON,
    MOST_OF_ALL,
    Pace,
    RequestGuard,
    limit_messages,
    limit_upload_seconds,
)
from ui.session.local_machine import FORWARDING_HEADERS

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
STREAM = "/_stcore/stream"
HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "evil.localhost.example:{port}",
    "127.0.0.1.nip.io:{port}",
    "0.0.0.0:{port}",
    "10.0.0.7:{port}",
    "[::2]:{port}",
    "localhost@evil.example",
    "localhost:{port}/",
    "localhost:{port}#",
    "localhost:port",
    "localhost.:{port}",
    "127.0.0.1.:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "2130706433:{port}",  # 127.0.0.1, which browsers write in the usual way
    "0x7f.0.0.1:{port}",
    "127.1:{port}",
    "127.0.0.2:{port}",
    "localhost:{port}, evil.example",
    "localhost\tevil.example",
    "loc%61lhost:{port}",
    "evil.example@localhost:{port}",
    "xn--lcalhost-c9g:{port}",
    "",
)
ORIGINS = (
    "https://evil.example",
    "http://evil.example:{port}",
    "http://localhost",
    "http://localhost:1",
    "http://127.0.0.1.nip.io:{port}",
    "http://localhost:{port}.evil.example",
    "http://localhost:{port}@evil.example",
    "http://localhost:{port} http://evil.example",
    "HTTP://EVIL.EXAMPLE:{port}",
    "http://localhost.:{port}",
    "file://",
    "null",
    "",
)
FOREIGN = (
    "https://evil.example",
    "http://lab.example.org.evil.example",
    "http://lab.example.org@evil.example",
    "http://lab.example.org:1",
    "http://localhost:3000",  # another server on the visitor's machine
    "http://127.0.0.1:1",
    "file://",
    "null",
    "",
)
PROXIES = (
    *((name, "203.0.113.9") for name in sorted(FORWARDING_HEADERS)),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Server", "localhost"),
    ("x-FORWARDED-prefix", "/lab"),
    ("X-Forwarded", "203.0.113.9"),
    ("X_Forwarded_For", "203.0.113.9"),
    ("CF-Connecting-IP", "203.0.113.9"),
    ("Cf-Warp-Tag-Id", "1"),
    ("Tailscale-User-Login", "ada@example.org"),
    ("X-Amzn-Trace-Id", "Root=1"),
    ("X-AppEngine-User-IP", "203.0.113.9"),
    ("X-Azure-ClientIP", "203.0.113.9"),
    ("X-Envoy-Original-Path", "/"),
    ("fOrWaRdEd", "for=203.0.113.9"),
    ("X-FORWARDED-FOR", ""),
    ("X_Real_IP", "127.0.0.1"),
    ("vIa", ""),
)
DOUBLED = (  # headers that a request has twice
    (("Host", "{own}"), ("Host", "evil.example")),
    (("hOST", "evil.example"), ("Host", "{own}")),
    (("Host", "{own}"), ("Origin", "http://{own}"), ("oRIGIN", "http://evil.example")),
    (("Host", "{own}"), ("Origin", "http://evil.example"), ("Origin", "http://{own}")),
    (("Host", "{own}"), ("Via", ""), ("Forwarded ", "for=127.0.0.1")),
)
FILES = (  # that no path of a browser reaches
    *("/_stcore/%6detrics", "/x/../_stcore/metrics", "/%5fstcore/metrics", "/_stcore%2fmetrics"),
    *("//_stcore/metrics", "/_stcore/metrics?x", "/_stcore/metrics%00", "//etc/passwd"),
    *("/media/../../../../etc/passwd", "/media/%2e%2e/%2e%2e/etc/passwd", "/media/%00"),
    *("/static/..%2f..%2f..%2fetc%2fpasswd", "/app/static/../../Home.py", "/..%5c..%5cHome.py"),
    *("/component/x/../../../etc/passwd", "/_stcore/bidi-components/../../../etc/passwd"),
)
LENGTHS = ("-1", "+5", "5, 6", "1e9", "0x10", "9" * 30, " ", "5;q=1", "\xb2")
Lines = dict[str, str] | Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("local")
    with serving(folder / "log", LORALAB_HOME=str(folder / "home")) as address:
        yield address


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("public")
    with serving(
        folder / "log",
        LORALAB_HOME=str(folder / "home"),
        LORALAB_MODE="public",
        STREAMLIT_BROWSER_SERVER_ADDRESS="lab.school.example",
    ) as address:
        yield address


def request_status(
    address: str, path: str, headers: Lines, method: str = "GET", body: bytes = b""
) -> int:
    """Send a request with exactly these headers and return the status of the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in headers.items() if isinstance(headers, dict) else headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def name_host(address: str) -> dict[str, str]:
    """Return the Host header of a browser that opens ``address``."""
    return {"Host": urlsplit(address).netloc}


def fill_in(address: str, lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers with the host of the server in place of ``{own}``."""
    return [(name, value.format(own=urlsplit(address).netloc)) for name, value in lines]


@pytest.mark.parametrize("lines", DOUBLED, ids=str)
def test_no_doubled_header_gets_past_local_mode(
    local: str, lines: Sequence[tuple[str, str]]
) -> None:
    assert request_status(local, "/_stcore/health", fill_in(local, lines)) in {400, 403}


@pytest.mark.parametrize("path", FILES)
def test_no_spelling_of_a_path_leads_to_a_file_or_to_the_metrics(public: str, path: str) -> None:
    assert request_status(public, path, name_host(public)) in {400, 404}


@pytest.mark.parametrize("length", LENGTHS)
def test_upload_without_a_length_that_is_one_is_refused(public: str, length: str) -> None:
    headers = name_host(public) | {"Content-Length": length}

    assert request_status(public, "/_stcore/upload_file/a/b", headers, "PUT") in {400, 411}


@pytest.mark.parametrize("path", ["/", STREAM, "/_stcore/health", "/media/x", "/unknown"])
def test_local_mode_refuses_every_other_host_origin_and_proxy(local: str, path: str) -> None:
    """Each request is one that a rebound name, another page or a proxy would send."""
    port = str(urlsplit(local).port)
    own = name_host(local)
    upgrade = UPGRADE if path == STREAM else {}
    hosts = [{"Host": host.format(port=port)} for host in HOSTS]
    origins = [own | {"Origin": origin.format(port=port)} for origin in ORIGINS]
    proxies = [own | {name: value} for name, value in PROXIES]
    requests = [*hosts, *origins, *proxies]

    answers = {str(headers): request_status(local, path, upgrade | headers) for headers in requests}

    assert {status for status in answers.values()} <= {400, 403}, answers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_local_mode_answers_a_browser_on_this_machine(local: str, host: str) -> None:
    named = {"Host": f"{host}:{urlsplit(local).port}"}
    origin = {"Origin": f"http://{named['Host']}"}

    assert request_status(local, "/", named) == 200
    assert request_status(local, STREAM, UPGRADE | named | origin) == 101


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origin_is_refused_without_a_lookup_elsewhere(tmp_path: Path, origin: str) -> None:
    """Streamlit, which would look up its public address, does not see the request."""
    reached: list[str] = []
    sent: list[Message] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    headers = {"host": "lab.example.org", "origin": origin}
    scope: Scope = {
        "type": "websocket",
        "path": STREAM,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.9", 5000),
    }
    run_in_thread(RequestGuard(note, Settings(home=tmp_path, mode="public"))(scope, receive, send))

    assert not reached
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_foreign_origin_is_refused_by_the_server(public: str) -> None:
    foreign = [name_host(public) | {"Origin": origin} for origin in FOREIGN]

    assert {request_status(public, STREAM, UPGRADE | headers) for headers in foreign} == {403}


def test_a_page_at_the_configured_name_may_connect_through_a_proxy(public: str) -> None:
    """Some proxies send a Host header of their own."""
    own, foreign = "https://lab.school.example", "https://lab.school.example.evil.example"

    statuses = [
        request_status(public, STREAM, UPGRADE | name_host(public) | {"Origin": origin})
        for origin in (own, foreign)
    ]

    assert statuses == [101, 403]


@pytest.mark.parametrize("mode", ["local", "classroom"])
@pytest.mark.parametrize("order", [1, -1])
def test_each_of_several_origins_counts(tmp_path: Path, mode: str, order: int) -> None:
    origins = ["http://localhost:8501", "http://evil.example"][::order]
    headers = Headers(
        raw=[(b"host", b"localhost:8501"), *((b"origin", value.encode()) for value in origins)]
    )
    scope: Scope = {
        "type": "http",
        "method": "PUT",
        "path": "/",
        "headers": headers.raw,
        "client": ("127.0.0.1", 5000),
    }
    guard = RequestGuard(accept, Settings(home=tmp_path, mode=mode))

    assert send_request(guard, scope) == 403


def test_other_modes_answer_by_any_name_and_hide_metrics(public: str) -> None:
    host = {"Host": "lab.example.org"}

    assert request_status(public, "/", host) == 200
    assert (
        request_status(public, STREAM, UPGRADE | host | {"Origin": "https://lab.example.org"})
        == 101
    )
    assert request_status(public, "/_stcore/metrics", host) == 404


def upload_in_own_session(address: str) -> int:
    """Open the page as a browser does, upload a file in its session, and return the status."""
    url = f"ws{address.removeprefix('http')}{STREAM}"
    with connect(url, subprotocols=[Subprotocol("streamlit")]) as socket:
        message = BackMsg()
        message.rerun_script.query_string = ""
        socket.send(message.SerializeToString())
        session = ""
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=60, decode=False))
            if answer.WhichOneof("type") == "new_session":
                session = answer.new_session.initialize.session_id
            if answer.WhichOneof("type") == "script_finished":
                break
        boundary = "b"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\n'
            f"text,label\r\n--{boundary}--\r\n"
        ).encode()
        token = generate_xsrf_token_string()
        headers = name_host(address) | {
            "Content-Length": str(len(body)),
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Cookie": f"_streamlit_xsrf={token}",
            "X-Xsrftoken": token,
        }
        return request_status(address, f"/_stcore/upload_file/{session}/a", headers, "PUT", body)


def test_guest_of_a_public_page_cannot_upload(public: str) -> None:
    assert upload_in_own_session(public) == 403


def test_owner_of_the_machine_can_upload(local: str) -> None:
    assert upload_in_own_session(local) == 204


def send_request(guard: RequestGuard, scope: Scope) -> int:
    """Send a request without a body through the guard and return the status of its answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    run_in_thread(guard(scope, receive, send))
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status


def send_upload(guard: RequestGuard, session: str, **headers: str) -> int:
    """Send an upload through the guard and return the status of its answer."""
    scope: Scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/_stcore/upload_file/{session}/file",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.9", 5000),
    }
    return send_request(guard, scope)


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that the guard lets through."""
    await send({"type": "http.response.start", "status": 204, "headers": []})


@pytest.mark.parametrize(
    ("session", "stored", "length", "status"),
    [
        ("member", {}, str(MOST_OF_A_PERSON), 204),
        ("member", {"member": MOST_OF_A_PERSON}, "5000", 413),
        ("member", {"tab": MOST_OF_A_PERSON}, "5000", 413),
        ("member", {"other": MOST_OF_ALL}, "5000", 503),
        ("member", {"other": MOST_OF_ALL - LEAST_OF_A_FILE}, "5000", 204),
        ("member", {"member": MOST_OF_A_PERSON - 5000}, "0", 413),  # many empty files
        ("guest", {}, "5000", 403),
        ("member", {}, "", 411),
        ("member", {}, "-1", 411),
        ("member", {}, "²", 411),
    ],
)
def test_uploads_are_limited(
    tmp_path: Path, session: str, stored: dict[str, int], length: str, status: int
) -> None:
    guard = RequestGuard(
        accept,
        Settings(home=tmp_path, mode="classroom"),
        find_person=lambda name: {"member": "ada", "tab": "ada", "other": "bob"}.get(name, ""),
        count_stored=lambda: stored,
    )

    assert send_upload(guard, session, **({"content-length": length} if length else {})) == status


def test_upload_in_chunks_is_refused(tmp_path: Path) -> None:
    guard = RequestGuard(accept, Settings(home=tmp_path, mode="classroom"), str, count_stored=dict)
    headers = {"content-length": "5", "transfer-encoding": "chunked"}

    assert send_upload(guard, "member", **headers) == 411


def test_unfinished_uploads_count(tmp_path: Path) -> None:
    guard = RequestGuard(
        accept,
        Settings(home=tmp_path, mode="classroom"),
        find_person=str,
        count_stored=dict,
    )
    guard.arriving["first"] = MOST_OF_ALL

    assert send_upload(guard, "second", **{"content-length": "5000"}) == 503

    guard.arriving.clear()
    assert send_upload(guard, "second", **{"content-length": "5000"}) == 204
    assert not guard.arriving


def make_message(kind: str) -> BackMsg:
    message = BackMsg()
    if kind == "file_urls_request":
        message.file_urls_request.file_names.append("a.csv")
    elif kind == "backend_operation_request":
        message.backend_operation_request.deferred_file.file_id = "a"
    elif kind == "rerun_script":
        message.rerun_script.query_string = "run=a"
    else:
        setattr(message, kind, True)
    return message


def read_through(
    *frames: BackMsg | bytes | str, large: Pace | None = None
) -> tuple[list[Message], float]:
    """Send frames through the guard; return what a page's server gets, and how long that waits."""
    waited: list[float] = []
    messages: list[Message] = [
        {"type": "websocket.receive", "text": frame}
        if isinstance(frame, str)
        else {
            "type": "websocket.receive",
            "bytes": frame.SerializeToString() if isinstance(frame, BackMsg) else frame,
        }
        for frame in frames
    ]
    coming = iter([*messages, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Message:
        return next(coming)

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async def read() -> list[Message]:
        read_next = limit_messages(receive, large, timer=lambda: sum(waited), wait=wait)
        received = [await read_next()]
        while received[-1]["type"] != "websocket.disconnect":
            received.append(await read_next())
        return received[:-1]

    return run_in_thread(read()), sum(waited)


@pytest.mark.parametrize("kind", [field.name for field in BackMsg.DESCRIPTOR.oneofs[0].fields])
def test_a_page_cannot_clear_what_others_use_or_read_the_repository(kind: str) -> None:
    """One of the messages would also forget the wrong codes of an address."""
    is_of_a_page = kind in {
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
        "backend_operation_request",
    }

    assert len(read_through(make_message(kind))[0]) == is_of_a_page


def test_a_page_cannot_write_into_the_repository() -> None:
    """Streamlit would install the instructions of a programming assistant there."""
    forged = [BackMsg(), BackMsg(), BackMsg()]
    forged[0].backend_operation_request.install_skills.SetInParent()
    forged[1].backend_operation_request.dismiss_skills_nudge.SetInParent()
    forged[2].backend_operation_request.request_id = "a"

    assert read_through(*forged)[0] == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_runs_no_script(number: float) -> None:
    """The script of a page with a field for integers did not end."""
    single, several, usual = BackMsg(), BackMsg(), BackMsg()
    single.rerun_script.widget_states.widgets.add(id="a", double_value=number)
    several.rerun_script.widget_states.widgets.add(id="a").double_array_value.data.extend(
        [1.0, number]
    )
    usual.rerun_script.widget_states.widgets.add(id="a", double_value=1e300)

    assert len(read_through(single, several, usual)[0]) == 1


def test_what_is_no_message_ends_the_connection_without_a_traceback() -> None:
    heartbeat = make_message("app_heartbeat")

    for frame in ("text", b"\xff\xfe\x00"):
        assert read_through(frame, heartbeat)[0] == []


def test_thousands_of_file_names_get_no_addresses() -> None:
    message = BackMsg()
    message.file_urls_request.file_names.extend(["a"] * 5000)

    assert read_through(message)[0] == []


def test_flood_of_messages_waits() -> None:
    """Otherwise 99,000 reruns in 6 s kept the server from answering others for a minute."""
    heartbeat = make_message("app_heartbeat")

    received, seconds = read_through(*[heartbeat] * 300)

    assert len(received) == 300
    assert seconds == pytest.approx((300 - MESSAGES_AT_ONCE) / MESSAGES_A_SECOND)


def make_large(megabytes: float) -> BackMsg:
    message = BackMsg()
    message.rerun_script.query_string = "a" * int(megabytes * 10**6)
    return message


def test_a_message_that_no_page_sends_is_not_read() -> None:
    """Messages of 18 MB with empty names took the server to 763 MB and 0.4 s each."""
    assert read_through(make_large(6), make_message("app_heartbeat"))[0] == []


def test_large_messages_of_all_pages_wait_together() -> None:
    received, seconds = read_through(*[make_large(5)] * 4)

    assert len(received) == 4  # 20 MB, of which 10 MB wait
    assert seconds == pytest.approx(5, rel=0.01)


def test_large_messages_that_would_wait_too_long_are_not_held_in_memory() -> None:
    full = Pace(10, 2_000_000, lambda: 0.0)
    full.take(18_000_000)

    assert read_through(make_large(5), large=full)[0] == []
    assert full.left == pytest.approx(-18_000_000, abs=100)
    assert len(read_through(make_message("rerun_script"), large=full)[0]) == 1


def test_upload_that_does_not_end_makes_room_for_others(tmp_path: Path) -> None:
    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await Event().wait()

    settings = Settings(home=tmp_path, mode="classroom")
    guard = RequestGuard(wait, settings, str, count_stored=dict, limit_seconds=lambda length: 0.01)

    assert send_upload(guard, "member", **{"content-length": "5000"}) == 408
    assert not guard.arriving
    assert limit_upload_seconds(20_000_000) == 220


def test_token_is_needed_in_every_request_but_the_first(tmp_path: Path) -> None:
    """Another user of the machine does not know the token."""
    with serving(
        tmp_path / "log", LORALAB_HOME=str(tmp_path / "home"), LORALAB_TOKEN="auto"
    ) as url:
        printed = next(
            line for line in (tmp_path / "log").read_text().splitlines() if "?token=" in line
        )
        token = printed.rpartition("=")[2]
        host = name_host(url)
        own = host | {"Origin": url}

        assert request_status(url, "/", host) == 403
        assert request_status(url, "/?token=wrong", host) == 403
        assert request_status(url, STREAM, UPGRADE | own) == 403
        assert request_status(url, "/_stcore/upload_file/a/b", own, "PUT") == 403
        assert request_status(url, f"/runs?run=a&token={token}", host) == 303
        cookie = {"Cookie": f"lora-lab-token-{urlsplit(url).port}={token}"}
        assert request_status(url, "/", host | cookie) == 200
        assert request_status(url, STREAM, UPGRADE | own | cookie) == 101


def test_wrong_settings_are_explained_in_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_MODE", "clasroom")

    assert send_upload(RequestGuard(accept), "member", **{"content-length": "5"}) == 503


def test_token_does_not_redirect_to_another_server(tmp_path: Path) -> None:
    with (
        serving(
            tmp_path / "log", LORALAB_HOME=str(tmp_path / "home"), LORALAB_TOKEN="secret"
        ) as url,
        closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection,
    ):
        connection.request("GET", "//evil.example/?token=secret")
        answer = connection.getresponse()

    assert not (answer.getheader("Location") or "/").startswith("//")


def test_downloads_are_not_stored(local: str) -> None:
    with closing(http.client.HTTPConnection(urlsplit(local).netloc, timeout=60)) as connection:
        connection.request("GET", "/media/missing.csv")
        answer = connection.getresponse()

    assert answer.getheader("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("proxies", "header", "client"),
    [
        ("", "192.0.2.1", "unknown"),
        ("", "192.0.2.1, 127.0.0.1", "unknown"),
        ("", "", "203.0.113.9"),
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),  # uvicorn has read the header before
    ],
)
def test_forwarded_addresses_count_only_from_a_configured_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxies: str, header: str, client: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
    clients: list[str] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        clients.append(scope["client"][0])
        await accept(scope, receive, send)

    guard = RequestGuard(note, Settings(home=tmp_path, mode="classroom"), str, count_stored=dict)
    forwarded = {"x-forwarded-for": header} if header else {}
    send_upload(guard, "member", **{"content-length": "5"}, **forwarded)

    assert clients == [client]
