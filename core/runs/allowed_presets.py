"""Presets that the rules of a class allow, with reasons, and the seed of each student."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.access import Role, Visitor
from core.config import RunConfig
from core.errors import LoraLabError
from core.estimate.estimate import Estimate
from core.people.classroom import read_rules, require_student_limits
from core.presets import DataSize, Preset, make_config
from core.runs.limits import require_estimate_allowed
from core.storage.store import Store

LARGEST_FIRST = (Preset.THOROUGH, Preset.STANDARD, Preset.QUICK, Preset.TASTE)
SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """The largest preset that the rules allow, and why each larger one is not allowed."""

    preset: Preset
    refused: tuple[tuple[Preset, str], ...]


def find_largest_allowed(
    store: Store, size: DataSize, model: str, estimate: Callable[[RunConfig], Estimate | None]
) -> PresetChoice:
    """Return the largest preset that a student may start without reducing it.

    Taste is reduced to the rules if it is above them, too. Places in the queue do not count.
    """
    refused: list[tuple[Preset, str]] = []
    if not read_rules(store).open:  # refuses every preset; the summary says so
        return PresetChoice(Preset.QUICK, ())
    for preset in LARGEST_FIRST:
        config = make_config(preset, {"model": model}, replace(size, limits=None))
        reason = _find_reason(store, config, size, estimate)
        if not reason:
            return PresetChoice(preset, tuple(refused))
        refused.append((preset, reason))
    return PresetChoice(Preset.TASTE, tuple(refused[:-1]))


def _find_reason(
    store: Store,
    config: RunConfig,
    size: DataSize,
    estimate: Callable[[RunConfig], Estimate | None],
) -> str:
    rules = read_rules(store)
    try:
        require_student_limits(store, [], config, size.train_rows)
        if expected := estimate(config):
            require_estimate_allowed(rules, expected)
    except LoraLabError as error:
        return error.message
    return ""


def find_seed(visitor: Visitor) -> int:
    """Return the seed with which a new run of the visitor begins.

    That of a student follows from their id, so that no two students train the same run by chance.
    """
    if visitor.role is not Role.STUDENT:
        return int(RunConfig.model_fields["seed"].default)
    return int(hashlib.sha256(visitor.id.encode()).hexdigest()[:8], 16) % SEEDS
