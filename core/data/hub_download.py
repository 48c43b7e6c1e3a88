"""Download the data files of a dataset on the Hugging Face Hub: plain files over HTTP at a pinned
revision.

No code of the dataset is executed. ``look_up`` lists the files and their sizes, ``download`` stores
them.
"""

import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.data.hub import hub_reachable
from core.data.sources import SPLIT_WORDS, Split, split_of
from core.data.tables.table import MAX_BYTES
from core.errors import DataError, Stopped
from core.progress import Phase, Progress
from core.settings import Settings
from core.storage import files

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
REVISION = re.compile(r"[0-9a-f]{40}")
# the Hub's own copy of most datasets: CONFIGURATION/SPLIT/0000.parquet
CONVERTED = "refs/convert/parquet"
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MAX_FILES = 20
TIMEOUT_SECONDS = 10
CHUNK_BYTES = 2**18  # one second at 2 Mbit/s between checks for a stop
LISTING_BYTES = 16 * 2**20
SHOWN_NAMES = 12
MAX_DOWNLOADS = 4  # kept on disk; saved datasets have their own copy
TRY_AGAIN = "Try again, or download its files in a browser and upload them here."


@dataclass(frozen=True, slots=True)
class HubFile:
    """A data file of a dataset on the Hub: its path, its split, and its size in bytes."""

    path: str
    split: Split
    size: int


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of one configuration at one revision (a commit, 40 hex digits), train first."""

    name: str
    configuration: str
    revision: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def origin(self) -> str:
        """Name, configuration and revision, stored with the dataset."""
        return (
            f"{self.name} on the Hugging Face Hub, configuration {self.configuration}, revision"
            f" {self.revision}"
        )


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a dataset by configuration; ``license`` is empty if its card names none."""

    name: str
    license: str
    revision: str
    configurations: dict[str, tuple[HubFile, ...]]

    def pick(self, configuration: str = "") -> HubFiles:
        """Return the files of a configuration; by default the only one, or the one called
        ``default``.

        Raises DataError if the configuration does not exist, has no training split or is too large.
        """
        names, subject = sorted(self.configurations), f"The dataset {self.name} has"
        shown = ", ".join(names[:SHOWN_NAMES]) + (" and more" if len(names) > SHOWN_NAMES else "")
        chosen = configuration or (names[0] if len(names) == 1 else "default")
        if chosen not in self.configurations:
            if not configuration:
                raise DataError(
                    f"{subject} several configurations: {shown}.",
                    f"Write {self.name}:CONFIGURATION.",
                )
            raise DataError(
                f"{subject} no configuration {configuration!r}.", f"Choose one of {shown}."
            )
        chosen_files = sorted(
            self.configurations[chosen], key=lambda file: (SPLITS.index(file.split), file.path)
        )
        pick = HubFiles(self.name, chosen, self.revision, tuple(chosen_files))
        if chosen_files[0].split != "train":
            raise DataError(
                f"{subject} no training split.",
                f"Its files are {', '.join(file.path for file in chosen_files)[:200]}.",
            )
        if pick.size > MAX_BYTES or len(chosen_files) > MAX_FILES:
            limit = f"the limit is {MAX_BYTES / 1e6:.0f} MB in {MAX_FILES} files"
            fix = "Download a part of it and upload that file."
            raise DataError(
                f"{subject} {pick.size / 1e6:,.0f} MB in {len(chosen_files):,} files; {limit}.", fix
            )
        return pick


def split_id(hub_id: str) -> tuple[str, str]:
    """Split ``owner/name`` or ``owner/name:configuration``, with or without the prefix ``hub:``,
    into name and configuration.

    Raises DataError if it is not a dataset id.
    """
    name, _, configuration = hub_id.strip().removeprefix("hub:").partition(":")
    if not HUB_NAME.fullmatch(name):
        raise DataError(
            f"{hub_id[:100]!r} is not a dataset id.",
            "Write it as on the Hub: owner/name, for example fancyzhx/ag_news.",
        )
    return name, configuration


def look_up(settings: Settings, name: str) -> HubListing:
    """List the files of the dataset ``owner/name``.

    Raises DataError without a network, or if the dataset has no files that can be used.
    """
    _require_hub(settings)
    main_card = _read_card(name, "main")
    if main_card is None:
        raise _missing_error(name)
    if main_card.get("gated"):
        raise DataError(
            f"The dataset {name} needs a login.",
            "Download its files in a browser and upload them here.",
        )
    card_data = main_card.get("cardData")
    license = card_data.get("license") if isinstance(card_data, dict) else ""
    converted = _read_card(name, CONVERTED)
    card, locate = (
        (main_card, _parse_path) if converted is None else (converted, _parse_converted_path)
    )
    configurations: dict[str, list[HubFile]] = defaultdict(list)
    for path, size in _list_files(card):
        if PurePosixPath(path).suffix.lower() in SUFFIXES and (
            location := locate(PurePosixPath(path))
        ):
            configurations[location[0]].append(HubFile(path, location[1], size))
    revision = str(card.get("sha", ""))
    if not REVISION.fullmatch(revision):
        raise DataError(f"The Hub's answer about {name} has no revision.", TRY_AGAIN)
    if not configurations:
        raise DataError(
            f"The dataset {name} has no Parquet, CSV or JSON lines files with a known split.",
            TRY_AGAIN,
        )
    return HubListing(
        name,
        license if isinstance(license, str) else "",
        revision,
        {key: tuple(each) for key, each in configurations.items()},
    )


def find_fetched(settings: Settings, pick: HubFiles) -> list[Path]:
    """Return the paths of ``pick`` if an earlier download is complete, otherwise an empty list."""
    paths = _paths(settings, pick)
    complete = all(
        path.is_file() and path.stat().st_size == file.size
        for path, file in zip(paths, pick.files, strict=True)
    )
    return paths if complete else []


def download(
    settings: Settings,
    pick: HubFiles,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Path]:
    """Download the files of ``pick`` and return their paths; ``report`` counts KB.

    ``timeout_seconds`` is how long the Hub may be silent. Raises Stopped, and DataError if a file
    is unavailable.
    """
    if paths := find_fetched(settings, pick):
        return paths
    _require_hub(settings)
    paths, done = _paths(settings, pick), 0
    for path, file in zip(paths, pick.files, strict=True):
        parts = []
        address = f"/datasets/{pick.name}/resolve/{pick.revision}/{urllib.parse.quote(file.path)}"
        for chunk in _read(pick.name, address, file.size, timeout_seconds):
            if should_stop():
                raise Stopped("The download was stopped.", "Start it again.")
            parts.append(chunk)
            done += len(chunk)
            report(Progress(Phase.DOWNLOADING, done // 1000, pick.size // 1000))
        content = b"".join(parts)
        if len(content) != file.size:
            raise DataError(
                f"The download of {file.path} ended after {len(content):,} of {file.size:,} bytes.",
                "Try again.",
            )
        files.write_bytes(path, content)
    _delete_old_downloads(paths[0].parent)
    return paths


def _require_hub(settings: Settings) -> None:
    if not hub_reachable(settings):
        raise DataError(
            "The Hub cannot be reached.",
            "Check the network and LORALAB_HUB, or upload a file.",
        )


def _paths(settings: Settings, pick: HubFiles) -> list[Path]:
    """Local paths of the files: names from the Hub never become a path."""
    folder_name = re.sub(r"\W+", "-", f"{pick.name}-{pick.configuration}")[:120]
    folder = settings.prepared / ".fetched" / f"{folder_name}-{pick.revision[:12]}"
    return [
        folder / f"{file.split}-{number:05d}{PurePosixPath(file.path).suffix.lower()}"
        for number, file in enumerate(pick.files)
    ]


def _parse_converted_path(path: PurePosixPath) -> tuple[str, Split] | None:
    """Parse configuration and split from a path in the Hub's own copy."""
    parts = path.parts
    return (
        (parts[0], SPLIT_WORDS[parts[1]]) if len(parts) == 3 and parts[1] in SPLIT_WORDS else None
    )


def _parse_path(path: PurePosixPath) -> tuple[str, Split] | None:
    """Parse configuration and split from the names of folders and files."""
    split = split_of(Path(path))
    folders = [part for part in path.parts[:-1] if part != "data" and part not in SPLIT_WORDS]
    return ("/".join(folders) or "default", split) if split else None


def _read_card(name: str, branch: str) -> dict[str, object] | None:
    """Read the Hub's description of a branch; None if the dataset or branch does not exist. Raises
    DataError.
    """
    address = f"/api/datasets/{name}/revision/{urllib.parse.quote(branch, safe='')}?blobs=true"
    try:
        card = json.loads(b"".join(_read(name, address, LISTING_BYTES)))
    except _MissingError:
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"The Hub's answer about {name} is not a list of files.", TRY_AGAIN
        ) from error
    if not isinstance(card, dict):
        raise DataError(f"The Hub's answer about {name} is not a list of files.", TRY_AGAIN)
    return card


def _list_files(card: dict[str, object]) -> Iterator[tuple[str, int]]:
    siblings = card.get("siblings")
    for sibling in siblings if isinstance(siblings, list) else ():
        match sibling:
            case {"rfilename": str(path), "size": int(size)} if size > 0:
                yield path, size


class _MissingError(DataError):
    """The dataset does not exist on the Hub or is not accessible."""


def _missing_error(name: str) -> _MissingError:
    return _MissingError(
        f"The dataset {name} is not on the Hub, or needs a login.", "Check the id. " + TRY_AGAIN
    )


def _read(
    name: str, address: str, limit: int, timeout_seconds: float = TIMEOUT_SECONDS
) -> Iterator[bytes]:
    """Yield the body in chunks. Raises DataError, also if it is longer than ``limit``."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    size = 0
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint + address), timeout=timeout_seconds
        ) as answer:
            while chunk := answer.read1(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise DataError(
                        f"The Hub sends more data of {name} than it announced.", TRY_AGAIN
                    )
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404):
            raise _missing_error(name) from error
        raise DataError(
            f"The dataset {name} is unavailable (HTTP {error.code}).", TRY_AGAIN
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"The dataset {name} could not be downloaded ({type(error).__name__}).", TRY_AGAIN
        ) from error


def _delete_old_downloads(newest: Path) -> None:
    by_age = sorted(
        (folder for folder in newest.parent.iterdir() if folder != newest),
        key=lambda path: path.stat().st_mtime,
    )
    for folder in by_age[: max(0, len(by_age) - MAX_DOWNLOADS + 1)]:
        shutil.rmtree(folder, ignore_errors=True)
