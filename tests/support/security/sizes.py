"""Sizes of the security tests: small by default, those of docs/security.md with
``LORALAB_SECURITY=full``.
"""

import os

FULL = (
    os.environ.get("LORALAB_SECURITY") == "full"
)  # read before the tests' own environment takes its place
