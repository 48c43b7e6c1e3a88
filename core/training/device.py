"""Where a training computes and in which number format, and how much memory it took."""

import ctypes
import resource
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow
import torch

from core.config import Precision
from core.errors import ConfigError
from core.training.fast.matmul import product_seconds
from core.training.microbatches import MICROBATCH_TOKENS

# and more: the layers written out by hand are for fp32; with products 4.4 times as fast a step in
# bf16 took longer
BF16_GAIN = 5.0
HIGH_WATER = Path(
    "/proc/self/status"
)  # Linux; the resource module's figure there includes the process that started this one


def choose_device() -> torch.device:
    """The first CUDA GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """fp32, bf16 or fp16. Raises ConfigError for fp16 on a CPU, where torch has no fast products in
    it.

    auto is bf16 on a CPU on which its products were just measured to be much faster.
    """
    if wanted == "auto" and device.type == "cuda":
        # launches take the time of models this small, and autocast launches more: an H200 took six
        # times as long in bf16
        return "fp32"
    if wanted == "auto":
        measured = product_seconds()  # no flag tells: bf16 was four times slower on some
        return "bf16" if min(measured.fp32, measured.onednn) > BF16_GAIN * measured.bf16 else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError(
            "Precision fp16 needs a GPU, and this machine has none.", "Choose auto or fp32."
        )
    return wanted


def batch_tokens(device: torch.device) -> int:
    """How many tokens go through the model at once; a larger batch is computed in parts."""
    return MICROBATCH_TOKENS[device.type]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within it, products are computed in ``precision``; weights and sums stay fp32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


def peak_memory_mb() -> float:
    """The most memory this process has held so far, in MB; on Linux since it last began anew."""
    if HIGH_WATER.is_file():
        line = next(
            line for line in HIGH_WATER.read_text().splitlines() if line.startswith("VmHWM:")
        )
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024  # bytes on macOS


def release_memory() -> None:
    """Give freed memory back to the system; without it glibc keeps some 170 MB after an evaluation,
    Arrow 45 after reading. A few ms.
    """
    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent with other C libraries
        if trim is not None:
            trim(0)
