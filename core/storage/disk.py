"""The steps that durable writing consists of. Each is one call, so that a test can let any of them
fail or be the last.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import sys
from pathlib import Path

RENAME_EXCHANGE, AT_FDCWD = 2, -100  # linux/fs.h, linux/fcntl.h
RENAME_SWAP = 2  # sys/stdio.h of macOS
CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # NFS among them


class Disk:
    """Steps on this machine's file system. Any of them raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Make one folder, if it is not there."""
        path.mkdir(exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Put ``data`` at ``path``; it survives a power cut once ``path`` and its folder are
        synced.
        """
        path.write_bytes(data)

    def sync(self, path: Path) -> None:
        """Bring to the medium a file's content, or which names a folder has."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if sys.platform == "darwin":
                fcntl.fcntl(
                    descriptor, fcntl.F_FULLFSYNC
                )  # fsync leaves it in the drive's cache there
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give ``source`` the name ``target`` in one step, over a file that has it."""
        os.replace(source, target)

    def exchange(self, one: Path, other: Path) -> bool:
        """Let two folders swap names in one step; False where the file system cannot."""
        libc = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, RENAME_SWAP)
        elif hasattr(libc, "renameat2"):
            failed = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
        else:
            return False
        code = ctypes.get_errno()
        if failed and code not in CANNOT_EXCHANGE:
            raise OSError(code, os.strerror(code), str(one), None, str(other))
        return not failed

    def remove(self, path: Path) -> None:
        """Take a file or a folder with all in it away. What cannot be removed stays: it is rubbish,
        and swept up later.
        """
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
