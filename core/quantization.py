"""Whether a base model can be held in 4 bits on this machine, told without torch, and by which
packages it is.
"""

import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "bitsandbytes"
DEVICES = Path("/dev")  # the NVIDIA driver puts nvidia0 and so on here


@cache
def unsupported_reason() -> str:
    """Why not, as the end of a sentence; empty where it can be."""
    if not (DEVICES / "nvidia0").exists() and shutil.which("nvidia-smi") is None:
        return "needs an NVIDIA GPU, and this machine has none"
    if _version("torch").endswith("+cpu"):
        return "needs PyTorch with CUDA, and the one here is a build for CPUs"
    if find_spec(PACKAGE) is None:
        return f"needs the package {PACKAGE}, which is not installed here"
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
