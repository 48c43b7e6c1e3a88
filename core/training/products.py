"""Which library multiplies fp32 matrices: torch's own choice or oneDNN, whichever a short measurement finds faster.

torch hands fp32 products to MKL, which leaves AVX-512 unused on processors that are not Intel's: there oneDNN takes half the time
(2 Zen 5 cores: 490 GFLOP/s against 215). Both compute in fp32; the order of sums differs. oneDNN makes code for each shape that it
meets, which takes a millisecond and 0.6 MB a product: so numbers of rows are rounded up.
"""

import math
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

ROWS = 64  # numbers of rows are multiples of it; of 32, a run holds 60 MB more and takes 4 % less time
SHAPE = (512, 768, 768)  # rows, inputs, outputs of the products that are timed
TRIES = 5
MARGIN = 1.25  # a gain below this may be chance, and a resumed run should choose as before


def filled(x: Tensor) -> Tensor:
    """x (N, d) with rows of zeros below, up to the next multiple of ``ROWS``."""
    return torch.nn.functional.pad(x, (0, 0, 0, -len(x) % ROWS))


def onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None = None) -> Tensor:
    """x (N, in) times weight (out, in) transposed, plus bias (out,) and ``onto`` (N, out) where they are given."""
    y: Tensor
    if onto is None:
        y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    else:
        y = torch.ops.mkldnn._linear_pointwise.binary(x, onto, weight, bias, "add")
    return y


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's products in fp32 were just measured to be faster on this machine; some hundredths of a second."""
    return product_seconds(torch.float32) > MARGIN * onednn_seconds()


def product_seconds(dtype: torch.dtype) -> float:
    """Seconds of one product in ``dtype`` by the library that torch chooses, the best of a few."""
    x, weight = _matrices(dtype)
    return _best(lambda: torch.nn.functional.linear(x, weight))


def onednn_seconds() -> float:
    """Seconds of the same product in fp32 by oneDNN; infinite where torch was built without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return math.inf
    x, weight = _matrices(torch.float32)
    return _best(lambda: onednn_product(x, weight, None))


def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    rows, inputs, outputs = SHAPE
    return torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)


def _best(product: Callable[[], Tensor]) -> float:
    def once() -> float:
        began = time.perf_counter()
        product()
        return time.perf_counter() - began

    once()
    return min(once() for _ in range(TRIES))
