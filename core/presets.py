"""Presets of a run, and how overrides on top of one become a ``RunConfig``."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.config import ConfigFields, ConfigValue, RunConfig, find_bounds, list_choices
from core.errors import ConfigError


class Preset(StrEnum):
    """Starting point for the form and the command line."""

    TASTE = "taste"
    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"
    REFERENCE = "reference"


PRESET_HELP = {
    Preset.TASTE: "About 60 steps, about a minute: try the whole workflow once.",
    Preset.QUICK: "At least about 300 steps, a few minutes: a good first model.",
    Preset.STANDARD: "All training rows, at least 2 epochs, all linear layers.",
    Preset.THOROUGH: "All training rows, at least 3 epochs, all linear layers, early stopping.",
    Preset.REFERENCE: (
        "The reference recipe, exactly as in its notebook, for any size of data; slow on a CPU."
    ),
}

PRESETS: dict[Preset, ConfigFields] = {
    Preset.TASTE: {
        "train_rows": 1000,
        "evaluation_interval": 15,
        "validation_rows": 100,
        "test_rows": 500,
    },
    Preset.QUICK: {"train_rows": 8000, "evaluation_interval": 100},
    Preset.STANDARD: {
        "train_rows": 0,
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "target_modules": ("all-linear",),
        "evaluation_interval": 200,
    },
    Preset.THOROUGH: {
        "train_rows": 0,
        "epochs": 3,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "target_modules": ("all-linear",),
        "evaluation_interval": 500,
        "validation_rows": 1000,
        "early_stopping": 5,
    },
    Preset.REFERENCE: {
        "train_rows": 0,
        "max_tokens": 512,
        "warmup": 0.0,
        "base_dropout": True,
        "precision": "fp32",
        "evaluation_interval": 200,
    },
}

# optimizer steps that a preset takes on few rows, by more epochs; Reference is never changed
STEPS = {Preset.TASTE: 60, Preset.QUICK: 300, Preset.STANDARD: 800, Preset.THOROUGH: 1200}
STEPS_PER_CLASS = 10
MOST_EPOCHS = 60
# fields that depend on the data
FITTED = (
    "train_rows",
    "validation_rows",
    "test_rows",
    "max_tokens",
    "epochs",
    "batch_size",
    "evaluation_interval",
    "learning_rate",
    "target_modules",
)
VALIDATIONS = 10  # of a run on few rows: its validations are short, and the best step is kept
COVERED = 0.95  # proportion of the texts that are not truncated, up to MOST_TOKENS
MOST_TOKENS = 256
# query and value alone stay at the frequent class for hundreds of steps
RARE_CLASS: ConfigFields = {"learning_rate": 1e-3, "target_modules": ("all-linear",)}
LONG_BATCH = 8  # rows, of few texts longer than the preset's limit: half the time for each step


@dataclass(frozen=True, slots=True)
class DataSize:
    """Rows of each split, classes, the length in tokens that a proportion ``COVERED`` of training
    texts does not exceed, and the training rows of the rarest class; 0 if they are unknown.
    """

    train_rows: int
    validation_rows: int
    test_rows: int
    classes: int
    tokens: int = 0
    rarest: int = 0

    @property
    def imbalanced(self) -> bool:
        """Whether the rarest class has less than half of an equal share."""
        return 0 < self.rarest < self.train_rows / self.classes / 2


def make_config(
    preset: Preset | None = None,
    overrides: Mapping[str, object] | None = None,
    size: DataSize | None = None,
) -> RunConfig:
    """Build a configuration from a preset, fitted to data of ``size``, and ``overrides``.

    Raises ConfigError that lists each invalid field, its value and what is allowed.
    """
    fitted = fit_to_data(preset, size) if preset and size else {}
    values = {**(PRESETS[preset] if preset else {}), **fitted, **(overrides or {})}
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(" ".join(_explain(problem) for problem in error.errors())) from error


def fit_to_data(preset: Preset, size: DataSize) -> dict[str, ConfigValue]:
    """Return the values of a preset that differ on data of ``size``.

    A preset counts optimizer steps: on fewer rows it takes more epochs. Rows of a split that do not
    exist are not requested.
    """
    if preset not in STEPS:
        return {}
    config = RunConfig.model_validate(PRESETS[preset])
    changes = _fit_splits(config, size)
    rows = min(config.train_rows or size.train_rows, size.train_rows)
    steps = max(STEPS[preset], STEPS_PER_CLASS * size.classes) * (2 if size.imbalanced else 1)
    if size.tokens > config.max_tokens:
        changes["max_tokens"] = min(MOST_TOKENS, 8 * math.ceil(size.tokens / 8))
        if rows < LONG_BATCH * steps:
            changes["batch_size"] = LONG_BATCH
    if size.imbalanced and preset is Preset.QUICK and rows == size.train_rows:
        changes |= RARE_CLASS
    per_epoch = math.ceil(rows / int(str(changes.get("batch_size", config.batch_size))))
    epochs = min(MOST_EPOCHS, round(steps / max(1, per_epoch)))
    if epochs > config.epochs:
        interval = max(1, epochs * per_epoch // VALIDATIONS)
        changes |= {"epochs": epochs, "evaluation_interval": interval}
    return changes


def _fit_splits(config: RunConfig, size: DataSize) -> dict[str, ConfigValue]:
    changes: dict[str, ConfigValue] = {}
    if config.train_rows >= size.train_rows:
        changes["train_rows"] = 0
    if config.test_rows >= size.test_rows:
        changes["test_rows"] = 0
    if config.validation_rows > size.validation_rows > 0:
        changes["validation_rows"] = size.validation_rows
    return changes


def describe_preset(preset: Preset, size: DataSize | None) -> str:
    """Describe a preset for data of ``size`` in two sentences."""
    if size is None or preset not in STEPS:
        return PRESET_HELP[preset]
    config = make_config(preset, None, size)
    rows = min(config.train_rows or size.train_rows, size.train_rows)
    amount = (
        f"all {rows:,} training rows"
        if rows == size.train_rows
        else f"{rows:,} of the {size.train_rows:,} training rows"
    )
    times = "once" if config.epochs == 1 else f"{config.epochs} times"
    return (
        f"{PRESET_HELP[preset]} On this data: {amount}, {times}, which are"
        f" {config.total_steps(rows):,} steps."
    )


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Parse ``["rank=8", "epochs=2"]``. Raises ConfigError without a name or an equals sign."""
    parsed: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (name.strip() and equals):
            raise ConfigError(
                f"{assignment!r} is not of the form FIELD=VALUE.", "Example: --set rank=8."
            )
        parsed[name.strip()] = value.strip()
    return parsed


def list_unset(assignments: Sequence[str]) -> tuple[str, ...]:
    """List the fields that depend on the data and that no assignment sets. Raises ConfigError."""
    chosen = parse_assignments(assignments)
    return tuple(name for name in FITTED if name not in chosen)


def _explain(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, RunConfig.model_fields, n=1)
        hint = (
            f"Did you mean {close[0]}?"
            if close
            else f"Fields are {', '.join(RunConfig.model_fields)}."
        )
        return f"Unknown field {name!r}. {hint}"
    return f"{name} cannot be {problem['input']!r}: {_allowed(name, RunConfig.model_fields[name])}."


def _allowed(name: str, field: FieldInfo) -> str:
    low, high = find_bounds(name)
    if options := list_choices(name):
        return f"choose one of {', '.join(options)}"
    if field.annotation in (int, float):
        kind = "a whole number" if field.annotation is int else "a number"
        above = any(hasattr(item, "gt") for item in field.metadata)
        return (
            f"enter {kind} {'above' if above else 'from'} {low:,}"
            f" {'and at most' if above else 'to'} {high:,}"
        )
    return "enter true or false" if field.annotation is bool else "enter a name"
