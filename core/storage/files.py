"""The one module that writes files meant to survive.

A file is complete or absent: bytes go to a temporary name beside the target, are synced, take the
target's name in one step, and the folder is synced. A reader never sees half a file, also after a
power cut. The same holds for a folder.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ArtifactDamaged
from core.storage.disk import Disk

if TYPE_CHECKING:
    import pandas as pd

disk = Disk()  # tests of what failing disks and power cuts leave put another in its place


def write_bytes(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all."""
    make_folder(path.parent)
    part = _beside(path, "part")
    try:
        disk.write(part, data)
        disk.sync(part)
        disk.rename(part, path)
    except OSError:
        disk.remove(part)
        raise
    disk.sync(path.parent)


def write_json(path: Path, value: object) -> None:
    """Put ``value`` at ``path`` as JSON. NaN and infinity raise ValueError, because other readers
    refuse them.
    """
    write_bytes(path, to_json(value))


def to_json(value: object) -> bytes:
    """``value`` as ``write_json`` writes it."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).encode()


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Put ``frame`` at ``path`` as Parquet without its index."""
    write_bytes(path, frame.to_parquet(index=False))


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder with these files at ``folder``; they appear together, and take the place of an
    earlier folder in one step.
    """
    make_folder(folder.parent)
    part = _beside(folder, "part")
    try:
        disk.make_folder(part)
        for name, data in contents.items():
            disk.write(part / name, data)
            disk.sync(part / name)
        disk.sync(part)
        replaced = _take_name(part, folder)
    except OSError:
        disk.remove(part)
        raise
    disk.sync(folder.parent)
    if replaced:
        disk.remove(replaced)


def _take_name(part: Path, folder: Path) -> Path | None:
    """Give ``part`` the name ``folder``; what had it before has the name that is returned."""
    if not folder.exists():
        disk.rename(part, folder)
        return None
    if disk.exchange(part, folder):
        return part
    old = _beside(
        folder, "old"
    )  # NFS cannot exchange: for an instant nobody has the name, and ``sweep`` mends a crash in it
    disk.rename(folder, old)
    try:
        disk.rename(part, folder)
    except OSError:
        disk.rename(old, folder)
        raise
    return old


def put(part: Path, path: Path) -> None:
    """Give the finished file ``part`` the name ``path``, whole or not at all; both are on one
    disk.
    """
    disk.sync(part)
    disk.rename(part, path)
    disk.sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, each so that it survives a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        disk.make_folder(folder)
        disk.sync(folder.parent)


def remove_folder(folder: Path) -> None:
    """Take ``folder`` away in one step, so that nobody meets half of it."""
    doomed = _beside(folder, "gone")
    disk.rename(folder, doomed)
    disk.sync(folder.parent)
    disk.remove(doomed)


def sweep(folder: Path) -> None:
    """Clear away what writers that were killed left in ``folder``. Only for who knows that no
    writer is at work there.
    """
    leftovers = [path for kind in ("part", "gone", "old") for path in folder.glob(f".*.{kind}")]
    if leftovers:
        disk.sync(
            folder
        )  # the name that took the place of a leftover must be as durable as its end
    for leftover in leftovers:
        target = folder / leftover.name[1:].rsplit(".", 2)[0]
        if (
            leftover.suffix == ".old" and not target.exists()
        ):  # killed between two renames: this is the newest complete one
            disk.rename(leftover, target)
        else:
            disk.remove(leftover)


def read_json(path: Path) -> object:
    """Parse the JSON file at ``path``. Raises ArtifactDamaged if it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the Parquet file at ``path``. Raises ArtifactDamaged if it is missing or no Parquet."""
    import pandas as pd  # noqa: PLC0415 - the supervisor writes files too and must stay small
    import pyarrow  # noqa: PLC0415

    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{kind}")
