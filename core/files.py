"""The one module that writes files meant to survive.

A file is complete or absent: bytes go to a temporary name beside the target, are synced, take the target's name in one
step, and the folder is synced. A reader never sees half a file, also after a power cut.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core.errors import ArtifactDamaged

if TYPE_CHECKING:
    import pandas as pd


def write_bytes(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            _sync(file)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Put ``value`` at ``path`` as JSON. NaN and infinity raise ValueError, because other readers refuse them."""
    write_bytes(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).encode())


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Put ``frame`` at ``path`` as Parquet without its index."""
    write_bytes(path, frame.to_parquet(index=False))


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder with these files at ``folder``, replacing an earlier one; its files appear together."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    suffix = uuid.uuid4().hex[:8]
    part, old = (folder.with_name(f".{folder.name}.{suffix}.{kind}") for kind in ("part", "old"))
    try:
        for name, data in contents.items():
            write_bytes(part / name, data)
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    finally:
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)
    sync_folder(folder.parent)


def remove_folder(folder: Path) -> None:
    """Take ``folder`` away in one step, so that nobody meets half of it."""
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
    os.replace(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def read_json(path: Path) -> object:
    """Parse the JSON file at ``path``. Raises ArtifactDamaged if it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(f"{path.name} is missing or damaged ({type(error).__name__}).") from error


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the Parquet file at ``path``. Raises ArtifactDamaged if it is missing or no Parquet."""
    import pandas as pd  # noqa: PLC0415 - the supervisor writes files too and must stay small
    import pyarrow  # noqa: PLC0415

    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(f"{path.name} is missing or damaged ({type(error).__name__}).") from error


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
