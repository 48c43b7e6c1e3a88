"""Validate an untrusted adapter against its base model, and write files of the checked values.

Shapes: r rank, d hidden size, C classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from core.config import ConfigValue
from core.data.rows import MAX_CLASSES
from core.errors import DataError
from core.models.families import find_family
from core.models.model_shape import ModelShape, head_linears
from core.transfer.imports.adapter_config import (
    AGAIN,
    HEADS,
    OTHER_MODULES,
    WRONG_BASE,
    AdaptedLinear,
    AdapterConfig,
    choose_targets,
    find_encoder_name,
    quote_value,
    resolve_modules,
)
from core.transfer.imports.archive import ADAPTER, CONFIG, AdapterArchive

PREFIX = "base_model.model."
NUMBERS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "F64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class CheckedAdapter:
    """An adapter that fits its base model; ``tensors`` are keyed by their names in PEFT's file.

    ``targets`` select ``modules``, as ``RunConfig.target_modules`` does. ``head`` are the modules
    that were trained in full.
    """

    config: AdapterConfig
    tensors: Tensors
    modules: tuple[AdaptedLinear, ...]
    targets: tuple[str, ...]
    target_modules: tuple[str, ...]
    head: tuple[str, ...]
    classes: int

    @property
    def rank(self) -> int:
        """The configured rank, or the largest one if no module has it."""
        ranks = [module.rank for module in self.modules]
        return self.config.r if self.config.r in ranks else max(ranks)

    @property
    def alpha(self) -> float:
        """The configured alpha, or the largest one if no module has it."""
        alphas = [module.alpha for module in self.modules]
        return self.config.lora_alpha if self.config.lora_alpha in alphas else max(alphas)

    @property
    def is_uniform(self) -> bool:
        """Whether all modules have the same rank and alpha, as the adapter of a run has."""
        return len({(module.rank, module.alpha) for module in self.modules}) == 1

    def fields(self) -> dict[str, ConfigValue]:
        """Convert to fields of ``RunConfig``."""
        return {
            "rank": self.rank,
            "alpha": self.alpha,
            "dropout": self.config.lora_dropout,
            "target_modules": self.targets,
            "rslora": self.config.use_rslora,
            "dora": self.config.use_dora,
        }

    def files(self, identity: str, revision: str) -> dict[str, bytes]:
        """Return the files that PEFT would save, with checked values only."""
        rank, alpha = self.rank, self.alpha
        content = {
            "peft_type": "LORA",
            "task_type": "SEQ_CLS",
            "base_model_name_or_path": identity,
            "revision": revision,
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": self.config.lora_dropout,
            "bias": "none",
            "target_modules": list(self.target_modules),
            "rank_pattern": {m.linear.name: m.rank for m in self.modules if m.rank != rank},
            "alpha_pattern": {m.linear.name: m.alpha for m in self.modules if m.alpha != alpha},
            "modules_to_save": list(self.head),
            "inference_mode": True,
            "use_rslora": self.config.use_rslora,
            "use_dora": self.config.use_dora,
        }
        return {
            ADAPTER: save(self.tensors, {"format": "pt"}),
            CONFIG: json.dumps(content, indent=2).encode(),
        }


def check_adapter(
    archive: AdapterArchive, config: AdapterConfig, shape: ModelShape
) -> CheckedAdapter:
    """Check the adapter against a base model of ``shape``.

    Raises DataError if it does not fit or has values that are not finite.
    """
    encoder = find_encoder_name(shape)
    modules = resolve_modules(config, shape, encoder)
    targets, target_modules = choose_targets(config, shape, modules)
    tensors = _read_tensors(archive.find(ADAPTER))
    for name in tensors:
        if not name.startswith(PREFIX):
            raise DataError(f"{ADAPTER}: {quote_value(name)} does not start with {PREFIX}", AGAIN)
    classes = _count_classes(tensors)
    head = _list_head(config, shape, encoder, classes)
    expected = _list_expected(config, modules, head)
    by_name = _match_names(tensors, expected)
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
    _require_saved(config, head)
    heads = tuple(
        dict.fromkeys(name.removeprefix(f"{encoder}.").split(".")[0] for name, *_ in head)
    )
    stored = {f"{PREFIX}{name}": tensor for name, tensor in by_name.items()}
    return CheckedAdapter(config, stored, modules, targets, target_modules, heads, classes)


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
                f"{ADAPTER}: {quote_value(name)} has type {entry['dtype']}, which is not"
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
    names = [name for name, tensor in tensors.items() if name.endswith(ends) and tensor.ndim == 2]
    outputs = [tensors[name] for name in names if name.removeprefix(PREFIX) in ends]
    if names and not outputs:
        raise DataError(
            f"{ADAPTER}: The names of the tensors have a prefix that PEFT does not read, as in"
            f" {quote_value(names[0])}: the classifier must begin with {PREFIX}{ends[0][:10]}.",
            AGAIN,
        )
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


def _list_head(
    config: AdapterConfig, shape: ModelShape, encoder: str, classes: int
) -> list[tuple[str, int, int]]:
    """List full name, output width and input width of the linear modules that were trained in full.

    Raises DataError if ``modules_to_save`` names other modules.
    """
    head = head_linears(shape, classes)
    family = find_family(shape.model_type)
    saved = config.modules_to_save or ()
    poolers = ("pooler", "pooler.dense", f"{encoder}.pooler", f"{encoder}.pooler.dense")
    if family and family.head.is_pooler and shape.has_pooler and set(poolers) & set(saved):
        head = [("pooler", shape.hidden_size, shape.hidden_size), *head]
    names = {name for module, *_ in head for name in (module, module.partition(".")[0])}
    names |= {*HEADS, *(poolers if "pooler" in names else ())}
    for name in saved:
        if name not in names:
            raise DataError(
                f"{CONFIG}: modules_to_save contains {name!r}, which is not part of the"
                " classifier's head; training it in full is not supported.",
                AGAIN,
            )
    return [
        (f"{encoder}.pooler.dense" if module == "pooler" else module, outputs, inputs)
        for module, outputs, inputs in head
    ]


def _list_expected(
    config: AdapterConfig,
    modules: Sequence[AdaptedLinear],
    head: Sequence[tuple[str, int, int]],
) -> dict[str, tuple[int, ...]]:
    """Map the name of each required tensor in the classifier to its shape."""
    expected: dict[str, tuple[int, ...]] = {}
    for module in modules:
        linear = module.linear
        expected[f"{module.name}.lora_A.weight"] = (module.rank, linear.inputs)
        expected[f"{module.name}.lora_B.weight"] = (linear.outputs, module.rank)
        if config.use_dora:
            expected[f"{module.name}.lora_magnitude_vector"] = (linear.outputs,)
    for name, outputs, inputs in head:
        expected[f"{name}.weight"], expected[f"{name}.bias"] = (outputs, inputs), (outputs,)
    return expected


def _match_names(tensors: Tensors, expected: Mapping[str, object]) -> Tensors:
    """Return the tensors by their names in the classifier.

    Raises DataError for a tensor that PEFT would ignore, and for two with the same name.
    """
    by_name: Tensors = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        if name.endswith(".lora_magnitude_vector.weight"):  # PEFT reads both names
            name = name.removesuffix(".weight")
        if name not in expected:
            raise DataError(
                f"{ADAPTER} contains {quote_value(key)}, which {_explain_unknown(name)}.",
                OTHER_MODULES if ".lora_" in name else AGAIN,
            )
        if name in by_name:
            raise DataError(f"{ADAPTER} contains {quote_value(name)} twice.", AGAIN)
        by_name[name] = tensor
    return by_name


def _explain_unknown(name: str) -> str:
    if "embedding" in name:
        return "is a trained embedding; these are not supported"
    if ".lora_" in name:
        return "is not in a module of the encoder that target_modules selects"
    return "does not exist in the base model"


def _require_saved(config: AdapterConfig, head: Sequence[tuple[str, int, int]]) -> None:
    """Raise DataError if PEFT would not load a part of the head, because of its name."""
    saved = (*HEADS, *(config.modules_to_save or ()))
    for name, *_ in head:
        parts = name.split(".")
        paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        matches = [path for path in paths if path.endswith(saved)]  # PEFT's rule
        if len(matches) > 1:
            raise DataError(
                f"{CONFIG}: modules_to_save selects {matches[-1]} and {matches[0]}, which it is a"
                " part of. PEFT does not load such an adapter.",
                f"Remove {matches[-1]} from modules_to_save.",
            )
        if not matches:
            raise DataError(
                f"{ADAPTER} contains {name}, but PEFT would not load it: modules_to_save is"
                f" {', '.join(config.modules_to_save or ()) or 'empty'}.",
                f"Add {name.removesuffix('.dense').rpartition('.')[2]} to modules_to_save in"
                " adapter_config.json.",
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
