"""Check whether the Hugging Face Hub can be reached.

Libraries block for 24 to 48 s if it cannot, so it is probed first.
"""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from core.errors import ArtifactDamaged
from core.settings import Settings
from core.storage import files

PROBE_SECONDS = 1.5
# a changed network is noticed after ten minutes, and a page waits at most once
CACHE_SECONDS = 600
TRUE_VALUES = {"1", "ON", "YES", "TRUE"}  # as in huggingface_hub
SERVED_ELSEWHERE = {404, 405}  # a mirror need not serve its root


def hub_reachable(settings: Settings) -> bool:
    """Whether the Hub, or the mirror in ``HF_ENDPOINT``, answers. Takes at most 1.5 s; cached for
    ten minutes.
    """
    if not settings.hub or os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE_VALUES:
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    cache = settings.home / "hub.json"
    cached = _read_cache(cache, endpoint)
    if cached is not None:
        return cached
    reachable = probe(endpoint)
    files.write_cache(
        cache, {"endpoint": endpoint, "reachable": reachable, "checked_at": time.time()}
    )
    return reachable


def _read_cache(cache: Path, endpoint: str) -> bool | None:
    if not cache.exists():
        return None
    try:
        content = files.read_json(cache)
    except ArtifactDamaged:  # only a cache: the next probe writes it again
        return None
    match content:
        case {
            "endpoint": known,
            "reachable": bool(reachable),
            "checked_at": int() | float() as checked_at,
        }:
            fresh = known == endpoint and 0 <= time.time() - checked_at < CACHE_SECONDS
            return reachable if fresh else None
    return None


def is_answering(endpoint: str) -> bool:
    """Return whether a server at ``endpoint`` answers a request."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint, method="HEAD"), timeout=PROBE_SECONDS
        ):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in SERVED_ELSEWHERE
    # no route, no name, no certificate, or an invalid endpoint
    except (OSError, ValueError, http.client.HTTPException):
        return False


def probe(
    endpoint: str,
    request: Callable[[str], bool] = is_answering,
    seconds: float = PROBE_SECONDS,
) -> bool:
    """Return the answer of ``request(endpoint)``; False if it takes longer than ``seconds``."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(request(endpoint)), daemon=True)
    thread.start()
    # a socket's timeout does not cover the name lookup, which can take 20 s without a network
    thread.join(seconds)
    return bool(answers and answers[0])
