"""Add a dataset on the page Your data, from the file to the saved dataset."""

import streamlit as st

from core.access import Action, require
from core.errors import LoraLabError
from core.jobs import actions
from core.storage.store import Store
from ui.data import columns, saved, uploads
from ui.session.error_boundary import show

HOW_TO_READ = """
- **One row, one text, one label.** A file may be CSV, TSV, JSON lines (an object a line) or
  Parquet. Its kind, encoding and separator are found by what it holds; what is wrong can be put
  right under *Read it differently*.
- **Nothing is unpacked or run.** Archives, workbooks and pickles are refused with what to do
  instead.
- **Split.** Training, validation and test rows come from a column, from several files, or are
  drawn here with the same share of each class. Without validation rows a tenth of the training
  rows serves as such.
- **Classes.** 2 to 50, with ten training rows or more each.
- The default base model has learned English. Texts in other languages work; a model that knows
  the language does better.
"""


def draw(store: Store) -> None:
    """Bring files, choose, and save. A fault is said where it is, and what comes after it waits."""
    try:
        require(store.visitor, Action.KEEP_DATA)
        files = uploads.upload(store)
        if not files:
            return
        _draw_choices(store, files)
    except LoraLabError as error:
        show(error)


def _draw_choices(store: Store, files: list[uploads.UploadedFile]) -> None:
    st.markdown("##### What was found")
    read = uploads.read(files)
    if not read:
        return
    uploads.draw_preview(read[0])
    st.markdown("##### Columns and classes")
    parts = columns.choose_splits(read)
    choice = columns.choose(parts)
    st.markdown("##### What becomes of the rows")
    key = "|".join(
        f"{file.key}|{split}|{table.found}"
        for file, (split, table) in zip(files, parts, strict=True)
    )
    built = columns.built(key, columns.choice_key(choice), parts, choice)
    columns.draw_report(built.report, "preview")
    with (
        st.form("save-form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input(
            "Name", key="dataset-name", max_chars=48, placeholder="for example reviews"
        )
        wanted = st.form_submit_button(
            "Save the dataset", key="save-dataset", type="primary", icon=":material/save:"
        )
    if wanted:
        source = actions.keep_dataset(
            store, name, built, choice, [table.found for _, table in parts], files[0].origin
        )
        saved.prepare(store, source.name)
        saved.open_dataset(source.name)
        st.rerun()
