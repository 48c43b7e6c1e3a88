"""Fetch the data files of a dataset on the Hugging Face Hub: plain files over HTTP at a pinned
revision, no code of the dataset is run.

First ``look_up`` says what is there and how large it is, then ``download`` brings it.
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

from core.data.files.table import MAX_BYTES
from core.data.hub import hub_reachable
from core.data.sources import SPLIT_WORDS, Split, split_of
from core.errors import DataError, Stopped
from core.progress import Phase, Progress
from core.settings import Settings
from core.storage import files

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
REVISION = re.compile(r"[0-9a-f]{40}")
CONVERTED = (  # the Hub's own copy of most datasets: CONFIGURATION/SPLIT/0000.parquet
    "refs/convert/parquet"
)
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MOST_FILES = 20
TIMEOUT_SECONDS = 10
CHUNK_BYTES = 2**18  # how soon a stop is noticed: a second at 2 Mbit/s
LISTING_BYTES = 16 * 2**20
SHOWN_NAMES = 12
KEPT = 4  # downloads; what was saved from one has its own copy
TRY = "Try again, or download its files in a browser and choose them here."


@dataclass(frozen=True, slots=True)
class HubFile:
    """A data file of a dataset: where it lies there, the split that it is, its bytes."""

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
        """Where the rows come from, for the dataset's story."""
        return (
            f"{self.name} on the Hugging Face Hub, configuration {self.configuration}, revision"
            f" {self.revision}"
        )


@dataclass(frozen=True, slots=True)
class HubListing:
    """What the Hub has of a dataset: files by configuration; ``licence`` is empty where its card
    names none.
    """

    name: str
    licence: str
    revision: str
    configurations: dict[str, tuple[HubFile, ...]]

    def pick(self, configuration: str = "") -> HubFiles:
        """The files to download; without a name those of the only or the default configuration.
        Raises DataError.
        """
        names, what = sorted(self.configurations), f"The dataset {self.name} has"
        shown = ", ".join(names[:SHOWN_NAMES]) + (" and more" if len(names) > SHOWN_NAMES else "")
        chosen = configuration or (names[0] if len(names) == 1 else "default")
        if chosen not in self.configurations:
            if not configuration:
                raise DataError(
                    f"{what} several configurations: {shown}.", f"Write {self.name}:ONE."
                )
            raise DataError(f"{what} no configuration {configuration!r}.", f"It has {shown}.")
        found = sorted(
            self.configurations[chosen], key=lambda file: (SPLITS.index(file.split), file.path)
        )
        pick = HubFiles(self.name, chosen, self.revision, tuple(found))
        if found[0].split != "train":
            raise DataError(
                f"{what} no training split.",
                f"Its files are {', '.join(file.path for file in found)[:200]}.",
            )
        if pick.size > MAX_BYTES or len(found) > MOST_FILES:
            most = f"up to {MAX_BYTES / 1e6:.0f} MB in {MOST_FILES} files are read"
            fix = "Download a part of it and choose that file."
            raise DataError(
                f"{what} {pick.size / 1e6:,.0f} MB in {len(found):,} files; {most}.", fix
            )
        return pick


def split_id(hub_id: str) -> tuple[str, str]:
    """Name and configuration in ``owner/name`` or ``owner/name:configuration``, also with ``hub:``
    before it. Raises DataError.
    """
    name, _, configuration = hub_id.strip().removeprefix("hub:").partition(":")
    if not HUB_NAME.fullmatch(name):
        raise DataError(
            f"{hub_id[:100]!r} is no dataset id.",
            "Write it as on the Hub: owner/name, for example fancyzhx/ag_news.",
        )
    return name, configuration


def look_up(settings: Settings, name: str) -> HubListing:
    """What the dataset ``owner/name`` has to download. Raises DataError without a network, and
    where it has nothing for us.
    """
    _require_hub(settings)
    main = _read_card(name, "main")
    if main is None:
        raise _missing(name)
    if main.get("gated"):
        raise DataError(
            f"The dataset {name} needs a login.",
            "Download its files in a browser and choose them here.",
        )
    about = main.get("cardData")
    licence = about.get("license") if isinstance(about, dict) else ""
    converted = _read_card(name, CONVERTED)
    card, place = (main, _place_of) if converted is None else (converted, _place_of_converted)
    found: dict[str, list[HubFile]] = defaultdict(list)
    for path, size in _listed(card):
        if PurePosixPath(path).suffix.lower() in SUFFIXES and (where := place(PurePosixPath(path))):
            found[where[0]].append(HubFile(path, where[1], size))
    revision = str(card.get("sha", ""))
    if not REVISION.fullmatch(revision):
        raise DataError(f"The Hub's answer on {name} names no revision.", TRY)
    if not found:
        raise DataError(
            f"The dataset {name} has no Parquet, CSV or JSON lines files that a split is known of.",
            TRY,
        )
    return HubListing(
        name,
        licence if isinstance(licence, str) else "",
        revision,
        {key: tuple(each) for key, each in found.items()},
    )


def find_fetched(settings: Settings, pick: HubFiles) -> list[Path]:
    """The files of ``pick`` where an earlier download has left them all, otherwise none."""
    paths = _paths(settings, pick)
    whole = all(
        path.is_file() and path.stat().st_size == file.size
        for path, file in zip(paths, pick.files, strict=True)
    )
    return paths if whole else []


def download(
    settings: Settings,
    pick: HubFiles,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> list[Path]:
    """The files of ``pick`` on this machine; ``report`` counts KB. Raises Stopped, and DataError
    where they cannot be had.
    """
    if found := find_fetched(settings, pick):
        return found
    _require_hub(settings)
    paths, done = _paths(settings, pick), 0
    for path, file in zip(paths, pick.files, strict=True):
        parts = []
        address = f"/datasets/{pick.name}/resolve/{pick.revision}/{urllib.parse.quote(file.path)}"
        for chunk in _read(pick.name, address, file.size):
            if should_stop():
                raise Stopped("The download was stopped.", "Start it again.")
            parts.append(chunk)
            done += len(chunk)
            report(Progress(Phase.DOWNLOADING, done // 1000, pick.size // 1000))
        content = b"".join(parts)
        if len(content) != file.size:
            raise DataError(
                f"{file.path} of {pick.name} ended after {len(content):,} of {file.size:,} bytes.",
                "Try again.",
            )
        files.write_bytes(path, content)
    _forget_old(paths[0].parent)
    return paths


def _require_hub(settings: Settings) -> None:
    if not hub_reachable(settings):
        raise DataError(
            "The Hub cannot be reached from here.",
            "Check the network and LORALAB_HUB, or choose a file.",
        )


def _paths(settings: Settings, pick: HubFiles) -> list[Path]:
    """Named by us: what a dataset calls its files never becomes a path here."""
    called = re.sub(r"\W+", "-", f"{pick.name}-{pick.configuration}")[:120]
    folder = settings.prepared / ".fetched" / f"{called}-{pick.revision[:12]}"
    return [
        folder / f"{file.split}-{place:05d}{PurePosixPath(file.path).suffix.lower()}"
        for place, file in enumerate(pick.files)
    ]


def _place_of_converted(path: PurePosixPath) -> tuple[str, Split] | None:
    """Configuration and split in the Hub's own copy."""
    parts = path.parts
    return (
        (parts[0], SPLIT_WORDS[parts[1]]) if len(parts) == 3 and parts[1] in SPLIT_WORDS else None
    )


def _place_of(path: PurePosixPath) -> tuple[str, Split] | None:
    """Configuration and split as the names of folders and files tell them."""
    split = split_of(Path(path))
    own = [part for part in path.parts[:-1] if part != "data" and part not in SPLIT_WORDS]
    return ("/".join(own) or "default", split) if split else None


def _read_card(name: str, branch: str) -> dict[str, object] | None:
    """What the Hub says of a branch; None where there is no such dataset or branch. Raises
    DataError.
    """
    address = f"/api/datasets/{name}/revision/{urllib.parse.quote(branch, safe='')}?blobs=true"
    try:
        card = json.loads(b"".join(_read(name, address, LISTING_BYTES)))
    except _MissingError:
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(f"The Hub's answer on {name} is no list of files.", TRY) from error
    if not isinstance(card, dict):
        raise DataError(f"The Hub's answer on {name} is no list of files.", TRY)
    return card


def _listed(card: dict[str, object]) -> Iterator[tuple[str, int]]:
    siblings = card.get("siblings")
    for sibling in siblings if isinstance(siblings, list) else ():
        match sibling:
            case {"rfilename": str(path), "size": int(size)} if size > 0:
                yield path, size


class _MissingError(DataError):
    """The Hub has nothing there, or nothing for us."""


def _missing(name: str) -> _MissingError:
    return _MissingError(
        f"The dataset {name} is not on the Hub, or needs a login.", "Check the id. " + TRY
    )


def _read(name: str, address: str, limit: int) -> Iterator[bytes]:
    """The body in pieces. Raises DataError, also for one that is longer than ``limit``."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    size = 0
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint + address), timeout=TIMEOUT_SECONDS
        ) as answer:
            while chunk := answer.read1(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise DataError(f"The Hub sends more of {name} than it had said.", TRY)
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404):
            raise _missing(name) from error
        raise DataError(
            f"The dataset {name} cannot be had now (HTTP {error.code}).", TRY
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"The dataset {name} could not be downloaded ({type(error).__name__}).", TRY
        ) from error


def _forget_old(newest: Path) -> None:
    by_age = sorted(
        (folder for folder in newest.parent.iterdir() if folder != newest),
        key=lambda path: path.stat().st_mtime,
    )
    for folder in by_age[: max(0, len(by_age) - KEPT + 1)]:
        shutil.rmtree(folder, ignore_errors=True)
