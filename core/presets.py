"""Presets of a run, and how overrides on top of one become a ``RunConfig``."""

import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.config import ConfigFields, ConfigValue, RunConfig, find_bounds, list_choices, name_field
from core.errors import ConfigError
from core.translation import mark, translate


class Preset(StrEnum):
    """Starting point for the form and the command line."""

    TASTE = "taste"
    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"
    REFERENCE = "reference"


PRESET_HELP = {
    Preset.TASTE: mark("About 60 steps, about a minute: try the whole workflow once."),
    Preset.QUICK: mark("At least about 300 steps, a few minutes: a good first model."),
    Preset.STANDARD: mark("All training rows, at least 2 epochs, all linear layers."),
    Preset.THOROUGH: mark(
        "All training rows, at least 3 epochs, all linear layers, early stopping."
    ),
    Preset.REFERENCE: mark(
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
# with query and value alone, Quick stays at the frequent class, or at chance on few long texts
EVERY_LAYER: ConfigFields = {"learning_rate": 1e-3, "target_modules": ("all-linear",)}
LONG_BATCH = 8  # rows, of few texts longer than the preset's limit: more steps for as many tokens
USUAL_TOKENS = 90  # 95 % of the texts of AG News have no more
ROUND = 100  # rows
LIMITED = ("train_rows", "epochs", "max_tokens", "batch_size")  # fields that a class bounds


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest training rows × epochs, tokens of a text, and batch of a class."""

    rows: int
    tokens: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class DataSize:
    """Rows of each split, classes, the length in tokens that a proportion ``COVERED`` of training
    texts does not exceed, and the training rows of the rarest class; 0 if they are unknown.
    ``limits`` are those of the visitor, if there are any.
    """

    train_rows: int
    validation_rows: int
    test_rows: int
    classes: int
    tokens: int = 0
    rarest: int = 0
    limits: Limits | None = None

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

    A preset counts optimizer steps: on fewer rows it takes more epochs. Taste and Quick take fewer
    rows of long texts. Rows of a split that do not exist are not requested.
    """
    if preset not in STEPS:
        return {}
    config = RunConfig.model_validate(PRESETS[preset])
    limits = size.limits or Limits(sys.maxsize, MOST_TOKENS, sys.maxsize)
    tokens = min(max(config.max_tokens, _cover(size)), limits.tokens)
    length = min(tokens, size.tokens or tokens)
    steps = max(STEPS[preset], STEPS_PER_CLASS * size.classes) * (2 if size.imbalanced else 1)
    most = _count_affordable(config, steps, length)
    rows = min(_count(config.train_rows, size.train_rows), most, limits.rows // config.epochs)
    small = tokens > config.max_tokens and rows < 2 * LONG_BATCH * steps
    batch = min(LONG_BATCH if small else config.batch_size, limits.batch_size)
    per_epoch = math.ceil(rows / batch)
    epochs = min(MOST_EPOCHS, round(steps / per_epoch), most // rows, limits.rows // rows)
    values: dict[str, ConfigValue] = {
        "train_rows": 0 if rows == size.train_rows else rows,
        "test_rows": _fit_test_rows(config, size, most),
        "validation_rows": min(config.validation_rows, size.validation_rows or sys.maxsize),
        "max_tokens": tokens,
        "batch_size": batch,
    }
    if epochs > config.epochs:
        interval = max(1, epochs * per_epoch // VALIDATIONS)
        values |= {"epochs": epochs, "evaluation_interval": interval}
    hard = small or (size.imbalanced and rows == size.train_rows)
    if hard and preset is Preset.QUICK:
        values |= EVERY_LAYER
    return {name: value for name, value in values.items() if value != getattr(config, name)}


def _cover(size: DataSize) -> int:
    """Return the limit of tokens that covers most texts, a multiple of 8."""
    return min(MOST_TOKENS, 8 * math.ceil(size.tokens / 8))


def _count_affordable(config: RunConfig, steps: int, length: int) -> int:
    """Return the rows × epochs, and the test rows, of ``length`` tokens that take as long as the
    preset's own rows of ``USUAL_TOKENS``; up to twice as many if it takes more ``steps``.
    """
    if not config.train_rows:
        return sys.maxsize
    usual = config.total_steps(config.train_rows)
    tokens = min(max(usual, steps), 2 * usual) * config.batch_size * USUAL_TOKENS
    return tokens // length // ROUND * ROUND


def _count(requested: int, available: int) -> int:
    """Return the number of rows that are used of a split; ``requested`` 0 means all."""
    return min(requested or available, available)


def _fit_test_rows(config: RunConfig, size: DataSize, most: int) -> int:
    rows = min(_count(config.test_rows, size.test_rows), most)
    return 0 if rows == size.test_rows else rows


def describe_preset(preset: Preset, size: DataSize | None) -> str:
    """Describe a preset for data of ``size``, and what the limits of a class change."""
    if size is None or preset not in STEPS:
        return translate(PRESET_HELP[preset])
    config = make_config(preset, None, size)
    rows = _count(config.train_rows, size.train_rows)
    amount = translate(
        "all {rows:,} training rows"
        if rows == size.train_rows
        else "{rows:,} of the {all:,} training rows",
        rows=rows,
        all=size.train_rows,
    )
    times = translate("once" if config.epochs == 1 else "{n} times", n=config.epochs)
    tested = translate(
        ", and {rows:,} of the {all:,} test rows", rows=config.test_rows, all=size.test_rows
    )
    trained = translate(
        "On this data: {amount}, {times}, which are {steps:,} steps{tested}.",
        amount=amount,
        times=times,
        steps=config.total_steps(rows),
        tested=tested if config.test_rows else "",
    )
    cut = translate("Texts are truncated to {tokens} tokens.", tokens=config.max_tokens)
    sentences = [
        translate(PRESET_HELP[preset]),
        trained,
        cut if size.tokens > config.max_tokens else "",
        _describe_limits(preset, size, config),
    ]
    return " ".join(filter(None, sentences))


def _describe_limits(preset: Preset, size: DataSize, config: RunConfig) -> str:
    """Return the sentence about the values that the limits of a class reduce."""
    free = make_config(preset, None, replace(size, limits=None))
    reduced = [
        translate(
            "{field} from {free:,} to {allowed:,}",
            field=name_field(name),
            free=getattr(free, name) or size.train_rows,
            allowed=getattr(config, name),
        )
        for name in LIMITED
        if getattr(config, name) != getattr(free, name)
    ]
    if not reduced:
        return ""
    return translate("The limits of this class reduce {fields}.", fields=", ".join(reduced))


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
