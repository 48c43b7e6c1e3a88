"""The hand-written encoder with its adapters: the fast path of training and evaluation on a CPU.

It computes what transformers and PEFT compute, in fewer passes over memory (see
``core.training.fast.layer``), for the families of ``core.models.families`` that have an
``encoder``. The output is the first token of the last layer, because their heads read no other.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from core.config import Precision
from core.models.families import GELU, PROJECTIONS
from core.training.fast.adapter import Adapter, Frozen, Magnitude
from core.training.fast.last_layer import compute_first_token
from core.training.fast.layer import (
    Block,
    Layer,
    LayerModules,
    Masks,
    Norm,
    Size,
    find_paths,
    list_layer_modules,
    name_base_mask,
    run,
    run_merged,
)
from core.training.fast.matmul import onednn_is_available, pad_rows, prepack

QKV = PROJECTIONS[:3]
LINEARS = ("qkv", *PROJECTIONS[3:])
LEVELS = 2**16  # of a dropout probability


class DropoutMasks(threading.local):
    """Masks that depend only on seed, step and micro-batch, so that a resumed run draws the same
    ones as an uninterrupted run. Each thread has its own generator.

    Masks come from random bits: 16 bits per value, four values from each 64-bit number. This takes
    a fifth of the time of torch's ``bernoulli_``, which is a tenth of a training step.
    """

    def __init__(self) -> None:
        self._bits = np.random.SFC64(0)

    def restart(self, seed: int, step: int, microbatch: int) -> None:
        """Seed the dropout masks for this micro-batch."""
        self._bits = np.random.SFC64([seed, step, microbatch])

    def drop(self, module: nn.Dropout, x: Tensor) -> Tensor:
        """Compute what the module computes, with a mask of this generator."""
        if not (module.training and module.p):
            return x
        return x * self.mask(x.shape, module.p) / (1 - module.p)

    def mask(self, shape: torch.Size, dropout: float) -> Tensor:
        """Draw a mask: 1 (keep) with probability 1 - ``dropout``, to within 1 / 65,536, else 0.

        It is int16, because torch multiplies by a boolean mask three times as slowly.
        """
        count = shape.numel()
        drawn = self._bits.random_raw(-(-count // 4)).view(np.int16)[:count]
        threshold = round(dropout * LEVELS) - LEVELS // 2
        return torch.from_numpy(drawn).ge_(threshold).view(shape)


class Part(threading.local):
    """The layers that calls in this thread compute; usually all.

    Args:
        below: The output (B, T, d) of the frozen layers, if it is known: only the others.
        frozen_in: Precision of the frozen layers, if nothing but their output is needed.
        first_tokens: The output (B, 1, d) of the last layer, if it is known: none.
    """

    below: Tensor | None = None
    frozen_in: Precision | None = None
    first_tokens: Tensor | None = None


class FastEncoder:
    """Replaces the encoder's ``forward``; the adapters draw their dropout from ``bits``.

    ``bf16`` are the layers that a training in bf16 computes in bf16: all but the last. Without
    gradients every layer computes in fp32, except inside ``merged("bf16")``. The first ``frozen``
    layers have no adapter, and none before them; ``part`` selects them or the others.
    """

    def __init__(self, model: PeftModel, onednn: bool, precision: Precision = "fp32") -> None:
        self.blocks = [
            _block(layer, onednn) for layer in list_layer_modules(model.base_model.model)
        ]
        lower = self.blocks[:-1]
        in_bf16 = lower if precision == "bf16" else []
        self.bf16 = [convert_to_bf16(block, onednn_is_available()) for block in in_bf16]
        self.frozen = next(
            (number for number, block in enumerate(lower) if block.adapters), len(lower)
        )
        self.bits, self.part = DropoutMasks(), Part()
        self._merged_in_bf16 = False

    def __call__(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Map hidden states (B, T, d) to the first token of the last layer, (B, 1, d), or to the
        output of the frozen layers, (B, T, d).

        ``attention_mask`` is (B, 1, 1 or T, T): boolean and True where a token may be read, or
        floating point and negative where not.
        """
        if (known := self.part.first_tokens) is not None:
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=known)
        texts, tokens, width = hidden_states.shape
        bias = None
        if attention_mask is not None:
            hidden = (
                ~attention_mask[:, :, :1]
                if attention_mask.dtype == torch.bool
                else attention_mask[:, :, :1] < 0
            )
            bias = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)  # (B, 1, 1, T)
        below, frozen_in = self.part.below, self.part.frozen_in
        trained_in_bf16 = bool(self.bf16) and (torch.is_grad_enabled() or frozen_in == "bf16")
        bf16 = trained_in_bf16 or self._merged_in_bf16
        blocks = self.bf16 if trained_in_bf16 else self.blocks[:-1]
        if frozen_in is not None:
            blocks = blocks[: self.frozen]
        elif below is not None:
            hidden_states, blocks = below, blocks[self.frozen :]
        x = hidden_states.reshape(-1, width).to(torch.bfloat16 if bf16 else torch.float32)
        x = self._run(x, bias, blocks, (texts, tokens))
        x = x[: texts * tokens].view(texts, tokens, width).float()
        if frozen_in is not None:
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=x)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=compute_first_token(x, bias, self.blocks[-1], self._last_masks(x))[
                :, None
            ]
        )

    def _run(self, x: Tensor, bias: Tensor | None, blocks: list[Block], size: Size) -> Tensor:
        """Compute ``blocks`` for x (B·T, d): N rows, of which those past B·T are padding."""
        if any(block.qkv.onednn for block in blocks):
            x = pad_rows(x, torch.is_grad_enabled() and x.dtype == torch.bfloat16)  # (N, d)
        for block in blocks:
            masks = self._masks(block, x.shape[0], size)
            # nothing is trained below the first adapter
            if torch.is_grad_enabled() and (block.adapters or x.requires_grad):
                parameters = [
                    part for adapter in block.adapters.values() for part in adapter.parameters
                ]
                x = Layer.apply(  # type: ignore[no-untyped-call]
                    x, bias, block, size, masks, *parameters
                )
            elif block.adapters or masks:
                x = run(x, bias, block, size, masks)[0]
            else:
                x = run_merged(x, bias, block, size)
        return x

    def starting_from(self, below: Tensor | None) -> AbstractContextManager[None]:
        """Compute only the layers above the frozen ones, from their output ``below`` (B, T, d),
        inside the context, in this thread; all layers if it is None.
        """
        return self._computing("below", below)

    def ending_with(self, first_tokens: Tensor) -> AbstractContextManager[None]:
        """Compute no layer inside the context, in this thread: the output is ``first_tokens``."""
        return self._computing("first_tokens", first_tokens)

    def only_frozen(self, precision: Precision) -> AbstractContextManager[None]:
        """Compute only the frozen layers inside the context, in this thread."""
        return self._computing("frozen_in", precision)

    @contextmanager
    def _computing(self, name: str, value: object) -> Iterator[None]:
        """Set a field of ``part`` inside the context."""
        setattr(self.part, name, value)
        try:
            yield
        finally:
            setattr(self.part, name, None)

    @contextmanager
    def merged(self, precision: Precision = "fp32") -> Iterator[None]:
        """Compute with the adapters merged into the weights inside the context, without gradients:
        in ``precision``, the last layer always in fp32.
        """
        unmerged = self.blocks
        self._merged_in_bf16 = precision == "bf16"
        *lower, last = unmerged
        # layer by layer: the merged weights in fp32 of one layer at a time are in memory
        if not self._merged_in_bf16:
            merged = [merge(block) for block in lower]
        elif self.bf16:
            merged = [merge_into(half, block) for half, block in zip(self.bf16, lower, strict=True)]
        else:
            merged = [pack(merge(block), precision) for block in lower]
        self.blocks = [*merged, merge(last)]
        try:
            yield
        finally:
            self.blocks, self._merged_in_bf16 = unmerged, False

    def _masks(self, block: Block, rows: int, size: Size) -> Masks:
        texts, tokens = size
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            block.dropouts, (rows, block.norm1.weight.shape[0])
        )
        shapes["attention"] = (texts, block.heads, tokens, tokens)
        return {
            name: self._mask(adapter, (rows, adapter.lora_a.shape[1]))
            for name, adapter in block.adapters.items()
        } | self._base_masks(block, shapes)

    def _last_masks(self, x: Tensor) -> Masks:
        texts, tokens, width = x.shape
        block = self.blocks[-1]
        masks: dict[str, Tensor | None] = {}
        for name, adapter in block.adapters.items():
            shape = (texts, tokens) if name in ("key", "value") else (texts,)
            masks[name] = self._mask(adapter, (*shape, adapter.lora_a.shape[1]))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(block.dropouts, (texts, width))
        shapes["attention"] = (texts, block.heads, tokens)
        return masks | self._base_masks(block, shapes)

    def _base_masks(
        self, block: Block, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Tensor | None]:
        return {
            name_base_mask(name): self.bits.mask(torch.Size(shapes[name]), block.drops(name))
            for name in block.dropouts
            if block.drops(name)
        }

    def _mask(self, adapter: Adapter, shape: tuple[int, ...]) -> Tensor | None:
        return self.bits.mask(torch.Size(shape), adapter.drops) if adapter.drops else None


def fast_encoder(
    model: PeftModel, onednn: bool, precision: Precision = "fp32"
) -> FastEncoder | None:
    """Replace the encoder of ``model`` by a hand-written one. Returns None and changes nothing
    where ``is_known`` is false.

    With ``onednn`` that library multiplies with the frozen weights in fp32, see
    ``core.training.fast.matmul``; in bf16 it always does where torch has it.
    """
    base = model.base_model.model
    paths = find_paths(base)
    if paths is None or not is_known(base):
        return None
    fast = FastEncoder(model, onednn, precision)
    base.get_submodule(paths.path).forward = fast
    layers = f"{paths.path}.{paths.layers}."
    for name, module in base.named_modules():
        if type(module) is nn.Dropout and not name.startswith(layers):  # of embeddings and head
            module.forward = partial(fast.bits.drop, module)  # type: ignore[method-assign]
    return fast


def is_known(base: Any) -> bool:
    """Return whether the hand-written layers can compute ``base``.

    They compute the families of the table on a CPU, with GELU and LoRA or DoRA adapters or none.
    """
    paths = find_paths(base)
    if paths is None or base.device.type != "cpu":
        return False
    plain = all(
        type(module) is LoraLinear for module in base.modules() if hasattr(module, "lora_A")
    )
    return getattr(base.config, paths.activation) == GELU and plain


def _block(layer: LayerModules, onednn: bool) -> Block:
    block = frozen_block(layer, onednn)
    adapters = {
        name: _adapter(module, onednn)
        for name, module in layer.linears.items()
        if isinstance(module, LoraLinear)
    }
    return replace(block, adapters=adapters)


def frozen_block(layer: LayerModules, onednn: bool) -> Block:
    """The weights of a layer of the base model, without adapters. Its query, key and value become
    views of one joined weight.
    """
    linears: dict[str, Any] = {
        name: getattr(module, "base_layer", module) for name, module in layer.linears.items()
    }
    frozen = {
        name: Frozen(linear.weight.detach(), linear.bias.detach(), onednn)
        for name, linear in linears.items()
    }
    first, second = (
        Norm(norm.weight.detach(), norm.bias.detach(), norm.eps)
        for norm in (layer.attention_norm, layer.output_norm)
    )
    return Block(
        _join(linears, onednn),
        frozen["out"],
        frozen["up_proj"],
        frozen["down_proj"],
        first,
        second,
        layer.heads,
        {},
        layer.dropouts,
    )


def _join(linears: Mapping[str, Any], onednn: bool) -> Frozen:
    """Join query, key and value into one weight and make their modules views of it, so that nothing
    is stored twice.
    """
    parts = [linears[name] for name in QKV]
    joined = Frozen(
        torch.cat([part.weight.detach() for part in parts]),
        torch.cat([part.bias.detach() for part in parts]),
        onednn,
    )
    for part, weight, bias in zip(parts, joined.weight.chunk(3), joined.bias.chunk(3), strict=True):
        part.weight.data, part.bias.data = weight, bias
    return joined


def convert_to_bf16(block: Block, onednn: bool) -> Block:
    """Copy the frozen weights of ``block`` in bf16; for oneDNN, prepacked for both passes."""

    def convert(frozen: Frozen) -> Frozen:
        weight, bias = frozen.weight.bfloat16(), frozen.bias.bfloat16()
        if not onednn:
            return Frozen(weight, bias, onednn=False)
        return Frozen(prepack(weight), bias, True, prepack(weight.T.contiguous()))

    linears: dict[str, Any] = {name: convert(getattr(block, name)) for name in LINEARS}
    adapters = {
        name: adapter
        if adapter.magnitude is None
        else replace(
            adapter,
            magnitude=replace(adapter.magnitude, frozen=convert(adapter.magnitude.frozen)),
        )
        for name, adapter in block.adapters.items()
    }
    return replace(block, adapters=adapters, **linears)


def pack(block: Block, precision: Precision) -> Block:
    """Copy the weights of a merged layer for ``run_merged`` in fp32 or bf16; prepacked where oneDNN
    multiplies.
    """
    linears: dict[str, Any] = {name: _pack(getattr(block, name), precision) for name in LINEARS}
    return replace(block, **linears)


def _pack(frozen: Frozen, precision: Precision) -> Frozen:
    if precision == "bf16":
        weight, bias = frozen.weight.bfloat16(), frozen.bias.bfloat16()
        frozen = Frozen(weight, bias, onednn_is_available())
    return replace(frozen, weight=prepack(frozen.weight)) if frozen.onednn else frozen


def merge_into(half: Block, block: Block) -> Block:
    """Return ``half``, which is ``block`` in bf16, with its adapters merged. Equals
    ``pack(merge(block), "bf16")``, but copies only the weights of adapted modules.
    """
    names = {"qkv" if name in QKV else name for name in block.adapters}
    merged = merge(block)
    linears: dict[str, Any] = {name: _pack(getattr(merged, name), "bf16") for name in names}
    return replace(half, adapters={}, **linears)


def _adapter(module: Any, onednn: bool) -> Adapter:
    (name,) = module.active_adapters
    magnitude = None
    if module.use_dora[name]:
        weight = module.base_layer.weight.detach()
        magnitude = Magnitude(
            module.lora_magnitude_vector[name].weight,
            weight,
            Frozen(weight, torch.zeros(len(weight)), onednn),
        )
    return Adapter(
        module.lora_A[name].weight,
        module.lora_B[name].weight,
        module.scaling[name],
        module.lora_dropout[name],
        magnitude,
    )


def merge(block: Block) -> Block:
    """Merge the adapters of ``block`` into its weights."""
    changes = {
        name: adapter.merge_change(
            (block.projection(name) if name in QKV else getattr(block, name)).weight
        )
        for name, adapter in block.adapters.items()
    }
    qkv = block.qkv
    if any(name in changes for name in QKV):
        nothing = torch.zeros(qkv.weight.shape[1], qkv.weight.shape[1])
        qkv = replace(
            qkv, weight=qkv.weight + torch.cat([changes.get(name, nothing) for name in QKV])
        )
    others = {name: getattr(block, name) for name in PROJECTIONS[3:]}
    others = {
        name: replace(frozen, weight=frozen.weight + changes[name])
        for name, frozen in others.items()
        if name in changes
    }
    return replace(block, qkv=qkv, adapters={}, **others)
