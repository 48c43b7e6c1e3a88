"""Small files that unpack to much more: refused, or read without taking the server's memory."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.data.splits.data_folders import read_for_server
from core.data.tables.table import MAX_UNPACKED
from core.data.tables.whole_table import read_whole_for_server
from core.errors import DataError, NotEnoughRoom
from core.storage.resources import CallLimits, call_limited
from core.transfer.imports.archive import read_upload
from core.transfer.imports.backup_zip import HEADER, open_backup
from tests.support.security.bombs import TABLES, repeat_numbers, repeat_text, zip_files
from tests.support.security.sizes import FULL
from ui.runs.transfer import MOST_READ

QUICK = (
    "Parquet: a dictionary column",
    "Parquet: 900 columns",
    "Parquet: rows of no type",
    "JSON: nested lists",
    "CSV: one cell of 19 MB",
    "workbook",
    "gzip of zeros",
)
LITTLE = 90_000_000  # bytes by which reading may enlarge the server


def take_memory(size: int) -> int:
    return len(bytearray(size))


def take_time() -> None:
    while True:
        pass


def print_noise() -> str:
    os.write(1, b"noise of a library")
    return "answer"


def test_call_ends_at_its_limit() -> None:
    limits = CallLimits(megabytes=300, seconds=2)

    with pytest.raises(NotEnoughRoom):
        call_limited(limits, take_memory, 2 * 10**9)
    with pytest.raises(NotEnoughRoom):
        call_limited(limits, take_time)


def test_call_returns_its_answer_and_its_errors() -> None:
    limits = CallLimits(megabytes=300, seconds=20)

    assert call_limited(limits, take_memory, 5) == 5
    assert call_limited(limits, print_noise) == "answer"
    with pytest.raises(DataError, match=r"is empty\. Choose"):
        call_limited(limits, read_whole_for_server, "a.csv", b"")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        call_limited(limits, divmod, 1, 0)


@pytest.mark.parametrize("bomb", TABLES if FULL else QUICK)
def test_bomb_leaves_the_server_as_it_was(bomb: str) -> None:
    name, write = TABLES[bomb]
    data = write()
    process = psutil.Process()
    before = process.memory_info().rss

    try:
        table = read_for_server(name, data)
    except DataError as error:
        assert error.message and error.fix
    else:
        assert table.frame.memory_usage().sum() <= MAX_UNPACKED

    assert process.memory_info().rss - before < LITTLE


def test_table_larger_than_the_server_may_hold_is_refused() -> None:
    with pytest.raises(DataError, match="a larger table than can be read in the browser"):
        read_for_server("a.parquet", repeat_text(200, 10**5))


def test_file_to_classify_is_limited_as_well() -> None:
    for data in (repeat_text(200, 10**5), repeat_numbers(10**6, 5)):
        with pytest.raises(DataError, match="a larger table than can be read in the browser"):
            read_whole_for_server("a.parquet", data)


def test_only_the_needed_columns_of_a_wide_table_are_read() -> None:
    rows = "".join(f"the text number {i} of them,{'ab'[i % 2]}{',' * 200}\n" for i in range(20_000))
    header = ",".join(["text", "label", *(f"c{number}" for number in range(200))])

    table = read_for_server("a.csv", f"{header}\n{rows}".encode())

    assert table.columns == ["text", "label"]
    assert table.file.notes[-1] == (
        "Columns that are not read because the table is too large: 200."
    )


@pytest.mark.parametrize("end", [b"a,b\n", b"\n", b"a\r", b"{},"])
def test_file_of_ends_alone_is_refused_without_reading_it(end: bytes) -> None:
    data = b"text,label\n" + end * 4_000_000
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    for read in (read_for_server, read_whole_for_server):
        with pytest.raises(DataError, match="a larger table than can be read in the browser"):
            read("a.csv", data)

    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - children < 6


ARCHIVES: dict[str, Callable[[], dict[str, bytes]]] = {
    "weights of zeros": lambda: {
        "adapter_config.json": b"{}",
        "adapter_model.safetensors": bytes(10**8),
    },
    "weights larger than the limit": lambda: {
        "adapter_config.json": b"{}",
        "adapter_model.safetensors": bytes(MOST_READ + 10),
    },
    "configuration of blanks": lambda: {"adapter_config.json": b" " * 10**8},
    "many files": lambda: {f"{number}": b"" for number in range(5000)},
    "nested configuration": lambda: {"adapter_config.json": b"[" * 10**6},
}


@pytest.mark.parametrize("archive", ARCHIVES)
def test_archive_that_unpacks_to_much_more_is_refused(archive: str, tmp_path: Path) -> None:
    files = ARCHIVES[archive]()
    began = time.process_time()

    with pytest.raises(DataError):
        read_upload("a.zip", zip_files(files)).find("adapter_model.safetensors")
    (tmp_path / "backup.zip").write_bytes(zip_files({HEADER: b'{"format": 1}', **files}))
    with pytest.raises(DataError), open_backup(tmp_path / "backup.zip") as backup:
        backup.read_object("adapter_config.json", 10_000)

    assert time.process_time() - began < 20
