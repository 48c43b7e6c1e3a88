"""Streamlit code shared by the pages; importing it configures the server's memory allocators."""

import ctypes
import os

# numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MALLOC_OPTIONS = {
    # every rerun is a new thread, and each of up to eight arenas per core keeps freed memory
    M_ARENA_MAX: 2,
    # By default the limit for arrays in maps of their own grows with each freed one, up to 32 MB:
    # columns of a million rows then fragment the arenas, which took 80 MB. From 4 MB on NumPy
    # uses huge pages, so that new maps cost little time.
    M_MMAP_THRESHOLD: 1 << 22,
    M_TRIM_THRESHOLD: 1 << 23,
}

# Arrow's own pool keeps about 12 MB; the pool is chosen when pyarrow is imported
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
if hasattr(ctypes.CDLL(None), "mallopt"):
    for option, value in MALLOC_OPTIONS.items():
        ctypes.CDLL(None).mallopt(option, value)
