"""Run a case through the reader of this project, as the command line and the page do."""

from pathlib import Path

from core.cli.saved_data import describe_card, format_report
from core.data.rows import RawData
from core.data.saved import (
    ImportOptions,
    SavedCard,
    add_files,
    read_saved,
    read_saved_card,
    save,
    split_parts,
)
from core.data.sources import named_source
from core.data.splits.build_splits import BuildOptions, build
from core.data.splits.columns import propose_columns
from core.data.splits.labels import read_labels
from core.data.tables.read import read_table
from core.data.tables.read_report import ReadOptions
from core.errors import DataError
from core.settings import Settings
from tests.corpus.case import Case, Overrides, Rows
from tests.corpus.judge import Answer, Dropped

NAME = "corpus"


def write_files(case: Case, folder: Path) -> list[Path]:
    """Build the files of a case below ``folder``."""
    paths = []
    for name, data in case.build().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


def read_case(
    case: Case, paths: list[Path], settings: Settings, overrides: Overrides | None = None
) -> Answer:
    """Add the files as a dataset and read it back; a data folder is read in place."""
    options = overrides or case.options
    try:
        if case.folder:
            from core.data.load import load_rows  # noqa: PLC0415 - takes seconds to import

            folder = paths[0].parent
            raw = load_rows(named_source(settings, str(folder)), folder / "cache")
            return Answer(_parts(raw), report="\n".join(raw.notes))
        card = _add(case, paths, settings, options)
        raw = read_saved(named_source(settings, NAME))
    except DataError as error:
        return Answer(error=str(error))
    except Exception as error:  # a traceback is an answer, too
        return Answer(error=repr(error), crashed=True)
    return Answer(_parts(raw), _dropped(card), format_report(describe_card(card)))


def read_case_as_page(
    case: Case, paths: list[Path], settings: Settings, overrides: Overrides | None = None
) -> Answer:
    """Read the files as the page does: all columns, and a class for each label."""
    options = overrides or case.options
    reading = ReadOptions(options.encoding, options.separator, options.header, options.quotes)
    try:
        parts = split_parts([read_table(path.name, path.read_bytes(), reading) for path in paths])
        proposal = propose_columns(parts[0][1])
        label = case.label or proposal.label
        if not label:
            return Answer(error="No column of labels was found.")
        for _, table in parts:
            table.require(label)
        labels = read_labels([table.frame[label] for _, table in parts])
        if labels.unclear:
            return Answer(error=f"The label {labels.unclear} may be a class.")
        classes = {name: name for name in labels.counts}
        split = proposal.split if len(parts) == 1 else ""
        choice = BuildOptions((case.text or proposal.text,), label, classes, split)
        formats = [table.file for _, table in parts]
        save(settings, NAME, build(parts, choice), choice, formats, replace=True)
    except DataError as error:
        return Answer(error=str(error))
    card = read_saved_card(settings, NAME)
    raw = read_saved(named_source(settings, NAME))
    return Answer(_parts(raw), _dropped(card), format_report(describe_card(card)))


def _add(case: Case, paths: list[Path], settings: Settings, options: Overrides) -> SavedCard:
    reading = ReadOptions(options.encoding, options.separator, options.header, options.quotes)
    text = (case.text,) if case.text else ()
    chosen = ImportOptions(text, case.label, reading=reading)
    return add_files(settings, paths, NAME, chosen, replace=True)


def _parts(raw: RawData) -> tuple[Rows, ...]:
    frames = [raw.train, raw.test] + ([] if raw.validation is None else [raw.validation])
    return tuple(
        tuple(
            (raw.classes[label], text)
            for label, text in zip(frame["label"], frame["text"], strict=True)
        )
        for frame in frames
    )


def _dropped(card: SavedCard) -> tuple[Dropped, ...]:
    return tuple(
        Dropped(
            item.reason,
            item.rows,
            tuple(int(place.rpartition(": ")[2]) for place in item.where),
        )
        for item in card.report.dropped
    )
