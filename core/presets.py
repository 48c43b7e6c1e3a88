"""Presets of a run, and how overrides on top of one become a ``RunConfig``."""

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.config import RunConfig, find_bounds, list_choices
from core.errors import ConfigError


class Preset(StrEnum):
    """Starting point for the form and the command line."""

    TASTE = "taste"
    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"
    REFERENCE = "reference"


PRESET_HELP = {
    Preset.TASTE: "1,000 rows, about a minute: try the whole workflow once.",
    Preset.QUICK: "8,000 rows, about five minutes; reaches about 90 % accuracy on AG News.",
    Preset.STANDARD: (
        "All training rows, 2 epochs, all linear layers; reaches about 93 % accuracy on AG News in"
        " 15 minutes or more."
    ),
    Preset.THOROUGH: "All training rows, 3 epochs, all linear layers, early stopping.",
    Preset.REFERENCE: "The reference recipe, exactly as in its notebook; slow on a CPU.",
}

PRESETS: dict[Preset, dict[str, object]] = {
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


def make_config(
    preset: Preset | None = None, overrides: Mapping[str, object] | None = None
) -> RunConfig:
    """Build a configuration from a preset and ``overrides``.

    Raises ConfigError that lists each invalid field, its value and what is allowed.
    """
    values = {**(PRESETS[preset] if preset else {}), **(overrides or {})}
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(" ".join(_explain(problem) for problem in error.errors())) from error


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
