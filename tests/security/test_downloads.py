"""Files for browsers: who can fetch them, and for how long."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError

from benchmarks.crowd import Person, Times
from core.errors import NotAllowed
from tests.support.app.server import serving
from tests.support.clock import Clock
from tests.support.event_loop import run_in_thread
from ui.app.server_start import (
    FETCHED_WITHIN_SECONDS,
    MOST_RELEASED_BYTES,
    DownloadStorage,
    shorten,
)


def store_file(storage: DownloadStorage, data: bytes, name: str = "a.csv") -> str:
    return storage.load_and_get_id(data, "text/csv", MediaFileKind.DOWNLOADABLE, name)


def is_stored(storage: DownloadStorage, file_id: str) -> bool:
    try:
        return storage.get_file(f"{file_id}.csv").filename is not None
    except MediaFileStorageError:
        return False


def test_a_download_is_found_while_others_use_the_server(tmp_path: Path) -> None:
    """Every script that ends releases what no page refers to; two did within the network's time."""
    with serving(tmp_path / "log", LORALAB_HOME=str(tmp_path / "home"), LORALAB_MODE="public") as u:
        assert run_in_thread(download(u)) == (200, 404, "")


async def download(url: str) -> tuple[int, int, str]:
    """Return the status of a download, of a guessed address, and the address of a forged button."""
    address, times = url.removeprefix("http://"), Times()
    async with Person(address, times) as visitor, Person(address, times) as other:
        await visitor.rerun("arrive")
        await visitor.open("evaluate", "run=example")
        path = await visitor.request_file(visitor.files["report"])
        for _ in range(3):
            await other.rerun("arrive")
        async with httpx.AsyncClient(base_url=url) as client:
            status = (await client.get(path)).status_code
            guessed = (await client.get(f"/media/{'0' * 32}.html")).status_code
        return status, guessed, await other.request_file("0" * 32)


def test_a_released_file_is_fetched_for_a_while() -> None:
    clock = Clock()
    storage = DownloadStorage("/media", clock)
    file_id = store_file(storage, b"text")

    clock.now += 3600
    storage.delete_file(file_id)
    clock.now += FETCHED_WITHIN_SECONDS
    storage.delete_file(file_id)  # again: it stays no longer

    assert is_stored(storage, file_id)
    clock.now += 1
    assert not is_stored(storage, file_id)


def test_a_file_that_is_used_again_stays() -> None:
    clock = Clock()
    storage = DownloadStorage("/media", clock)
    file_id = store_file(storage, b"text")
    storage.delete_file(file_id)

    assert store_file(storage, b"text") == file_id
    clock.now += 3600

    assert is_stored(storage, file_id)


def test_released_files_take_little_memory() -> None:
    storage = DownloadStorage("/media", Clock())
    half = MOST_RELEASED_BYTES // 2
    first, second, third = (store_file(storage, bytes([n]) * half) for n in range(3))

    for file_id in (first, second, third):
        storage.delete_file(file_id)

    assert [is_stored(storage, file_id) for file_id in (first, second, third)] == [
        False,
        True,
        True,
    ]


def test_a_changed_line_of_a_large_file_is_downloaded() -> None:
    """Streamlit compares beginning, middle and end of a file of more than 1 MiB."""
    storage = DownloadStorage("/media")
    before, after = bytearray(2**21), bytearray(2**21)
    after[2**19] = 1

    assert store_file(storage, bytes(before)) != store_file(storage, bytes(after))


def test_who_knows_a_file_does_not_know_its_address() -> None:
    first, second = DownloadStorage("/media"), DownloadStorage("/media")

    assert store_file(first, b"text") == store_file(first, b"text")
    assert store_file(first, b"text") != store_file(second, b"text")
    assert store_file(first, b"text") != store_file(first, b"text", "b.csv")


def raise_unknown() -> None:
    raise MediaFileStorageError("Deferred file 0 not found")


def raise_from(cause: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise MediaFileStorageError("Callable execution failed") from cause

    return fail


@pytest.mark.parametrize(
    ("fail", "is_short"),
    [
        (raise_unknown, True),
        (raise_from(NotAllowed("No.", "Ask.")), True),
        (raise_from(FileNotFoundError("a.zip")), True),
        (raise_from(ValueError("a fault")), False),
    ],
)
def test_a_forged_download_writes_one_line_to_the_log(
    fail: Callable[[], None], is_short: bool
) -> None:
    try:
        fail()
    except MediaFileStorageError:
        error = sys.exc_info()
    record = logging.LogRecord("streamlit", logging.ERROR, "", 0, "failed", None, error)

    assert shorten(record)
    assert (record.exc_info is None) == is_short
