"""Rows of files to classify, without the files."""

from collections.abc import Sequence

import pandas as pd

from core.data.tables.whole_table import WholeTable
from core.jobs.tasks.text_batch import Batch, build_batch


def make_batch(texts: Sequence[str], labels: Sequence[str] | None = None) -> Batch:
    """Return the rows of a file with these texts and, if given, labels."""
    frame = pd.DataFrame({"text": list(texts)} | ({"label": list(labels)} if labels else {}))
    return build_batch(WholeTable("a.csv", "delimited", frame), "text", "label" if labels else "")
