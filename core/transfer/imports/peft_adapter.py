"""Validate an untrusted adapter against a schema and its base model, and write a new file from the
checked values.

The base model is found by its identity: a path in an untrusted file is never opened. Shapes: r
rank, d hidden size, C classes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from safetensors.numpy import save

from core.config import RunConfig, bounds
from core.data.files.columns import MAX_CLASSES
from core.errors import ConfigError, DataError, ModelUnavailable
from core.models.architecture import (
    ALL_LINEAR,
    Linear,
    ModelShape,
    head_linears,
    resolve_targets,
    target_modules,
)
from core.models.catalog import HUB_ID, MODELS, REVISION, ModelLocation, find_model
from core.settings import Settings
from core.transfer.imports.archive import ADAPTER, CONFIG, AdapterArchive

MOST_RANK, MOST_ALPHA = (int(bounds(name)[1] or 0) for name in ("rank", "alpha"))
PREFIX = "base_model.model."
AGAIN = "Give an adapter that PEFT saved for a sequence classifier."
NEUTRAL: tuple[object, ...] = (
    None,
    False,
    [],
    {},
    "none",
    "",
)  # of a field that changes what is computed and is not known here
UNKNOWN_HERE = (
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "auto_mapping",
    "bias",
    "exclude_modules",
    "fan_in_fan_out",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "megatron_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
)
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,200}$")]
NUMBERS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "F64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}

Tensors = dict[str, NDArray[np.float32]]


class AdapterConfig(BaseModel):
    """Fields read from ``adapter_config.json``; fields that would change the computation are
    rejected, others ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    peft_type: Literal["LORA"]
    task_type: Literal["SEQ_CLS"]
    base_model_name_or_path: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    revision: Annotated[str, StringConstraints(max_length=200)] | None = None
    r: int = Field(ge=1, le=MOST_RANK)
    lora_alpha: float = Field(gt=0, le=MOST_ALPHA)
    lora_dropout: float = Field(0.0, ge=0, le=0.9)
    target_modules: (
        Annotated[list[Name], Field(min_length=1, max_length=100)] | Literal["all-linear"]
    )
    modules_to_save: Annotated[list[Name], Field(max_length=20)] | None = None
    use_rslora: bool = False
    use_dora: bool = False

    def fields(self) -> dict[str, object]:
        """Convert to fields of ``RunConfig``."""
        targets = (
            (ALL_LINEAR,)
            if self.target_modules == ALL_LINEAR
            else tuple(dict.fromkeys(self.target_modules))
        )
        lora = {"rank": self.r, "alpha": self.lora_alpha, "dropout": self.lora_dropout}
        return {**lora, "target_modules": targets, "rslora": self.use_rslora, "dora": self.use_dora}


@dataclass(frozen=True, eq=False)
class CheckedAdapter:
    """An adapter that fits its base model: tensors by their names in PEFT's file, and the number of
    classes.
    """

    config: AdapterConfig
    tensors: Tensors
    targets: tuple[str, ...]
    head: tuple[str, ...]
    classes: int

    def files(self, identity: str, revision: str) -> dict[str, bytes]:
        """Return the files that PEFT would save, containing checked values only."""
        content = {
            **{
                "peft_type": "LORA",
                "task_type": "SEQ_CLS",
                "base_model_name_or_path": identity,
                "revision": revision,
            },
            **{
                "r": self.config.r,
                "lora_alpha": self.config.lora_alpha,
                "lora_dropout": self.config.lora_dropout,
                "bias": "none",
            },
            **{
                "target_modules": list(self.targets),
                "modules_to_save": list(self.head),
                "inference_mode": True,
            },
            **{"use_rslora": self.config.use_rslora, "use_dora": self.config.use_dora},
        }
        return {
            ADAPTER: save(self.tensors, {"format": "pt"}),
            CONFIG: json.dumps(content, indent=2).encode(),
        }


def read_config(parcel: AdapterArchive) -> AdapterConfig:
    """Read the adapter's configuration. Raises DataError with the field."""
    content = read_object(parcel.find(CONFIG), CONFIG)
    try:
        config = AdapterConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"][:1]))
        raise DataError(
            f"{CONFIG}: {field} is {_shown(content.get(field))}. {first['msg']}.", AGAIN
        ) from error
    for name in UNKNOWN_HERE:
        if content.get(name) not in NEUTRAL:
            raise DataError(
                f"{CONFIG}: {name} is {_shown(content[name])}, which is not known here.", AGAIN
            )
    return config


def check(parcel: AdapterArchive, config: AdapterConfig, shape: ModelShape) -> CheckedAdapter:
    """Check the adapter against a base model of ``shape``. Raises DataError if it does not fit or
    has non-finite values.
    """
    wanted = RunConfig.model_validate(config.fields())
    try:
        targets, modules = resolve_targets(wanted, shape), target_modules(wanted, shape)
    except ConfigError as error:
        raise DataError(f"{CONFIG}: {error.message}", "It was made for another base.") from error
    tensors = _read_tensors(parcel.find(ADAPTER))
    classes = _count_classes(tensors)
    expected = _expected(config, modules, shape, classes)
    found = {_plain(name, expected): tensor for name, tensor in tensors.items()}
    for name, widths in expected.items():
        if name not in found:
            raise DataError(f"{ADAPTER} lacks {name}.", _why_missing(name, config))
        if found[name].shape != widths:
            message = (
                f"{ADAPTER}: {name} is {_times(found[name].shape)}, where the base needs"
                f" {_times(widths)}."
            )
            raise DataError(message, "It was made for another base.")
        if not np.isfinite(found[name]).all():
            raise DataError(
                f"{ADAPTER}: {name} holds values that are no numbers.", "Train it again."
            )
    heads = tuple(dict.fromkeys(name.split(".")[0] for name, _, _ in head_linears(shape, classes)))
    return CheckedAdapter(config, tensors, targets, heads, classes)


def read_object(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object. Raises DataError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON ({type(error).__name__}).", AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no JSON object.", AGAIN)
    return content


def _read_tensors(data: bytes) -> Tensors:
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        message = f"{ADAPTER} is damaged, cut short or no safetensors file ({str(error)[:100]})."
        raise DataError(message, "Copy or save the adapter again.") from error
    tensors = {}
    for name, entry in entries:
        kind = NUMBERS.get(entry["dtype"])
        if kind is None:
            raise DataError(
                f"{ADAPTER}: {_shown(name)} holds {entry['dtype']}, not floating-point numbers.",
                AGAIN,
            )
        values = np.frombuffer(entry["data"], dtype=kind).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of a float
            values = (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(
            over="ignore"
        ):  # what is too large becomes infinite, and is refused as such
            tensors[name] = np.ascontiguousarray(values, dtype=np.float32)
    return tensors


def _count_classes(tensors: Tensors) -> int:
    """Return C from the last layer of the head."""
    ends = ("classifier.weight", "classifier.out_proj.weight")
    found = [
        tensor
        for name, tensor in tensors.items()
        if name in [PREFIX + end for end in ends] and tensor.ndim == 2
    ]
    if len(found) != 1:
        raise DataError(
            f"{ADAPTER} holds no trained classifier.",
            "Save it with modules_to_save, or the answers would be those of chance.",
        )
    classes = len(found[0])
    if not 2 <= classes <= MAX_CLASSES:
        raise DataError(
            f"Its classifier tells {classes:,} classes apart; 2 to {MAX_CLASSES} work.",
            "Choose another adapter.",
        )
    return classes


def _expected(
    config: AdapterConfig, modules: Sequence[Linear], shape: ModelShape, classes: int
) -> dict[str, tuple[int, ...]]:
    """List each required tensor and its shape, by its name in the checkpoint."""
    expected: dict[str, tuple[int, ...]] = {}
    for linear in modules:
        expected[f"{linear.name}.lora_A.weight"] = (config.r, linear.inputs)
        expected[f"{linear.name}.lora_B.weight"] = (linear.outputs, config.r)
        if config.use_dora:
            expected[f"{linear.name}.lora_magnitude_vector"] = (linear.outputs,)
    for module, outputs, inputs in head_linears(shape, classes):
        name = "pooler.dense" if module == "pooler" else module
        expected[f"{name}.weight"], expected[f"{name}.bias"] = (outputs, inputs), (outputs,)
    return expected


def _plain(name: str, expected: Mapping[str, object]) -> str:
    """Return a tensor's name in the checkpoint, with or without the model's prefix. Raises
    DataError for an unexpected tensor.
    """
    if name.startswith(PREFIX):
        inside = name.removeprefix(PREFIX)
        for plain in (inside, inside.partition(".")[2]):
            if plain in expected:
                return plain
    raise DataError(
        f"{ADAPTER} holds {_shown(name)}, for which the base has no place.",
        "It was made for another base.",
    )


def _why_missing(name: str, config: AdapterConfig) -> str:
    if ".lora_" in name:
        return "It was made for another base, or is not complete."
    saved = ", ".join(config.modules_to_save or ()) or "none"
    return (
        f"This base begins with a new {name.rpartition('.')[0]}, which has to be saved:"
        f" modules_to_save names {saved}."
    )


def _times(widths: tuple[int, ...]) -> str:
    return " × ".join(f"{width:,}" for width in widths) or "a single number"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


LOCAL = "local/"  # how an export names a base that came from a folder


def find_base(
    config: AdapterConfig, settings: Settings, hub: bool, known: Iterable[str]
) -> tuple[str, ModelLocation]:
    """Return the base model as ``RunConfig.model`` names it, and its location.

    ``known`` are base models of runs here. Raises DataError for a base model that is not allowed or
    unknown, and ModelUnavailable.
    """
    name, revision = config.base_model_name_or_path, config.revision or ""
    found = (
        _offered(name, revision)
        or _local(name, revision, settings, hub, known)
        or _pinned(name, revision)
    )
    model = find_model(found, settings, hub)
    if not model.available:
        raise ModelUnavailable(model.reason, "Then import it again.")
    return found, model


def _offered(name: str, revision: str) -> str:
    """Match a model of the catalog. PEFT often stores no revision, which then means the offered
    one.
    """
    for model in MODELS.values():
        if name in (model.hub_id, model.hub_id.rpartition("/")[2]):
            if revision not in ("", "main", model.revision):
                message = (
                    f"It was made for {name} at revision {revision[:40]}, and {model.id} is that at"
                    f" {model.revision[:12]}."
                )
                raise DataError(message, "Train it again on the revision that is offered.")
            return model.id
    return ""


def _local(name: str, revision: str, settings: Settings, hub: bool, known: Iterable[str]) -> str:
    """Match a folder that runs here were trained on, by name and fingerprint."""
    if not name.startswith(LOCAL):
        return ""
    for candidate in dict.fromkeys([settings.model, *known]):
        if candidate in MODELS or "@" in candidate:
            continue
        model = find_model(candidate, settings, hub)
        if model.available and model.revision == revision:
            return candidate
    mark = revision[:12] or "unknown"
    message = (
        f"Its base {name.removeprefix(LOCAL)[:80]!r} came from a folder with fingerprint {mark},"
        " which no run here has used."
    )
    raise DataError(
        message, "Copy that folder here and set LORALAB_MODEL to it, then import again."
    )


def _pinned(name: str, revision: str) -> str:
    if HUB_ID.fullmatch(name) and REVISION.fullmatch(revision):
        return f"{name}@{revision}"
    if HUB_ID.fullmatch(name):
        message = (
            f"Its base {name!r} is not among those offered ({', '.join(MODELS)}), and"
            " adapter_config.json names no revision of it."
        )
        raise DataError(
            message, "Write the 40 hex digits of the commit as revision into adapter_config.json."
        )
    message = f"adapter_config.json names its base by {name[:80]!r}, which is no model of the Hub."
    raise DataError(
        message,
        "Write the Hub id and revision of the base into it: a folder of another machine says"
        " nothing.",
    )
