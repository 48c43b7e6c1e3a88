import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ArtifactDamaged
from core.storage import files
from core.storage.files import Disk
from tests.support.faults.disks import FailingDisk, writing_to

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a" / "b.bin", b"content")

    assert (tmp_path / "a" / "b.bin").read_bytes() == b"content"


def test_a_file_replaces_an_earlier_one_and_leaves_nothing_next_to_it(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "x", b"old")
    files.write_bytes(tmp_path / "x", b"new")

    assert (names(tmp_path), (tmp_path / "x").read_bytes()) == (["x"], b"new")


def test_a_failed_write_keeps_the_earlier_file(
    tmp_path: Path,
) -> None:
    files.write_bytes(tmp_path / "x", b"old")

    with writing_to(FailingDisk(2, errno.ENOSPC)), pytest.raises(OSError, match="No space"):
        files.write_bytes(tmp_path / "x", b"new")

    assert (names(tmp_path), (tmp_path / "x").read_bytes()) == (["x"], b"old")


def test_a_folder_appears_as_a_whole_and_replaces_the_earlier_one(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "adapter", {"old.json": b"1", "both.bin": b"2"})
    files.write_folder(tmp_path / "adapter", {"both.bin": b"3"})

    assert names(tmp_path) == ["adapter"]
    assert names(tmp_path / "adapter") == ["both.bin"]
    assert (tmp_path / "adapter" / "both.bin").read_bytes() == b"3"


def test_a_finished_file_moves_into_the_folder(tmp_path: Path) -> None:
    (tmp_path / "finished").write_bytes(b"1")

    files.write_folder(tmp_path / "index", {"texts": tmp_path / "finished", "card": b"2"})

    assert names(tmp_path) == ["index"]
    assert (tmp_path / "index" / "texts").read_bytes() == b"1"


class WithoutExchange(Disk):
    """A file system like NFS."""

    def exchange(self, item: Path, other: Path) -> bool:
        return False


class FailsAt(WithoutExchange):
    """Refuses the n-th rename."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def rename(self, source: Path, target: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(5, "Input/output error")
        super().rename(source, target)


def test_a_folder_is_replaced_also_where_two_cannot_swap(
    tmp_path: Path,
) -> None:
    with writing_to(WithoutExchange()):
        files.write_folder(tmp_path / "adapter", {"a": b"1"})
        files.write_folder(tmp_path / "adapter", {"a": b"2"})

    assert (names(tmp_path), (tmp_path / "adapter" / "a").read_bytes()) == (["adapter"], b"2")


@pytest.mark.parametrize("nth", [1, 2])
def test_a_rename_that_fails_keeps_the_earlier_folder(nth: int, tmp_path: Path) -> None:
    files.write_folder(tmp_path / "adapter", {"a": b"1"})

    with writing_to(FailsAt(nth)), pytest.raises(OSError, match="Input/output"):
        files.write_folder(tmp_path / "adapter", {"a": b"2"})

    assert (names(tmp_path), (tmp_path / "adapter" / "a").read_bytes()) == (["adapter"], b"1")


def test_sweeping_removes_parts_and_puts_back_what_lost_its_name(tmp_path: Path) -> None:
    for name in (".adapter.12345678.old", ".adapter.12345678.part", "adapter.keep"):
        (tmp_path / name).mkdir()
    (tmp_path / ".adapter.12345678.old" / "a").write_bytes(b"1")

    files.remove_leftovers(tmp_path)

    assert names(tmp_path) == ["adapter", "adapter.keep"]
    assert names(tmp_path / "adapter") == ["a"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_values_that_other_readers_refuse(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": value})

    assert names(tmp_path) == []


@pytest.mark.slow
@given(JSON)
def test_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"

    files.write_json(path, value)

    assert files.read_json(path) == value


def test_parquet_comes_back_with_the_columns_asked_for(tmp_path: Path) -> None:
    files.write_parquet(
        tmp_path / "x.parquet", pd.DataFrame({"a": [1, 2], "b": ["x", "ü"]}, index=[7, 9])
    )

    assert files.read_parquet(tmp_path / "x.parquet").to_dict("list") == {
        "a": [1, 2],
        "b": ["x", "ü"],
    }
    assert list(files.read_parquet(tmp_path / "x.parquet", ["b"]).columns) == ["b"]


@pytest.mark.parametrize("read", [files.read_json, files.read_parquet])
@pytest.mark.parametrize("content", [None, b"", b"{", b"PAR1 and then nothing PAR1"])
def test_a_missing_or_damaged_file_is_named(
    read: Callable[[Path], object], content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "job.data"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ArtifactDamaged, match=r"job\.data is missing or damaged"):
        read(path)


def test_a_missing_column_is_a_damaged_file(tmp_path: Path) -> None:
    files.write_parquet(tmp_path / "x.parquet", pd.DataFrame({"a": [1]}))

    with pytest.raises(ArtifactDamaged):
        files.read_parquet(tmp_path / "x.parquet", ["b"])


@pytest.mark.parametrize(
    ("name", "age_seconds", "remains"),
    [
        (".adapter.12345678.part", 0, True),
        (".adapter.12345678.part", 7200, False),
        (".index._a1b2c3d.part", 7200, False),
        (".adapter.0000000a-1-12345678.part", 0, True),
        (".adapter.0000000a-1-12345678.part", 7200, False),
        (".adapter.{here}-{dead}-12345678.part", 0, False),
        (".adapter.{here}-{alive}-12345678.part", 0, True),
        (".adapter.{here}-{alive}-12345678.part", 10**6, False),
        (".part", 7200, True),
        ("notes.12345678.part", 7200, True),
    ],
)
def test_only_what_no_living_process_writes_is_an_orphan(
    tmp_path: Path, name: str, age_seconds: float, remains: bool
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = files.make_temporary_path(tmp_path / "x", "part").name.split(".")[2].split("-")[0]
    path = tmp_path / "jobs" / "a" / name.format(here=own, dead=ended.pid, alive=os.getpid())
    path.mkdir(parents=True)
    (path / "data").write_bytes(b"1")
    changed = path.stat().st_mtime - age_seconds
    os.utime(path, (changed, changed))

    files.remove_orphans(tmp_path)

    assert path.exists() is remains


@pytest.mark.parametrize("folder", ["household", "gold", "counterpart", "v1.old"])
def test_orphans_are_removed_from_folders_with_any_name(tmp_path: Path, folder: str) -> None:
    orphan = tmp_path / folder / ".adapter.12345678.part"
    orphan.parent.mkdir()
    orphan.write_bytes(b"1")
    os.utime(orphan, (0, 0))

    files.remove_orphans(tmp_path)

    assert list(tmp_path.rglob("*")) == [orphan.parent]
