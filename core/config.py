"""``RunConfig``: every hyperparameter once, with its type, range, unit, default and help.

Form widgets, the command line, ``docs/hyperparameters.md`` and error messages are generated from
it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.quantization import unsupported_reason


class Group(StrEnum):
    """Sections of the form, in their order."""

    DATA = "Data"
    ADAPTER = "Adapter"
    OPTIMISATION = "Optimisation"
    EVALUATION = "Evaluation"


@dataclass(frozen=True, slots=True)
class Shown:
    """How a field is presented: section, unit, whether it is always in view, and why it cannot be
    had here (nothing where it can).
    """

    group: Group
    unit: str = ""
    basic: bool = False
    why_not: Callable[[], str] = str


def _names(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, str)
        else value
    )


Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class RunConfig(BaseModel):
    """One training run. Frozen; a wrong or unknown field raises pydantic's ValidationError (see
    ``core.presets.make_config``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Shown(Group.DATA, basic=True)] = Field(
        "minilm",
        title="Base model",
        min_length=1,
        max_length=500,
        description=(
            "The pretrained encoder that stays frozen. minilm is small and quick, distilbert three"
            " times larger and a little more accurate. A local folder or a Hub id with @revision"
            " works too."
        ),
    )
    train_rows: Annotated[int, Shown(Group.DATA, "rows", basic=True)] = Field(
        4000,
        title="Training rows",
        ge=0,
        le=10_000_000,
        description=(
            "How many training texts are used, drawn in equal shares per class; 0 takes all. More"
            " rows help most up to a few thousand; time grows in proportion."
        ),
    )
    max_tokens: Annotated[int, Shown(Group.DATA, "tokens")] = Field(
        128,
        title="Max tokens",
        ge=4,
        le=4096,
        description=(
            "Longer texts are cut here. Shorter is faster but loses text: 128 covers nearly all of"
            " AG News, 512 is the limit of most encoders."
        ),
    )
    seed: Annotated[int, Shown(Group.DATA)] = Field(
        42,
        title="Seed",
        ge=0,
        le=2**32 - 1,
        description=(
            "Fixes the drawn rows, their order, the new weights and the dropout. Another seed shows"
            " how much of a result is luck; compare at least three."
        ),
    )
    rank: Annotated[int, Shown(Group.ADAPTER, basic=True)] = Field(
        16,
        title="Rank",
        ge=1,
        le=1024,
        description=(
            "Width r of the two matrices that stand for the change of each adapted layer. A higher"
            " rank can express more and trains more parameters; 4 to 32 is usual."
        ),
    )
    alpha: Annotated[float, Shown(Group.ADAPTER, basic=True)] = Field(
        32,
        title="Alpha",
        gt=0,
        le=4096,
        description=(
            "The adapter's output is multiplied by alpha / rank. More makes the adapter louder,"
            " much like a higher learning rate; twice the rank is usual."
        ),
    )
    dropout: Annotated[float, Shown(Group.ADAPTER)] = Field(
        0.1,
        title="LoRA dropout",
        ge=0,
        le=0.9,
        description=(
            "Share of the adapter's inputs set to zero at random while training. More holds back"
            " overfitting on few rows but slows learning; 0 to 0.1 is usual."
        ),
    )
    target_modules: Annotated[tuple[str, ...], BeforeValidator(_names), Shown(Group.ADAPTER)] = (
        Field(
            (),
            title="Target modules",
            description=(
                "Names of the linear layers that get an adapter, separated by commas; empty takes"
                " the model's usual ones (query and value), all-linear every one. More modules"
                " learn more and cost time."
            ),
        )
    )
    rslora: Annotated[bool, Shown(Group.ADAPTER)] = Field(
        False,
        title="Rank-stabilised (rsLoRA)",
        description=(
            "Scales by alpha / √rank instead of alpha / rank, so that high ranks learn as fast as"
            " low ones (Kalajdzievski 2023). Worth a try from rank 32 on."
        ),
    )
    dora: Annotated[bool, Shown(Group.ADAPTER)] = Field(
        False,
        title="Magnitude and direction (DoRA)",
        description=(
            "Learns the length of each weight column apart from its direction (Liu et al. 2024)."
            " Sometimes more accurate at low rank, and clearly slower."
        ),
    )
    epochs: Annotated[int, Shown(Group.OPTIMISATION, "epochs", basic=True)] = Field(
        1,
        title="Epochs",
        ge=1,
        le=100,
        description=(
            "Passes over the training rows. More passes help when rows are few; each costs the same"
            " time, and too many overfit."
        ),
    )
    batch_size: Annotated[int, Shown(Group.OPTIMISATION, "rows", basic=True)] = Field(
        16,
        title="Batch size",
        ge=1,
        le=1024,
        description=(
            "Rows per optimiser step. Larger batches give smoother but fewer steps and need more"
            " memory; 16 or 32 is usual."
        ),
    )
    learning_rate: Annotated[float, Shown(Group.OPTIMISATION, basic=True)] = Field(
        2e-3,
        title="Learning rate",
        gt=0,
        le=1,
        description=(
            "Size of each step. Too high diverges, too low learns nothing in the time given. LoRA"
            " takes about ten times what full fine-tuning takes: 2e-4 to 5e-3."
        ),
    )
    schedule: Annotated[Schedule, Shown(Group.OPTIMISATION)] = Field(
        "linear",
        title="Schedule",
        description=(
            "How the learning rate falls after the warm-up: in a straight line to zero, along a"
            " cosine to zero, or not at all. Falling to zero usually ends more accurate."
        ),
    )
    warmup: Annotated[float, Shown(Group.OPTIMISATION, "share of steps")] = Field(
        0.05,
        title="Warm-up",
        ge=0,
        le=0.5,
        description=(
            "Share of all steps over which the learning rate rises from zero. A little protects the"
            " first steps at high rates; 0 to 0.1 is usual."
        ),
    )
    weight_decay: Annotated[float, Shown(Group.OPTIMISATION)] = Field(
        0.01,
        title="Weight decay",
        ge=0,
        le=1,
        description=(
            "Pulls trained weights towards zero at every step. More holds back overfitting; 0 to"
            " 0.1 is usual and matters little for small adapters."
        ),
    )
    base_dropout: Annotated[bool, Shown(Group.OPTIMISATION)] = Field(
        False,
        title="Dropout in the frozen base",
        description=(
            "Keeps the base model's own dropout on while training, as the reference recipe does. It"
            " costs about a third of the speed; off is the default here."
        ),
    )
    precision: Annotated[Precision, Shown(Group.OPTIMISATION)] = Field(
        "auto",
        title="Precision",
        description=(
            "Number format of the matrix products. auto takes fp32, and bf16 on a CPU where a"
            " measured training step was faster in it; it is decided when a run first starts, and"
            " the run keeps it. fp16 needs a GPU."
        ),
    )
    four_bit: Annotated[bool, Shown(Group.OPTIMISATION, why_not=unsupported_reason)] = Field(
        False,
        title="Base in 4 bits (NF4)",
        description=(
            "Holds the frozen layers in 4 bits while training (QLoRA, Dettmers et al. 2023): an"
            " eighth of their memory, slower steps, slightly other answers; classifying and exports"
            " use it whole. Needs an NVIDIA GPU and the package bitsandbytes."
        ),
    )
    evaluation_interval: Annotated[int, Shown(Group.EVALUATION, "steps", basic=True)] = Field(
        50,
        title="Evaluation interval",
        ge=1,
        le=1_000_000,
        description=(
            "Validate, and keep the model if it is the best so far, every so many steps. More often"
            " gives finer curves and costs time."
        ),
    )
    validation_rows: Annotated[int, Shown(Group.EVALUATION, "rows")] = Field(
        500,
        title="Validation rows",
        ge=1,
        le=1_000_000,
        description=(
            "Size of the fixed validation subset used while training. Fewer are faster but noisier:"
            " 500 rows leave about ±2.7 points at 90 %."
        ),
    )
    test_rows: Annotated[int, Shown(Group.EVALUATION, "rows")] = Field(
        0,
        title="Test rows",
        ge=0,
        le=10_000_000,
        description=(
            "Rows of the test split, and at most of the validation split, in the one evaluation at"
            " the end; 0 takes all. A sample is faster and widens the interval."
        ),
    )
    early_stopping: Annotated[int, Shown(Group.EVALUATION, "validations")] = Field(
        0,
        title="Early stopping",
        ge=0,
        le=1000,
        description=(
            "Ends the run after so many validations in a row without a lower loss; 0 never does. 3"
            " to 5 saves time on long runs."
        ),
    )

    def total_steps(self, rows: int) -> int:
        """Optimiser steps of the whole run over ``rows`` training rows."""
        return math.ceil(rows / self.batch_size) * self.epochs


def shown(name: str) -> Shown:
    """How the field ``name`` is presented."""
    return next(item for item in RunConfig.model_fields[name].metadata if isinstance(item, Shown))


def bounds(name: str, model: type[BaseModel] | None = None) -> tuple[float | None, float | None]:
    """Smallest and largest allowed value of a numeric field of ``model``, by default RunConfig;
    None where there is none.

    An open bound counts as the bound.
    """
    low = high = None
    for item in (model or RunConfig).model_fields[name].metadata:
        low = getattr(item, "ge", getattr(item, "gt", low))
        high = getattr(item, "le", getattr(item, "lt", high))
    return low, high


def choices(name: str) -> tuple[str, ...]:
    """The allowed values of a closed field; empty for any other."""
    annotation = RunConfig.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def differences(config: RunConfig, other: RunConfig) -> dict[str, tuple[object, object]]:
    """Field name to (value here, value in ``other``), for the fields that differ."""
    mine, theirs = config.model_dump(), other.model_dump()
    return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}
