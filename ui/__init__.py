"""Streamlit code shared by the pages; importing it configures the server's memory allocators."""

import ctypes
import os

# numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MALLOC_OPTIONS = {
    # every rerun is a new thread, and each of up to eight arenas per core keeps freed memory
    M_ARENA_MAX: 2,
    # By default the limit for arrays in maps of their own grows up to 32 MB with each that is
    # freed, and columns of a million rows then fragment the arenas: 80 MB with a limit of 4 MB
    # fewer, but each new map costs time.
    M_MMAP_THRESHOLD: 16 << 20,
    M_TRIM_THRESHOLD: 32 << 20,
}

# Arrow's own pool keeps about 12 MB; the pool is chosen when pyarrow is imported
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
if hasattr(ctypes.CDLL(None), "mallopt"):
    for option, value in MALLOC_OPTIONS.items():
        ctypes.CDLL(None).mallopt(option, value)
