"""Where a run keeps what it goes on from, which of it is kept, and which of it can be trusted.

``checkpoints/00000100/`` holds the files of step 100 and their manifest. The newest two are kept,
and that of the best step.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import ArtifactDamaged, ConfigError, DataError, ModelUnavailable
from core.storage import files
from core.storage.manifest import read_sealed, seal

KEPT_NEWEST = 2  # should one turn out unreadable, the other costs half a minute of work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: fingerprints of configuration, data and base model, and the
    versions it was made with.
    """

    config: str
    data: str
    model: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that verified; step 0 without files is the beginning. ``skipped`` tells for each
    newer one why it was not taken.
    """

    step: int
    best_step: int
    files: dict[str, bytes]
    skipped: tuple[str, ...]


def save(
    folder: Path, step: int, contents: Mapping[str, bytes], identity: Identity, best_step: int
) -> None:
    """Keep a checkpoint in the run's ``folder``, and drop those that are neither of the newest two
    nor of the best step.
    """
    facts = {
        "step": step,
        "best_step": best_step,
        "config": identity.config,
        "data": identity.data,
        "model": identity.model,
    }
    files.write_folder(
        _path(folder, step), seal(contents, {**facts, "versions": dict(identity.versions)})
    )
    for old in steps(folder)[:-KEPT_NEWEST]:
        if old != best_step:
            files.remove_folder(_path(folder, old))


def steps(folder: Path) -> list[int]:
    """Steps of which there is a checkpoint, ascending; whether it can be read shows when it is."""
    return sorted(
        int(path.name)
        for path in (folder / "checkpoints").glob("*")
        if re.fullmatch(r"[0-9]{8,12}", path.name)
    )


def find_newest(folder: Path, identity: Identity) -> SavedCheckpoint:
    """The newest checkpoint that verifies, or the beginning. Those after it are removed: they would
    pass for newer ones.

    Raises ConfigError, DataError or ModelUnavailable if it belongs to another configuration, other
    data or another base model.
    """
    skipped: list[str] = []
    for step in reversed(steps(folder)):
        try:
            facts, contents = read_sealed(_path(folder, step))
            found = SavedCheckpoint(step, _whole(facts, "best_step"), contents, tuple(skipped))
            if _whole(facts, "step") != step:
                raise ArtifactDamaged(f"It is that of step {facts['step']}.")
        except ArtifactDamaged as error:
            skipped.append(f"The checkpoint of step {step:,} cannot be used: {error.message}")
            log.warning("%s", skipped[-1])
            continue
        _require_same(facts, identity, step)
        _drop_after(folder, step)
        return found
    _drop_after(folder, 0)
    return SavedCheckpoint(0, 0, {}, tuple(skipped))


def _require_same(facts: Mapping[str, object], identity: Identity, step: int) -> None:
    where = f"The checkpoint of step {step:,} was made with"
    if facts.get("data") != identity.data:
        raise DataError(
            f"{where} other data: fingerprint {facts.get('data')} then, {identity.data} now.",
            "Clone the run and train it anew.",
        )
    if facts.get("config") != identity.config:
        raise ConfigError(
            f"{where} another configuration than this run has now.",
            "Clone the run and train it anew.",
        )
    if facts.get("model") != identity.model:
        message = f"{where} another base model: {facts.get('model')} then, {identity.model} now."
        raise ModelUnavailable(
            message, "Bring the earlier model back, or clone the run and train it anew."
        )
    if facts.get("versions") != dict(identity.versions):
        log.warning(
            "%s %s, now it is %s: curves may differ a little",
            where,
            facts.get("versions"),
            dict(identity.versions),
        )


def _drop_after(folder: Path, step: int) -> None:
    for later in steps(folder):
        if later > step:
            files.remove_folder(_path(folder, later))


def _whole(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    if not isinstance(value, int):
        raise ArtifactDamaged(f"Its manifest gives no {name}.")
    return value


def _path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"{step:08d}"
