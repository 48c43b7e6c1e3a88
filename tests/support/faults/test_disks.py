"""Durable writing on a disk that fails, or with a power cut, at each of its steps."""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.storage import files
from core.storage.files import Disk, replace_disk
from tests.support.faults.disks import (
    CountingDisk,
    CuttingDisk,
    FailingDisk,
    PowerCut,
    writing_to,
)

pytestmark = pytest.mark.slow

State = dict[str, bytes]
OLD: State = {"run/adapter/config": b"1", "run/adapter/weights": b"old", "run/job.json": b"{}"}


def write_old(home: Path) -> None:
    for name, data in OLD.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)


def read(home: Path) -> State:
    """Return all files that have a name."""
    result = {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file()
    }
    return {name: data for name, data in result.items() if "/." not in name}


def replace_file(home: Path) -> None:
    files.write_bytes(home / "run" / "job.json", b'{"state": "new"}')


def new_file(home: Path) -> None:
    files.write_bytes(home / "other" / "deep" / "job.json", b"content")


def replace_folder(home: Path) -> None:
    files.write_folder(
        home / "run" / "adapter", {"config": b"2", "weights": b"new", "manifest": b"3"}
    )


def new_folder(home: Path) -> None:
    files.write_folder(
        home / "run" / "checkpoints" / "00000001", {"position": b"1", "tensors": b"22"}
    )


def remove(home: Path) -> None:
    files.remove_folder(home / "run" / "adapter")


ACTIONS = [replace_file, new_file, replace_folder, new_folder, remove]
Action = Callable[[Path], None]


def steps_of(action: Action, home: Path, use: Callable[[Disk], object]) -> tuple[int, State]:
    """Return the number of steps and the results without a fault."""
    write_old(home)
    disk = CountingDisk()
    use(disk)
    action(home)
    return disk.steps, read(home)


@pytest.fixture
def use() -> Iterator[Callable[[Disk], object]]:
    with writing_to(Disk()):  # puts the healthy disk back at the end
        yield replace_disk


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_fails_leaves_the_old_or_the_new(
    action: Action, code: int, lasting: bool, tmp_path: Path, use: Callable[[Disk], object]
) -> None:
    steps, new = steps_of(action, tmp_path / "good", use)
    for nth in range(1, steps + 1):
        home = tmp_path / str(nth)
        write_old(home)
        disk = FailingDisk(nth, code, lasting)
        use(disk)

        failed = False
        try:
            action(home)
        except OSError as error:
            failed = True
            assert error.errno == code

        assert read(home) in (OLD, new)
        assert failed or read(home) == new
        assert failed or not disk.failed


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("luck", [None, *range(20)])
def test_a_power_cut_leaves_the_old_or_the_new(
    action: Action, luck: int | None, tmp_path: Path, use: Callable[[Disk], object]
) -> None:
    steps, new = steps_of(action, tmp_path / "good", use)
    for nth in range(1, steps + 1):
        home = tmp_path / str(nth)
        write_old(home)
        disk = CuttingDisk(home, nth, None if luck is None else random.Random(luck))
        use(disk)

        with pytest.raises(PowerCut):
            action(home)
        disk.cut()
        use(Disk())
        files.remove_leftovers(home / "run")

        assert read(home) in (OLD, new)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_was_written_survives_a_power_cut_right_after(
    action: Action, tmp_path: Path, use: Callable[[Disk], object]
) -> None:
    home = tmp_path / "home"
    _, new = steps_of(action, tmp_path / "good", use)
    write_old(home)
    disk = CuttingDisk(home, 10**9)
    use(disk)

    action(home)
    disk.cut()

    assert read(home) == new
