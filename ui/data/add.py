"""Form that adds a dataset on the page Your data, from the file or the Hugging Face Hub to the
saved dataset.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from core.access import Action, Mode, require
from core.data.hub_download import HubFiles, HubListing, find_fetched, look_up, split_id
from core.data.splits.data_folders import describe_state, list_tables, measure_size, read_for_server
from core.data.tables.dialect import NAMES as SEPARATORS
from core.data.tables.read_report import NAMED_LINES, ReadOptions
from core.data.tables.table import Table, check_size
from core.data.tables.text_encoding import ENCODINGS
from core.errors import DataError, LoraLabError
from core.jobs import actions
from core.jobs.launching import find_latest, launch
from core.jobs.tasks.prepare_data import FetchRequest
from core.settings import Settings, find_readable
from core.storage.store import Store
from core.translation import localize, mark, translate, translate_plural
from ui.data import columns, saved
from ui.session.error_boundary import show
from ui.text import format_megabytes, plain
from ui.widgets import job_panel, tables
from ui.widgets.job_panel import PanelWords, StartButton
from ui.widgets.reading_options import choose_encoding, draw_options, read_options

HOW_TO_READ = (
    mark(
        "**One text and one label per row.** Files may be CSV, TSV, JSON lines (one object per"
        " line), Parquet or fastText. A path may also be a folder: of such files, or of a folder of"
        " .txt files per class. Format, encoding and separator are detected from the content;"
        " correct them under *Change how the file is read*."
    ),
    mark(
        "**Nothing is changed silently.** Labels and texts stay as written: 01234 is not 1234, us"
        " is not US. Rows without a text or with no label, or several, are left out and counted,"
        " with their lines. A -1 that may mean no label, and labels that look alike, are yours to"
        " decide."
    ),
    mark(
        "**Nothing is unpacked or executed.** Archives, workbooks and pickles are rejected with a"
        " note on what to do instead."
    ),
    mark(
        "**Split.** Training, validation and test rows come from a column, from several files, or"
        " from a random split with the same class proportions. Without validation rows, a tenth of"
        " the training rows is used for validation."
    ),
    mark("**Classes.** 2 to 200, with at least ten training rows each."),
    mark(
        "The default base model was trained on English. Texts in other languages work; a model"
        " trained on the language works better."
    ),
)

UPLOAD, PATH, HUB = mark("Upload"), mark("Path on this machine"), mark("Hugging Face Hub")
PREVIEW_ROWS, PREVIEW_LETTERS = 8, 300
MOST_FILES = 5
CONFIGURATION_KEY = "hub-configuration"
TRUST_SECONDS = 600  # the Hub's content may change; downloads are pinned to a revision


@dataclass(frozen=True)
class UploadedFile:
    """A file to read, from ``data`` or else from ``path``; ``key`` changes with its content.

    ``origin`` is set for files from neither this machine nor the browser.
    """

    name: str
    key: str
    path: Path | None = None
    data: bytes | None = None
    origin: str = ""


def draw(store: Store) -> None:
    """Draw upload, choices and saving; an error is shown in place and stops the later steps."""
    try:
        require(store.visitor, Action.MANAGE_DATASETS)
        files = _choose_files(store)
        if not files:
            return
        _draw_choices(store, files)
    except LoraLabError as error:
        show(error)


def _draw_choices(store: Store, files: list[UploadedFile]) -> None:
    st.markdown(f"##### {translate('File contents')}")
    read = _read_files(files)
    if not read:
        return
    _draw_preview(read[0])
    st.markdown(f"##### {translate('Columns and classes')}")
    parts = columns.choose_splits(read)
    choice = columns.choose(parts)
    st.markdown(f"##### {translate('What will be kept')}")
    key = "|".join(
        f"{file.key}|{split}|{table.file}"
        for file, (split, table) in zip(files, parts, strict=True)
    )
    built = columns.build_dataset(key, columns.choice_key(choice), parts, choice)
    columns.draw_report(built.report, "preview")
    with (
        st.form("save-form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input(
            translate("Name"),
            key="dataset-name",
            max_chars=48,
            placeholder=translate("e.g. reviews"),
        )
        submitted = st.form_submit_button(
            translate("Save dataset"), key="save-dataset", type="primary", icon=":material/save:"
        )
    if submitted:
        source = actions.store_dataset(
            store, name, built, choice, [table.file for _, table in parts], files[0].origin
        )
        saved.prepare(store, source.name)
        saved.open_dataset(source.name)
        st.rerun()


def _choose_files(store: Store) -> list[UploadedFile]:
    """Let the reader choose files and return them."""
    ways = [UPLOAD, *([PATH] if _may_name_paths() else []), HUB]
    way = st.segmented_control(
        translate("From"),
        ways,
        format_func=translate,
        required=True,
        default=UPLOAD,
        key="bring-from",
    )
    if way == PATH:
        return _from_paths()
    return _from_hub(store) if way == HUB else _from_upload()


def _read_files(files: Sequence[UploadedFile]) -> list[Table]:
    """Read the files as tables; if one fails, show why with other reading options, return none."""
    tables_read = []
    for file in files:
        try:
            table = _read_cached(file.name, file.key, read_options(file.key), file)
        except LoraLabError as error:
            show(error)
            draw_options(file.key, expanded=True)
            continue
        _draw_found(table)
        _draw_encodings(table, file)
        draw_options(file.key)
        tables_read.append(table)
    return tables_read if len(tables_read) == len(files) else []


def _draw_preview(table: Table) -> None:
    """Draw the first rows unchanged."""
    shown = (
        table.frame.head(PREVIEW_ROWS)
        .iloc[:, :50]
        .map(lambda cell: cell[:PREVIEW_LETTERS] if isinstance(cell, str) else cell)
    )
    shown.columns = [str(name) for name in shown.columns]
    tables.draw_plain(
        shown,
        key=f"preview-{table.file.name}",
        alt=translate("The first {n} rows of {file}", n=len(shown), file=table.file.name),
    )


def _may_name_paths() -> bool:
    """Return whether the visitor may read files by path: remote visitors may not by default."""
    # behind a proxy every address is this machine's own, so the mode counts as well
    settings = Settings()
    if settings.paths is None and settings.mode == Mode.LOCAL:
        return st.get_option("server.address") in {"localhost", "127.0.0.1", "::1"}
    return bool(settings.paths)


def _from_upload() -> list[UploadedFile]:
    uploaded = st.file_uploader(
        translate(
            "CSV, TSV, JSON lines or Parquet, up to 20 MB. Upload several files to use them as"
            " splits."
        ),
        accept_multiple_files=True,
        key="upload",
    )
    if not _may_name_paths():
        st.caption(
            translate(
                "To read a file by its path, start the server with --server.address localhost, or"
                " run: python -m core data add FILE"
            )
        )
    _check_number(len(uploaded))
    for file in uploaded:
        check_size(file.name, file.size)
    return [UploadedFile(file.name, file.file_id, data=file.getvalue()) for file in uploaded]


def _check_number(files: int) -> None:
    """Raise DataError for more files than the page reads at once."""
    if files > MOST_FILES:
        raise DataError(
            mark("These are {files:,} files; the limit is {most}."),
            mark(
                "Put them in a folder and give its path, or run `python -m core data add FOLDER`."
            ),
            files=files,
            most=MOST_FILES,
        )


def _from_paths() -> list[UploadedFile]:
    typed = st.text_area(
        translate("Path of a file or a folder, or several paths (one per line) to use as splits"),
        key="paths",
        height=80,
        placeholder="~/reviews.csv",
    )
    lines = [line.strip() for line in typed.splitlines() if line.strip()]
    _check_number(len(lines))
    return [file for line in lines for file in _at_typed(line)]


def _at_typed(line: str) -> list[UploadedFile]:
    """Return the files at a path that a visitor names, links in a folder included.

    Raises NotAllowed.
    """
    settings = Settings()
    try:
        path = find_readable(settings, line)
    except ValueError as error:
        raise DataError(
            mark("{path!r} is not a path."), mark("Check the path."), path=line
        ) from error
    files = _at([path])
    for file in files:
        below = file.path.rglob("*") if file.path and file.path.is_dir() else ()
        for each in filter(None, (file.path, *below)):
            find_readable(settings, each)
    return files


def _from_hub(store: Store) -> list[UploadedFile]:
    pick = _fetch_from_hub(store)
    return (
        [replace(file, origin=pick.origin) for file in _at(find_fetched(store.settings, pick))]
        if pick
        else []
    )


def _fetch_from_hub(store: Store) -> HubFiles | None:
    """Let the reader choose a dataset and return its files once downloaded; None before."""
    with (
        st.form("hub-form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        hub_id = st.text_input(
            translate("Dataset id"), key="hub-id", placeholder="owner/name", max_chars=200
        )
        st.form_submit_button(translate("Look up"), key="hub-look-up", icon=":material/search:")
    st.caption(
        translate(
            "Parquet, CSV or JSON lines files of public datasets. Dataset code is never executed."
        )
    )
    if not hub_id.strip():
        return None
    pick, license = _choose_configuration(hub_id)
    terms = (
        translate("license {license}", license=license)
        if license
        else translate("no license stated")
    )
    parts = [
        localize(format_megabytes(pick.size / 2**20)),
        translate_plural("{n:,} file", "{n:,} files", len(pick.files)),
        translate("revision {revision}", revision=pick.revision[:12]),
        terms,
    ]
    st.markdown(f"**{plain(pick.name)}** · {plain(' · '.join(parts))}")
    if find_fetched(store.settings, pick):
        return pick
    _draw_download(store, pick)
    return None


def _choose_configuration(hub_id: str) -> tuple[HubFiles, str]:
    """Return the files of the chosen configuration and the license. Raises DataError."""
    name, configuration = split_id(hub_id)
    offer = _list_offer(name, os.environ.get("HF_ENDPOINT", ""))
    names = sorted(offer.configurations)
    if not configuration and len(names) > 1:
        start = names.index("default") if "default" in names else 0
        configuration = st.selectbox(
            translate("Configuration"), names, start, key=f"{CONFIGURATION_KEY}-{name}", width=420
        )
    return offer.pick(configuration), offer.license


@st.cache_data(max_entries=16, ttl=TRUST_SECONDS, show_spinner="Contacting the Hub")
def _list_offer(name: str, endpoint: str) -> HubListing:
    return look_up(Settings(), name)


def _draw_download(store: Store, pick: HubFiles) -> None:
    request = FetchRequest(pick=pick)
    words = PanelWords(
        "stop-download",
        failed=translate("The download failed."),
        stopped=translate("The download was stopped; its files were deleted."),
        waiting=mark("Waiting for other jobs to finish."),
    )
    start = StartButton(
        translate("Download {size}", size=localize(format_megabytes(pick.size / 2**20))),
        "hub-download",
        lambda: launch(store, request, pick.name),
        icon=":material/cloud_download:",
        primary=True,
    )
    job_panel.draw(store, find_latest(store, request), words, start)


def _at(paths: Sequence[Path]) -> list[UploadedFile]:
    files = []
    for path in paths:
        try:
            for name, table in list_tables(path):
                key = f"{table}|{describe_state(table)}"
                files.append(UploadedFile(name, key, path=table))
        except (OSError, ValueError) as error:
            raise DataError(
                mark("{path} cannot be opened ({cause})."),
                mark("Check the path."),
                path=path,
                cause=type(error).__name__,
            ) from error
    return files


# a table of 20 MB takes about 100 MB
@st.cache_resource(max_entries=4, show_spinner="Reading the file")
def _read_cached(name: str, key: str, reading: ReadOptions, _file: UploadedFile) -> Table:
    if _file.data is not None:
        return read_for_server(name, _file.data, reading)
    path = _file.path or Path(name)
    if path.exists():
        check_size(name, measure_size(path))
    return read_for_server(name, path, reading)


def _draw_found(table: Table) -> None:
    details = table.file
    parts = [
        (
            details.format
            if details.format != "delimited"
            else translate(
                "text separated by {separator}",
                separator=translate(SEPARATORS.get(details.separator, repr(details.separator))),
            )
        )
    ]
    if details.encoding:
        parts.append(ENCODINGS.get(details.encoding, details.encoding))
    if details.header is not None:
        parts.append(translate("first row is the header" if details.header else "no header"))
    rows = translate_plural("{n:,} row", "{n:,} rows", table.rows)
    sizes = f"{rows}, {translate_plural('{n:,} column', '{n:,} columns', len(table.columns))}"
    st.markdown(f"**{plain(details.name)}** · {sizes}")
    st.caption(plain(" · ".join(parts)))
    for note in details.notes:
        st.caption(f":material/info: {plain(note)}")
    for item in table.report.left_out:
        text = translate_plural(
            "{n:,} row left out: {reason}, line {lines}.",
            "{n:,} rows left out: {reason}, lines {lines}.",
            len(item.lines),
            reason=plain(translate(item.reason)),
            lines=", ".join(map(str, item.lines[:NAMED_LINES]))
            + (" …" if len(item.lines) > NAMED_LINES else ""),
        )
        st.caption(f":material/warning: {text}")


def _draw_encodings(table: Table, file: UploadedFile) -> None:
    """Offer the other encodings of the file, each with words as it reads them."""
    if not table.encodings:
        return
    with st.container(horizontal=True, key=f"encodings|{file.key}"):
        for encoding, words in table.encodings:
            examples = ", ".join(other for _, other in words)
            st.button(
                plain(
                    translate(
                        "Read as {encoding}: {examples}",
                        encoding=ENCODINGS.get(encoding, encoding),
                        examples=examples,
                    )
                ),
                key=f"encoding-{encoding}|{file.key}",
                on_click=choose_encoding,
                args=(file.key, encoding),
            )
