"""Tables to download: CSV that a spreadsheet shows as text and never executes, JSON lines, Parquet.

CSV has a byte order mark, without which Excel reads other letters than those of English wrongly.
Its escaped cells are read back unchanged: see ``core.data.tables.exported_cells``.
"""

import codecs
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from core.data.tables.exported_cells import is_escaped, write_header, write_rows
from core.jobs.tasks.text_batch import list_values

if TYPE_CHECKING:
    import pandas as pd

    from core.jobs.tasks.classify_texts import Classified

FileSuffix: TypeAlias = Literal[".csv", ".jsonl", ".parquet"]
WRITTEN: tuple[FileSuffix, ...] = get_args(FileSuffix)


def to_csv(frame: "pd.DataFrame") -> bytes:
    """Convert a table without its index to CSV in UTF-8; cells and column names are escaped."""
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    text = write_header([str(name) for name in frame.columns]) + write_rows(rows)
    return codecs.BOM_UTF8 + text.encode()


def count_escaped(frame: "pd.DataFrame") -> int:
    """Return the number of cells to which ``to_csv`` adds an apostrophe."""
    return sum(is_escaped(cell) for name in frame.columns for cell in frame[name])


def write_answers(classified: "Classified", suffix: FileSuffix) -> bytes:
    """Write all rows of a classified file, in the format that ``suffix`` names."""
    if suffix == ".jsonl":
        return "".join(_json_lines(classified)).encode()
    if suffix == ".parquet" and not classified.json_columns:
        return bytes(classified.frame.to_parquet(index=False))
    frame = classified.plain
    return to_csv(frame) if suffix == ".csv" else bytes(frame.to_parquet(index=False))


def _json_lines(classified: "Classified") -> Iterator[str]:
    """Yield a line per row; a field that the row of a JSON file lacks stays missing."""
    frames = classified.inputs, classified.outputs
    names = [json.dumps(str(name), ensure_ascii=False) for frame in frames for name in frame]
    columns = [list_values(frame[name]) for frame in frames for name in frame]
    for cells in zip(*columns, strict=True):
        fields = []
        for position, (name, cell) in enumerate(zip(names, cells, strict=True)):
            if position >= classified.json_columns:
                fields.append(f"{name}: {json.dumps(cell, ensure_ascii=False, default=str)}")
            elif cell is not None:
                fields.append(f"{name}: {cell}")
        yield f"{{{', '.join(fields)}}}\n"
