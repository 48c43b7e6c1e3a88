"""Tables to download: CSV that a spreadsheet shows as text and never executes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# A cell with one of these prefixes is executed as a formula (OWASP, CSV injection); full-width
# signs are formulas in Japanese spreadsheets.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def escape_cell(cell: object) -> object:
    """Prefix a text that a spreadsheet would execute with an apostrophe; numbers stay numbers."""
    return (
        f"'{cell}" if isinstance(cell, str) and cell.lstrip(" \u00a0").startswith(FORMULA) else cell
    )


def to_csv(frame: "pd.DataFrame") -> bytes:
    """Convert a table without its index to CSV in UTF-8; cells and column names are escaped."""
    safe = frame.apply(
        lambda column: (
            column if column.dtype.kind in "biuf" else column.astype(object).map(escape_cell)
        )
    )
    safe = safe.set_axis([escape_cell(str(name)) for name in frame.columns], axis=1)
    return str(safe.to_csv(index=False)).encode()
