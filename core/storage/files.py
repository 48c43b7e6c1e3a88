"""Durable files: the only module that writes files meant to survive.

A file is complete or absent. Bytes go to a temporary name in the same folder, are synced, and take
the target's name in one step; then the folder is synced. A reader never sees half a file, even
after a power cut. The same holds for folders. Some folders also have ``manifest.json``
with size and SHA-256 of each file, and facts about the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ArtifactDamaged

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
TEMPORARY = ("part", "gone", "old")  # kinds of temporary names; the last part of the name
# the kind of a run's folder that a server is importing; ``remove_leftovers``, which a starting
# supervisor calls while servers are alive, leaves it
IMPORTING = "importing"
TEMPORARY_NAME = re.compile(
    r"\..+\.(?:(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-)?[0-9a-z_]{8}"
    rf"\.(?:{'|'.join((*TEMPORARY, IMPORTING))})"
)
# no write takes an hour; for names of other machines, and of earlier versions
LONGEST_WRITE_SECONDS = 3600
CLOCK_SECONDS = 60
BATCH_ROWS = 10_000  # 3 MB of news items
READ_BYTES = 2**20  # at once; without it, a whole column of a row group
RENAME_EXCHANGE, AT_FDCWD = 2, -100  # linux/fs.h, linux/fcntl.h
RENAME_SWAP = 2  # sys/stdio.h of macOS
CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # NFS among them


log = logging.getLogger(__name__)


class Disk:
    """The steps of durable writing on this machine's file system. Each may raise OSError.

    Each step is one method, so that a test can make any of them fail or be the last one.
    """

    def make_folder(self, path: Path) -> None:
        """Create one folder unless it exists."""
        path.mkdir(exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Write ``data``; it survives a power cut once ``path`` and its folder are synced."""
        path.write_bytes(data)

    def sync(self, path: Path) -> None:
        """Flush to the medium the content of a file, or the names in a folder."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if sys.platform == "darwin":
                # fsync leaves the data in the drive's cache there
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename ``source`` to ``target`` in one step and replace a file of that name."""
        os.replace(source, target)

    def exchange(self, first: Path, second: Path) -> bool:
        """Swap the names of two folders in one step; False if the file system cannot do it."""
        libc = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(first), os.fsencode(second)
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, RENAME_SWAP)
        elif hasattr(libc, "renameat2"):
            failed = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
        else:
            return False
        code = ctypes.get_errno()
        if failed and code not in CANNOT_EXCHANGE:
            raise OSError(code, os.strerror(code), str(first), None, str(second))
        return not failed

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with its content.

        What cannot be removed stays for ``remove_leftovers``.
        """
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


disk = Disk()


def replace_disk(replacement: Disk) -> Disk:
    """Use another ``Disk`` in this process from now on, and return the previous one.

    Simulations of failing disks and power cuts use it.
    """
    global disk
    previous, disk = disk, replacement
    return previous


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, completely or not at all."""
    make_folder(path.parent)
    part = make_temporary_path(path, "part")
    try:
        disk.write(part, data)
        disk.sync(part)
        disk.rename(part, path)
    except OSError:
        disk.remove(part)
        raise
    disk.sync(path.parent)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` as JSON.

    NaN and infinity raise ValueError, because other JSON readers refuse them.
    """
    write_bytes(path, to_json(value))


def write_cache(path: Path, value: object) -> None:
    """Write what can be computed again as JSON; a disk that refuses it is logged."""
    try:
        write_json(path, value)
    except OSError as error:
        log.warning("%s could not be written: %s", path.name, error)


def to_json(value: object) -> bytes:
    """Return the bytes that ``write_json`` writes."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).encode()


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write ``frame`` to ``path`` as Parquet, without its index."""
    write_bytes(path, frame.to_parquet(index=False))


def write_folder(folder: Path, contents: Mapping[str, bytes | Path]) -> None:
    """Write a folder with these files. It appears, or replaces an earlier folder, in one step.

    A path names a finished file on the same disk, which moves into the folder.
    """
    make_folder(folder.parent)
    part = make_temporary_path(folder, "part")
    try:
        disk.make_folder(part)
        for name, data in contents.items():
            if isinstance(data, Path):
                disk.rename(data, part / name)
            else:
                disk.write(part / name, data)
            disk.sync(part / name)
        disk.sync(part)
        replaced = _rename_over(part, folder)
    except OSError:
        disk.remove(part)
        raise
    disk.sync(folder.parent)
    if replaced:
        disk.remove(replaced)


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Create a folder next to ``folder`` for unfinished files, on the same disk, and remove it at
    the end; ``remove_leftovers`` removes that of a killed process.
    """
    make_folder(folder.parent)
    part = make_temporary_path(folder, "part")
    disk.make_folder(part)
    try:
        yield part
    finally:
        disk.remove(part)


def _rename_over(part: Path, folder: Path) -> Path | None:
    """Rename ``part`` to ``folder``; return the new name of the folder that it replaced."""
    if not folder.exists():
        disk.rename(part, folder)
        return None
    if disk.exchange(part, folder):
        return part
    # NFS cannot exchange: for an instant no folder has the name; after a crash then,
    # ``remove_leftovers`` renames ``old`` back
    old = make_temporary_path(folder, "old")
    disk.rename(folder, old)
    try:
        disk.rename(part, folder)
    except OSError:
        disk.rename(old, folder)
        raise
    return old


def replace_file(part: Path, path: Path) -> None:
    """Rename the finished file ``part`` to ``path`` durably; both are on one disk."""
    disk.sync(part)
    disk.rename(part, path)
    disk.sync(path.parent)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents so that they survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        disk.make_folder(folder)
        disk.sync(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` in one step, so that no reader sees half of it."""
    removed = make_temporary_path(folder, "gone")
    disk.rename(folder, removed)
    disk.sync(folder.parent)
    disk.remove(removed)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in ``folder``. Call it only if no writer is active there."""
    _remove_all(folder, [path for kind in TEMPORARY for path in folder.glob(f".*.{kind}")])


def remove_orphans(folder: Path) -> None:
    """Remove what killed writers left in ``folder`` and all folders in it. The files of writers
    that are alive stay.
    """
    for parent, folders, names in os.walk(folder):
        orphans = [Path(parent, name) for name in (*folders, *names) if _is_orphan(parent, name)]
        folders[:] = [name for name in folders if not TEMPORARY_NAME.fullmatch(name)]
        try:
            _remove_all(Path(parent), orphans)
        except OSError as error:  # one such folder must not keep a server from starting
            log.warning("%s cannot be removed: %s", parent, error)


def _is_orphan(parent: str, name: str) -> bool:
    """Whether ``name`` is a temporary name of a process that has ended. Where the name does not
    show it, it is one after an hour.
    """
    match = TEMPORARY_NAME.fullmatch(name)
    if match is None:
        return False
    import psutil  # noqa: PLC0415 - takes 20 ms, and there is hardly ever such a name

    try:
        changed = os.lstat(Path(parent, name)).st_mtime
        if match["machine"] != _hash_machine():
            return time.time() - changed > LONGEST_WRITE_SECONDS
        # a later process with the same number is not the writer; the clock may have been set
        return psutil.Process(int(match["process"])).create_time() > changed + CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.Error):  # it has been removed, or the process is that of another user
        return False


def _remove_all(folder: Path, leftovers: list[Path]) -> None:
    if leftovers:
        disk.sync(folder)  # the name that replaced a leftover must be durable before it is removed
    for leftover in leftovers:
        target = folder / leftover.name[1:].rsplit(".", 2)[0]
        # killed between two renames: the leftover is the newest complete folder
        if leftover.suffix == ".old" and not target.exists():
            disk.rename(leftover, target)
        else:
            disk.remove(leftover)


def read_json(path: Path) -> object:
    """Parse a JSON file. Raises ArtifactDamaged if it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file. Raises ArtifactDamaged if it is missing or not Parquet."""
    import pandas as pd  # noqa: PLC0415 - the supervisor writes files too and must stay small
    import pyarrow  # noqa: PLC0415

    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def iterate_parquet(path: Path, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Iterate over a Parquet file in batches of up to ``rows`` without the whole columns in memory.
    Raises ArtifactDamaged if it is missing or not Parquet.
    """
    import pyarrow  # noqa: PLC0415 - as above
    import pyarrow.parquet  # noqa: PLC0415

    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=READ_BYTES) as file:
            yield from file.iter_batches(rows, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def iterate_parquet_groups(
    path: Path, column: str, positions: NDArray[np.int64]
) -> Iterator[tuple[int, pa.Array]]:
    """Iterate over batches of one column, without the row groups that contain none of the ascending
    ``positions``: the position of the first row, and the values. Raises ArtifactDamaged as above,
    and if a position is beyond the last row.
    """
    import numpy as np  # noqa: PLC0415 - as above
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=READ_BYTES) as file:
            sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
            starts = np.cumsum([0, *sizes])
            for group in np.unique(np.searchsorted(starts, positions, side="right") - 1).tolist():
                start = int(starts[group])
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[column]):
                    yield start, batch[column]
                    start += len(batch)
    except (OSError, ValueError, IndexError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def make_temporary_path(path: Path, kind: str) -> Path:
    """Return a new name next to ``path`` that holds this machine and the number of this process."""
    writer = f"{_hash_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{writer}.{kind}")


def _hash_machine() -> str:
    """Return 8 hex digits for the name of this machine; each container has its own."""
    return compute_checksum(socket.gethostname().encode())[:8]


def add_manifest(contents: Mapping[str, bytes], facts: Mapping[str, object]) -> dict[str, bytes]:
    """Return ``contents`` with a manifest that also holds ``facts``."""
    named = {
        name: {"size": len(data), "sha256": compute_checksum(data)}
        for name, data in contents.items()
    }
    body = {"facts": dict(facts), "files": named}
    return {
        **contents,
        MANIFEST: to_json({**body, "sha256": compute_checksum(_to_canonical_json(body))}),
    }


def read_verified(folder: Path) -> tuple[dict[str, object], dict[str, bytes]]:
    """Read the facts and the files that the manifest names; other files are ignored.

    Raises ArtifactDamaged if a single byte differs from what was written.
    """
    manifest = read_json(folder / MANIFEST)
    match manifest:
        case {"facts": dict(facts), "files": dict(named), "sha256": str(digest)} if (
            digest == compute_checksum(_to_canonical_json({"facts": facts, "files": named}))
        ):
            return facts, {
                name: _read_verified_file(folder / name, entry) for name, entry in named.items()
            }
    raise ArtifactDamaged(f"{MANIFEST} of {folder.name} is damaged.")


def compute_file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file in hex, without the whole file in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compute_checksum(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def compute_fingerprint(value: object) -> str:
    """Return 16 hex digits that identify a JSON value."""
    return compute_checksum(_to_canonical_json(value))[:16]


def _to_canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _read_verified_file(path: Path, entry: Mapping[str, object]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error
    if len(data) != entry["size"] or compute_checksum(data) != entry["sha256"]:
        raise ArtifactDamaged(
            f"{path.name} has {len(data):,} bytes, which differ from what was written."
        )
    return data
