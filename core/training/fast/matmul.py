"""Which library multiplies fp32 matrices: torch's own choice or oneDNN, whichever a short
measurement finds faster.

torch hands fp32 products to MKL, which leaves AVX-512 unused on processors that are not Intel's:
there oneDNN takes half the time (2 Zen 5 cores: 490 GFLOP/s against 215). Both compute in fp32; the
order of sums differs. oneDNN makes code for each shape that it meets, which takes a millisecond and
0.6 MB a product: so numbers of rows are rounded up.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import linear

ROWS = (
    64  # numbers of rows are multiples of it; of 32, a run holds 60 MB more and takes 4 % less time
)
SHAPE = (512, 768, 768)  # rows, inputs, outputs of the products that are timed
TRIES = 8
MARGIN = 1.25  # a gain below this may be chance, and a resumed run should choose as before


def pad_rows(x: Tensor) -> Tensor:
    """x (N, d) with rows of zeros below, up to the next multiple of ``ROWS``."""
    return torch.nn.functional.pad(x, (0, 0, 0, -len(x) % ROWS))


def onednn_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None = None, gelu: bool = False
) -> Tensor:
    """x (N, in) times weight (out, in) transposed, plus bias (out,) and ``onto`` (N, out) where
    they are given, else maybe its GELU.
    """
    y: Tensor
    if onto is None:
        y = torch.ops.mkldnn._linear_pointwise(
            x, weight, bias, *(("gelu", [], "none") if gelu else ("none", [], ""))
        )
    else:
        y = torch.ops.mkldnn._linear_pointwise.binary(x, onto, weight, bias, "add")
    return y


def prepack(weight: Tensor) -> Tensor:
    """A copy of ``weight`` (out, in) for ``onednn_product`` alone, in the order in which that reads
    it: 5 % faster with many rows.
    """
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, SHAPE[0])
    return found


@dataclass(frozen=True, slots=True)
class ProductSeconds:
    """What one product of ``SHAPE`` takes: in fp32 and bf16 by the library that torch chooses, and
    in fp32 by oneDNN.

    The last is infinite where torch was built without it.
    """

    fp32: float
    bf16: float
    onednn: float


def onednn_is_faster() -> bool:
    """Whether oneDNN's products in fp32 were measured to be faster on this machine."""
    measured = product_seconds()
    return measured.fp32 > MARGIN * measured.onednn


@cache
def product_seconds() -> ProductSeconds:
    """Measured once in a process; some hundredths of a second."""
    (x, weight), half = _matrices(torch.float32), _matrices(torch.bfloat16)
    usual: list[Callable[[], Tensor]] = [lambda: linear(x, weight), lambda: linear(*half)]
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        fp32, bf16 = best_seconds(usual)
        return ProductSeconds(fp32, bf16, math.inf)
    return ProductSeconds(*best_seconds([*usual, lambda: onednn_product(x, weight, None)]))


def best_seconds(products: Sequence[Callable[[], Tensor]]) -> list[float]:
    """The shortest of ``TRIES`` of each, which take turns: what else the machine does then delays
    them alike.
    """

    def once(product: Callable[[], Tensor]) -> float:
        began = time.perf_counter()
        product()
        return time.perf_counter() - began

    rounds = [[once(product) for product in products] for _ in range(1 + TRIES)]
    return [
        min(tries) for tries in zip(*rounds[1:], strict=True)
    ]  # the first makes the library's code


def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    rows, inputs, outputs = SHAPE
    return torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)
