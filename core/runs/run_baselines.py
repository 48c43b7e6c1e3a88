"""Baselines of a run: which ones exist, and how they are stored in the home folder.

    <home>/baselines/<key>/predictions.parquet, card.json

The key contains the data; for TF-IDF also the sample of training rows, for the linear probe the
model and its token limit. Runs with the same key share a baseline. Each run scores the untrained
model on its own.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.config import RunConfig
from core.data.hidden_test import read_hidden_test
from core.data.recipe import Recipe
from core.errors import ArtifactDamaged
from core.evaluation.baselines import Baseline
from core.evaluation.comparison import Result
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store

FITTED = (Baseline.MAJORITY, Baseline.TFIDF, Baseline.PROBE)
FORMAT = 1  # a new number invalidates every stored baseline


class BaselineRequest(BaseModel):
    """The baselines of runs on these data that draw these rows and use this model. ``train_rows`` 0
    uses all rows. ``recipe`` produces the data with ``fingerprint``; None for original data.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    train_rows: int
    seed: int
    model: str
    max_tokens: int
    recipe: Recipe | None = None

    @property
    def base_models(self) -> tuple[str, ...]:
        """The model of the linear probe."""
        return (self.model,)

    @classmethod
    def of(
        cls, fingerprint: str, config: RunConfig, recipe: Recipe | None = None
    ) -> "BaselineRequest":
        """Create the request for a run with ``config``. All rows are the same with any seed."""
        seed = config.seed if config.train_rows else 0
        return cls(
            fingerprint=fingerprint,
            train_rows=config.train_rows,
            seed=seed,
            model=config.model,
            max_tokens=config.max_tokens,
            recipe=recipe,
        )

    @property
    def original(self) -> str:
        """Fingerprint of the prepared data before cleaning."""
        return self.recipe.fingerprint if self.recipe else self.fingerprint


class BaselineResult(BaseModel):
    """Test accuracy of each baseline that was fitted, and the reason why the probe is missing."""

    model_config = ConfigDict(frozen=True)

    majority: float | None = None
    tfidf: float | None = None
    probe: float | None = None
    left_out: str = ""

    @classmethod
    def of(cls, baseline: Baseline, accuracy: float) -> "BaselineResult":
        """Return the result of one fitted baseline."""
        return cls.model_validate({baseline.name.lower(): accuracy})


@dataclass(frozen=True, eq=False)
class Fitted:
    """A baseline with its predictions on test texts, its number of training rows, and the seconds
    of fitting.
    """

    baseline: Baseline
    predictions: Predictions
    train_rows: int
    seconds: float

    @property
    def name(self) -> str:
        """Name of the baseline with its number of training rows."""
        return (
            f"{self.baseline} ({self.train_rows:,} rows)" if self.train_rows else str(self.baseline)
        )

    def to_result(self, fingerprint: str, classes: tuple[str, ...]) -> Result:
        """Return the baseline as one side of a comparison."""
        return Result(
            f"baseline:{self.baseline}", self.name, fingerprint, classes, self.predictions
        )


def baseline_path(settings: Settings, request: BaselineRequest, baseline: Baseline) -> Path:
    """Return the folder of a baseline."""
    depends: dict[Baseline, tuple[object, ...]] = {
        Baseline.TFIDF: (request.train_rows, request.seed),
        Baseline.PROBE: (request.model, request.max_tokens),
    }
    key = "|".join(
        map(str, (FORMAT, baseline.name, request.fingerprint, *depends.get(baseline, ())))
    )
    return settings.home / "baselines" / hashlib.sha256(key.encode()).hexdigest()[:16]


def list_missing_baselines(
    settings: Settings, request: BaselineRequest, classes: int
) -> list[Baseline]:
    """List the baselines that have not been fitted yet, or cannot be read."""
    return [
        baseline
        for baseline in FITTED
        if _read(baseline_path(settings, request, baseline), baseline, classes) is None
    ]


def save(settings: Settings, request: BaselineRequest, fitted: Fitted) -> None:
    """Store a fitted baseline."""
    card = {
        "baseline": fitted.baseline,
        "train_rows": fitted.train_rows,
        "seconds": round(fitted.seconds, 2),
    }
    contents = {
        "predictions.parquet": fitted.predictions.frame.to_parquet(index=False),
        "card.json": files.to_json(card),
    }
    files.write_folder(baseline_path(settings, request, fitted.baseline), contents)


def read_baselines(store: Store, job: Job, config: RunConfig, classes: int) -> list[Fitted]:
    """Read the fitted baselines of a run, the simplest first; without the texts of a hidden final
    test of the class.
    """
    folder = store.get_folder(job)
    untrained = _read_untrained(folder, classes)
    fitted = read_fitted(store.settings, BaselineRequest.of(job.fingerprint, config), classes)
    hidden = read_hidden_test(store.settings)
    if hidden.is_hiding and not artifacts.hidden_path(folder, hidden).is_file():
        fitted = _select_visible(folder, fitted)
    baselines = [*([untrained] if untrained else []), *fitted]
    return sorted(baselines, key=lambda fitted: list(Baseline).index(fitted.baseline))


def _select_visible(folder: Path, fitted: list[Fitted]) -> list[Fitted]:
    """Leave out the texts that the predictions of the run in ``folder`` leave out."""
    try:
        visible = artifacts.read_predictions(folder, "test")["row"].to_numpy(np.int64)
    except ArtifactDamaged:  # before the run is scored, or a damaged table
        return []
    return [replace(each, predictions=each.predictions.select_rows(visible)) for each in fitted]


def read_fitted(settings: Settings, request: BaselineRequest, classes: int) -> list[Fitted]:
    """Read the stored baselines of a request, the simplest first."""
    stored = (
        _read(baseline_path(settings, request, baseline), baseline, classes) for baseline in FITTED
    )
    return [fitted for fitted in stored if fitted]


def _read(folder: Path, baseline: Baseline, classes: int) -> Fitted | None:
    if not (folder / "card.json").is_file():
        return None
    try:
        card = files.read_json(folder / "card.json")
        predictions = Predictions.read(folder / "predictions.parquet", classes)
    except ArtifactDamaged:  # it is fitted again on request
        return None
    if not isinstance(card, dict):
        return None
    rows, seconds = card.get("train_rows"), card.get("seconds")
    return Fitted(
        baseline,
        predictions,
        rows if isinstance(rows, int) else 0,
        float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _read_untrained(folder: Path, classes: int) -> Fitted | None:
    path = artifacts.predictions_path(folder, "untrained")
    if not path.is_file():
        return None
    try:
        predictions = Predictions.of(artifacts.read_predictions(folder, "untrained"), classes)
        return Fitted(Baseline.UNTRAINED, predictions, 0, 0.0)
    except ArtifactDamaged:
        return None
