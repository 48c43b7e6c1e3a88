"""Device and precision of a training, and the memory of the process."""

import ctypes
import mmap
import re
import resource
import sys
from bisect import bisect
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow
import torch
from torch import nn

from core.config import Precision
from core.errors import ConfigError
from core.training.microbatches import MICROBATCH_TOKENS

Device = torch.device
# Linux; there the value of the resource module includes the process that started this one
PROCESS_STATUS = Path("/proc/self/status")
MAPPINGS, PAGES = Path("/proc/self/maps"), Path("/proc/self/pagemap")  # Linux, too
MAPPED_FILE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ */.*")
PAGES_BYTES = 8  # of a page in ``PAGES``, with the flags below
PRESENT, SWAPPED, OF_A_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))
DONT_NEED = 4  # MADV_DONTNEED of Linux; macOS has no ``MAPPINGS``


def choose_device() -> torch.device:
    """Return the first CUDA GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def require_precision(requested: Precision, device: torch.device) -> Precision:
    """Return fp32, bf16 or fp16. Raises ConfigError if ``device`` does not support it.

    Here auto is fp32; ``core.storage.machine_speed`` resolves it before on a measured machine.
    """
    if requested == "auto":
        return "fp32"
    if missing := describe_missing_support(requested, device):
        raise ConfigError(f"Precision {requested} needs {missing}.", "Choose auto or fp32.")
    return requested


def describe_missing_support(precision: Precision, device: torch.device) -> str:
    """Describe the hardware that ``precision`` needs and the machine lacks; empty if none.

    torch supports bf16 on every CPU, but it is slow without AVX512-BF16 or AMX; GPUs support it
    since Ampere.
    """
    if precision == "fp16" and device.type == "cpu":
        return "a GPU, and this machine has none"
    if precision == "bf16" and device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return "" if supported else "a GPU with bf16, and the one of this machine has none"
    return ""


def choose_microbatch_tokens(device: torch.device) -> int:
    """Return the tokens that are computed at once; a larger batch is computed in micro-batches."""
    return MICROBATCH_TOKENS[device.type]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products are computed in ``precision``; weights stay fp32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


def measure_peak_memory_mb() -> float:
    """Return the peak memory of this process in MB; on Linux since its last restart."""
    if PROCESS_STATUS.is_file():
        lines = PROCESS_STATUS.read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024  # bytes on macOS


def release_memory() -> None:
    """Return freed memory to the system, in a few ms.

    Without this glibc keeps about 170 MB after an evaluation, and Arrow 45 MB after reading.
    """
    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent with other C libraries
        if trim is not None:
            trim(0)


def release_weights(model: nn.Module) -> None:
    """Free the pages of files that torch has mapped for the weights of ``model``; the next use of a
    weight reads it from the file's cache. Linux only.

    Loading reads all of them, and so does merging an adapter; a step in bf16 uses only a part.
    """
    if not (MAPPINGS.is_file() and PAGES.is_file()):
        return
    weights = sorted(weight.data_ptr() for weight in model.parameters())
    library = ctypes.CDLL(None)
    for start, end in _list_mapped_files():
        if bisect(weights, end - 1) > bisect(weights, start - 1) and not _is_changed(start, end):
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONT_NEED)


def _list_mapped_files() -> Iterator[tuple[int, int]]:
    """List start and end of each mapping of a file."""
    for line in MAPPINGS.read_text(errors="replace").splitlines():
        if mapping := MAPPED_FILE.fullmatch(line):
            yield int(mapping[1], 16), int(mapping[2], 16)


def _is_changed(start: int, end: int) -> bool:
    """Return whether this process has changed a page of a mapped file: it is in memory only.

    ``smaps`` counts changed pages too, but of all mappings, which takes 31 ms instead of 5.
    """
    with PAGES.open("rb") as file:
        file.seek(start // mmap.PAGESIZE * PAGES_BYTES)
        content = file.read((end - start) // mmap.PAGESIZE * PAGES_BYTES)
    pages = np.frombuffer(content, dtype=np.uint64)
    return bool(((pages & (PRESENT | SWAPPED) > 0) & (pages & OF_A_FILE == 0)).any())
