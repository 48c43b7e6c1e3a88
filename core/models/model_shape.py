"""The shape of a base model, and the modules and parameters that LoRA would train in it.

Only ``config.json`` and the headers of the weights are read, and no ML library is imported, so the
server can count parameters while a user changes the rank. Shapes: d hidden size, r rank, C classes.
"""

import json
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.config import Layers, RunConfig
from core.errors import ConfigError, ModelUnavailable
from core.models.families import (
    GELU,
    OUTER_MODULES,
    POOLER,
    EncoderPaths,
    ModelFamily,
    find_encoder,
    find_family,
)
from core.translation import translate

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNREADABLE = (OSError, ValueError, RecursionError)  # of a JSON file; the last if nested too deeply
HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit
MOST_DIMENSIONS = 8  # of a tensor; those of the supported models have two
ALL_LINEAR = "all-linear"
NO_TOKEN_LIMIT = 10**20  # transformers ignores a tokenizer's limit from here on
# in encoder.layer.3.output.dense the name within the layer follows the number
IN_A_LAYER = re.compile(r"\.(\d+)\.")
LAYER_DIVISORS: dict[Layers, int] = {"all": 1, "last half": 2, "last third": 3}
OUTSIDE = -1  # the layer of a module of ``OUTER_MODULES``


DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a safetensors file; ``dtype`` is its number format there, such as F32."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int | None:
        """Size in the file; None for a number format without whole bytes."""
        width = DTYPE_BYTES.get(self.dtype)
        return None if width is None else width * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear module: its full name in the checkpoint, and its input and output width."""

    name: str
    inputs: int
    outputs: int

    @property
    def within_layer(self) -> str:
        """The name without the path of the layer, such as attention.self.query."""
        return IN_A_LAYER.split(self.name)[-1]

    @property
    def layer(self) -> int:
        """The number of its layer from 0, or ``OUTSIDE``."""
        number = IN_A_LAYER.search(self.name)
        return int(number[1]) if number else OUTSIDE


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Size and modules of a model.

    ``linears`` are the linear modules in the encoder's layers, ``outer`` those of ``OUTER_MODULES``
    that the checkpoint has.

    ``max_positions``, the longest text in tokens, is the lower limit of the position table and of
    the tokenizer, None for a model without one. ``heads``, the attention heads of a
    layer, is None if ``config.json`` does not have them.
    """

    model_type: str
    parameters: int
    hidden_size: int
    layers: int
    max_positions: int | None
    linears: tuple[Linear, ...]
    has_pooler: bool
    heads: int | None = None
    activation: str = GELU
    is_decoder: bool = False
    outer: tuple[Linear, ...] = ()

    @property
    def encoder(self) -> EncoderPaths | None:
        """The encoder in whose last layer only the first token is computed; None for others."""
        return find_encoder(self.model_type, self.is_decoder)

    @property
    def is_hand_written(self) -> bool:
        """Whether ``core.training.fast`` can compute the encoder with plain LoRA adapters."""
        return self.encoder is not None and self.activation == GELU


@dataclass(frozen=True, slots=True)
class ModuleCount:
    """Trainable parameters of all modules with the same name, over all layers."""

    name: str
    shape: str
    parameters: int


def read_shape(folder: Path) -> ModelShape:
    """Read the shape of the model in ``folder``, once until one of its files changes.

    Raises ModelUnavailable for unreadable files.
    """
    try:
        stamp = stamp_folder(folder)
    except OSError:  # the files that are missing are reported below
        stamp = ()
    return _read_shape(folder, stamp)


def stamp_folder(folder: Path) -> tuple[object, ...]:
    """Return what changes with a file of the folder: name, size, time and number of each."""
    stamp = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                status = entry.stat()
            except FileNotFoundError:  # a link to nothing
                stamp.append((entry.name, 0, 0, 0))
                continue
            stamp.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(stamp)


@lru_cache(maxsize=32)  # the form of a run asks for it at each change
def _read_shape(folder: Path, stamp: tuple[object, ...]) -> ModelShape:
    config = read_model_config(folder)
    tensors = {name: tensor.shape for name, tensor in read_tensors(folder).items()}
    model_type = str(config.get("model_type", ""))
    family = find_family(model_type)
    encoder = family.encoder if family else None
    positions = _number(config, "max_position_embeddings")
    if positions and family and family.positions_after_padding:
        padding = _number(config, "pad_token_id")
        positions -= (family.padding_id if padding is None else padding) + 1
    if limit := _read_tokenizer_limit(folder):
        positions = min(positions or limit, limit)
    return ModelShape(
        model_type,
        sum(
            math.prod(shape) for name, shape in tensors.items() if not name.endswith("position_ids")
        ),
        _number(config, "hidden_size", "dim", "d_model") or 0,
        _number(config, "num_hidden_layers", "n_layers", "num_layers") or 0,
        positions,
        tuple(_linears(tensors)),
        any("pooler.dense.weight" in name for name in tensors),
        _number(config, encoder.heads if encoder else "num_attention_heads"),
        str(config.get(encoder.activation, GELU)) if encoder else GELU,
        config.get("is_decoder") is True,
        tuple(_list_outer(tensors, family)) if family else (),
    )


def _read_tokenizer_limit(folder: Path) -> int | None:
    """Return the most tokens that the tokenizer gives a model; None if it has no limit.

    transformers writes 1e30 for no limit, and read the field max_len before.
    """
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        limit = int(config.get("model_max_length", config.get("max_len", 0)))
    except (*UNREADABLE, TypeError, AttributeError, OverflowError):
        return None
    return limit if 0 < limit < NO_TOKEN_LIMIT else None


def name_layer(layer: int) -> str:
    """Return the name of a layer, numbered from 0, for users, who count from 1."""
    return (
        translate("outside the layers") if layer == OUTSIDE else translate("layer {n}", n=layer + 1)
    )


def needs_plain_layers(config: RunConfig) -> bool:
    """Whether a run needs the layers of transformers and PEFT instead of the hand-written ones.

    They are needed for weights of 4 bits, and for adapters outside the encoder's layers.
    """
    outer = any(target in OUTER_MODULES for target in config.target_modules)
    return config.four_bit or outer


def resolve_targets(config: RunConfig, shape: ModelShape) -> tuple[str, ...]:
    """Return the target modules for PEFT, which adapts each module whose name ends in one of them.

    They match only inside the encoder's layers, or are the whole name of an outer module. Raises
    ConfigError with the available names if a name in ``config.target_modules`` matches no module.
    """
    chosen = config.target_modules or default_targets(shape)
    inside = dict.fromkeys(linear.within_layer for linear in shape.linears)
    outer = [linear.name for linear in shape.outer]
    for target in chosen:
        matches = any(_matches(target, linear.name) for linear in shape.linears)
        if not matches and target not in (ALL_LINEAR, *outer):
            raise ConfigError(
                f"This model has no target module {target!r}.",
                f"Choose among {', '.join([*inside, *outer])}, or all-linear.",
            )
    if ALL_LINEAR in chosen:
        return (*inside, *(name for name in outer if name in chosen))
    return tuple(dict.fromkeys(name for target in chosen for name in _inside(target, shape)))


def default_targets(shape: ModelShape) -> tuple[str, ...]:
    """Return the query and value projections, or every linear module if a model has none of these
    names.
    """
    ends = {linear.name.rsplit(".", 1)[-1] for linear in shape.linears}
    family = find_family(shape.model_type)
    has_usual = family is not None and ends.issuperset(family.default_targets)
    return family.default_targets if family and has_usual else (ALL_LINEAR,)


def list_target_modules(config: RunConfig, shape: ModelShape) -> list[Linear]:
    """List the modules that get an adapter, in the order of the layers, then the outer ones.

    The last half or third of an odd number of layers is rounded up. Raises ConfigError as
    ``resolve_targets`` does, and if no target module is in these layers.
    """
    targets = resolve_targets(config, shape)
    first = shape.layers - math.ceil(shape.layers / LAYER_DIVISORS[config.layers])
    modules = [
        linear
        for linear in (*shape.linears, *shape.outer)
        if (config.layers == "all" or linear.layer >= first)
        and any(_matches(target, linear.name) for target in targets)
    ]
    if not modules and config.layers != "all":
        raise ConfigError(
            f"No target module is in the {config.layers} of the layers.",
            "Adapt all layers, or choose other target modules.",
        )
    return modules


def count_trainable(shape: ModelShape, config: RunConfig, classes: int) -> list[ModuleCount]:
    """Count the parameters that a run would train, by module name, then in the head.

    A module has r · (in + out) parameters (Hu et al. 2021), plus out with DoRA (Liu et al. 2024).
    """
    counts: dict[str, ModuleCount] = {}
    for linear in list_target_modules(config, shape):
        size = config.rank * (linear.inputs + linear.outputs) + (
            linear.outputs if config.dora else 0
        )
        text = f"{config.rank} × ({linear.inputs} + {linear.outputs})" + (
            f" + {linear.outputs}" if config.dora else ""
        )
        known = counts.get(linear.within_layer)
        counts[linear.within_layer] = ModuleCount(
            linear.within_layer, text, size + (known.parameters if known else 0)
        )
    layers = {
        name: sum(linear.within_layer == name for linear in list_target_modules(config, shape))
        for name in counts
    }
    repeated = [
        ModuleCount(count.name, f"{layers[name]} × {count.shape}", count.parameters)
        for name, count in counts.items()
    ]
    return repeated + [
        ModuleCount(name, _format_size(*size), math.prod(size) + size[0])
        for name, *size in head_linears(shape, classes)
    ]


def head_linears(shape: ModelShape, classes: int) -> list[tuple[str, int, int]]:
    """List name, output width and input width of each linear module that is trained in full."""
    d = shape.hidden_size
    family = find_family(shape.model_type)
    if family and not family.head.is_pooler:
        return [(family.head.dense, d, d), (family.head.output, classes, d)]
    pooler = [] if shape.has_pooler else [("pooler", d, d)]
    return [*pooler, ("classifier", classes, d)]


def read_model_config(folder: Path) -> dict[str, object]:
    """Read ``config.json``. Raises ModelUnavailable if it is missing or not a JSON object."""
    try:
        # transformers reads UTF-8 without a byte order mark only
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise ModelUnavailable(
            f"config.json in {folder} is missing or damaged.", "Copy the model's files again."
        ) from error
    if not isinstance(content, dict):
        raise ModelUnavailable(
            f"config.json in {folder} does not describe a model.", "Copy the model's files again."
        )
    return content


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of the model, which may be sharded; empty if it has none.

    Raises ModelUnavailable if the index of the shards is damaged.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    return [folder / name for name in dict.fromkeys(_read_index(folder).values())]


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Read number format and shape of each stored tensor from the headers of the weights.

    Raises ModelUnavailable if a file is missing, truncated or no safetensors file, or if the index
    of the shards names other tensors than the shards have.
    """
    tensors: dict[str, StoredTensor] = {}
    places: dict[str, str] = {}
    for path in weight_files(folder):
        header = read_header(path)
        if twice := sorted(tensors.keys() & header):
            raise ModelUnavailable(
                f"Two files in {folder} have the tensor {twice[0]}.",
                "Save the model again with save_pretrained.",
            )
        tensors |= header
        places |= dict.fromkeys(header, path.name)
    if not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file():
        index = _read_index(folder)
        if wrong := sorted(dict(index.items() ^ places.items())):
            raise ModelUnavailable(
                f"{INDEX} in {folder} does not match the files: see the tensor {wrong[0]}.",
                "Copy the model's files again.",
            )
    return tensors


def _read_index(folder: Path) -> dict[str, str]:
    """Read the file name of each tensor."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return {str(tensor): Path(str(name)).name for tensor, name in content.items()}
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{INDEX} in {folder} is damaged.", "Copy the model's files again."
        ) from error


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Read the type and shape of each tensor in a safetensors file. Raises ModelUnavailable."""
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length)) if length <= HEADER_LIMIT else {}
        size = path.stat().st_size
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        offsets = {name: _read_sizes(entry["data_offsets"]) for name, entry in entries.items()}
        end = 8 + length + max((stop for _, stop in offsets.values()), default=0)
        tensors = {
            name: StoredTensor(str(entry["dtype"]), _read_sizes(entry["shape"]))
            for name, entry in entries.items()
        }
        stored = {name: stop - start for name, (start, stop) in offsets.items()}
    except (*UNREADABLE, struct.error, LookupError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{path} is missing or not a safetensors file.", "Copy the model's files again."
        ) from error
    if size != end:
        raise ModelUnavailable(
            f"{path} has {size:,} bytes, but {end:,} according to its header.",
            "Copy the model's files again.",
        )
    for name, tensor in tensors.items():
        if tensor.bytes not in (None, stored[name]):
            raise ModelUnavailable(
                f"{path} has {stored[name]:,} bytes of the tensor {name}, not {tensor.bytes:,}.",
                "Copy the model's files again.",
            )
    return tensors


def _read_sizes(numbers: Sequence[object]) -> tuple[int, ...]:
    """Return ``numbers``. Raises ValueError if they are no sizes: a message could not show them."""
    sizes = tuple(size for size in numbers if type(size) is int and 0 <= size < 2**63)
    if len(sizes) < len(numbers) or len(sizes) > MOST_DIMENSIONS:
        raise ValueError(f"{str(numbers)[:80]} are no sizes")
    return sizes


def _linears(tensors: dict[str, tuple[int, ...]]) -> Iterator[Linear]:
    for tensor, shape in sorted(tensors.items(), key=lambda item: _natural(item[0])):
        name = tensor.removesuffix(".weight")
        if (
            name != tensor
            and len(shape) == 2
            and IN_A_LAYER.search(name)
            and "embedding" not in name
            and "attention_bias" not in name
        ):
            yield Linear(name, shape[1], shape[0])


def _list_outer(tensors: dict[str, tuple[int, ...]], family: ModelFamily) -> Iterator[Linear]:
    """List the linear modules outside the layers, by their names without the encoder's."""
    for name in OUTER_MODULES:
        sizes = tensors.get(f"{name}.weight") or tensors.get(
            f"{family.checkpoint.prefix}.{name}.weight"
        )
        if sizes and (name != POOLER or family.head.is_pooler):
            yield Linear(name, sizes[1], sizes[0])


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _matches(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}")  # PEFT's rule


def _inside(target: str, shape: ModelShape) -> Iterable[str]:
    """Yield ``target``, or longer names if PEFT would match it outside the encoder's layers."""
    if target != "dense":  # the names of the pooler and of some heads end in it
        return (target,)
    return (linear.within_layer for linear in shape.linears if _matches(target, linear.name))


def _format_size(outputs: int, inputs: int) -> str:
    return f"{inputs} × {outputs} + {outputs}"


def _number(config: dict[str, object], *names: str) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int)), None)


def build_shape(
    model_type: str, prefix: str, parameters: int, d: int, layers: int, heads: int, pooler: bool
) -> ModelShape:
    """Build the shape of a model of a listed family whose files have not been downloaded yet.

    It has 512 positions and feed-forward blocks of width 4 d. ``prefix`` is the path of the list of
    layers.
    """
    encoder = find_encoder(model_type, is_decoder=False)
    assert encoder is not None, model_type
    *square, up, down = encoder.layer.projections
    widths = {name: (d, d) for name in square} | {up: (d, 4 * d), down: (4 * d, d)}
    linears = tuple(
        Linear(f"{prefix}.{layer}.{name}", *width)
        for layer in range(layers)
        for name, width in widths.items()
    )
    outer = (Linear(POOLER, d, d),) if pooler else ()
    return ModelShape(model_type, parameters, d, layers, 512, linears, pooler, heads, outer=outer)


# used for a model whose files have not been downloaded yet (Wang et al. 2020, 6 layers)
MINILM = build_shape("bert", "encoder.layer", 22_713_216, 384, 6, 12, pooler=True)
