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
from core.training.microbatches import MICROBATCH_TOKENS

Device = torch.device
HIGH_WATER = Path(
    "/proc/self/status"
)  # Linux; the resource module's figure there includes the process that started this one


def choose_device() -> torch.device:
    """The first CUDA GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """fp32, bf16 or fp16. Raises ConfigError for one that ``device`` cannot compute in.

    auto is fp32: what it is on a measured machine is decided before, by ``core.storage.numerics``.
    """
    if wanted == "auto":
        return "fp32"
    if why := why_not_in(wanted, device):
        raise ConfigError(f"Precision {wanted} needs {why}.", "Choose auto or fp32.")
    return wanted


def why_not_in(precision: Precision, device: torch.device) -> str:
    """What ``device`` lacks to compute in ``precision``; empty where it lacks nothing.

    torch computes in bf16 on every CPU, without AVX512-BF16 or AMX slowly; GPUs have it since
    Ampere.
    """
    if precision == "fp16" and device.type == "cpu":
        return "a GPU, and this machine has none"
    if precision == "bf16" and device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return "" if supported else "a GPU with bf16, and that of this machine has none"
    return ""


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
