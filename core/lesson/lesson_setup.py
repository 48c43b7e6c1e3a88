"""Preparation of a lesson: data, quality check, a Taste and a Quick run with baselines, and rules.

Everything runs as jobs. A run launches the jobs of its baselines on its own.
"""

import math
from dataclasses import dataclass

from core.access import Action, Mode, require
from core.data.dataset import Dataset
from core.data.hidden_test import USUAL_PERCENT
from core.data.preparation import find_prepared
from core.data.quality.findings import read_report
from core.data.sources import Source
from core.estimate.inputs import data_facts
from core.jobs import actions, launching
from core.people.classroom import change_rules, read_rules
from core.presets import Preset, make_config
from core.runs.local_estimate import estimate_request
from core.runs.requests import PrepareRequest, QualityRequest, TrainRequest
from core.storage.job import Job
from core.storage.store import Store
from core.translation import mark

PRESETS = (Preset.TASTE, Preset.QUICK)
WITHOUT_DATA = {Preset.TASTE: mark("Taste run"), Preset.QUICK: mark("Quick run")}
WITH_BASELINES = {
    Preset.TASTE: mark("Taste run and baselines"),
    Preset.QUICK: mark("Quick run and baselines"),
}
MARGIN = 1.5  # of the estimated minutes of a Taste run, for the rule


@dataclass(frozen=True, slots=True)
class Preparation:
    """A part of the preparation. ``seconds`` is its estimated time, where it is known; ``job`` its
    newest job, if it was launched.
    """

    name: str
    done: bool
    job: Job | None = None
    seconds: float | None = None


def list_preparations(store: Store, source: Source) -> list[Preparation]:
    """List the parts of the preparation in their order."""
    dataset = find_prepared(store.settings, source)
    job = launching.find_latest(store, PrepareRequest(source=source))
    parts = [Preparation(mark("Data"), dataset is not None, job)]
    if dataset is None:
        names = (mark("Quality check"), *(WITHOUT_DATA[preset] for preset in PRESETS))
        return [*parts, *(Preparation(name, False) for name in names)]
    check = launching.find_latest(store, QualityRequest(fingerprint=dataset.fingerprint))
    parts.append(Preparation(mark("Quality check"), read_report(dataset) is not None, check))
    for preset in PRESETS:
        run = store.find_launched(_make_key(preset, dataset))
        expected = estimate_request(store, _make_request(store, preset, source, dataset))
        seconds = expected.likely_seconds if expected else None
        done = run is not None and run.state.is_finished and not run.cause
        parts.append(Preparation(WITH_BASELINES[preset], done, run, seconds))
    return parts


def prepare_lesson(store: Store, source: Source, *, hidden_test: bool = False) -> bool:
    """Launch what is missing and fit the rule on minutes; return whether all of it is launched.

    Without prepared data only their preparation is launched, because the rest depends on them. In
    a class, ``hidden_test`` hides a part of the test texts first. Raises NotAllowed and
    NotEnoughRoom.
    """
    require(store.visitor, Action.TEACH)
    rules = read_rules(store)
    if hidden_test and store.settings.mode == Mode.CLASSROOM and not rules.is_on:
        change_rules(store, rules.model_copy(update={"hidden_percent": USUAL_PERCENT}))
    dataset = find_prepared(store.settings, source)
    if dataset is None:
        launching.launch(store, PrepareRequest(source=source), source.name)
        return False
    if read_report(dataset) is None:
        launching.launch(store, QualityRequest(fingerprint=dataset.fingerprint), dataset.name)
    for preset in PRESETS:
        request = _make_request(store, preset, source, dataset)
        name, key = f"prepared {preset}", _make_key(preset, dataset)
        actions.launch_training(store, request, name=name, key=key)
    if store.settings.mode == Mode.CLASSROOM and (minutes := find_minutes(store, source)):
        change_rules(store, read_rules(store).model_copy(update={"minutes": minutes}))
    return True


def find_minutes(store: Store, source: Source) -> int | None:
    """Return the minutes that a Taste run may need here; None before the data are prepared."""
    dataset = find_prepared(store.settings, source)
    if dataset is None:
        return None
    expected = estimate_request(store, _make_request(store, Preset.TASTE, source, dataset))
    return math.ceil(MARGIN * expected.likely_seconds / 60) if expected else None


def _make_request(store: Store, preset: Preset, source: Source, dataset: Dataset) -> TrainRequest:
    config = make_config(preset, {"model": store.settings.model}, data_facts(dataset).size)
    return TrainRequest(config=config, source=source, preset=preset)


def _make_key(preset: Preset, dataset: Dataset) -> str:
    return f"lesson-{preset}-{dataset.fingerprint}"
