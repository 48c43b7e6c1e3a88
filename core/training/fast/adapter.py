"""Frozen linear modules and their adapters, with hand-written backward passes.

An adapted module computes W x + c · B A (m ∘ x), with m the dropout mask and c = scale / (1 -
dropout); its gradients follow from the chain rule, e.g. ∂A = c · (∂y B)' (m ∘ x). Frozen weights
get no gradients. With DoRA it computes W x + (g - 1) ∘ W x̃ + g ∘ scale · B A x̃, with x̃ = m ∘ x /
(1 - dropout) and g the magnitudes over the lengths of the rows of W + scale · B A, which count as
constants (Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", section 4.3).

Shapes: N rows, r rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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


@dataclass(slots=True)
class LoraActivations:
    """Tensors for the backward pass of an adapter: its input (N, in), shared with other adapters,
    c · A (m ∘ x) (N, r), mask (N, in) and c. With DoRA also (W + scale · B A) x̃ (N, out) and the
    lengths of the rows (out,).
    """

    x: Tensor
    z: Tensor
    mask: Tensor | None
    c: float
    direction: Tensor | None = None
    rows: Tensor | None = None


def add_lora(y: Tensor, x: Tensor, adapter: Adapter, mask: Tensor | None) -> LoraActivations:
    """Add the adapter's output to ``y`` (N, out) in place; ``mask`` (N, in) is 0 where an input is
    dropped. Products with A and B are in fp32 for x in bf16, too: they take as long, and oneDNN
    would keep 2.5 MB of code for each number of rows.
    """
    c = adapter.scale / (1 - adapter.drops)
    dropped = _dropped(x, mask)
    z = (dropped @ adapter.lora_a.T).mul_(c)
    if adapter.magnitude is None:
        _add_product(y, z, adapter.lora_b.T)
        return LoraActivations(x, z, mask, c)
    rows = adapter.measure_rows()
    factor = adapter.magnitude.lengths / rows
    frozen = adapter.magnitude.frozen.forward(dropped.to(x.dtype))  # (N, out)
    if mask is not None:
        frozen.mul_(1 / (1 - adapter.drops))
    change = (z @ adapter.lora_b.T).to(x.dtype)
    y.addcmul_(frozen, (factor - 1).to(x.dtype)).addcmul_(change, factor.to(x.dtype))
    return LoraActivations(x, z, mask, c, frozen.add_(change), rows)


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return m ∘ x in fp32."""
    return x.float() if mask is None else x.float() * mask


def _add_product(y: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the product of two matrices in fp32 to ``y``, which may be bf16."""
    if y.dtype == torch.float32:
        y.addmm_(left, right)
    else:
        y.add_((left @ right).to(y.dtype))  # much faster than adding fp32 to bf16


def lora_backward(
    grad: Tensor, low: LoraActivations, adapter: Adapter, x_grad: Tensor | None
) -> tuple[Tensor, ...]:
    """Compute the gradients of the adapter's parameters from the one of y (N, out), and add the
    gradient of x to ``x_grad`` unless it is None.
    """
    whole, grad = grad, grad.float()
    lengths: tuple[Tensor, ...] = ()
    if adapter.magnitude is not None:
        assert low.direction is not None
        assert low.rows is not None
        factor = adapter.magnitude.lengths / low.rows
        lengths = ((grad * low.direction.float()).sum(0) / low.rows,)
        grad = grad * factor
    inner = (grad @ adapter.lora_b).mul_(low.c)  # (N, r)
    if x_grad is not None and adapter.magnitude is None and low.mask is None:
        _add_product(x_grad, inner, adapter.lora_a)
    elif x_grad is not None:
        target = inner @ adapter.lora_a  # (N, in)
        if adapter.magnitude is not None:
            through_frozen = adapter.magnitude.frozen.backward((grad - whole).to(whole.dtype))
            target.add_(through_frozen, alpha=1 / (1 - adapter.drops))
        if low.mask is not None:
            target.mul_(low.mask)
        x_grad.add_(target.to(x_grad.dtype))
    # contiguous: the fused AdamW reads a gradient in the order of its memory
    return inner.T @ _dropped(low.x, low.mask), grad.T @ low.z, *lengths
