"""A cleaning recipe: which training texts are dropped, repaired or given another label. Small, kept
as JSON, taken back step by step.

``<home>/recipes/<fingerprint>.json`` is the recipe in the making for the data of that fingerprint;
in a class each student has one below ``recipes/<shelf>/`` (``core.access.Visitor.shelf``). A run
keeps its own copy.
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

FINGERPRINT = r"^[0-9a-f]{12}$"
MAX_BYTES = 5_000_000  # a row takes some 8 bytes: every text of a large dataset, several times
TAKE = "Take a file that the Quality page or python -m core quality --recipe-out has written."


class Fix(StrEnum):
    """What is done to a text."""

    DROP = "drop"
    KEEP_ONE = "keep one of each"
    REPAIR = "repair"
    RELABEL = "relabel"


class Step(BaseModel):
    """One fix: what it was chosen for, and the rows of the training split that it concerns, each
    with its new label for a relabelling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    fix: Fix
    rows: tuple[int, ...] = Field(min_length=1)
    labels: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _has_a_label_for_each_row(self) -> "Step":
        if len(self.labels) != (len(self.rows) if self.fix is Fix.RELABEL else 0):
            raise ValueError("a relabelling has one label for each row, other fixes have none")
        return self


@dataclass(frozen=True)
class Effect:
    """What all steps come to: a dropped row is neither repaired nor relabelled, and the last of
    several labels counts.
    """

    dropped: frozenset[int]
    repaired: frozenset[int]
    relabelled: Mapping[int, int]


class Recipe(BaseModel):
    """Steps for the data of ``fingerprint``, in the order in which they were chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fingerprint: str = Field(pattern=FINGERPRINT)
    steps: tuple[Step, ...] = ()

    def effect(self) -> Effect:
        """The steps as one."""
        dropped = {
            row for step in self.steps if step.fix in (Fix.DROP, Fix.KEEP_ONE) for row in step.rows
        }
        repaired = {row for step in self.steps if step.fix is Fix.REPAIR for row in step.rows}
        relabelled = {
            row: label
            for step in self.steps
            for row, label in zip(step.rows, step.labels, strict=False)
        }
        kept = {row: label for row, label in sorted(relabelled.items()) if row not in dropped}
        return Effect(frozenset(dropped), frozenset(repaired - dropped), kept)

    def with_step(self, step: Step) -> "Recipe":
        """The same with ``step`` at the end; a step that is there already is not taken twice."""
        return (
            self if step in self.steps else self.model_copy(update={"steps": (*self.steps, step)})
        )

    def without(self, number: int) -> "Recipe":
        """The same without the step at place ``number``."""
        return self.model_copy(update={"steps": self.steps[:number] + self.steps[number + 1 :]})

    def cleaned_fingerprint(self) -> str:
        """12 hex digits of the data as the recipe leaves it: the same for recipes that come to the
        same, and the data's own for none.
        """
        effect = self.effect()
        if not (effect.dropped or effect.repaired or effect.relabelled):
            return self.fingerprint
        content = (
            self.fingerprint,
            sorted(effect.dropped),
            sorted(effect.repaired),
            list(effect.relabelled.items()),
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def trained_fingerprint(fingerprint: str, recipe: Recipe | None) -> str:
    """That of the data which a run trains on: as ``recipe`` leaves the data with ``fingerprint``,
    or those as they are.
    """
    return recipe.cleaned_fingerprint() if recipe else fingerprint


def describe_effect(recipe: Recipe) -> str:
    """Its effect in words: "12 training texts fewer, 3 repaired"."""
    effect = recipe.effect()
    counts = (
        (len(effect.dropped), "fewer"),
        (len(effect.repaired), "repaired"),
        (len(effect.relabelled), "relabelled"),
    )
    said = [f"{number:,} {what}" for number, what in counts if number]
    if not said:
        return "no change"
    noun = "training text" if said[0].startswith("1 ") else "training texts"
    return ", ".join([said[0].replace(" ", f" {noun} ", 1), *said[1:]])


def recipe_path(settings: Settings, fingerprint: str, shelf: str = "") -> Path:
    """Where the recipe in the making for these data is kept."""
    return settings.home / "recipes" / shelf / f"{fingerprint}.json"


def read_recipe(settings: Settings, fingerprint: str, shelf: str = "") -> Recipe:
    """The recipe in the making; an empty one where there is none. Raises ArtifactDamaged."""
    path = recipe_path(settings, fingerprint, shelf)
    if not path.exists():
        return Recipe(fingerprint=fingerprint)
    try:
        recipe = Recipe.model_validate(files.read_json(path))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            "The cleaning recipe of these data is damaged.",
            f"Delete {path.name} in the folder recipes.",
        ) from error
    if recipe.fingerprint != fingerprint:
        raise ArtifactDamaged(
            "The cleaning recipe is for other data.", f"Delete {path.name} in the folder recipes."
        )
    return recipe


def save_recipe(settings: Settings, recipe: Recipe, shelf: str = "") -> None:
    """Keep ``recipe`` as the one in the making for its data; an empty one is not kept."""
    path = recipe_path(settings, recipe.fingerprint, shelf)
    if recipe.steps:
        files.write_bytes(path, to_bytes(recipe))
    else:
        path.unlink(missing_ok=True)


def to_bytes(recipe: Recipe) -> bytes:
    """The recipe as a file of its own."""
    return files.to_json(recipe.model_dump(mode="json"))


def read_recipe_file(path: Path) -> Recipe:
    """The recipe in a file that somebody names. Raises DataError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(path.name)
        return parse_recipe(path.name, path.read_bytes())
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({type(error).__name__}).", TAKE) from error


def parse_recipe(name: str, content: bytes) -> Recipe:
    """The recipe in ``content``, a file called ``name`` that somebody brought. Raises DataError."""
    if len(content) > MAX_BYTES:
        raise _too_large(name)
    try:
        return Recipe.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{name} is no cleaning recipe: {where}: {first['msg']}.", TAKE) from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise DataError(f"{name} is no JSON.", TAKE) from error


def _too_large(name: str) -> DataError:
    return DataError(f"{name} has more than {MAX_BYTES / 1e6:.0f} MB: no recipe is so large.", TAKE)
