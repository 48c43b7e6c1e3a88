"""What a base model is made of and what LoRA would train in it, from ``config.json`` and the header
of its weights alone.

No weight is read and no ML library imported, so that the server can tell it while a person turns
the rank. Shapes: d hidden size, r rank, C classes.
"""

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config import RunConfig
from core.errors import ConfigError, ModelUnavailable
from core.models.families import GELU, OTHER_TARGETS, EncoderPaths, find_encoder, find_family

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit
ALL_LINEAR = "all-linear"
IN_A_LAYER = re.compile(
    r"\.(\d+)\."
)  # encoder.layer.3.output.dense: what follows the number names the module within its layer


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear module: its full name in the checkpoint, width in and out."""

    name: str
    inputs: int
    outputs: int

    @property
    def within_layer(self) -> str:
        """The name without the way to its layer: attention.self.query."""
        return IN_A_LAYER.split(self.name)[-1]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model consists of. ``linears`` are those inside the encoder's layers.

    ``max_positions`` is None for a model without a fixed limit, ``heads`` (attention heads of a
    layer) where ``config.json`` does not say.
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

    @property
    def encoder(self) -> EncoderPaths | None:
        """The encoder in whose last layer only the first token is computed, None in others."""
        return find_encoder(self.model_type, self.is_decoder)

    @property
    def is_hand_written(self) -> bool:
        """Whether ``core.training.fast`` can compute the encoder with plain LoRA adapters."""
        return self.encoder is not None and self.activation == GELU


@dataclass(frozen=True, slots=True)
class ModuleCount:
    """Trainable parameters of the modules of one name, in all layers together."""

    name: str
    shape: str
    parameters: int


def read_shape(folder: Path) -> ModelShape:
    """The shape of the model in ``folder``. Raises ModelUnavailable if its files cannot be read."""
    config = read_model_config(folder)
    tensors = {
        name: shape for path in weight_files(folder) for name, shape in read_header(path).items()
    }
    model_type = str(config.get("model_type", ""))
    family = find_family(model_type)
    encoder = family.encoder if family else None
    positions = _number(config, "max_position_embeddings")
    if positions and family and family.positions_after_padding:
        padding = _number(config, "pad_token_id")
        positions -= (family.padding_id if padding is None else padding) + 1
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
    )


def needs_plain_layers(config: RunConfig) -> bool:
    """Whether a run has what only the layers of transformers and PEFT compute: dropout in the
    frozen encoder, DoRA, or weights of 4 bits.
    """
    return config.base_dropout or config.dora or config.four_bit


def resolve_targets(config: RunConfig, shape: ModelShape) -> tuple[str, ...]:
    """Names to hand to PEFT, which adapts each module whose name ends in one of them; none matches
    outside the encoder's layers.

    Raises ConfigError, with the names there are, if a name of ``config.target_modules`` matches no
    module.
    """
    chosen = config.target_modules or default_targets(shape)
    if ALL_LINEAR in chosen:
        return tuple(dict.fromkeys(linear.within_layer for linear in shape.linears))
    for target in chosen:
        if not any(_matches(target, linear.name) for linear in shape.linears):
            names = ", ".join(dict.fromkeys(linear.within_layer for linear in shape.linears))
            raise ConfigError(
                f"This model has no target module {target!r}.",
                f"Choose among {names}, or all-linear.",
            )
    return tuple(dict.fromkeys(name for target in chosen for name in _inside(target, shape)))


def default_targets(shape: ModelShape) -> tuple[str, ...]:
    """The model's usual targets: its query and value projections, or the one that holds both;
    otherwise every linear module.
    """
    ends = {linear.name.rsplit(".", 1)[-1] for linear in shape.linears}
    family = find_family(shape.model_type)
    candidates = ((family.default_targets,) if family else ()) + OTHER_TARGETS
    return next((names for names in candidates if ends.issuperset(names)), (ALL_LINEAR,))


def target_modules(config: RunConfig, shape: ModelShape) -> list[Linear]:
    """The modules that get an adapter, in the checkpoint's order. Raises ConfigError as
    ``resolve_targets``.
    """
    targets = resolve_targets(config, shape)
    return [
        linear
        for linear in shape.linears
        if any(_matches(target, linear.name) for target in targets)
    ]


def count_trainable(shape: ModelShape, config: RunConfig, classes: int) -> list[ModuleCount]:
    """What a run would train, by module name, then the head: r·(in + out) parameters a module, with
    DoRA out more (Hu et al. 2021).
    """
    counts: dict[str, ModuleCount] = {}
    for linear in target_modules(config, shape):
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
        name: sum(linear.within_layer == name for linear in target_modules(config, shape))
        for name in counts
    }
    repeated = [
        ModuleCount(count.name, f"{layers[name]} × {count.shape}", count.parameters)
        for name, count in counts.items()
    ]
    return repeated + [
        ModuleCount(name, _text(*size), math.prod(size) + size[0])
        for name, *size in head_linears(shape, classes)
    ]


def head_linears(shape: ModelShape, classes: int) -> list[tuple[str, int, int]]:
    """Name, width out, width in of each linear module that is trained in full."""
    d = shape.hidden_size
    family = find_family(shape.model_type)
    if family and not family.head.is_pooler:
        return [(family.head.dense, d, d), (family.head.output, classes, d)]
    pooler = [] if shape.has_pooler else [("pooler", d, d)]
    return [*pooler, ("classifier", classes, d)]


def read_model_config(folder: Path) -> dict[str, object]:
    """The content of ``config.json``. Raises ModelUnavailable if it is missing or no JSON
    object.
    """
    try:
        content = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"config.json in {folder} is missing or damaged.", "Copy the model's files again."
        ) from error
    if not isinstance(content, dict):
        raise ModelUnavailable(
            f"config.json in {folder} describes no model.", "Copy the model's files again."
        )
    return content


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, one or several shards; empty if it has none. Raises
    ModelUnavailable on a damaged index.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    try:
        names = json.loads((folder / INDEX).read_bytes())["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{INDEX} in {folder} is damaged.", "Copy the model's files again."
        ) from error
    return [folder / Path(str(name)).name for name in dict.fromkeys(names)]


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape. Raises ModelUnavailable if the file is no safetensors file or parts of
    it are missing.
    """
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length)) if length <= HEADER_LIMIT else {}
        size = path.stat().st_size
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        shapes = {
            name: tuple(int(width) for width in entry["shape"]) for name, entry in tensors.items()
        }
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{path} is missing or no safetensors file.", "Copy the model's files again."
        ) from error
    if size != end:
        raise ModelUnavailable(
            f"{path} has {size:,} bytes where its header announces {end:,}.",
            "Copy the model's files again.",
        )
    return shapes


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


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _matches(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}")  # PEFT's rule


def _inside(target: str, shape: ModelShape) -> Iterable[str]:
    """``target``, or longer names of the same modules where PEFT would also find it outside the
    encoder's layers.
    """
    if target != "dense":  # the pooler and some heads end in it
        return (target,)
    return (linear.within_layer for linear in shape.linears if _matches(target, linear.name))


def _text(outputs: int, inputs: int) -> str:
    return f"{inputs} × {outputs} + {outputs}"


def _number(config: dict[str, object], *names: str) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int)), None)


def build_shape(
    model_type: str, prefix: str, parameters: int, d: int, layers: int, heads: int, pooler: bool
) -> ModelShape:
    """The shape of a model of a listed family whose files are not here yet: 512 positions, a
    feed-forward network of width 4 d. ``prefix`` leads to the list of its layers.
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
    return ModelShape(model_type, parameters, d, layers, 512, linears, pooler, heads)


# stands in for a model whose files are not here yet (Wang et al. 2020, 6 layers)
MINILM = build_shape("bert", "encoder.layer", 22_713_216, 384, 6, 12, pooler=True)
