"""Everything of the interface that pages share. The server's memory is set up here, before a
library takes any.
"""

import ctypes
import os

M_ARENA_MAX, ARENAS = (
    -8,
    2,
)  # malloc.h of glibc; by itself it takes up to eight a core, and each keeps what it was given back

os.environ.setdefault(
    "ARROW_DEFAULT_MEMORY_POOL", "system"
)  # Arrow's own keeps some 12 MB; it is chosen as pyarrow is imported
if hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(
        M_ARENA_MAX, ARENAS
    )  # each rerun is a thread of its own, so all of them would come into use
