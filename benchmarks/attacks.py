"""Try to enter and to exhaust a running server of each mode, as other pages and visitors would.

    python benchmarks/attacks.py [--mode classroom] [--all-bombs | --only-sockets]

While a tiny model trains: requests with other Hosts, Origins and forwarding headers, closed paths,
typed paths of files, forged cookies and tickets, the teacher's buttons, files of others, uploads
without permission, files that unpack to much more, names that look like those of others, a script
that joins, explanations without end, large messages, launches at once, and hundreds of pages at
once from one address and from five. Prints per mode how many of each were tried and succeeded, how
long the server took to answer another visitor meanwhile, and its memory.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string
from websockets.exceptions import InvalidStatus

from benchmarks.crowd import Lost, Person, Times
from benchmarks.interface import prepare_data, stop_all, wait_until
from core.access import GUEST, Mode, Role, Visitor
from core.data.disputed_labels import MOST_OF_A_STUDENT, DisputedLabel
from core.data.sources import find_source
from core.errors import LoraLabError
from core.jobs import actions
from core.people.allowances import JOINS_OF_A_NETWORK, find_explanations, spend
from core.people.classroom import read_rules
from core.presets import Preset, make_config
from core.runs.requests import TrainRequest
from core.settings import Settings, find_readable
from core.storage import accounts
from core.storage.accounts import read_audit_log
from core.storage.recovery import open_store
from core.storage.store import Store
from tests.core.people.test_names import ADA, ALSO_ADA, INVISIBLE, TEACHERS
from tests.security.test_bombs import QUICK
from tests.security.test_request_guard import (
    DOUBLED,
    FILES,
    FOREIGN,
    HOSTS,
    LENGTHS,
    ORIGINS,
    PROXIES,
    STREAM,
    UPGRADE,
    Lines,
    fill_in,
    name_host,
    request_status,
)
from tests.security.test_typed_paths import OUTSIDE
from tests.support.app.server import serving
from tests.support.security.bombs import TABLES
from tests.support.tiny_models import write_bert
from ui.app.request_guard import COUNTED_SECONDS, MOST_OF_A_MESSAGE

PATHS = ("/", STREAM, "/_stcore/health", "/media/x")
CODE, TEACHER_CODE = "whale", "oak"
JOINS, FORGED, EXPLAINED = JOINS_OF_A_NETWORK.most + 40, 20, 250
FORGED_ON = ("board", "lesson", "data", "gallery", "runs")  # pages with buttons of the teacher
LARGE_FILES = 6  # of 19 MB, from each of three students
SOCKETS, OTHER = 600, "127.0.0.9"  # pages at once, and the address of another visitor
# browsers compute on other machines: they leave the processor to the server
FLOOD_NICENESS = 15
FLOOD_SECONDS = 10
Request = tuple[str, Lines, str]  # path, headers, method


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


@dataclass
class Outcome:
    """Tries and successes by kind, and the milliseconds of another visitor's pages meanwhile."""

    tries: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)
    pages: list[float] = field(default_factory=list)

    def count(self, kind: str, succeeded: bool) -> None:
        """Count a try."""
        self.tries[kind] += 1
        self.successes[kind] += succeeded


class Uploader(Person):
    """A simulated browser that uploads files as a file picker does."""

    def __init__(self, address: str, times: Times, cookie: str = "") -> None:
        super().__init__(address, times, cookie)
        self._urls: asyncio.Queue[FileURLs] = asyncio.Queue()

    def _read(self, message: ForwardMsg) -> None:
        super()._read(message)
        kind = message.WhichOneof("type")
        if kind == "file_urls_response":
            self._urls.put_nowait(message.file_urls_response.file_urls[0])

    async def send_file(self, name: str, data: bytes) -> tuple[int, FileURLs]:
        """Send a file to this session; return the status of the answer and the file's address."""
        message = BackMsg()
        message.file_urls_request.request_id = secrets.token_hex(4)
        message.file_urls_request.file_names.append(name)
        message.file_urls_request.session_id = self.session
        assert self._socket
        await self._socket.send(message.SerializeToString())
        urls = await asyncio.wait_for(self._urls.get(), 30)
        url = f"http://{self.address}"
        return await asyncio.to_thread(put_file, url, urls.upload_url, data), urls

    async def upload(self, key: str, name: str, data: bytes) -> int:
        """Send a file and have the page read it; return the status of the answer."""
        status, urls = await self.send_file(name, data)
        if status >= 400:
            return status
        state = WidgetState(id=self.find(key))
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.name, info.size, info.file_id = name, len(data), urls.file_id
        info.file_urls.CopyFrom(urls)
        self.widgets[state.id] = state
        await self.rerun("upload")
        return status

    async def is_ended_by(self, content: str | bytes) -> bool:
        """Send a message and return whether the server closes the connection."""
        assert self._socket
        await self._socket.send(content)
        try:
            await asyncio.wait_for(self._socket.wait_closed(), 10)
        except TimeoutError:
            return False
        return True

    async def join(self, name: str, code: str = CODE) -> bool:
        """Try to join with the code; return whether that succeeded."""
        form = "teach" if code == TEACHER_CODE else "join"
        await self.fill(f"{form}-name", name)
        await self.fill(f"{form}-code", code)
        await self.click(f"{form}-submit", "join")
        return self.has("leave")


def put_file(url: str, path: str, data: bytes) -> int:
    """Upload a file as a browser does and return the status of the answer."""
    head = '--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
    body = head.encode() + data + b"\r\n--b--\r\n"
    token = generate_xsrf_token_string()
    headers = name_host(url) | {
        "Content-Length": str(len(body)),
        "Content-Type": "multipart/form-data; boundary=b",
        "Cookie": f"_streamlit_xsrf={token}",
        "X-Xsrftoken": token,
    }
    try:
        return request_status(url, path, headers, "PUT", body)
    except (BrokenPipeError, ConnectionResetError):  # refused before the whole body was sent
        return 403


def list_local_requests(address: str) -> Iterator[Request]:
    """Yield requests that local mode must refuse."""
    port, own = str(urlsplit(address).port), name_host(address)
    hosts = [{"Host": host.format(port=port)} for host in HOSTS]
    origins = [own | {"Origin": origin.format(port=port)} for origin in ORIGINS]
    proxies = [own | {name: value} for name, value in PROXIES]
    for path in PATHS:
        for headers in (*hosts, *origins, *proxies):
            yield path, (UPGRADE if path == STREAM else {}) | headers, "GET"
        for lines in DOUBLED:
            yield path, fill_in(address, lines), "GET"


def list_remote_requests(address: str) -> Iterator[Request]:
    """Yield requests that a server for others must refuse."""
    own = name_host(address)
    for origin in FOREIGN * 10:
        yield STREAM, UPGRADE | own | {"Origin": origin}, "GET"
        yield "/_stcore/upload_file/a/b", own | {"Origin": origin}, "PUT"
        yield "/_lab/visit", own | {"Origin": origin}, "POST"
    for path in FILES:
        yield path, own, "GET"
    for length in LENGTHS:
        yield "/_stcore/upload_file/a/b", own | {"Content-Length": length}, "PUT"
    for number in range(50):
        yield f"/_stcore/upload_file/session-{number}/file", own | {"Content-Length": "0"}, "PUT"
        yield "/_stcore/metrics", own, "GET"


def try_requests(address: str, mode: Mode, outcome: Outcome) -> None:
    """Send requests that no browser of a visitor would send."""
    for path, headers, method in (
        list_local_requests if mode is Mode.LOCAL else list_remote_requests
    )(address):
        # a public server has no such page, and shows its own
        outcome.count("requests", request_status(address, path, headers, method) < 400)


def try_paths(settings: Settings, outcome: Outcome) -> None:
    """Type paths of files outside the allowed folders."""
    for path in OUTSIDE:
        if path.startswith(("/", "~root")):
            try:
                is_read = find_readable(settings, path).exists()
            except LoraLabError:
                is_read = False
            outcome.count("paths", is_read)


async def try_cookies(address: str, outcome: Outcome) -> None:
    """Open the page with cookies, and fetch cookies with tickets, that the server did not issue."""
    times, port = Times(), address.rpartition(":")[2]
    for _ in range(FORGED):
        cookie = f"lora-lab-visit-{port}={secrets.token_urlsafe(8)}.{secrets.token_urlsafe(32)}"
        async with Uploader(address, times, cookie) as visitor:
            await visitor.rerun("arrive")
            outcome.count("cookies", visitor.has("leave"))
        url, ticket = f"http://{address}", secrets.token_urlsafe(24).encode()
        headers = name_host(url) | {"Content-Length": str(len(ticket))}
        status = await asyncio.to_thread(
            request_status, url, "/_lab/visit", headers, "POST", ticket
        )
        outcome.count("cookies", status < 400)


@asynccontextmanager
async def enter(address: str, times: Times) -> AsyncIterator[Uploader]:
    """Open a page, as soon as the address of the visitor has room for it."""
    while True:
        visitor = Uploader(address, times)
        try:
            await visitor.__aenter__()
            break
        except InvalidStatus:  # pages that were open a moment ago still count
            await asyncio.sleep(COUNTED_SECONDS / 10)
    try:
        yield visitor
    finally:
        await visitor.__aexit__()


async def try_joins(address: str, outcome: Outcome) -> None:
    """Join under names of others, then with a script, more often than a network may."""
    times = Times()
    async with Uploader(address, times) as visitor:
        await visitor.rerun("arrive")
        await visitor.join("Ada")
    for name in (*ADA, *ALSO_ADA, *(f"A{sign}da" for sign in INVISIBLE), *TEACHERS):
        async with enter(address, times) as visitor:
            await visitor.rerun("arrive")
            outcome.count("names", await visitor.join(name))
    joined = 1

    async def run_script(numbers: range) -> None:
        nonlocal joined
        for number in numbers:
            async with enter(address, times) as visitor:
                await visitor.rerun("arrive")
                is_joined = await visitor.join(f"Person {number}")
                joined += is_joined  # in one step: others have joined while this one waited
                outcome.tries["joins"] += 1

    await asyncio.gather(*(run_script(range(start, JOINS, 4)) for start in range(4)))
    if joined <= 30:
        raise SystemExit(f"only {joined} people could join: the limit keeps a class out")
    outcome.successes["joins"] += max(0, joined - JOINS_OF_A_NETWORK.most)


async def try_forged(address: str, store: Store, outcome: Outcome) -> None:
    """Click buttons that only the teacher has, and fetch files of others by guessed addresses."""
    times = Times()
    async with Uploader(address, times) as teacher, Uploader(address, times) as student:
        for visitor, name, code in ((teacher, "Hopper", TEACHER_CODE), (student, "Eve", CODE)):
            await visitor.rerun("arrive")
            await visitor.join(name, code)
        for page in FORGED_ON:
            await teacher.open(page)
            await student.open(page)
            buttons = set(teacher.widget_ids.values()) - set(student.widget_ids.values())
            for button in sorted(buttons):
                before = len(read_audit_log(store))
                await student.rerun("forge", WidgetState(id=button, trigger_value=True))
                outcome.count("buttons", len(read_audit_log(store)) > before)
            for file_id in set(teacher.files.values()) - set(student.files.values()):
                guessed = secrets.token_hex(len(file_id) // 2)
                outcome.count("files", bool(await student.request_file(guessed)))
        for _ in range(FORGED):
            path, own = f"/media/{secrets.token_hex(16)}.html", name_host(f"http://{address}")
            status = await asyncio.to_thread(request_status, f"http://{address}", path, own)
            outcome.count("files", status < 400)


async def try_uploads(address: str, mode: Mode, bombs: list[str], outcome: Outcome) -> None:
    """Upload files that unpack to much more, and more large files than the server may hold."""
    times = Times()
    for bomb in bombs:
        name, write = TABLES[bomb]
        async with Uploader(address, times) as visitor:
            await visitor.rerun("arrive")
            if mode is Mode.CLASSROOM:
                await visitor.join("Grace", TEACHER_CODE)
            data = await asyncio.to_thread(write)
            try:
                if mode is Mode.PUBLIC:
                    status, _ = await visitor.send_file(name, data)
                    outcome.count("uploads", status < 400)
                    continue
                await visitor.open("data")
                status = await visitor.upload("upload", name, data)
                outcome.count("bombs", status >= 500)
            except Lost:  # the page did not end
                outcome.count("bombs", True)
    if mode is Mode.CLASSROOM:
        await fill_memory(address, times, outcome)


async def fill_memory(address: str, times: Times, outcome: Outcome) -> None:
    """Upload large files as three students at once; more than 80 MB in all is a success."""
    stored = 0

    async def fill(number: int) -> None:
        nonlocal stored
        async with Uploader(address, times) as visitor:
            await visitor.rerun("arrive")
            await visitor.join(f"Uploader {number}")
            for _ in range(LARGE_FILES):
                status, _ = await visitor.send_file("a.csv", bytes(19 * 10**6))
                stored += status < 400
                outcome.tries["uploads"] += 1

    await asyncio.gather(*(fill(number) for number in range(3)))
    outcome.successes["uploads"] += max(0, stored - 4)


async def try_messages(address: str, outcome: Outcome) -> None:
    """Send messages that no page sends; one that is read without ending the page is a success."""
    names = BackMsg()
    names.file_urls_request.file_names.extend([""] * (MOST_OF_A_MESSAGE // 2 + 1))
    text = BackMsg()
    text.rerun_script.query_string = "a" * MOST_OF_A_MESSAGE
    for content in ("text", b"\xff\xfe\x00", names.SerializeToString(), text.SerializeToString()):
        async with Uploader(address, Times()) as page:
            await page.rerun("arrive")
            with suppress(Lost):
                outcome.count("messages", not await page.is_ended_by(content))


def try_launches(store: Store, outcome: Outcome) -> None:
    """Launch runs of one student at the same moment, and dispute labels without end."""
    store = store.for_visitor(Visitor("mallory", "Mallory", Role.STUDENT))
    accounts.add_person(store, store.visitor, "key of mallory")
    config = make_config(Preset.TASTE, {"max_tokens": 64})
    request = TrainRequest(config=config, source=find_source(store.settings))

    def launch(number: int) -> bool:
        with suppress(LoraLabError):
            return bool(actions.launch_training(store, request, key=f"mallory {number}"))
        return False

    with ThreadPoolExecutor(10) as pool:
        launched = sum(pool.map(launch, range(20)))
    for job in store.list_jobs():
        if job.owner == store.visitor.id:
            actions.stop(store, job)
    outcome.tries["launches"] += 20
    outcome.successes["launches"] += max(0, launched - read_rules(store).waiting - 1)
    for number in range(12):
        labels = [DisputedLabel(row=row, label="a") for row in range(100)]
        with suppress(LoraLabError):
            actions.dispute_labels(store, f"{number:012x}", "data", labels)
            outcome.successes["labels"] += number >= MOST_OF_A_STUDENT // 100
        outcome.tries["labels"] += 1


def try_explanations(store: Store, outcome: Outcome) -> None:
    """Spend explanations as a student and as guests with many visits."""
    for visitor in (Visitor("bob", "Bob", Role.STUDENT), GUEST):
        limited = find_explanations(visitor, "192.0.2.7")
        assert limited
        for number in range(EXPLAINED):
            try:
                spend(store, limited)
                outcome.count("explanations", number >= limited[0].most)
            except LoraLabError:
                outcome.count("explanations", False)


def flood(address: str, sources: list[str]) -> int:
    """Open hundreds of pages at once, rerun each without a pause, and return how many opened."""
    os.nice(FLOOD_NICENESS)
    return asyncio.run(_flood(address, sources))


async def _flood(address: str, sources: list[str]) -> int:
    opened = 0

    async def flood_from(source: str) -> None:
        nonlocal opened
        page, until = Uploader(address, Times()), time.monotonic() + FLOOD_SECONDS
        page.source = source
        with suppress(OSError, InvalidStatus, Lost):
            async with page:
                opened += 1
                while time.monotonic() < until:
                    await page.rerun("flood")

    await asyncio.gather(*(flood_from(sources[n % len(sources)]) for n in range(SOCKETS)))
    return opened


async def try_sockets(address: str, settings: Settings, outcome: Outcome) -> None:
    """Flood the server from one address, then from five, in a process of its own."""
    loop = asyncio.get_running_loop()
    for sources in (["127.0.0.1"], [f"127.0.0.{number}" for number in range(2, 7)]):
        await asyncio.sleep(COUNTED_SECONDS + 1)  # pages that were open a moment ago still count
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            opened = await loop.run_in_executor(pool, flood, address, sources)
        if opened < 60:
            raise SystemExit(f"only {opened} pages could be opened: the limit keeps a class out")
        outcome.tries["sockets"] += SOCKETS
        most = min(settings.pages, settings.pages_of_address * len(sources))
        outcome.successes["sockets"] += max(0, opened - most)


async def visit_pages(address: str, mode: Mode, outcome: Outcome, ended: asyncio.Event) -> None:
    """Open pages as another visitor and measure them, until ``ended``."""
    times = Times()
    person = Uploader(address, times)
    person.source = OTHER
    async with person as visitor:
        await visitor.rerun("arrive")
        if mode is Mode.CLASSROOM:
            await visitor.join("Zoe")
        for page in ("explore", ""):  # the first visit of a page loads its modules
            await visitor.open(page)
        times.reruns.clear()
        while not ended.is_set():
            await visitor.open("explore")
            await visitor.open("")
            await asyncio.sleep(1)
    outcome.pages += times.list_reruns()


async def attack(
    url: str, mode: Mode, settings: Settings, bombs: list[str], outcome: Outcome
) -> None:
    """Try everything on a running server, one kind after another, while another visitor works."""
    address, ended = url.removeprefix("http://"), asyncio.Event()
    watching = asyncio.create_task(visit_pages(address, mode, outcome, ended))
    await asyncio.sleep(5)
    if bombs:
        await try_others(url, mode, settings, bombs, outcome)
    await try_sockets(address, settings, outcome)
    ended.set()
    await watching


async def try_others(
    url: str, mode: Mode, settings: Settings, bombs: list[str], outcome: Outcome
) -> None:
    """Try everything but hundreds of pages at once."""
    address = url.removeprefix("http://")
    await asyncio.to_thread(try_requests, url, mode, outcome)
    try_paths(settings, outcome)
    await try_uploads(address, mode, bombs, outcome)
    if mode is Mode.CLASSROOM:
        await try_cookies(address, outcome)
        await try_forged(address, open_store(settings), outcome)
        await try_joins(address, outcome)
        await asyncio.to_thread(try_launches, open_store(settings), outcome)
    await try_messages(address, outcome)
    if mode is not Mode.LOCAL:
        await asyncio.to_thread(try_explanations, open_store(settings), outcome)


def start_training(settings: Settings) -> None:
    """Start a run of a tiny model that trains until it is stopped."""
    store, model = open_store(settings), write_bert(settings.home.parent / "tiny")
    prepare_data(settings)
    config = make_config(Preset.STANDARD, {"model": str(model), "epochs": 50})
    job = actions.launch_training(store, TrainRequest(config=config, source=find_source(settings)))
    wait_until(lambda: len(store.read_metrics(job.id)) > 3)


def try_mode(mode: Mode, bombs: list[str], folder: Path) -> tuple[Outcome, Watch]:
    """Return the outcome of all tries and what was measured meanwhile."""
    settings, outcome = Settings(home=folder / "home", mode=mode), Outcome()
    start_training(settings)
    variables = {"CLASS_CODE": CODE, "TEACHER_CODE": TEACHER_CODE, "HOME": str(settings.home)}
    try:
        with serving(
            folder / "log",
            **{f"LORALAB_{name}": value for name, value in variables.items()},
            LORALAB_MODE=mode,
        ) as url:
            watch = Watch(url)
            follower = threading.Thread(target=watch.follow)
            follower.start()
            try:
                asyncio.run(attack(url, mode, settings, bombs, outcome))
            finally:
                watch.end()
                follower.join()
    finally:
        stop_all(settings)
    return outcome, watch


def main() -> int:
    """Print a few lines per mode; return 1 if a try has succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=list(Mode), type=Mode)
    parser.add_argument("--only-sockets", action="store_true", help="hundreds of pages at once")
    parser.add_argument("--all-bombs", action="store_true", help="all 26 files, some minutes")
    arguments = parser.parse_args()
    bombs = list(TABLES) if arguments.all_bombs else list(QUICK)
    if arguments.only_sockets:
        bombs = []
    os.environ |= {"LORALAB_HUB": "false"}
    total = 0
    for mode in [arguments.mode] if arguments.mode else list(Mode):
        with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
            outcome, watch = try_mode(mode, bombs, Path(folder))
        total += outcome.successes.total()
        kinds = ", ".join(
            f"{kind} {outcome.successes[kind]} of {tries}" for kind, tries in outcome.tries.items()
        )
        print(
            f"{mode}: {outcome.successes.total()} of {outcome.tries.total()} tries succeeded"
            f" ({kinds})\n  others: health {describe(watch.seconds, 1000)} ms, pages"
            f" {describe(outcome.pages)} ms; server {watch.megabytes:.0f} MB",
            flush=True,
        )
    return int(total > 0)


def describe(values: list[float], factor: float = 1) -> str:
    """Return median, 95th percentile and maximum."""
    ordered = sorted(factor * value for value in values)
    if not ordered:
        return "none"
    middle, high = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    return f"{middle:.0f}, p95 {high:.0f}, at most {ordered[-1]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
