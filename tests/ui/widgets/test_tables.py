"""Tables: numbers with the separators of the browser's language."""

import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st

from ui.widgets import tables

COLUMNS: tables.Columns = {
    "f1": st.column_config.NumberColumn(**tables.decimals(2)),
    "share": st.column_config.NumberColumn(**tables.per_cent()),
    "n": st.column_config.NumberColumn(format="localized"),
    "name": "Name",
}


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_numbers_are_rounded_to_the_decimal_places_of_their_column(
    make: type[pd.DataFrame],
) -> None:
    table = make({"f1": [0.996, 0.5], "share": [0.80186, 0.5], "n": [1, 2], "other": [0.123, 1.0]})

    rounded = tables.round_numbers(table, COLUMNS)

    expected = {"f1": [1.0, 0.5], "share": [0.802, 0.5], "n": [1, 2], "other": [0.123, 1.0]}
    assert pa.table(expected).equals(
        rounded if isinstance(rounded, pa.Table) else pa.Table.from_pandas(rounded).select(expected)
    )


def test_a_column_without_any_number_is_rounded_too() -> None:
    rounded = tables.round_numbers(pd.DataFrame({"f1": [None, None]}, dtype=object), COLUMNS)

    assert isinstance(rounded, pd.DataFrame)
    assert rounded["f1"].isna().all()
