"""``Run``: a training job as pages, reports and the command line read it.

``RunResult`` is the outcome in ``result_json`` of the job's record. The worker adds to it step by
step; an import and a restored backup write it at once. All readers use ``read_result``, so a
damaged record raises ArtifactDamaged in one place.

Modules that import numpy or pandas are imported where they are used, so that a worker can record
its result without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.config import RunConfig
from core.data.recipe import Recipe
from core.data.sources import Source
from core.errors import ArtifactDamaged, JobNotFound, ModelUnavailable
from core.estimate.workload import Cost
from core.models.catalog import ModelLocation
from core.progress import Phase
from core.runs import artifacts
from core.runs.requests import TrainRequest, read_train_request
from core.settings import Settings
from core.storage import files
from core.storage.job import BUNDLED_OWNERS, Job, JobKind
from core.storage.store import Store
from core.training.events import EvaluatedSplit, LabelAgreement
from core.translation import mark, translate, translate_plural

if TYPE_CHECKING:
    from core.evaluation.predictions import Predictions
    from core.evaluation.scores import Proportion
    from core.inference.messages import ClassifyRequest, Variant

Number = int | float  # keeps a whole number as it was stored
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PORTABLE_FIGURES = (  # fields of a result that an export carries, in addition to its scores
    "train_seconds",
    "rows_per_second",
    "peak_memory_mb",
    "trained_rows",
    "steps",
    "best_step",
)


class ResultPart(BaseModel):
    """A part of a result. Keys of other versions are ignored, missing ones have their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_dict(self) -> dict[str, object]:
        """Return the fields that were set, as they are stored."""
        return self.model_dump(exclude_unset=True)


class SplitScores(ResultPart):
    """Scores of one split: ``hits`` of ``rows`` texts are classified correctly.

    ``macro_f1`` is the mean over ``macro_f1_classes`` classes. Earlier versions did not record that
    number: their mean included classes that do not occur, with an F1 of 0.
    """

    accuracy: float | None = Field(default=None, ge=0, le=1)
    macro_f1: float | None = None
    macro_f1_classes: int | None = Field(default=None, ge=0)
    rows: int = Field(default=0, ge=0)
    hits: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _require_hits_within_rows(self) -> "SplitScores":
        if self.hits is not None and self.hits > self.rows:
            raise ValueError(f"{self.hits} hits of {self.rows} texts")
        return self

    @classmethod
    def of(cls, predictions: "Predictions") -> "SplitScores":
        """Compute the scores from a table of predictions."""
        scores = predictions.scores
        return cls(
            accuracy=scores.accuracy.value,
            macro_f1=scores.macro_f1,
            macro_f1_classes=scores.macro_f1_classes,
            rows=len(predictions),
            hits=scores.accuracy.hits,
        )

    @property
    def proportion(self) -> "Proportion | None":
        """The accuracy with its interval; None without texts. Early versions recorded no hits."""
        from core.evaluation.scores import Proportion  # noqa: PLC0415 - see the module

        if not self.rows or (self.hits is None and self.accuracy is None):
            return None
        hits = round((self.accuracy or 0) * self.rows) if self.hits is None else self.hits
        return Proportion(hits, self.rows)


class ExpectedCost(ResultPart):
    """The estimate before the run, to compare it with the measured cost.

    Seconds from launch to end with their range, seconds of training, peak memory in MB;
    ``measured``: the speed was measured on this machine.
    """

    seconds: Number | None = None
    low_seconds: Number | None = None
    high_seconds: Number | None = None
    train_seconds: Number | None = None
    peak_memory_mb: Number | None = None
    measured: bool = False


class ResumePoint(ResultPart):
    """Step of the checkpoint that the attempt resumed from, and why newer ones were skipped."""

    step: int
    skipped: tuple[str, ...] = ()


class TrainedParameters(ResultPart):
    """The part of a cost that does not depend on the machine or on this version's cost units."""

    trained: int | None = None


class RunAlert(ResultPart):
    """A problem that was seen at ``step`` while the run trained, and what to do."""

    id: str
    step: int
    message: str
    action: str = ""


class RunSeconds(ResultPart):
    """Seconds of each part of the last attempt, from the start of its process to its end.

    ``frozen`` is computing the outputs of frozen layers that are stored, ``validations`` are those
    during training, ``evaluation`` the final one. ``saving`` is the
    export of the adapter with its checkpoints and the summary of the result.
    """

    imports: Seconds = 0.0
    preparing: Seconds = 0.0
    loading: Seconds = 0.0
    tokenizing: Seconds = 0.0
    frozen: Seconds = 0.0
    training: Seconds = 0.0
    validations: Seconds = 0.0
    untrained: Seconds = 0.0
    evaluation: Seconds = 0.0
    saving: Seconds = 0.0

    @classmethod
    def of(cls, phases: Mapping[Phase, float]) -> "RunSeconds":
        """Add up the seconds of phases; a phase of no part counts as ``saving``."""
        parts = dict.fromkeys(cls.model_fields, 0.0)
        for phase, seconds in phases.items():
            parts[PARTS.get(phase, "saving")] += seconds
        return cls(**{name: round(seconds, 2) for name, seconds in parts.items()})

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return float(sum(self.model_dump().values()))


PARTS = {
    Phase.IMPORTING: "imports",
    Phase.PREPARING: "preparing",
    Phase.DOWNLOADING: "preparing",
    Phase.LOADING: "loading",
    Phase.TOKENIZING: "tokenizing",
    Phase.FROZEN: "frozen",
    Phase.TRAINING: "training",
    Phase.VALIDATING: "validations",
    Phase.UNTRAINED: "untrained",
    Phase.EVALUATING: "evaluation",
}


class RunResult(ResultPart):
    """The outcome of a run so far. A key is missing until the worker has recorded it."""

    classes: tuple[str, ...] | None = None
    data: str | None = None
    imported: str | None = None  # name of the file that an imported run came from
    config_known: bool = True
    base_known: bool = True  # an imported adapter may not record the weights of its base model
    expected: ExpectedCost | None = None
    start_seconds: Number | None = None
    seconds: RunSeconds | None = None
    resumed: ResumePoint | None = None
    untrained: SplitScores | None = None
    validation: SplitScores | None = None
    test: SplitScores | None = None
    shared_test_texts: int | None = None  # test texts that are also training texts
    tfidf: SplitScores | None = None  # on the test texts, once the baselines are fitted
    diagnosis: str | None = None  # id of ``core.runs.diagnosis``; empty if no problem was found
    alerts: tuple[RunAlert, ...] | None = None
    steps: int | None = None
    best_step: int | None = None
    stopped: bool | None = None
    early_stopped: bool | None = None
    trained_rows: int | None = None
    train_seconds: Number | None = None
    step_seconds: Number | None = None
    rows_per_second: Number | None = None
    peak_memory_mb: Number | None = None
    precision: str | None = None
    validation_precision: str | None = None  # earlier versions computed all scores in fp32
    evaluation_precision: str | None = None
    agreement: LabelAgreement | None = None  # of labels in bf16 with those in fp32
    device: str | None = None
    threads: int | None = None
    base_model: str | None = None
    base_files: tuple[artifacts.BaseFile, ...] | None = None  # earlier versions recorded none
    cost: Cost | TrainedParameters | None = None

    def find_accuracy(self, split: EvaluatedSplit | Literal["tfidf"]) -> "Proportion | None":
        """Return the accuracy on a split with its interval; None if it was not scored."""
        recorded: SplitScores | None = getattr(self, split)
        return recorded.proportion if recorded else None

    @property
    def precision_note(self) -> str:
        """Sentence on the scores that are computed in bf16; empty if all are in fp32."""
        if self.validation_precision != "bf16":
            return ""
        if self.evaluation_precision == "bf16":
            note = mark("Validations and final scores are computed in bf16.")
        elif self.evaluation_precision:
            note = mark("Validations while training are computed in bf16, final scores in fp32.")
        else:
            note = mark("Validations while training are computed in bf16.")
        if self.agreement is None:
            return note
        compared = mark("{equal:,} of {texts:,} validation texts have the same label in fp32.")
        equal, texts = self.agreement.equal, self.agreement.texts
        return f"{note} {compared.format(equal=equal, texts=texts)}"

    @property
    def trained_parameters(self) -> int | None:
        """Number of trained parameters; None if it was not recorded."""
        return self.cost.trained if self.cost else None

    @property
    def cpu_minutes(self) -> float | None:
        """Minutes of training times threads; None if the time was not recorded."""
        if self.train_seconds is None:
            return None
        return round(self.train_seconds * (self.threads or 1) / 60, 1)


def read_result(job: Job) -> RunResult:
    """Read the result of a run so far. Raises ArtifactDamaged."""
    try:
        return _parse_result(job.result_json)
    except ValidationError as error:
        raise ArtifactDamaged(
            f"The record of {job.name or job.id} is damaged.", "Delete the run."
        ) from error


@lru_cache(maxsize=500)  # a page reads that of a run several times, and so do all who watch it
def _parse_result(text: str) -> RunResult:
    return RunResult.model_validate_json(text, strict=True)


@dataclass(frozen=True)
class Run:
    """A run: its record and the folder of its files.

    Request and result are parsed when they are first read, and raise ArtifactDamaged if the record
    is damaged. Only ``adapter`` and ``read_predictions`` open files.
    """

    job: Job
    folder: Path

    @classmethod
    def of(cls, store: Store, job: Job) -> "Run":
        """Return the run with the record ``job``."""
        return cls(job, store.get_folder(job))

    @property
    def id(self) -> str:
        """The run's id, as in the URL."""
        return self.job.id

    @property
    def name(self) -> str:
        """The run's name, or its id if it has none."""
        return self.job.name or self.job.id

    @property
    def version(self) -> int:
        """A number that changes with the state and the name, for cache keys."""
        return self.job.version

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data after cleaning; empty before the worker has read them."""
        return self.job.fingerprint

    @property
    def data_fingerprint(self) -> str:
        """Fingerprint of the dataset before cleaning, which leaves its test split as it is. Raises
        ArtifactDamaged.
        """
        return self.recipe.fingerprint if self.recipe else self.fingerprint

    @property
    def bundled(self) -> bool:
        """Whether the run is part of the project."""
        return self.job.owner in BUNDLED_OWNERS

    @cached_property
    def request(self) -> TrainRequest:
        """The request that the run was launched with. Raises ArtifactDamaged."""
        return read_train_request(self.job)

    def require_readable(self) -> tuple[TrainRequest, RunResult]:
        """Return request and result. Raises ArtifactDamaged if the record is damaged."""
        return self.request, self.result

    @property
    def config(self) -> RunConfig:
        """The configuration. Raises ArtifactDamaged."""
        return self.request.config

    @property
    def source(self) -> Source:
        """Source of the data. Raises ArtifactDamaged."""
        return self.request.source

    @property
    def recipe(self) -> Recipe | None:
        """The cleaning recipe that was applied to the data. Raises ArtifactDamaged."""
        return self.request.recipe

    @property
    def preset(self) -> str:
        """Name of the preset that was chosen first. Raises ArtifactDamaged."""
        return self.request.preset

    @cached_property
    def result(self) -> RunResult:
        """The outcome so far, with timings and memory. A score that was recorded before the class
        hid a part of the test texts, or elsewhere, is computed again without them; without
        predictions there is none. Raises ArtifactDamaged.
        """
        recorded = read_result(self.job)
        if recorded.test is None:
            return recorded
        rows, classes = recorded.test.rows, len(recorded.classes or ())
        visible = _score_visible(self.folder, self.version, classes, rows)
        return recorded.model_copy(update=visible) if visible else recorded

    @property
    def hidden_note(self) -> str:
        """Sentence that the scores leave out a hidden final test; empty if they do not. Raises
        ArtifactDamaged.
        """
        recorded, visible = read_result(self.job).test, self.result.test
        if recorded is not None and visible is None:
            return translate(
                "The score includes the hidden final test of the class, so it is not shown yet."
            )
        if recorded is None or visible is None:
            return ""
        hidden = recorded.rows - visible.rows or _count_hidden(self.folder, self.version)
        if not hidden:
            return ""
        return translate_plural(
            "The scores leave out {n:,} hidden test row of the final test.",
            "The scores leave out {n:,} hidden test rows of the final test.",
            hidden,
        )

    @property
    def data_name(self) -> str:
        """Name of the data; the name of the source before the worker has read them."""
        return self.source.name if self.result.data is None else self.result.data

    @property
    def imported(self) -> bool:
        """Whether the run was imported: its scores were not measured here. Raises
        ArtifactDamaged.
        """
        return self.result.imported is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their ids. Raises ArtifactDamaged if none are recorded."""
        if self.result.classes is not None:
            return self.result.classes
        if self.job.state.is_finished:
            raise ArtifactDamaged(
                f"The record of {self.name} has no class names.",
                "Delete the run and train it again.",
            )
        raise ArtifactDamaged(f"{self.name} has not read its data yet.", "Wait until it trains.")

    @property
    def test(self) -> "Proportion | None":
        """Accuracy on the test split with its 95 % interval; None before it is scored."""
        return self.result.find_accuracy("test")

    @property
    def untrained(self) -> "Proportion | None":
        """Accuracy of the untrained model on a sample of the test split."""
        return self.result.find_accuracy("untrained")

    @property
    def validation(self) -> "Proportion | None":
        """Accuracy of the best adapter on the validation split."""
        return self.result.find_accuracy("validation")

    @property
    def has_adapter(self) -> bool:
        """Whether the folder has an adapter, intact or not."""
        return artifacts.has_adapter(self.folder)

    @property
    def adapter(self) -> Path:
        """Folder of the best adapter. Raises ArtifactDamaged if it is missing or damaged."""
        return artifacts.find_adapter(self.folder)

    def has_predictions(self, split: EvaluatedSplit = "test") -> bool:
        """Return whether the folder has the predictions of a split, intact or not."""
        return artifacts.predictions_path(self.folder, split).is_file()

    def read_predictions(
        self, split: EvaluatedSplit = "test", step: int | None = None
    ) -> "Predictions":
        """Read the predictions of a split; with ``step`` of the validation after that step. Raises
        ArtifactDamaged.
        """
        from core.evaluation.predictions import Predictions  # noqa: PLC0415 - see the module

        frame = artifacts.read_predictions(self.folder, split, step)
        return Predictions.of(frame, len(self.classes))

    def read_scores(self, split: EvaluatedSplit) -> SplitScores | None:
        """Read the scores of a split, with a macro-F1 over the classes that occur: a record of an
        earlier version is scored again from its predictions, if it has them. Raises ArtifactDamaged
        if the run's record is damaged.
        """
        recorded: SplitScores | None = getattr(self.result, split)
        if recorded is None or recorded.macro_f1_classes or not self.has_predictions(split):
            return recorded
        try:
            return SplitScores.of(self.read_predictions(split))
        except ArtifactDamaged:  # the page of the run reports the damaged table
            return recorded

    def read_scored_result(self) -> RunResult:
        """Read the result with the scores of ``read_scores``. Raises ArtifactDamaged."""
        scores = {split: self.read_scores(split) for split in get_args(EvaluatedSplit)}
        return self.result.model_copy(
            update={split: score for split, score in scores.items() if score}
        )

    def require_same_base(self, model: ModelLocation) -> None:
        """Raise ModelUnavailable if the files of the base model have changed since the training.

        ``model`` is the base model of the configuration. A run of an earlier version recorded only
        the fingerprint of a base model from a folder. Raises ArtifactDamaged.
        """
        if model.folder is None:
            return
        if (recorded := self.result.base_files) is not None:
            changed = artifacts.list_changed_files(recorded, model.folder)
        elif not model.hub_id:
            revision = artifacts.read_base_revision(self.adapter)
            is_same = revision in (None, model.revision)
            changed = [] if is_same else ["the configuration or the weights"]
        else:
            changed = []
        if changed:
            raise ModelUnavailable(
                f"The base model {model.identity} has changed since {self.name} was trained, so its"
                f" adapter no longer fits: {', '.join(changed)} in {model.folder}.",
                "Put the earlier files back, or train the run again with the changed base model.",
            )

    def build_classify_request(
        self, model: ModelLocation, variant: "Variant | None" = None
    ) -> "ClassifyRequest":
        """Create a request for predictions of the adapter, as trained or as a ``variant``;
        ``model`` is the base model of the configuration. Raises ArtifactDamaged, and
        ModelUnavailable if its files have changed.
        """
        from core.inference.messages import (  # noqa: PLC0415 - see the module
            AS_TRAINED,
            ClassifyRequest,
        )

        self.require_same_base(model)
        return ClassifyRequest(
            self.id,
            model,
            self.adapter,
            self.classes,
            self.config.max_tokens,
            self.config.seed,
            variant or AS_TRAINED,
        )


@lru_cache(maxsize=2000)
def _score_visible(
    folder: Path, version: int, classes: int, rows: int
) -> dict[str, SplitScores | None]:
    """Score a run of a class without the hidden test texts, if the record of ``rows`` test texts
    includes some; empty if it does not. The version changes with what is hidden.
    """
    from core.data.hidden_test import read_hidden_test  # noqa: PLC0415 - see the module
    from core.evaluation.predictions import Predictions  # noqa: PLC0415

    hidden = read_hidden_test(Settings(home=folder.parent.parent))
    if not hidden.is_hiding or artifacts.hidden_path(folder, hidden).is_file():
        return {}
    scores: dict[str, SplitScores | None] = {"tfidf": None}  # without predictions of each text
    splits: tuple[EvaluatedSplit, ...] = ("test", "untrained")
    for split in splits:
        try:
            frame = artifacts.read_predictions(folder, split)
            scores[split] = SplitScores.of(Predictions.of(frame, classes))
        except ArtifactDamaged:  # the page of the run reports it
            scores[split] = None
    test = scores["test"]
    return {} if test and test.rows == rows else scores


@lru_cache(maxsize=2000)
def _count_hidden(folder: Path, version: int) -> int:
    """Count the hidden texts that a run has been scored on and that must not be seen now."""
    from core.data.hidden_test import read_hidden_test  # noqa: PLC0415 - see the module

    hidden = read_hidden_test(Settings(home=folder.parent.parent))
    path = artifacts.hidden_path(folder, hidden)
    if not hidden.is_hiding or not path.is_file():
        return 0
    return len(files.read_parquet(path, ["row"]))


def find_run(store: Store, text: str) -> Job:
    """Find the run with this id, otherwise with this name. Raises JobNotFound if there is none or
    the name is not unique.
    """
    runs = store.list_jobs(JobKind.TRAIN)
    matches = [job for job in runs if job.id == text] or [job for job in runs if job.name == text]
    if len(matches) != 1:
        how_many = "is no run" if not matches else f"are {len(matches)} runs"
        raise JobNotFound(
            f"There {how_many} {text!r}.", "`python -m core runs` lists ids and names."
        )
    return matches[0]


def choose_name(store: Store, preset: str, model: str) -> str:
    """Return a default name for a run, for example ``quick-minilm-07``."""
    short = model.rstrip("/").rsplit("/", 1)[-1].partition("@")[0][:40]
    stem = f"{preset}-{short}"
    existing = {job.name for job in store.list_jobs(JobKind.TRAIN)}
    return next(
        f"{stem}-{number:02d}"
        for number in range(1, len(existing) + 2)
        if f"{stem}-{number:02d}" not in existing
    )
