"""A bare Streamlit page, to which ``benchmarks/load.py`` compares the app: a heading, a table of 20
rows, and a chart of 200 points.

Its fragment ticks and draws table and chart at each tick; with ``?tick=empty`` it draws nothing.
"""

import altair as alt
import pandas as pd
import streamlit as st

SECONDS = 2

rows = pd.DataFrame({"step": range(200), "loss": [1 / (step + 1) for step in range(200)]})


def draw() -> None:
    st.dataframe(rows.head(20))
    st.altair_chart(alt.Chart(rows).mark_line().encode(x="step", y="loss"))


def draw_nothing() -> None:
    """A fragment that runs and has no element."""


st.title("Bare page")
if st.query_params.get("tick") == "empty":
    draw()
    st.fragment(draw_nothing, run_every=SECONDS)()
else:
    st.fragment(draw, run_every=SECONDS)()
