"""Fetch the Parquet files of a dataset on the Hugging Face Hub: plain files over HTTP, no code of the dataset is run."""

import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from core import files
from core.data.hub import hub_reachable
from core.data.sources import SPLIT_WORDS
from core.data.table import MAX_BYTES
from core.errors import DataError
from core.settings import Settings

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TIMEOUT_SECONDS = 20
CHUNK_BYTES = 2**20
LISTING_BYTES = 4 * 2**20
TRY = "Try again, or download its files in a browser and choose them here."


def fetch(settings: Settings, hub_id: str) -> list[Path]:
    """Files of the splits of ``owner/name``, or of one of its configurations, ``owner/name:configuration``, on this machine.

    Raises DataError without a network, and for a dataset that is not there, needs a login or is too large.
    """
    name, _, configuration = hub_id.strip().partition(":")
    if not HUB_NAME.fullmatch(name):
        raise DataError(f"{hub_id[:100]!r} is no dataset id.", "Write it as on the Hub: owner/name, for example fancyzhx/ag_news.")
    if not hub_reachable(settings):
        raise DataError("The Hub cannot be reached from here.", "Check the network and LORALAB_HUB, or choose a file.")
    listed = _listing(name)
    urls = _splits(name, listed, configuration)
    folder = settings.prepared / ".fetched" / re.sub(r"\W+", "-", hub_id.strip())
    done = 0
    paths: list[Path] = []
    for split, address in urls:
        content = _open(name, address, MAX_BYTES - done)
        done += len(content)
        number = sum(path.name.startswith(f"{split}-") for path in paths)
        path = folder / f"{split}-{number:05d}.parquet"
        files.write_bytes(path, content)
        paths.append(path)
    return paths


def _listing(name: str) -> object:
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    content = _open(name, f"{endpoint.rstrip('/')}/api/datasets/{name}/parquet", LISTING_BYTES)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The Hub's answer on {name} is no list of files.", TRY) from error


def _splits(name: str, listed: object, configuration: str) -> list[tuple[str, str]]:
    """Split and address of each file, in the order of splits. Only words that name a split count."""
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"The dataset {name} has no Parquet files on the Hub.", TRY)
    if not configuration and len(listed) > 1 and "default" not in listed:
        raise DataError(f"The dataset {name} has several configurations: {', '.join(sorted(map(str, listed))[:12])}.", f"Write {name}:ONE.")
    chosen = listed.get(configuration or "default", next(iter(listed.values())) if not configuration else None)
    if not isinstance(chosen, dict):
        raise DataError(
            f"The dataset {name} has no configuration {configuration!r}.", f"It has {', '.join(sorted(map(str, listed))[:12])}."
        )
    found = [
        (SPLIT_WORDS[split], address)
        for split, addresses in chosen.items()
        if split in SPLIT_WORDS and isinstance(addresses, list)
        for address in addresses
        if isinstance(address, str) and address.startswith(("https://", "http://"))
    ]
    if not any(split == "train" for split, _ in found):
        raise DataError(f"The dataset {name} has no training split.", f"Its splits are {', '.join(map(str, chosen))[:200]}.")
    return sorted(found, key=lambda part: ("train", "validation", "test").index(part[0]))


def _open(name: str, address: str, limit: int) -> bytes:
    """The body. Raises DataError if it is longer than ``limit``."""
    parts, size = [], 0
    try:
        with urllib.request.urlopen(urllib.request.Request(address), timeout=TIMEOUT_SECONDS) as answer:
            while chunk := answer.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    fix = "Download a part of it and choose that file."
                    raise DataError(f"The dataset {name} has more than {MAX_BYTES / 1e6:.0f} MB.", fix)
                parts.append(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        what = "is not on the Hub, or needs a login" if error.code in (401, 403, 404) else f"cannot be had now (HTTP {error.code})"
        raise DataError(f"The dataset {name} {what}.", "Check the id. " + TRY) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(f"The dataset {name} could not be downloaded ({type(error).__name__}).", TRY) from error
    return b"".join(parts)
