"""The frozen modules of an encoder layer. Shapes: N rows, d hidden."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.training.products import onednn_product


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen linear module: weight (out, in), bias (out,). Its products are oneDNN's, or those of the library torch itself uses."""

    weight: Tensor
    bias: Tensor
    onednn: bool

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """x (N, in) to (N, out), added to ``onto`` (N, out) if there is one."""
        if self.onednn:
            return onednn_product(x, self.weight, self.bias, onto)
        y = torch.addmm(self.bias, x, self.weight.T)
        return y if onto is None else y.add_(onto)

    def gelu(self, x: Tensor) -> Tensor:
        """The GELU of what ``forward`` gives; oneDNN computes it while a product is still at hand."""
        return onednn_product(x, self.weight, self.bias, gelu=True) if self.onednn else torch.nn.functional.gelu(self.forward(x))

    def backward(self, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """The gradient of x (N, in) from that of its result (N, out), added to ``onto`` (N, in) if there is one."""
        if self.onednn:
            return onednn_product(grad, self.weight.T, None, onto)
        return grad @ self.weight if onto is None else torch.addmm(onto, grad, self.weight)


@dataclass(frozen=True, slots=True)
class Norm:
    """A frozen layer norm over d: weight (d,), bias (d,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normed x (N, d), and the mean and inverse deviation (N, 1) that ``backward`` needs."""
        normed: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.epsilon)
        return normed

    def backward(self, grad: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The gradient of x (N, d)."""
        shape = (x.shape[-1],)
        wanted = (True, False, False)
        given: Tensor = torch.ops.aten.native_layer_norm_backward(grad, x, shape, mean, deviation, self.weight, self.bias, wanted)[0]
        return given
