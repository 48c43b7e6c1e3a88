"""Floating-point operations of a training's matrix products, and the peak rate of this machine."""

import re
import time

import torch

from core.config import RunConfig
from core.models.model_shape import Linear, ModelShape, list_target_modules
from core.training.fast.matmul import onednn_product

SIZE, TRIES = 1024, 20
QKV = re.compile(r"(query|key|value|[qkv]_lin)$")


def gemm_peak(onednn: bool = False) -> float:
    """Return operations per second of the best of 20 products of 1024 × 1024 matrices in fp32, with
    this process's threads.

    Computed by ``torch.mm`` or by oneDNN, which a training may use if it is the faster of the two.
    """
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    best = float("inf")
    for _ in range(TRIES):
        began = time.perf_counter()
        if onednn:
            onednn_product(left, right, None)
        else:
            torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * SIZE**3 / best


def gemm_flops(shape: ModelShape, config: RunConfig, tokens: int, rows: int) -> int:
    """Return the operations executed to train once on ``rows`` rows of ``tokens`` tokens in total,
    without padding.

    Counts frozen and adapted matrices in the forward pass and the gradient of the input, but
    neither the adapters' own gradients nor attention. The last layer is computed for one token per
    row; the first layer has no input gradient for query, key and value if nothing below is trained.
    """
    rank = {linear.name: config.rank for linear in list_target_modules(config, shape)}
    return sum(
        _flops(linear, rank.get(linear.name, 0), tokens, rows, shape.layers - 1)
        for linear in shape.linears
    )


def _flops(linear: Linear, rank: int, tokens: int, rows: int, last: int) -> int:
    layer = int(re.findall(r"\.(\d+)\.", linear.name)[0])
    lowest = layer == 0 and QKV.search(linear.name) is not None
    vectors = rows if layer == last else tokens
    frozen, low_in, low_out = (
        linear.inputs * linear.outputs,
        rank * linear.inputs,
        rank * linear.outputs,
    )
    forward = frozen + low_in + low_out
    backward = low_out if lowest else forward
    return 2 * vectors * (forward + backward)
