"""Which library multiplies fp32 matrices: torch's own choice or oneDNN, whichever one short
measurement found faster.

The measurement is made once for each machine and stored: see ``core.storage.numerics``.

torch hands fp32 products to MKL, which leaves AVX-512 unused on processors that are not Intel's:
there oneDNN takes half the time (2 Zen 5 cores: 490 GFLOP/s against 215). Both compute in fp32; the
order of sums differs. oneDNN makes code for each shape that it meets, which takes a millisecond and
0.6 MB a product: so numbers of rows are rounded up.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from core.settings import Settings
from core.storage.numerics import ProductSeconds, decide_products

ROWS = (
    64  # numbers of rows are multiples of it; of 32, a run holds 60 MB more and takes 4 % less time
)
SHAPE = (512, 768, 768)  # rows, inputs, outputs of the products that are timed
TRIES = 8


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


def machine_products(settings: Settings) -> ProductSeconds:
    """What this machine was measured to take for a product; measured now if it never was."""
    return decide_products(settings, measure_products)


def measure_products() -> ProductSeconds:
    """Time the products of ``SHAPE``; some hundredths of a second."""
    (x, weight), half = _matrices(torch.float32), _matrices(torch.bfloat16)
    usual: list[Callable[[], Tensor]] = [lambda: linear(x, weight), lambda: linear(*half)]
    if not onednn_is_available():
        fp32, bf16 = best_seconds(usual)
        return ProductSeconds(fp32=fp32, bf16=bf16)
    fp32, bf16, onednn = best_seconds([*usual, lambda: onednn_product(x, weight, None)])
    return ProductSeconds(fp32=fp32, bf16=bf16, onednn=onednn)


def onednn_is_available() -> bool:
    """Whether torch was built with oneDNN."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


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
