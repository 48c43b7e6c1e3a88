"""Rows of texts about pets."""

from collections.abc import Callable

import pandas as pd

from core.data.sources import Source

Make = Callable[..., Source]


def items(rows: int, labels: tuple[object, ...] = ("cat", "dog")) -> pd.DataFrame:
    """Return ``rows`` texts with alternating labels."""
    return pd.DataFrame(
        {
            "text": [f"text {i} here" for i in range(rows)],
            "label": [labels[i % len(labels)] for i in range(rows)],
        }
    )
