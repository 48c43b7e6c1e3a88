"""Folders that can prove that they are whole: ``manifest.json`` names each file with its size and
SHA-256, and what the folder is.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from core.errors import ArtifactDamaged
from core.storage import files

NAME = "manifest.json"


def seal(contents: Mapping[str, bytes], facts: Mapping[str, object]) -> dict[str, bytes]:
    """``contents`` and a manifest of them that also tells ``facts``."""
    named = {name: {"size": len(data), "sha256": checksum(data)} for name, data in contents.items()}
    body = {"facts": dict(facts), "files": named}
    return {**contents, NAME: files.to_json({**body, "sha256": checksum(_canonical(body))})}


def read_sealed(folder: Path) -> tuple[dict[str, object], dict[str, bytes]]:
    """The facts and the named files of a sealed folder; other files in it are not read. Raises
    ArtifactDamaged if a byte is not right.
    """
    manifest = files.read_json(folder / NAME)
    match manifest:
        case {"facts": dict(facts), "files": dict(named), "sha256": str(digest)} if (
            digest == checksum(_canonical({"facts": facts, "files": named}))
        ):
            return facts, {name: _read(folder / name, entry) for name, entry in named.items()}
    raise ArtifactDamaged(f"{NAME} of {folder.name} is damaged.")


def checksum(data: bytes) -> str:
    """SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: object) -> str:
    """16 hex digits that tell one JSON value from another."""
    return checksum(_canonical(value))[:16]


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _read(path: Path, entry: Mapping[str, object]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error
    if len(data) != entry["size"] or checksum(data) != entry["sha256"]:
        raise ArtifactDamaged(
            f"{path.name} has {len(data):,} bytes that are not those that were written."
        )
    return data
