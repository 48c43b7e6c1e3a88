"""Two server processes on one home folder, as behind a proxy that divides browsers among them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.attacks import Uploader, put_file
from benchmarks.crowd import Times
from benchmarks.staying import Browser, come_back, join
from core.people.classroom import change_rules, read_rules
from core.people.membership import remove_member
from core.storage import accounts
from core.storage.store import Store
from tests.support.app.server import serving
from tests.support.event_loop import run_in_thread

pytestmark = pytest.mark.slow


@pytest.fixture
def addresses(home: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return the addresses of two servers of a class that start at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(number: int) -> str:
            log = tmp_path / f"server-{number}.log"
            server = serving(
                log,
                LORALAB_HOME=str(home),
                LORALAB_MODE="classroom",
                LORALAB_CLASS_CODE="whale",
                LORALAB_SUPERVISE="false",
            )
            return stack.enter_context(server).removeprefix("http://")

        here, there = pool.map(start, range(2))
        yield here, there


def move(person: Browser, here: str, there: str) -> None:
    """Have the browser use the other server.

    Behind a proxy both have one address; here the port is part of the cookie's name.
    """
    person.cookie = person.cookie.replace(here.rsplit(":")[-1], there.rsplit(":")[-1])


def test_a_member_and_their_inputs_are_known_to_the_other_process(
    addresses: tuple[str, str],
) -> None:
    here, there = addresses

    async def visit() -> tuple[bool, int]:
        times = Times()
        person = await join(here, times, number=1)
        move(person, here, there)
        result = await come_back(there, times, person, number=1)
        await person.__aexit__()
        assert not times.errors
        return result

    assert run_in_thread(visit()) == (True, 0)


def test_a_name_and_a_closed_class_are_known_to_the_other_process(
    addresses: tuple[str, str], store: Store
) -> None:
    here, there = addresses

    async def try_to_join(number: int) -> bool:
        async with Browser(there, Times()) as person:
            await person.rerun("arrive")
            await person.fill("join-name", f"Person {number}")
            await person.fill("join-code", "whale")
            await person.click("join-submit", "join")
            return person.has("leave")

    async def visit() -> list[bool]:
        first = await join(here, Times(), number=1)
        await first.__aexit__()
        joined = [await try_to_join(1), await try_to_join(2)]
        change_rules(store, read_rules(store).model_copy(update={"open": False}))
        return [*joined, await try_to_join(3)]

    assert run_in_thread(visit()) == [False, True, False]


def test_someone_who_was_removed_by_the_other_process_uploads_nothing(
    addresses: tuple[str, str], store: Store
) -> None:
    """Their page may stay open; the cookie of their browser is invalid."""
    here, there = addresses

    async def visit() -> tuple[list[int], bool]:
        async with Uploader(here, Times()) as person:
            await person.rerun("arrive")
            await person.join("Ada")
            await person.fetch_cookie()
            path = f"/_stcore/upload_file/{person.session}/file"
            statuses = [put_file(f"http://{here}", path, b"text,label\n")]
            (ada,) = accounts.list_people(store)
            remove_member(store, ada)
            statuses.append(put_file(f"http://{here}", path, b"text,label\n"))
            cookie = person.cookie.replace(here.rsplit(":")[-1], there.rsplit(":")[-1])
        async with Uploader(there, Times(), cookie) as again:
            await again.rerun("arrive")
            return statuses, again.has("leave")

    assert run_in_thread(visit()) == ([204, 403], False)
