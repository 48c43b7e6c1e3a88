"""Baselines of a run: which ones there are, where they lie in the home folder, and how they are
read back.

    <home>/baselines/<key>/predictions.parquet, card.json

The key of each holds the data; that of TF-IDF also which training rows were drawn, that of the
linear probe the model and where it cuts texts. So runs share what is the same for them. The
untrained head is scored by each run itself.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.config import RunConfig
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
FORMAT = 1  # another number lets every baseline be fitted anew


class BaselineRequest(BaseModel):
    """The baselines of runs on this data that draw these rows and use this model. ``train_rows`` 0
    takes all.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    train_rows: int
    seed: int
    model: str
    max_tokens: int

    @property
    def base_models(self) -> tuple[str, ...]:
        """The model of the linear probe."""
        return (self.model,)

    @classmethod
    def of(cls, fingerprint: str, config: RunConfig) -> "BaselineRequest":
        """What a run with ``config`` is compared with. Which rows are all is the same with any
        seed.
        """
        seed = config.seed if config.train_rows else 0
        return cls(
            fingerprint=fingerprint,
            train_rows=config.train_rows,
            seed=seed,
            model=config.model,
            max_tokens=config.max_tokens,
        )


class BaselineResult(BaseModel):
    """Why the linear probe is missing; empty where it was fitted."""

    model_config = ConfigDict(frozen=True)

    left_out: str = ""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A baseline with what it predicted on test texts. ``train_rows`` is how many it learned from;
    ``seconds`` what it took.
    """

    baseline: Baseline
    predictions: Predictions
    train_rows: int
    seconds: float

    @property
    def name(self) -> str:
        """With the number of rows."""
        return (
            f"{self.baseline} ({self.train_rows:,} rows)" if self.train_rows else str(self.baseline)
        )

    def result(self, fingerprint: str, classes: tuple[str, ...]) -> Result:
        """As one side of a comparison."""
        return Result(
            f"baseline:{self.baseline}", self.name, fingerprint, classes, self.predictions
        )


def baseline_path(settings: Settings, request: BaselineRequest, baseline: Baseline) -> Path:
    """The folder of one baseline."""
    depends: dict[Baseline, tuple[object, ...]] = {
        Baseline.TFIDF: (request.train_rows, request.seed),
        Baseline.PROBE: (request.model, request.max_tokens),
    }
    key = "|".join(
        map(str, (FORMAT, baseline.name, request.fingerprint, *depends.get(baseline, ())))
    )
    return settings.home / "baselines" / hashlib.sha256(key.encode()).hexdigest()[:16]


def missing_baselines(settings: Settings, request: BaselineRequest, classes: int) -> list[Baseline]:
    """Those that have not been fitted yet, or cannot be read."""
    return [
        baseline
        for baseline in FITTED
        if _read(baseline_path(settings, request, baseline), baseline, classes) is None
    ]


def save(settings: Settings, request: BaselineRequest, fitted: Fitted) -> None:
    """Keep it."""
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
    """Those of the run that are there, the simplest first."""
    untrained = _untrained(store.folder(job), classes)
    found = [
        *([untrained] if untrained else []),
        *read_fitted(store.settings, BaselineRequest.of(job.fingerprint, config), classes),
    ]
    return sorted(found, key=lambda one: list(Baseline).index(one.baseline))


def read_fitted(settings: Settings, request: BaselineRequest, classes: int) -> list[Fitted]:
    """Those that have been fitted, the simplest first."""
    kept = (
        _read(baseline_path(settings, request, baseline), baseline, classes) for baseline in FITTED
    )
    return [one for one in kept if one]


def _read(folder: Path, baseline: Baseline, classes: int) -> Fitted | None:
    if not (folder / "card.json").is_file():
        return None
    try:
        card = files.read_json(folder / "card.json")
        predictions = Predictions.read(folder / "predictions.parquet", classes)
    except ArtifactDamaged:  # fitted anew when asked for
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


def _untrained(folder: Path, classes: int) -> Fitted | None:
    path = artifacts.predictions_path(folder, "untrained")
    if not path.is_file():
        return None
    try:
        return Fitted(Baseline.UNTRAINED, Predictions.read(path, classes), 0, 0.0)
    except ArtifactDamaged:
        return None
