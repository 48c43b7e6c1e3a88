"""Tables to take away: CSV that a spreadsheet shows as text and never runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# A cell that starts so is run as a formula (OWASP, CSV injection); full-width signs count where the
# spreadsheet speaks Japanese.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def escape_cell(cell: object) -> object:
    """``cell``, with an apostrophe before a text that a spreadsheet would run; numbers stay
    numbers.
    """
    return (
        f"'{cell}" if isinstance(cell, str) and cell.lstrip(" \u00a0").startswith(FORMULA) else cell
    )


def to_csv(frame: "pd.DataFrame") -> bytes:
    """The table without its index as CSV in UTF-8, every cell and every column name escaped."""
    safe = frame.apply(
        lambda column: (
            column if column.dtype.kind in "biuf" else column.astype(object).map(escape_cell)
        )
    )
    safe = safe.set_axis([escape_cell(str(name)) for name in frame.columns], axis=1)
    return str(safe.to_csv(index=False)).encode()
