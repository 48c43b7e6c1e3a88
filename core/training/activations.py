"""Outputs of frozen layers, computed once for a set of texts and stored in a folder.

With ``layers`` the encoder below the first adapted layer is frozen: without the base's dropout its
output for a text is the same in every epoch, in every validation, and in every run on the same
texts. One file holds a set: the values of the tokens of each text in the type in which they were
computed, then a CRC-32 of each text. Every read compares it, so a damaged file is never used.

Files are read by position and not mapped into memory: reading a map whose file was truncated ends
the process, and its pages would count as memory of the process.

Shapes: n texts, B texts of a batch, T tokens, d hidden.
"""

import logging
import os
import shutil
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.storage import files
from core.storage.locks import hold_lock

LIMIT_BYTES = 2 * 2**30  # of all files; a set that needs more than half of it is not stored
SPARE_BYTES = 2**30  # of the disk, left for checkpoints and results
CRC_BYTES = 4
STORED_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SUFFIX = ".activations"

Batches = Iterator[tuple[NDArray[np.int64], Tensor]]  # places (B,) and values (B, T, d)
log = logging.getLogger("worker")


class Damaged(OSError):
    """A file does not hold what was written."""


@dataclass(frozen=True)
class Layout:
    """The layout of a file: ``lengths`` (n,) in tokens, ``width`` d and the type of a value."""

    lengths: NDArray[np.int64]
    width: int
    dtype: torch.dtype

    @property
    def token_bytes(self) -> int:
        """Bytes of the values of one token."""
        return self.width * self.dtype.itemsize

    @property
    def offsets(self) -> NDArray[np.int64]:
        """First byte (n + 1,) of each text, and of the checksums after the last one."""
        return np.concatenate([[0], np.cumsum(self.lengths)]) * self.token_bytes

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return int(self.lengths.sum()) * self.token_bytes + CRC_BYTES * len(self.lengths)


class StoredActivations:
    """The open file of a set. Threads may read at the same time; another process may remove the
    file meanwhile.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout, self._offsets = path, layout, layout.offsets
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._checksums = np.zeros(len(layout.lengths), dtype=np.uint32)
        self._usable = True
        if os.fstat(self._file).st_size != layout.bytes:
            raise Damaged(f"{path.name} has another size")
        self._read(self._checksums.data.cast("B"), int(self._offsets[-1]))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""
        return self._layout.dtype

    def read(self, rows: NDArray[np.int64]) -> Tensor | None:
        """Return the values (B, T, d) of the texts at these places, with zeros after their last
        tokens. None from the first damaged text on; the file is then removed.
        """
        if not self._usable:
            return None
        try:
            return self._read_rows(rows)
        except OSError as error:
            self._usable = False
            log.warning("stored outputs of frozen layers are computed again: %s", error)
            files.disk.remove(self._path)
            return None

    def _read_rows(self, rows: NDArray[np.int64]) -> Tensor:
        layout = self._layout
        longest = int(layout.lengths[rows].max())
        values = np.zeros((len(rows), longest * layout.token_bytes), dtype=np.uint8)
        for line, row in enumerate(rows):
            text = values[line, : int(layout.lengths[row]) * layout.token_bytes]
            self._read(text.data, int(self._offsets[row]))
            if zlib.crc32(text.data) != self._checksums[row]:
                raise Damaged(f"a text in {self._path.name} is damaged")
        typed = torch.from_numpy(values).view(layout.dtype)
        return typed.view(len(rows), longest, layout.width)

    def _read(self, target: memoryview, offset: int) -> None:
        if os.preadv(self._file, [target], offset) != len(target):
            raise Damaged(f"{self._path.name} is truncated")


class ActivationStore:
    """A folder of such files: bounded, the one unused for longest is removed first.

    ``untrained_key`` is the key of what the base model computes for the texts of the untrained
    score, one token each, which is the same for runs that differ in other settings; empty if it is
    not to be stored.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int = LIMIT_BYTES,
        spare_bytes: int = SPARE_BYTES,
        untrained_key: str = "",
    ) -> None:
        self.untrained_key = untrained_key
        self.folder, self.limit_bytes, self.spare_bytes = folder, limit_bytes, spare_bytes

    def open(
        self, key: str, layout: Layout, compute: Callable[[], Batches], wait: Callable[[], None]
    ) -> StoredActivations | None:
        """Return the activations of ``key``, computed and stored if they are missing.

        None, with a line in the log, if they cannot be stored. Processes store one after the
        other; ``wait`` is called meanwhile, and may raise Stopped.
        """
        if layout.bytes > self.limit_bytes // 2:
            log.info("outputs of frozen layers are not stored: %s MB", layout.bytes // 2**20)
            return None
        path = self.folder / f"{key}{SUFFIX}"
        try:
            while True:
                with hold_lock(self.folder / "store.lock") as held:
                    if held:
                        return self._find(path, layout) or self._write(path, layout, compute())
                wait()
        except OSError as error:
            log.warning("outputs of frozen layers are not stored: %s", error)
            return None

    def _find(self, path: Path, layout: Layout) -> StoredActivations | None:
        try:
            stored = StoredActivations(path, layout)
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("stored outputs of frozen layers are computed again: %s", error)
            return None
        return stored

    def _write(self, path: Path, layout: Layout, batches: Batches) -> StoredActivations:
        self._make_room(layout.bytes)
        part = files.make_temporary_path(path, "part")
        try:
            with part.open("wb") as file:
                self._write_batches(file.fileno(), layout, batches)
            # not synced: after a power cut the checksums show what is missing
            os.replace(part, path)
        finally:
            files.disk.remove(part)
        return StoredActivations(path, layout)

    def _write_batches(self, file: int, layout: Layout, batches: Batches) -> None:
        offsets = layout.offsets
        checksums = np.zeros(len(layout.lengths), dtype=np.uint32)
        for rows, values in batches:
            lines = values.contiguous().view(torch.uint8).numpy()  # (B, T, bytes of a token)
            for row, line in zip(rows, lines, strict=True):
                text = line[: layout.lengths[row]]
                checksums[row] = zlib.crc32(text.data.cast("B"))
                _write_all(file, text.data.cast("B"), int(offsets[row]))
        _write_all(file, checksums.data.cast("B"), int(offsets[-1]))

    def _make_room(self, needed: int) -> None:
        """Remove the oldest files until ``needed`` bytes fit. Raises OSError on a full disk."""
        files.remove_orphans(self.folder)
        stored = sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in stored)
        for path in stored:
            if total + needed <= self.limit_bytes:
                break
            total -= path.stat().st_size
            path.unlink()
        free = shutil.disk_usage(self.folder).free
        if free < needed + self.spare_bytes:
            raise OSError(f"{free // 2**20} MB of the disk are free")


def measure_folder(folder: Path) -> int:
    """Return the bytes of the files in ``folder``, 0 if it does not exist."""
    total = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):  # removed meanwhile
            total += path.stat().st_size
    return total


def _write_all(file: int, data: memoryview, offset: int) -> None:
    if os.pwrite(file, data, offset) != len(data):
        raise OSError("the disk is full")
