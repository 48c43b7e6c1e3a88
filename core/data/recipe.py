"""A cleaning recipe: the training texts to drop, repair or relabel, stored as JSON and undone step
by step.

``<home>/recipes/<fingerprint>.json`` is the current recipe for the data with that fingerprint; in a
class each student has one below ``recipes/<folder>/`` (``core.access.Visitor.folder``). A
run stores its own copy.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import ArtifactDamaged, DataError
from core.settings import Settings
from core.storage import files
from core.translation import translate, translate_plural

FINGERPRINT = r"^[0-9a-f]{12}$"
MAX_BYTES = (
    5_000_000  # a row takes about 8 bytes: enough for every text of a large dataset, several times
)
USE_RECIPE_FILE = "Use a file written by the Quality page or python -m core quality --recipe-out."


class Fix(StrEnum):
    """A change of a text."""

    DROP = "drop"
    KEEP_ONE = "keep one of each"
    REPAIR = "repair"
    RELABEL = "relabel"


class Step(BaseModel):
    """A fix: the check it was chosen for, and the training rows it changes, each with its new label
    if relabeled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    fix: Fix
    rows: tuple[int, ...] = Field(min_length=1)
    labels: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _has_a_label_for_each_row(self) -> "Step":
        if len(self.labels) != (len(self.rows) if self.fix is Fix.RELABEL else 0):
            raise ValueError("a relabeling has one label for each row, other fixes have none")
        return self


@dataclass(frozen=True)
class Effect:
    """The combined effect of all steps: a dropped row is neither repaired nor relabeled, and the
    last label wins.
    """

    dropped: frozenset[int]
    repaired: frozenset[int]
    relabeled: Mapping[int, int]


class Recipe(BaseModel):
    """Steps for the data of ``fingerprint``, in the order in which they were chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fingerprint: str = Field(pattern=FINGERPRINT)
    steps: tuple[Step, ...] = ()

    def effect(self) -> Effect:
        """Combine all steps."""
        dropped = {
            row for step in self.steps if step.fix in (Fix.DROP, Fix.KEEP_ONE) for row in step.rows
        }
        repaired = {row for step in self.steps if step.fix is Fix.REPAIR for row in step.rows}
        relabeled = {
            row: label
            for step in self.steps
            for row, label in zip(step.rows, step.labels, strict=False)
        }
        remaining = {row: label for row, label in sorted(relabeled.items()) if row not in dropped}
        return Effect(frozenset(dropped), frozenset(repaired - dropped), remaining)

    def with_step(self, step: Step) -> "Recipe":
        """Return the recipe with ``step`` appended, unless it already contains it."""
        return (
            self if step in self.steps else self.model_copy(update={"steps": (*self.steps, step)})
        )

    def without(self, number: int) -> "Recipe":
        """Return the recipe without the step at index ``number``."""
        return self.model_copy(update={"steps": self.steps[:number] + self.steps[number + 1 :]})

    def cleaned_fingerprint(self) -> str:
        """Compute 12 hex digits for the cleaned data: equal for recipes with equal effect,
        unchanged without effect.
        """
        effect = self.effect()
        if not (effect.dropped or effect.repaired or effect.relabeled):
            return self.fingerprint
        content = (
            self.fingerprint,
            sorted(effect.dropped),
            sorted(effect.repaired),
            list(effect.relabeled.items()),
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def trained_fingerprint(fingerprint: str, recipe: Recipe | None) -> str:
    """Fingerprint of the data that a run trains on: cleaned by ``recipe``, or unchanged without
    one.
    """
    return recipe.cleaned_fingerprint() if recipe else fingerprint


def describe_effect(recipe: Recipe) -> str:
    """Describe the effect of ``recipe``: "12 training texts removed, 3 repaired"."""
    effect = recipe.effect()
    removed, repaired, relabeled = map(len, (effect.dropped, effect.repaired, effect.relabeled))
    if removed:
        first = translate_plural(
            "{n:,} training text removed", "{n:,} training texts removed", removed
        )
    elif repaired:
        first = translate_plural(
            "{n:,} training text repaired", "{n:,} training texts repaired", repaired
        )
    elif relabeled:
        first = translate_plural(
            "{n:,} training text relabeled", "{n:,} training texts relabeled", relabeled
        )
    else:
        return translate("no change")
    parts = [first]
    if removed and repaired:
        parts.append(translate("{n:,} repaired", n=repaired))
    if (removed or repaired) and relabeled:
        parts.append(translate("{n:,} relabeled", n=relabeled))
    return ", ".join(parts)


def recipe_path(settings: Settings, fingerprint: str, folder: str = "") -> Path:
    """Path of the current recipe for the data with ``fingerprint``."""
    return settings.home / "recipes" / folder / f"{fingerprint}.json"


def read_recipe(settings: Settings, fingerprint: str, folder: str = "") -> Recipe:
    """Read the current recipe; empty if there is none. Raises ArtifactDamaged."""
    path = recipe_path(settings, fingerprint, folder)
    if not path.exists():
        return Recipe(fingerprint=fingerprint)
    try:
        recipe = Recipe.model_validate(files.read_json(path))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            "The cleaning recipe of this dataset is damaged.",
            f"Delete {path.name} in the folder recipes.",
        ) from error
    if recipe.fingerprint != fingerprint:
        raise ArtifactDamaged(
            "The cleaning recipe is for other data.", f"Delete {path.name} in the folder recipes."
        )
    return recipe


def move_recipes(settings: Settings, folder: str, into: str) -> list[str]:
    """Move the recipes of one folder into another, which keeps its own of the same data.

    Returns the fingerprints of the data whose recipe was dropped for that reason.
    """
    dropped = []
    for path in sorted((settings.home / "recipes" / folder).glob("*.json")):
        target = recipe_path(settings, path.stem, into)
        if target.exists():
            dropped.append(path.stem)
            path.unlink()
        else:
            files.make_folder(target.parent)
            files.replace_file(path, target)
    return dropped


def save_recipe(settings: Settings, recipe: Recipe, folder: str = "") -> None:
    """Store ``recipe`` as the current one for its data; an empty recipe is deleted."""
    path = recipe_path(settings, recipe.fingerprint, folder)
    if recipe.steps:
        files.write_bytes(path, to_bytes(recipe))
    else:
        path.unlink(missing_ok=True)


def to_bytes(recipe: Recipe) -> bytes:
    """Serialize the recipe for a file."""
    return files.to_json(recipe.model_dump(mode="json"))


def read_recipe_file(path: Path) -> Recipe:
    """Read the recipe file at ``path``. Raises DataError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large_error(path.name)
        return parse_recipe(path.name, path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read ({type(error).__name__}).", USE_RECIPE_FILE
        ) from error


def parse_recipe(name: str, content: bytes) -> Recipe:
    """Parse ``content`` of an uploaded file called ``name``. Raises DataError."""
    if len(content) > MAX_BYTES:
        raise _too_large_error(name)
    try:
        return Recipe.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(
            f"{name} is not a cleaning recipe: {where}: {first['msg']}.", USE_RECIPE_FILE
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:
        # invalid JSON, invalid UTF-8, or too deeply nested
        raise DataError(f"{name} is not JSON.", USE_RECIPE_FILE) from error


def _too_large_error(name: str) -> DataError:
    return DataError(
        f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB, the limit for a recipe.", USE_RECIPE_FILE
    )
