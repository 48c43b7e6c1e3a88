"""Form that adds a dataset on the page Your data, from the file to the saved dataset."""

import streamlit as st

from core.access import Action, require
from core.errors import LoraLabError
from core.jobs import actions
from core.storage.store import Store
from ui.data import columns, saved, uploads
from ui.session.error_boundary import show

HOW_TO_READ = """
- **One text and one label per row.** Files may be CSV, TSV, JSON lines (one object per line) or
  Parquet. Format, encoding and separator are detected from the content; correct them under
  *Change how the file is read*.
- **Nothing is unpacked or executed.** Archives, workbooks and pickles are rejected with a note
  on what to do instead.
- **Split.** Training, validation and test rows come from a column, from several files, or from a
  random split with the same class proportions. Without validation rows, a tenth of the training
  rows is used for validation.
- **Classes.** 2 to 50, with at least ten training rows each.
- The default base model was trained on English. Texts in other languages work; a model trained
  on the language works better.
"""


def draw(store: Store) -> None:
    """Draw upload, choices and saving; an error is shown in place and stops the later steps."""
    try:
        require(store.visitor, Action.KEEP_DATA)
        files = uploads.upload(store)
        if not files:
            return
        _draw_choices(store, files)
    except LoraLabError as error:
        show(error)


def _draw_choices(store: Store, files: list[uploads.UploadedFile]) -> None:
    st.markdown("##### File contents")
    read = uploads.read(files)
    if not read:
        return
    uploads.draw_preview(read[0])
    st.markdown("##### Columns and classes")
    parts = columns.choose_splits(read)
    choice = columns.choose(parts)
    st.markdown("##### What will be kept")
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
        name = st.text_input("Name", key="dataset-name", max_chars=48, placeholder="e.g. reviews")
        submitted = st.form_submit_button(
            "Save dataset", key="save-dataset", type="primary", icon=":material/save:"
        )
    if submitted:
        source = actions.keep_dataset(
            store, name, built, choice, [table.found for _, table in parts], files[0].origin
        )
        saved.prepare(store, source.name)
        saved.open_dataset(source.name)
        st.rerun()
