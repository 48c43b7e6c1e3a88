"""``RunConfig``: every hyperparameter, defined once with type, range, unit, default and help.

Form widgets, the command line, ``docs/hyperparameters.md`` and error messages are generated from
it.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.translation import ENGLISH, mark, read_language, translate

PACKAGE = "bitsandbytes"
NVIDIA_DEVICE = Path("/dev/nvidia0")  # the first one of the NVIDIA driver


@cache
def find_four_bit_problem() -> str:
    """Return why a base model cannot be held in 4 bits here, as the end of a sentence; else ""."""
    return explain_four_bit(
        gpu=NVIDIA_DEVICE.exists() or shutil.which("nvidia-smi") is not None,
        torch=_read_version("torch"),
        package=find_spec(PACKAGE) is not None,
    )


def explain_four_bit(gpu: bool, torch: str, package: bool) -> str:
    """Return what a machine lacks for a base model in 4 bits, as the end of a sentence; else "".

    ``gpu``: it has an NVIDIA GPU. ``torch``: version of PyTorch. ``package``: bitsandbytes is
    installed.
    """
    if not gpu:
        return mark("needs an NVIDIA GPU, and this machine has none")
    if torch.endswith("+cpu"):
        return mark("needs PyTorch with CUDA, and the one here is a build for CPUs")
    if not package:
        return mark("needs the package bitsandbytes, which is not installed here")
    return ""


def _read_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class Group(StrEnum):
    """Sections of the form, in their order."""

    DATA = mark("Data")
    ADAPTER = mark("Adapter")
    OPTIMIZATION = mark("Optimization")
    EVALUATION = mark("Evaluation")


@dataclass(frozen=True, slots=True)
class Display:
    """How a field is displayed: section, unit, whether it is always visible, and why it is
    unavailable.

    ``why_not`` returns an empty string if the field is available.
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


ConfigValue = bool | int | float | str | tuple[str, ...]
ConfigFields = Mapping[str, ConfigValue]  # some fields of RunConfig with their values
Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Layers = Literal["all", "last half", "last third"]


class RunConfig(BaseModel):
    """Configuration of one training run. Frozen.

    An invalid or unknown field raises pydantic's ValidationError (see
    ``core.presets.make_config``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Display(Group.DATA, basic=True)] = Field(
        "minilm",
        title=mark("Base model"),
        min_length=1,
        max_length=500,
        description=mark(
            "The pretrained encoder, which stays frozen. minilm is small and fast; distilbert is"
            " three times larger and slightly more accurate. A local folder or a Hub id with"
            " @revision works too."
        ),
    )
    train_rows: Annotated[int, Display(Group.DATA, mark("rows"), basic=True)] = Field(
        4000,
        title=mark("Training rows"),
        ge=0,
        le=10_000_000,
        description=mark(
            "Number of training texts, sampled equally from each class; 0 uses all. More rows help"
            " most up to a few thousand; training time grows proportionally."
        ),
    )
    max_tokens: Annotated[int, Display(Group.DATA, mark("tokens"))] = Field(
        128,
        title=mark("Max tokens"),
        ge=4,
        le=4096,
        description=mark(
            "Longer texts are truncated to this length. A lower limit is faster but loses text:"
            " 128 tokens are about 90 words, 512 is the limit of most encoders."
        ),
    )
    seed: Annotated[int, Display(Group.DATA)] = Field(
        42,
        title=mark("Seed"),
        ge=0,
        le=2**32 - 1,
        description=mark(
            "Fixes the sampled rows, their order, the new weights and the dropout. Other seeds"
            " show how much of a result is due to chance; compare at least three."
        ),
    )
    rank: Annotated[int, Display(Group.ADAPTER, basic=True)] = Field(
        16,
        title=mark("Rank"),
        ge=1,
        le=1024,
        description=mark(
            "Inner dimension r of the two matrices that represent the change of each adapted"
            " layer. A higher rank can express more and trains more parameters; 4 to 32 is usual."
        ),
    )
    alpha: Annotated[float, Display(Group.ADAPTER, basic=True)] = Field(
        32,
        title=mark("Alpha"),
        gt=0,
        le=4096,
        description=mark(
            "The adapter's output is multiplied by alpha / rank. A higher value strengthens the"
            " adapter, much like a higher learning rate; twice the rank is usual."
        ),
    )
    dropout: Annotated[float, Display(Group.ADAPTER)] = Field(
        0.1,
        title=mark("LoRA dropout"),
        ge=0,
        le=0.9,
        description=mark(
            "Proportion of the adapter's inputs set to zero at random during training. More"
            " reduces overfitting on few rows but slows learning; 0 to 0.1 is usual."
        ),
    )
    target_modules: Annotated[tuple[str, ...], BeforeValidator(_names), Display(Group.ADAPTER)] = (
        Field(
            (),
            title=mark("Target modules"),
            description=mark(
                "Names of the linear layers that get an adapter, separated by commas; empty uses"
                " the model's default (query and value), all-linear uses all of them. More modules"
                " learn more but take longer."
            ),
        )
    )
    layers: Annotated[Layers, Display(Group.ADAPTER)] = Field(
        "all",
        title=mark("Adapted layers"),
        description=mark(
            "Layers of the encoder whose target modules get an adapter. With the last half or the"
            " last third, nothing is trained below them, so steps take less time and memory; the"
            " adapter can express less."
        ),
    )
    rslora: Annotated[bool, Display(Group.ADAPTER)] = Field(
        False,
        title=mark("Rank-stabilized (rsLoRA)"),
        description=mark(
            "Scales by alpha / √rank instead of alpha / rank, so that high ranks learn as fast as"
            " low ones (Kalajdzievski 2023). Worth trying from rank 32."
        ),
    )
    dora: Annotated[bool, Display(Group.ADAPTER)] = Field(
        False,
        title=mark("Magnitude and direction (DoRA)"),
        description=mark(
            "Learns the magnitude of each weight column separately from its direction (Liu et al."
            " 2024). Sometimes more accurate at low rank, but considerably slower."
        ),
    )
    epochs: Annotated[int, Display(Group.OPTIMIZATION, mark("epochs"), basic=True)] = Field(
        1,
        title=mark("Epochs"),
        ge=1,
        le=100,
        description=mark(
            "Passes over the training rows. More epochs help with few rows; each takes the same"
            " time, and too many overfit."
        ),
    )
    batch_size: Annotated[int, Display(Group.OPTIMIZATION, mark("rows"), basic=True)] = Field(
        16,
        title=mark("Batch size"),
        ge=1,
        le=1024,
        description=mark(
            "Rows per optimizer step. Larger batches give smoother but fewer steps and need more"
            " memory; 16 or 32 is usual."
        ),
    )
    learning_rate: Annotated[float, Display(Group.OPTIMIZATION, basic=True)] = Field(
        2e-3,
        title=mark("Learning rate"),
        gt=0,
        le=1,
        description=mark(
            "Step size of the optimizer. Too high diverges, too low learns almost nothing in the"
            " given steps. LoRA uses about ten times the rate of full fine-tuning: 2e-4 to 5e-3."
        ),
    )
    schedule: Annotated[Schedule, Display(Group.OPTIMIZATION)] = Field(
        "linear",
        title=mark("Schedule"),
        description=mark(
            "How the learning rate decreases after the warm-up: linearly to zero, along a cosine"
            " to zero, or not at all. Decreasing to zero usually gives higher accuracy."
        ),
    )
    warmup: Annotated[float, Display(Group.OPTIMIZATION, mark("fraction of steps"))] = Field(
        0.05,
        title=mark("Warm-up"),
        ge=0,
        le=0.5,
        description=mark(
            "Fraction of all steps during which the learning rate increases from zero. A short"
            " warm-up stabilizes the first steps at high rates; 0 to 0.1 is usual."
        ),
    )
    weight_decay: Annotated[float, Display(Group.OPTIMIZATION)] = Field(
        0.01,
        title=mark("Weight decay"),
        ge=0,
        le=1,
        description=mark(
            "Shrinks trained weights toward zero at every step. More reduces overfitting; 0 to"
            " 0.1 is usual and matters little for small adapters."
        ),
    )
    base_dropout: Annotated[bool, Display(Group.OPTIMIZATION)] = Field(
        False,
        title=mark("Dropout in the base model"),
        description=mark(
            "Keeps the base model's own dropout active during training, as the reference recipe"
            " does. Training is about a third slower; off by default."
        ),
    )
    precision: Annotated[Precision, Display(Group.OPTIMIZATION)] = Field(
        "auto",
        title=mark("Precision"),
        description=mark(
            "Number format of the matrix products in training, and with bf16 on a CPU also of"
            " validations, and of final predictions if 99.5 % of at least 200 validation texts have"
            " the label of fp32. auto uses fp32, or bf16 on a CPU where a measured training step is"
            " faster; it is decided when a run first starts, and stays the same for the run. fp16"
            " needs a GPU."
        ),
    )
    four_bit: Annotated[bool, Display(Group.OPTIMIZATION, why_not=find_four_bit_problem)] = Field(
        False,
        title=mark("4-bit base model (NF4)"),
        description=mark(
            "Stores the frozen layers in 4 bits during training (QLoRA, Dettmers et al. 2023): an"
            " eighth of their memory, slower steps; the final evaluation, classification and"
            " exports use full precision. Needs an NVIDIA GPU and the package bitsandbytes."
        ),
    )
    evaluation_interval: Annotated[int, Display(Group.EVALUATION, mark("steps"), basic=True)] = (
        Field(
            50,
            title=mark("Evaluation interval"),
            ge=1,
            le=1_000_000,
            description=mark(
                "Number of steps between validations; the best model so far is kept. More frequent"
                " validation gives finer curves but takes time."
            ),
        )
    )
    validation_rows: Annotated[int, Display(Group.EVALUATION, mark("rows"))] = Field(
        500,
        title=mark("Validation rows"),
        ge=1,
        le=1_000_000,
        description=mark(
            "Size of the fixed validation subset used during training. Fewer rows are faster but"
            " noisier: 500 rows give about ±2.7 points at 90 % accuracy."
        ),
    )
    test_rows: Annotated[int, Display(Group.EVALUATION, mark("rows"))] = Field(
        0,
        title=mark("Test rows"),
        ge=0,
        le=10_000_000,
        description=mark(
            "Number of rows of the test split, and at most that many of the validation split, in"
            " the final evaluation; 0 uses all. A sample is faster and widens the interval."
        ),
    )
    early_stopping: Annotated[int, Display(Group.EVALUATION, mark("validations"))] = Field(
        0,
        title=mark("Early stopping"),
        ge=0,
        le=1000,
        description=mark(
            "Stops the run after this many validations in a row without a lower loss; 0 never"
            " stops early. 3 to 5 saves time on long runs."
        ),
    )

    def total_steps(self, rows: int) -> int:
        """Return the optimizer steps of the whole run over ``rows`` training rows."""
        return math.ceil(rows / self.batch_size) * self.epochs


def find_display(name: str) -> Display:
    """Return the presentation of the field ``name``."""
    return next(item for item in RunConfig.model_fields[name].metadata if isinstance(item, Display))


def name_field(name: str) -> str:
    """Return the title of a field within a sentence, in the language of the visit."""
    title = translate(str(RunConfig.model_fields[name].title))
    return title.lower() if read_language() == ENGLISH else title


def find_bounds(
    name: str, model: type[BaseModel] | None = None
) -> tuple[float | None, float | None]:
    """Return the smallest and largest allowed value of a numeric field; None where unbounded.

    ``model`` defaults to RunConfig. An exclusive bound counts as the bound.
    """
    low = high = None
    for item in (model or RunConfig).model_fields[name].metadata:
        low = getattr(item, "ge", getattr(item, "gt", low))
        high = getattr(item, "le", getattr(item, "lt", high))
    return low, high


def list_choices(name: str) -> tuple[str, ...]:
    """Return the allowed values of a ``Literal`` field; empty for any other field."""
    annotation = RunConfig.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def find_differences(config: RunConfig, other: RunConfig) -> dict[str, tuple[object, object]]:
    """Return the fields that differ: name to (value in ``config``, value in ``other``)."""
    mine, theirs = config.model_dump(), other.model_dump()
    return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}
