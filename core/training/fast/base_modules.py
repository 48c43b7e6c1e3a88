"""The modules of a loaded base model that ``core.models.families`` describes by their paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from core.models.families import PROJECTIONS, EncoderPaths, find_encoder, find_family


@dataclass(frozen=True, slots=True)
class LayerModules:
    """The modules of an encoder layer: linear ones by their name in ``PROJECTIONS``, adapted or
    not, and its norms.
    """

    linears: dict[str, Any]  # torch types what a module holds too widely to be of use
    attention_norm: nn.LayerNorm
    output_norm: nn.LayerNorm
    heads: int


def find_paths(base: PreTrainedModel) -> EncoderPaths | None:
    """Where the encoder of ``base`` is, None of a model that is not listed."""
    family = find_family(base.config.model_type)
    if family is None or type(base).__name__ != family.classifier:
        return None
    return find_encoder(family.model_type, getattr(base.config, "is_decoder", False))


def list_layers(base: PreTrainedModel, paths: EncoderPaths) -> list[nn.Module]:
    """The encoder's layers, from the first to the last."""
    return list(base.get_submodule(f"{paths.path}.{paths.layers}").children())


def layer_modules(base: PreTrainedModel) -> Iterator[LayerModules]:
    """The modules of each layer. ``base`` must be of a listed family."""
    paths = find_paths(base)
    assert paths is not None, type(base)
    heads, names = getattr(base.config, paths.heads), paths.layer
    for layer in list_layers(base, paths):
        linears = [layer.get_submodule(path) for path in names.projections]
        attention_norm, output_norm = (
            layer.get_submodule(path) for path in (names.attention_norm, names.output_norm)
        )
        yield LayerModules(
            dict(zip(PROJECTIONS, linears, strict=True)),
            attention_norm,  # type: ignore[arg-type]
            output_norm,  # type: ignore[arg-type]
            heads,
        )
