"""Whether the Hugging Face Hub can be asked from here. Libraries block for 24 to 48 s where it
cannot, so it is probed first.
"""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from core.errors import ArtifactDamaged
from core.settings import Settings
from core.storage import files

PROBE_SECONDS = 1.5
TRUST_SECONDS = (
    600  # a network that comes or goes is noticed after ten minutes, a page never waits twice
)
TRUE_VALUES = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads its variables
SERVED_ELSEWHERE = {404, 405}  # a mirror need not serve its root


def hub_reachable(settings: Settings) -> bool:
    """True if the Hub, or the mirror in ``HF_ENDPOINT``, answers. Takes 1.5 s at most, and next to
    nothing for ten minutes after.
    """
    if not settings.hub or os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE_VALUES:
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    cache = settings.home / "hub.json"
    known = _remembered(cache, endpoint)
    if known is not None:
        return known
    reachable = _probe(endpoint)
    files.write_json(
        cache, {"endpoint": endpoint, "reachable": reachable, "checked_at": time.time()}
    )
    return reachable


def _remembered(cache: Path, endpoint: str) -> bool | None:
    if not cache.exists():
        return None
    try:
        content = files.read_json(cache)
    except ArtifactDamaged:  # only a memory of the last probe: the next one writes it anew
        return None
    match content:
        case {
            "endpoint": known,
            "reachable": bool(reachable),
            "checked_at": int() | float() as checked_at,
        }:
            fresh = known == endpoint and 0 <= time.time() - checked_at < TRUST_SECONDS
            return reachable if fresh else None
    return None


def _probe(endpoint: str) -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(endpoint)), daemon=True)
    thread.start()
    thread.join(
        PROBE_SECONDS
        # the time-out of a socket does not cover the name look-up, which can take 20 s without a
        # network
    )
    return bool(answers and answers[0])


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint, method="HEAD"), timeout=PROBE_SECONDS
        ):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in SERVED_ELSEWHERE
    except (
        OSError,
        ValueError,
        http.client.HTTPException,
    ):  # no route, no name, no certificate, or an endpoint that is no address
        return False
