"""Validate an untrusted adapter against a schema and its base model, and write a new file from the
checked values.

The base model is found by its identity: a path in an untrusted file is never opened. Shapes: r
rank, d hidden size, C classes.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from safetensors.numpy import save

from core.config import ConfigValue, RunConfig, find_bounds
from core.data.rows import MAX_CLASSES
from core.errors import ConfigError, DataError, ModelUnavailable
from core.models.catalog import HUB_ID, MODELS, REVISION, ModelLocation, find_model, shape_of
from core.models.model_shape import (
    ALL_LINEAR,
    Linear,
    ModelShape,
    head_linears,
    list_target_modules,
    resolve_targets,
)
from core.settings import Settings
from core.transfer.imports.archive import ADAPTER, CONFIG, AdapterArchive

MOST_RANK, MOST_ALPHA = (int(find_bounds(name)[1] or 0) for name in ("rank", "alpha"))
PREFIX = "base_model.model."
AGAIN = "Choose an adapter that PEFT saved for a sequence classifier."
WRONG_BASE = "The adapter was trained for another base model."
# fields that change the computation and are not supported, and the values that switch them off
NEUTRAL: tuple[object, ...] = (None, False, [], {}, "none", "")
UNSUPPORTED = (
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
    """Supported fields of ``adapter_config.json``.

    Unsupported fields that would change the computation are rejected; all others are ignored.
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

    def fields(self) -> dict[str, ConfigValue]:
        """Convert to fields of ``RunConfig``."""
        targets = (
            (ALL_LINEAR,)
            if self.target_modules == ALL_LINEAR
            else tuple(dict.fromkeys(self.target_modules))
        )
        return {
            "rank": self.r,
            "alpha": self.lora_alpha,
            "dropout": self.lora_dropout,
            "target_modules": targets,
            "rslora": self.use_rslora,
            "dora": self.use_dora,
        }


@dataclass(frozen=True, eq=False)
class CheckedAdapter:
    """An adapter that fits its base model; ``tensors`` are keyed by their names in PEFT's file."""

    config: AdapterConfig
    tensors: Tensors
    targets: tuple[str, ...]
    head: tuple[str, ...]
    classes: int

    def files(self, identity: str, revision: str) -> dict[str, bytes]:
        """Return the files that PEFT would save, with checked values only."""
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


def read_config(archive: AdapterArchive) -> AdapterConfig:
    """Read ``adapter_config.json``. Raises DataError that names the invalid field."""
    content = read_object(archive.find(CONFIG), CONFIG)
    try:
        config = AdapterConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"][:1]))
        raise DataError(
            f"{CONFIG}: {field} is {_quote_value(content.get(field))}. {first['msg']}.", AGAIN
        ) from error
    for name in UNSUPPORTED:
        if content.get(name) not in NEUTRAL:
            raise DataError(
                f"{CONFIG}: {name} is {_quote_value(content[name])}, which is not supported.", AGAIN
            )
    return config


def check_adapter(
    archive: AdapterArchive, config: AdapterConfig, shape: ModelShape
) -> CheckedAdapter:
    """Check the adapter against a base model of ``shape``.

    Raises DataError if it does not fit or has values that are not finite.
    """
    run_config = RunConfig.model_validate(config.fields())
    try:
        targets, modules = (
            resolve_targets(run_config, shape),
            list_target_modules(run_config, shape),
        )
    except ConfigError as error:
        raise DataError(f"{CONFIG}: {error.message}", WRONG_BASE) from error
    tensors = _read_tensors(archive.find(ADAPTER))
    classes = _count_classes(tensors)
    expected = _list_expected(config, modules, shape, classes)
    by_name = {_strip_prefix(name, expected): tensor for name, tensor in tensors.items()}
    for name, widths in expected.items():
        if name not in by_name:
            raise DataError(f"{ADAPTER} has no tensor {name}.", _explain_missing(name, config))
        if by_name[name].shape != widths:
            message = (
                f"{ADAPTER}: {name} has shape {_format_shape(by_name[name].shape)}, but the base"
                f" model needs {_format_shape(widths)}."
            )
            raise DataError(message, WRONG_BASE)
        if not np.isfinite(by_name[name]).all():
            raise DataError(
                f"{ADAPTER}: {name} contains NaN or infinite values.", "Train the adapter again."
            )
    heads = tuple(dict.fromkeys(name.split(".")[0] for name, _, _ in head_linears(shape, classes)))
    return CheckedAdapter(config, tensors, targets, heads, classes)


def read_object(data: bytes, name: str) -> dict[str, object]:
    """Parse a JSON object, whose values are unchecked. Raises DataError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not valid JSON ({type(error).__name__}).", AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{name} is not a JSON object.", AGAIN)
    return content


def _read_tensors(data: bytes) -> Tensors:
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        message = f"{ADAPTER} is damaged or not a safetensors file ({str(error)[:100]})."
        raise DataError(message, "Copy or save the adapter again.") from error
    tensors = {}
    for name, entry in entries:
        kind = NUMBERS.get(entry["dtype"])
        if kind is None:
            raise DataError(
                f"{ADAPTER}: {_quote_value(name)} has type {entry['dtype']}, which is not"
                " floating-point.",
                AGAIN,
            )
        values = np.frombuffer(entry["data"], dtype=kind).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper 16 bits of an fp32 number
            values = (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # an overflow becomes infinite, which is rejected later
            tensors[name] = np.ascontiguousarray(values, dtype=np.float32)
    return tensors


def _count_classes(tensors: Tensors) -> int:
    """Return C from the shape of the head's last layer."""
    ends = ("classifier.weight", "classifier.out_proj.weight")
    outputs = [
        tensor
        for name, tensor in tensors.items()
        if name in [PREFIX + end for end in ends] and tensor.ndim == 2
    ]
    if len(outputs) != 1:
        raise DataError(
            f"{ADAPTER} contains no trained classifier.",
            "Save the adapter with modules_to_save; without a trained head, predictions are"
            " random.",
        )
    classes = len(outputs[0])
    if not 2 <= classes <= MAX_CLASSES:
        raise DataError(
            f"The adapter's classifier has {classes:,} classes; 2 to {MAX_CLASSES} are supported.",
            "Choose another adapter.",
        )
    return classes


def _list_expected(
    config: AdapterConfig, modules: Sequence[Linear], shape: ModelShape, classes: int
) -> dict[str, tuple[int, ...]]:
    """Map the name of each required tensor in the checkpoint to its shape."""
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


def _strip_prefix(name: str, expected: Collection[str]) -> str:
    """Return a tensor's name in the checkpoint, without the prefixes of PEFT and of the model.

    Raises DataError for an unexpected tensor.
    """
    if name.startswith(PREFIX):
        inside = name.removeprefix(PREFIX)
        for plain in (inside, inside.partition(".")[2]):
            if plain in expected:
                return plain
    raise DataError(
        f"{ADAPTER} contains {_quote_value(name)}, which does not exist in the base model.",
        WRONG_BASE,
    )


def _explain_missing(name: str, config: AdapterConfig) -> str:
    if ".lora_" in name:
        return "The adapter was trained for another base model, or is incomplete."
    saved = ", ".join(config.modules_to_save or ()) or "none"
    return (
        f"{name.rpartition('.')[0]} is new in this base model and must be saved with the adapter;"
        f" modules_to_save is: {saved}."
    )


def _format_shape(widths: tuple[int, ...]) -> str:
    return " × ".join(f"{width:,}" for width in widths) or "scalar"


def _quote_value(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


LOCAL = "local/"  # prefix of the identity of a base model from a folder


def find_base(
    config: AdapterConfig, settings: Settings, hub: bool, known: Iterable[str]
) -> tuple[str, ModelLocation]:
    """Return the adapter's base model as a value of ``RunConfig.model``, and its location.

    ``known`` are the base models of existing runs. Raises ModelUnavailable, and DataError for a
    base model that is unknown or not allowed.
    """
    name, revision = config.base_model_name_or_path, config.revision or ""
    model_id = (
        _match_catalog(name, revision)
        or _match_folder(name, revision, settings, hub, known)
        or _match_hub(name, revision)
    )
    model = find_model(model_id, settings, hub)
    if not model.available:
        raise ModelUnavailable(model.reason, "Then import it again.")
    return model_id, model


def require_shape(model_id: str, model: ModelLocation, action: str) -> ModelShape:
    """Return the shape of the base model. Raises ModelUnavailable if it is not on this machine.

    ``action`` is what the user can do again after a download.
    """
    shape = shape_of(model)
    if shape is None:
        raise ModelUnavailable(
            f"The base model {model_id} has not been downloaded to this machine yet.",
            f"Start a run with it, which downloads it, then {action} again.",
        )
    return shape


def _match_catalog(name: str, revision: str) -> str:
    """Match a model of the catalog; a missing revision, as PEFT often stores, matches too."""
    for model in MODELS.values():
        if name in (model.hub_id, model.hub_id.rpartition("/")[2]):
            if revision not in ("", "main", model.revision):
                message = (
                    f"The adapter was trained for {name} at revision {revision[:40]}, but"
                    f" {model.id} is revision {model.revision[:12]}."
                )
                raise DataError(message, "Train it again on the offered revision.")
            return model.id
    return ""


def _match_folder(
    name: str, revision: str, settings: Settings, hub: bool, known: Iterable[str]
) -> str:
    """Match the folder of a base model of existing runs, by its fingerprint."""
    if not name.startswith(LOCAL):
        return ""
    for candidate in dict.fromkeys([settings.model, *known]):
        if candidate in MODELS or "@" in candidate:
            continue
        model = find_model(candidate, settings, hub)
        if model.available and model.revision == revision:
            return candidate
    fingerprint = revision[:12] or "unknown"
    message = (
        f"The base model {name.removeprefix(LOCAL)[:80]!r} came from a folder with fingerprint"
        f" {fingerprint}, which no run on this machine has used."
    )
    raise DataError(
        message, "Copy that folder to this machine, set LORALAB_MODEL to it, and import again."
    )


def _match_hub(name: str, revision: str) -> str:
    """Match a Hub model at a pinned revision."""
    if HUB_ID.fullmatch(name) and REVISION.fullmatch(revision):
        return f"{name}@{revision}"
    if HUB_ID.fullmatch(name):
        message = (
            f"The base model {name!r} is not one of {', '.join(MODELS)}, and adapter_config.json"
            " has no revision for it."
        )
        raise DataError(
            message, "Add the commit's 40 hex digits as revision to adapter_config.json."
        )
    message = f"The base model in adapter_config.json, {name[:80]!r}, is not the id of a Hub model."
    raise DataError(
        message,
        "Write the Hub id and revision of the base model there; a folder of another machine cannot"
        " be used.",
    )
