"""The Quality page: the check that creates a report, the findings, and their texts."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.data.quality.findings import (
    CHECK_TEXTS,
    Check,
    DataFinding,
    QualityReport,
    name_rows,
    read_findings,
    read_neighbors,
    read_report,
    read_texts,
)
from core.data.quality.summary import describe_data, render_document
from core.errors import ArtifactDamaged
from core.jobs.launching import find_latest, launch
from core.runs.requests import QualityRequest
from core.translation import mark, translate, translate_plural, translate_recorded
from ui.explore import view_cache
from ui.quality import cleaning_recipe
from ui.session import cache, error_boundary
from ui.text import capitalize, plain
from ui.widgets import disputed_labels, job_panel, tables
from ui.widgets.disputed_labels import Marks
from ui.widgets.job_panel import PanelWords, StartButton

SHOWN_ROWS = 500  # longer tables are for download
# px: next to the class and the detail, a 900 px page shows the start of each text
TEXT_WIDTH = 340
FINDING_KEY = "finding"
HOW_TO_READ = (
    mark(
        "**Near duplicates** share at least 70 % of their character 5-grams (Jaccard index),"
        " ignoring case and punctuation."
    ),
    mark(
        "**Label errors** come from confident learning: models that have not seen the text"
        " confidently predict another class. They use TF-IDF and, if available, frozen-encoder"
        " features; the line below the heading lists what was used. The score is one minus the"
        " probability of the given label. Not every suspected label is wrong."
    ),
    mark(
        "**Garbled characters** are remains of an encoding or a web page: `&lt;b&gt;`, `#39;`,"
        " backslashes, letters such as `Ã©`."
    ),
    mark(
        "A length is **unusual** if its logarithm is more than 3.5 robust standard deviations from"
        " the median."
    ),
)


def require_report(dataset: Dataset) -> QualityReport:
    """Return the stored report; without one, draw the check's start, progress or failure and
    stop.
    """
    report = read_report(dataset)
    if report is not None:
        return report
    store = cache.open_lab()
    request = QualityRequest(fingerprint=dataset.fingerprint)
    words = PanelWords(
        "stop",
        failed=translate("The check failed."),
        stopped=translate("The check was stopped."),
    )
    start = StartButton(
        translate("Check data"),
        "check",
        lambda: launch(store, request, dataset.name),
        primary=True,
        heading=translate(
            "**{data}** has not been checked yet. The check runs once in the background and takes a"
            " minute or two.",
            data=plain(dataset.name),
        ),
        caption=translate(
            "Duplicates, texts shared between splits, label errors, class imbalance, garbled"
            " characters, unusual lengths."
        ),
    )
    job_panel.draw(store, find_latest(store, request), words, start)
    return st.stop()


def draw_headline(dataset: Dataset, report: QualityReport) -> None:
    """Draw the worst finding as the headline, and what was checked."""
    worst = next((finding for finding in report.findings if finding.texts), None)
    st.subheader(
        (
            translate("No problems found")
            if worst is None
            else translate_plural(
                "{finding}: {n:,} text",
                "{finding}: {n:,} texts",
                worst.texts,
                finding=translate(CHECK_TEXTS[worst.check].title),
            )
        ),
        anchor=False,
    )
    checked = translate(
        "{n:,} texts checked · fingerprint {fingerprint}",
        n=report.rows,
        fingerprint=f"`{dataset.fingerprint}`",
    )
    st.caption(f"{plain(report.name)} · {checked}")
    for note in report.notes:
        st.caption(plain(translate_recorded(note)))


def choose_finding(report: QualityReport) -> DataFinding:
    """Draw all findings as a table and the choice of one; the URL holds its name."""
    lines = [
        (translate(finding.check.value), finding.texts, finding.summary or translate("none"))
        for finding in report.findings
    ]
    columns = {
        "finding": st.column_config.TextColumn(translate("Finding"), width=180),
        "texts": st.column_config.NumberColumn(translate("Texts"), format="localized", width=70),
        "where": st.column_config.TextColumn(translate("Where"), width=450),
    }
    tables.draw_plain(
        pd.DataFrame(lines, columns=["finding", "texts", "where"]),
        key="findings",
        columns=columns,
        alt=translate("Findings and their texts"),
    )
    by_check = {finding.check.value: finding for finding in report.findings if finding.texts} or {
        report.findings[0].check.value: report.findings[0]
    }
    # no bind: it would write the translated name into the address
    current = st.query_params.get(FINDING_KEY)
    st.session_state[FINDING_KEY] = current if current in by_check else next(iter(by_check))
    chosen = st.selectbox(
        translate("Show finding"),
        list(by_check),
        format_func=translate,
        key=FINDING_KEY,
        on_change=_write_finding,
        width=420,
    )
    return by_check[chosen]


def _write_finding() -> None:
    st.query_params[FINDING_KEY] = st.session_state[FINDING_KEY]


def draw_finding(dataset: Dataset, finding: DataFinding, disputed: Marks) -> None:
    """Draw the effect of the finding on results, and its texts; a selected text is shown in
    full.
    """
    if not finding.texts:
        return
    words = CHECK_TEXTS[finding.check]
    title = plain(translate(words.title))
    st.markdown(f"**{title}.** {plain(translate(words.effect))} {plain(translate(words.fix))}")
    if finding.check is Check.IMBALANCE:
        st.caption(plain(finding.summary))
        return
    store = cache.open_lab()
    try:
        all_found = read_findings(dataset)
        texts = _texts(dataset.fingerprint, all_found, dataset)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    cleaning_recipe.offer(store, dataset, finding.check, all_found, texts)
    rows = name_rows(all_found[all_found["check"] == finding.check.value], texts, dataset.classes)
    if finding.check is Check.SUSPECT:
        rows = rows.assign(disputed=_name_marks(rows, disputed))
    shown = rows.head(SHOWN_ROWS).reset_index(drop=True)
    table = pd.DataFrame({name: shown[name] for name in _columns_of(finding.check)})
    choose = tables.draw_several_texts if finding.check is Check.SUSPECT else _one_text
    chosen = choose(
        table,
        key=f"texts-{finding.check.value}",
        columns=_look(dataset.classes),
        alt=translate("Texts: {finding}", finding=translate(words.title)),
    )
    st.caption(_describe_list(len(rows)))
    if finding.check is Check.SUSPECT:
        cleaning_recipe.offer_for_chosen(store, dataset, shown.iloc[chosen])
        disputed_labels.offer_for_chosen(store, dataset, disputed, shown.iloc[chosen])
    if chosen:
        line = shown.iloc[chosen[-1]]
        with st.container(border=True, key="whole-text"):
            parts = [
                plain(str(line["class"])),
                translate(
                    "{split} row {row:,}", split=translate(str(line["split"])), row=int(line["row"])
                ),
                plain(str(line["detail"])),
            ]
            st.caption(" · ".join(part for part in parts if part))
            st.text(str(line["text"]))
            if finding.check is Check.SUSPECT:
                _draw_neighbors(dataset, line)
    name = f"{dataset.fingerprint}-{finding.check.value.replace(' ', '-')}.csv"
    exported = partial(tables.write_csv, rows.drop(columns=["check", "label", "rival"]))
    st.download_button(
        translate("Download table"),
        exported,
        name,
        "text/csv",
        key="download-table",
        icon=":material/download:",
    )


def _describe_list(rows: int) -> str:
    hint = translate("Select a row to read the whole text.")
    if rows <= SHOWN_ROWS:
        return hint
    return f"{translate('The first {shown:,} of {n:,}.', shown=SHOWN_ROWS, n=rows)} {hint}"


def _draw_neighbors(dataset: Dataset, line: pd.Series) -> None:
    """Draw the most similar texts with their classes."""
    try:
        near = read_neighbors(dataset, str(line["split"]), int(line["row"]))
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    if near.empty:
        st.caption(translate("No similar texts are stored."))
        return
    named = name_rows(near.assign(rival=-1), read_texts(dataset, near), dataset.classes)
    st.caption(translate("Most similar texts (cosine of TF-IDF), without copies:"))
    tables.draw_plain(
        named[["class", "similarity", "text", "split", "row"]],
        key="neighbors",
        columns=_look(dataset.classes),
        alt=translate("Nearest texts"),
    )


def offer_document(dataset: Dataset, report: QualityReport) -> None:
    """Draw the download of all findings as one HTML page, including those of Explore."""
    make = partial(_document, dataset, report)
    name = f"quality-{dataset.fingerprint}.html"
    st.download_button(
        translate("Download report"),
        make,
        name,
        "text/html",
        key="download-report",
        icon=":material/description:",
    )


def _document(dataset: Dataset, report: QualityReport) -> bytes:
    try:
        sections = describe_data(dataset, view_cache.index_of(dataset))
    except ArtifactDamaged:  # the Explore page shows the error and its fix
        sections = []
    findings = read_findings(dataset)
    return render_document(
        report,
        name_rows(findings, _texts(dataset.fingerprint, findings, dataset), dataset.classes),
        sections,
        dataset.notes,
    ).encode()


@st.cache_resource(max_entries=2, show_spinner=False)  # the texts of the findings
def _texts(fingerprint: str, findings: pd.DataFrame, _dataset: Dataset) -> pd.DataFrame:
    return read_texts(_dataset, findings)


def _name_marks(rows: pd.DataFrame, disputed: Marks) -> list[str]:
    return [
        disputed_labels.name_mark(disputed.get(row) if split == "test" else None)
        for split, row in zip(rows["split"], rows["row"], strict=True)
    ]


def _one_text(table: pd.DataFrame, *, key: str, columns: tables.Columns, alt: str) -> list[int]:
    chosen = tables.draw_texts(table, key=key, columns=columns, alt=alt)
    return [] if chosen is None else [chosen]


def _columns_of(check: Check) -> list[str]:
    if check is Check.SUSPECT:  # the suggested label is read together with the label
        return ["class", "competing class", "text", "score", "disputed", "split", "row"]
    ends = {
        Check.CONFLICT: ["group"],
        Check.EXACT: ["group"],
        Check.NEAR: ["group", "score"],
    }
    # the text first: a phone shows two columns
    return ["class", "text", *ends.get(check, ["detail"]), "split", "row"]


def _look(classes: Sequence[str]) -> tables.Columns:
    width = tables.class_width(classes)
    return {
        "text": st.column_config.TextColumn(translate("Text"), width=TEXT_WIDTH),
        "class": st.column_config.TextColumn(capitalize(translate("class")), width=width),
        "competing class": st.column_config.TextColumn(
            translate("Suggested label"), width=max(100, width)
        ),
        "score": st.column_config.NumberColumn(translate("Score"), **tables.decimals(3), width=70),
        "similarity": st.column_config.NumberColumn(
            translate("Cosine"), **tables.decimals(2), width=70
        ),
        "group": st.column_config.NumberColumn(
            translate("Group"),
            width=70,
            help=translate("Texts of a group are equal or nearly equal."),
        ),
        "detail": st.column_config.TextColumn(translate("Detail"), width=190),
        "disputed": st.column_config.TextColumn(translate("Disputed"), width=100),
        "split": st.column_config.TextColumn(translate("Split"), width=90),
        "row": st.column_config.NumberColumn(
            translate("Row"), width=70, help=translate("Row number in the source split.")
        ),
    }
