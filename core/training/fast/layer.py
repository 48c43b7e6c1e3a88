"""One encoder layer with its adapters as one autograd function with a hand-written backward pass.

Post-norm, as in BERT: a = norm1(x + out(attention(x))), y = norm2(a + down_proj(gelu(up_proj(a)))).
An adapted module computes W x + c · B A (m ∘ x), with m the dropout mask and c = scale / (1 -
dropout); its gradients follow from the chain rule, e.g. ∂A = c · (∂y B)' (m ∘ x). Frozen weights
get no gradients. With DoRA it computes W x + (g - 1) ∘ W x̃ + g ∘ scale · B A x̃, with x̃ = m ∘ x /
(1 - dropout) and g the magnitudes over the lengths of the rows of W + scale · B A, which count as
constants (Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", section 4.3).

In bf16, x and the frozen weights are bf16, and products, sums and norms round their results to it.
Computed in fp32 are the sums within a product, the statistics of norms, attention (its backward
pass in bf16 takes five times as long in torch) and the gradients of A and B.

Shapes: B texts, T tokens, N ≥ B·T rows, of which those past B·T are padding, d hidden, h
heads, w = d / h, r rank.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from core.models.families import PROJECTIONS, EncoderPaths, find_encoder, find_family
from core.training.fast.matmul import onednn_product


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen linear module: weight (out, in), bias (out,). ``onednn`` selects the library that
    multiplies: oneDNN, or the one that torch uses for fp32. ``transposed`` is the prepacked weight
    (in, out), if there is one.
    """

    weight: Tensor
    bias: Tensor
    onednn: bool
    transposed: Tensor | None = None

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Map x (N, in) to (N, out), and add ``onto`` (N, out) if given."""
        if self.onednn:
            return onednn_product(x, self.weight, self.bias, onto)
        y = torch.addmm(self.bias, x, self.weight.T)
        return y if onto is None else y.add_(onto)

    def gelu(self, x: Tensor) -> Tensor:
        """Compute GELU of ``forward``; oneDNN fuses the two."""
        return (
            onednn_product(x, self.weight, self.bias, gelu=True)
            if self.onednn
            else torch.nn.functional.gelu(self.forward(x))
        )

    def backward(self, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute the gradient of x (N, in) from the one of the output (N, out), plus ``onto`` (N,
        in) if given.
        """
        if self.onednn:
            weight = self.weight.T if self.transposed is None else self.transposed
            return onednn_product(grad, weight, None, onto)
        return grad @ self.weight if onto is None else torch.addmm(onto, grad, self.weight)


@dataclass(frozen=True, slots=True)
class Norm:
    """A frozen layer norm over d: weight (d,), bias (d,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize x (N, d). Also returns the mean and inverse standard deviation (N, 1) that
        ``backward`` needs.
        """
        normed: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(
            x, (x.shape[-1],), self.weight, self.bias, self.epsilon
        )
        return normed

    def backward(self, grad: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Compute the gradient of the input x (N, d) from the one of the output."""
        shape = (x.shape[-1],)
        needs = (True, False, False)
        x_grad: Tensor = torch.ops.aten.native_layer_norm_backward(
            grad, x, shape, mean, deviation, self.weight, self.bias, needs
        )[0]
        return x_grad


attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class Magnitude:
    """DoRA's part of an adapter: the trained ``lengths`` (out,) of the rows.

    ``weight`` is the module's frozen weight (out, in) in fp32, and ``frozen`` the same in the type
    of the layer, without a bias.
    """

    lengths: Tensor
    weight: Tensor
    frozen: Frozen


@dataclass(frozen=True, slots=True)
class Adapter:
    """A (r, in) and B (out, r) of a module, with its scale and its dropout module (an identity
    without dropout).
    """

    lora_a: Tensor
    lora_b: Tensor
    scale: float
    dropout: nn.Module
    magnitude: Magnitude | None = None

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """A and B, and with DoRA the lengths."""
        lengths = () if self.magnitude is None else (self.magnitude.lengths,)
        return self.lora_a, self.lora_b, *lengths

    @torch.no_grad()
    def measure_rows(self) -> Tensor:
        """Return the lengths (out,) of the rows of W + scale · B A, for DoRA.

        The matrix is not formed: |w + s b A|² = |w|² + 2 s b · (A w) + s² b · (A A' b).
        """
        assert self.magnitude is not None
        weight, a, b = self.magnitude.weight, self.lora_a, self.lora_b
        mixed = 2 * (weight @ a.T) + self.scale * (b @ (a @ a.T))  # (out, r)
        squares = torch.linalg.vecdot(weight, weight) + self.scale * (b * mixed).sum(1)
        rows: Tensor = squares.clamp_(min=0).sqrt_()
        return rows

    def merge_change(self, weight: Tensor) -> Tensor:
        """Return what merging adds to the frozen ``weight`` (out, in)."""
        change = self.scale * (self.lora_b.detach() @ self.lora_a.detach())
        if self.magnitude is None:
            return change
        factor = self.magnitude.lengths.detach() / self.measure_rows()
        return factor[:, None] * (weight + change) - weight

    @property
    def drops(self) -> float:
        """Dropout probability of an input: 0 outside training."""
        return (
            self.dropout.p
            if self.dropout.training and isinstance(self.dropout, nn.Dropout)
            else 0.0
        )


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of a layer. ``qkv`` stacks query, key and value, (3 d, d).

    ``adapters`` are named by what they adapt: query, key, value, out, up_proj (to the wide
    hidden size), down_proj (back to d).
    """

    qkv: Frozen
    out: Frozen
    up_proj: Frozen
    down_proj: Frozen
    norm1: Norm
    norm2: Norm
    heads: int
    adapters: Mapping[str, Adapter]

    def projection(self, name: str) -> Frozen:
        """Return query, key or value as a separate module, a view of ``qkv``."""
        index, d = ("query", "key", "value").index(name), self.qkv.weight.shape[1]
        weight, bias = self.qkv.weight.view(3, d, d)[index], self.qkv.bias.view(3, d)[index]
        return Frozen(weight, bias, onednn=False)


@dataclass(slots=True)
class LoraActivations:
    """Tensors for the backward pass of an adapter: its input (N, in), shared with other adapters,
    c · A (m ∘ x) (N, r), mask (N, in), c. With DoRA also (W + scale · B A) x̃ (N, out) and the
    lengths of the rows (out,).
    """

    x: Tensor
    z: Tensor
    mask: Tensor | None
    c: float
    direction: Tensor | None = None
    rows: Tensor | None = None


Masks = Mapping[str, Tensor | None]
Size = tuple[int, int]  # B, T


def add_lora(y: Tensor, x: Tensor, adapter: Adapter, mask: Tensor | None) -> LoraActivations:
    """Add the adapter's output to ``y`` (N, out) in place; ``mask`` (N, in) is 0 where an input is
    dropped.
    """
    c = adapter.scale / (1 - adapter.drops)
    dropped = _dropped(x, mask)
    z = (dropped @ adapter.lora_a.to(x.dtype).T).mul_(c)
    if adapter.magnitude is None:
        y.addmm_(z, adapter.lora_b.to(x.dtype).T)
        return LoraActivations(x, z, mask, c)
    rows = adapter.measure_rows()
    factor = adapter.magnitude.lengths / rows
    frozen = adapter.magnitude.frozen.forward(dropped)  # (N, out)
    if mask is not None:
        frozen.mul_(1 / (1 - adapter.drops))
    change = z @ adapter.lora_b.to(x.dtype).T
    y.addcmul_(frozen, (factor - 1).to(x.dtype)).addcmul_(change, factor.to(x.dtype))
    return LoraActivations(x, z, mask, c, frozen.add_(change), rows)


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def lora_backward(
    grad: Tensor, low: LoraActivations, adapter: Adapter, x_grad: Tensor | None
) -> tuple[Tensor, ...]:
    """Compute the gradients of the adapter's parameters from the one of y (N, out), and add the
    gradient of x to ``x_grad`` unless it is None.
    """
    dtype, whole = grad.dtype, grad
    lengths: tuple[Tensor, ...] = ()
    if adapter.magnitude is not None:
        assert low.direction is not None
        assert low.rows is not None
        factor = adapter.magnitude.lengths / low.rows
        lengths = ((grad.float() * low.direction.float()).sum(0) / low.rows,)
        grad = grad * factor.to(dtype)
    inner = (grad @ adapter.lora_b.to(dtype)).mul_(low.c)  # (N, r)
    if x_grad is not None:
        lora_a = adapter.lora_a.to(dtype)
        target = x_grad.addmm_(inner, lora_a) if low.mask is None else inner @ lora_a  # (N, in)
        if adapter.magnitude is not None:
            through_frozen = adapter.magnitude.frozen.backward(grad - whole)
            target.add_(through_frozen, alpha=1 / (1 - adapter.drops))
        if low.mask is not None:
            x_grad.addcmul_(target, low.mask.to(dtype))
    x = _dropped(low.x, low.mask)
    return inner.float().T @ x.float(), grad.float().T @ low.z.float(), *lengths


class Layer(torch.autograd.Function):
    """``Layer.apply(x, bias, block, size, masks, *parameters)``: x (N, d) to (N, d).

    ``bias`` (B, 1, 1, T) is added to attention scores; ``parameters`` are those of each adapter in
    order, so that autograd sees them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        block: Block,
        size: Size,
        masks: Masks,
        *parameters: Tensor,
    ) -> Tensor:
        """See the class."""
        y, saved = run(x, bias, block, size, masks)
        ctx.saved, ctx.bias, ctx.block, ctx.size, ctx.needs_x = (
            saved,
            bias,
            block,
            size,
            ctx.needs_input_grad[0],
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x, if an earlier layer needs it, and of each parameter."""
        x_grad, gradients = run_backward(
            grad.contiguous(), ctx.saved, ctx.bias, ctx.block, ctx.size, ctx.needs_x
        )
        ctx.saved = None  # frees the layer's activations
        parameters = [part for name in ctx.block.adapters for part in gradients[name]]
        return (x_grad, None, None, None, None, *parameters)


@dataclass(slots=True)
class SavedTensors:
    """Tensors for the backward pass of a layer; ``norm1_inputs`` and ``norm2_inputs`` are the
    input, mean and inverse deviation of its norms.
    """

    qkv: Tensor
    context: Tensor
    log_sum: Tensor
    norm1_inputs: tuple[Tensor, ...]
    up: Tensor
    norm2_inputs: tuple[Tensor, ...]
    lora: dict[str, LoraActivations]


def run(
    x: Tensor, bias: Tensor | None, block: Block, size: Size, masks: Masks
) -> tuple[Tensor, SavedTensors]:
    """Compute the layer's output (N, d); also returns what its backward pass needs."""
    lora: dict[str, LoraActivations] = {}

    def adapt(name: str, y: Tensor, inputs: Tensor) -> None:
        if name in block.adapters:
            lora[name] = add_lora(y, inputs, block.adapters[name], masks.get(name))

    d = x.shape[1]
    qkv = block.qkv.forward(x)  # (N, 3 d)
    for index, name in enumerate(("query", "key", "value")):
        adapt(name, qkv[:, index * d : (index + 1) * d], x)
    context, log_sum = attend(
        *_heads(qkv.float(), size, block.heads, d // block.heads), attn_mask=bias
    )  # (B, h, T, w), (B, h, T)
    flat = _join_heads([context], x)
    a = block.out.forward(flat, x)
    adapt("out", a, flat)
    normed, *moments1 = block.norm1.forward(a)
    up = block.up_proj.forward(normed)  # (N, wide)
    adapt("up_proj", up, normed)
    wide = torch.nn.functional.gelu(up)
    o = block.down_proj.forward(wide, normed)
    adapt("down_proj", o, wide)
    y, *moments2 = block.norm2.forward(o)
    return y, SavedTensors(qkv, context, log_sum, (a, *moments1), up, (o, *moments2), lora)


def run_merged(x: Tensor, bias: Tensor | None, block: Block, size: Size) -> Tensor:
    """Compute the output (N, d) of a layer whose adapters are merged into its weights, without a
    backward pass.
    """
    heads = _heads(block.qkv.forward(x), size, block.heads, x.shape[1] // block.heads)
    context = attend(*heads, attn_mask=bias)[0]  # (B, h, T, w)
    a = block.norm1.forward(block.out.forward(_join_heads([context], x), x))[0]
    return block.norm2.forward(block.down_proj.forward(block.up_proj.gelu(a), a))[0]


def run_backward(
    grad: Tensor, saved: SavedTensors, bias: Tensor | None, block: Block, size: Size, needs_x: bool
) -> tuple[Tensor | None, dict[str, tuple[Tensor, ...]]]:
    """Compute the gradient of x (N, d) if ``needs_x``, and those of parameters by module name."""
    gradients: dict[str, tuple[Tensor, ...]] = {}

    def adapted(name: str, output_grad: Tensor, x_grad: Tensor | None) -> None:
        if name in block.adapters:
            gradients[name] = lora_backward(
                output_grad, saved.lora[name], block.adapters[name], x_grad
            )

    d = grad.shape[1]
    o = block.norm2.backward(grad, *saved.norm2_inputs)
    wide = block.down_proj.backward(o)
    adapted("down_proj", o, wide)
    up = torch.ops.aten.gelu_backward.grad_input(wide, saved.up, grad_input=wide)  # overwrites wide
    normed = block.up_proj.backward(up, o)
    adapted("up_proj", up, normed)
    a = block.norm1.backward(normed, *saved.norm1_inputs)
    del wide, up, o, normed  # frees 6 d values per token before attention's gradients
    flat = block.out.backward(a)
    adapted("out", a, flat)
    (context,) = _heads(flat.float(), size, block.heads, d // block.heads)
    parts = attend_backward(
        context,
        *_heads(saved.qkv.float(), size, block.heads, d // block.heads),
        saved.context,
        saved.log_sum,
        0.0,
        False,
        attn_mask=bias,
    )
    qkv = _join_heads(parts, grad)  # (N, 3 d)
    x = block.qkv.backward(qkv, a) if needs_x else None
    for index, name in enumerate(("query", "key", "value")):
        adapted(name, qkv[:, index * d : (index + 1) * d], x)
    return x, gradients


def _heads(joined: Tensor, size: Size, heads: int, width: int) -> tuple[Tensor, ...]:
    """Split (N, k·d) into k views (B, h, T, w), e.g. query, key and value."""
    texts, tokens = size
    parts = joined[: texts * tokens].view(texts, tokens, -1, heads, width)
    return parts.permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """Join k tensors (B, h, T, w) into (N, k·d) in the type of ``like`` (N, d), with zeros in the
    padding rows.
    """
    texts, heads, tokens, width = parts[0].shape
    joined = like.new_empty(len(like), len(parts) * heads * width)
    joined[texts * tokens :] = 0
    view = joined[: texts * tokens].view(texts, tokens, len(parts), heads, width)
    for index, part in enumerate(parts):
        view[:, :, index] = part.transpose(1, 2)
    return joined


@dataclass(frozen=True, slots=True)
class LayerModules:
    """The modules of an encoder layer: linear ones by their name in ``PROJECTIONS``, adapted or
    not, and its norms.
    """

    linears: dict[str, Any]  # torch types submodules too widely to be useful
    attention_norm: nn.LayerNorm
    output_norm: nn.LayerNorm
    heads: int


def find_paths(base: PreTrainedModel) -> EncoderPaths | None:
    """Find the paths of the encoder of ``base``; None for a model that is not listed."""
    family = find_family(base.config.model_type)
    if family is None or type(base).__name__ != family.classifier:
        return None
    return find_encoder(family.model_type, getattr(base.config, "is_decoder", False))


def list_layers(base: PreTrainedModel, paths: EncoderPaths) -> list[nn.Module]:
    """List the encoder's layers, from the first to the last."""
    return list(base.get_submodule(f"{paths.path}.{paths.layers}").children())


def list_layer_modules(base: PreTrainedModel) -> Iterator[LayerModules]:
    """List the modules of each layer. ``base`` must be of a listed family."""
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
