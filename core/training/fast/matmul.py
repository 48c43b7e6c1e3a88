"""Products of fp32 matrices by torch's default library or oneDNN, whichever is faster here.

A short measurement is made once per machine and stored: see ``core.storage.machine_speed``.

torch uses MKL for fp32 products, which does not use AVX-512 on processors of other vendors than
Intel: there oneDNN takes half the time (2 Zen 5 cores: 490 instead of 215 GFLOP/s). Both compute in
fp32; the order of sums differs. oneDNN compiles code for each new shape, which takes a millisecond
and 0.6 MB per product, so numbers of rows are rounded up.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from core.settings import Settings
from core.storage.machine_speed import ProductSeconds, decide_products

ROWS = 64  # rows are padded to multiples; with 32 a run in fp32 needs 60 MB more, 4 % less time
FINE_ROWS = 32  # in a training step in bf16, of which oneDNN's code needs less, above COARSE_ROWS
COARSE_ROWS = 256
SHAPE = (512, 768, 768)  # rows, inputs, outputs of the products that are timed
TRIES = 8


def pad_rows(x: Tensor, fine: bool = False) -> Tensor:
    """Pad x (N, d) with rows of zeros to the next multiple of ``ROWS``; with ``fine``, above
    ``COARSE_ROWS``, of ``FINE_ROWS``.
    """
    multiple = FINE_ROWS if fine and len(x) > COARSE_ROWS else ROWS
    return torch.nn.functional.pad(x, (0, 0, 0, -len(x) % multiple))


def onednn_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None = None, gelu: bool = False
) -> Tensor:
    """Multiply x (N, in) by the transposed weight (out, in), and add bias (out,) and ``onto`` (N,
    out) if given. ``gelu`` without ``onto`` applies GELU.
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
    """Copy ``weight`` (out, in) in oneDNN's memory layout, for ``onednn_product`` only: 5 % faster
    with many rows.
    """
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, SHAPE[0])
    return packed


def machine_products(settings: Settings) -> ProductSeconds:
    """Read the measured times of a product on this machine; measure them if they are missing."""
    return decide_products(settings, measure_products)


def measure_products() -> ProductSeconds:
    """Time the products of ``SHAPE``; takes a few hundredths of a second."""
    (x, weight), half = _matrices(torch.float32), _matrices(torch.bfloat16)
    usual: list[Callable[[], Tensor]] = [lambda: linear(x, weight), lambda: linear(*half)]
    if not onednn_is_available():
        fp32, bf16 = time_products(usual)
        return ProductSeconds(fp32=fp32, bf16=bf16)
    fp32, bf16, onednn = time_products([*usual, lambda: onednn_product(x, weight, None)])
    return ProductSeconds(fp32=fp32, bf16=bf16, onednn=onednn)


def onednn_is_available() -> bool:
    """Return whether torch was built with oneDNN."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def time_products(
    products: Sequence[Callable[[], Tensor]], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the shortest of ``TRIES`` times of each product. They alternate, so that other
    programs delay all of them alike.
    """

    def once(product: Callable[[], Tensor]) -> float:
        began = clock()
        product()
        return clock() - began

    rounds = [[once(product) for product in products] for _ in range(1 + TRIES)]
    # in the first round oneDNN compiles its code
    return [min(tries) for tries in zip(*rounds[1:], strict=True)]


def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    rows, inputs, outputs = SHAPE
    return torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)
