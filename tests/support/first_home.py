"""The home folder that commit ba92c36 wrote: how it is packed, and how it is unpacked for a test.

``fixtures/home_ba92c36.tar.xz`` holds

    expected.json       what ba92c36 printed and predicted, with the ids of the runs by their roles
    database.sql        the database as SQL text
    times.json          modification times in nanoseconds: keys of some stored results contain them
    person/             the folder that ``~`` stands for; its ``.loralab`` is the home of LoRA Lab

Base models are named with ``~``: a checkpoint belongs to the configuration as it was written, so
a path in it must not change. Other absolute paths are stored with ``{ROOT}`` in place of the folder
that holds ``person``; it is replaced when the fixture is unpacked.
"""

import json
import os
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parents[1] / "fixtures" / "home_ba92c36.tar.xz"
PLACEHOLDER = "{ROOT}"
EXPECTED, DATABASE, TIMES = "expected.json", "database.sql", "times.json"
PERSON, HOME = "person", "person/.loralab"
TEXT_FILES = (".json", ".jsonl", ".log", ".md", ".txt", ".csv", ".sql", ".py", ".ipynb")
OF_THE_MACHINE = (  # what `doctor` prints about the computer or as a sentence: only the keys count
    "device",
    "precision",
    "four_bit",
    "cores",
    "memory_mb",
    "models",
    "ways_in",
    "notes",
)


def unpack(root: Path, fixture: Path = FIXTURE) -> dict[str, Any]:
    """Unpack the fixture below ``root`` and return what ba92c36 recorded with it."""
    place = str(root).encode()
    with tarfile.open(fixture) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None, member.name
            content = file.read()
            path = root / member.name
            if path.suffix in TEXT_FILES:
                content = content.replace(PLACEHOLDER.encode(), place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for name, at in json.loads((root / TIMES).read_text()).items():
        os.utime(root / name, ns=(at, at))
    load_database(root / HOME / "loralab.db", (root / DATABASE).read_text())
    return dict(json.loads((root / EXPECTED).read_text()))


def load_database(path: Path, script: str) -> None:
    """Create the database from the text of ``dump_database``."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
        db.execute("PRAGMA journal_mode = WAL")


def dump_database(path: Path) -> str:
    """Return the database as SQL text, with the schema version that ``iterdump`` omits."""
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return "\n".join([*db.iterdump(), f"PRAGMA user_version = {version};"])


def person_environment(root: Path) -> dict[str, str]:
    """Return the environment variables that select the unpacked home."""
    return {
        "HOME": str(root / PERSON),
        "LORALAB_HOME": str(root / HOME),
        "LORALAB_HUB": "false",
        "LORALAB_MODEL": "~/models/tiny-bert",
        "LORALAB_THREADS": "2",
    }


def without_machine(printed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the output of `doctor`, with None for each value that depends on the computer."""
    return {
        key: without_machine(value)
        if isinstance(value, dict)
        else None
        if key in OF_THE_MACHINE
        else value
        for key, value in printed.items()
    }
