"""Streamlit code shared by the pages; importing it configures the server's memory allocators."""

import ctypes
import os

M_ARENA_MAX, ARENAS = (
    -8,
    2,
    # from glibc's malloc.h; its default is up to eight arenas per core, each of which keeps freed
    # memory
)

# Arrow's own pool keeps about 12 MB; the pool is chosen when pyarrow is imported
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
if hasattr(ctypes.CDLL(None), "mallopt"):
    # every rerun is a new thread, so all arenas would be used
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
