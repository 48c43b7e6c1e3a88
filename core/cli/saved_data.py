"""``python -m core data``: add a dataset, list saved datasets, show a report, delete."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.option_groups import FileReading, expand_options
from core.cli.output import Json, print_result
from core.data.hub_download import HubFiles, download, look_up, split_id
from core.data.saved import ImportOptions, SavedCard, add_files, list_saved, read_saved_card
from core.data.splits.build_splits import name_places
from core.data.splits.labels import spell
from core.errors import DataError
from core.jobs.actions import delete_dataset
from core.settings import Settings
from core.storage.recovery import open_store

app = typer.Typer(no_args_is_help=True, help="Datasets of your own: add, list, report, delete.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a saved dataset.")]
REPORTED_ROWS = 100_000


@dataclass(frozen=True)
class ColumnOptions:
    """The columns that are read, and the test split if none of them names it."""

    text: Annotated[list[str] | None, typer.Option(help="Column of texts; several are joined.")] = (
        None
    )
    label: Annotated[str, typer.Option(help="Column of labels.")] = ""
    split: Annotated[str, typer.Option(help="Column that says train, validation or test.")] = ""
    test_share: Annotated[
        float,
        typer.Option(
            min=0.05, max=0.5, help="Proportion of rows for the test split if there is none."
        ),
    ] = 0.2


@dataclass(frozen=True)
class LabelOptions:
    """The changes from labels to classes."""

    merge: Annotated[bool, typer.Option("--merge", help="Merge labels that are nearly equal.")] = (
        False
    )
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=CLASS", help="Rename a label; equal names are merged."),
    ] = None
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Leave out the rows of a label.")
    ] = None


@app.command()
@expand_options
def add(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="CSV, TSV, JSON lines or Parquet; a folder; or hub:OWNER/NAME[:CONFIGURATION].",
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the dataset.")],
    columns: ColumnOptions,
    labels: LabelOptions,
    reading: FileReading,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a dataset of this name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read files and save the usable rows as a dataset. File names give the splits.

    A folder holds such files, or a folder of .txt files per class.
    """

    def save() -> Any:
        options = ImportOptions(
            text=tuple(columns.text or ()),
            label=columns.label,
            split=columns.split,
            merge=labels.merge,
            leave_out=tuple(labels.leave_out or ()),
            rename=_parse_pairs(labels.rename or []),
            test_share=columns.test_share,
            reading=reading.to_read_options(),
        )
        return _add(files, name, options, replace)

    print_result(save, as_json, format_report)


def _add(files: list[str], name: str, options: ImportOptions, replace: bool) -> dict[str, object]:
    settings = Settings()
    pick = _find_on_hub(settings, files)
    paths = _fetch(settings, pick) if pick else [Path(file) for file in files]
    origin = pick.origin if pick else ""
    card = add_files(
        settings, paths, name, options, origin=origin, replace=replace, report=_report_rows
    )
    return describe_card(card)


def _report_rows(rows: int, size: int) -> None:
    """Write the rows of a large file that were read so far, for a person who waits."""
    if rows % REPORTED_ROWS == 0:
        typer.echo(f"{rows:,} rows read", err=True)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List the saved datasets, newest first."""

    def rows() -> Any:
        return [summarize_card(card) for card in list_saved(Settings())]

    print_result(rows, as_json, format_list)


@app.command()
def report(name: Name, as_json: Json = False) -> None:
    """Show how many rows were read, kept and left out, and why."""
    print_result(lambda: describe_card(read_saved_card(Settings(), name)), as_json, format_report)


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a dataset. Runs that were trained on it keep their results."""
    if not yes:
        typer.confirm(f"Delete the dataset {name}?", abort=True, err=True)

    def deleting() -> Any:
        runs = delete_dataset(open_store(Settings()), name)
        return {"name": name, "state": "deleted", "runs": runs}

    print_result(
        deleting,
        as_json,
        lambda done: (
            f"{done['name']} is deleted; {done['runs']} runs were trained on it and stay readable."
        ),
    )


def summarize_card(card: SavedCard) -> dict[str, object]:
    """Return name, rows of each split and classes as JSON values."""
    rows = {f"{split}_rows": card.rows(split) for split in ("train", "validation", "test")}
    return {"name": card.name, **rows, "classes": list(card.classes), "created_at": card.created_at}


def describe_card(card: SavedCard) -> dict[str, object]:
    """Return everything about a saved dataset as JSON values."""
    reading: dict[str, object] = {
        "origin": card.origin,
        "files": [asdict(file) for file in card.files],
        "text": list(card.text),
        "label": card.label,
    }
    return {**summarize_card(card), **reading, "report": asdict(card.report)}


def format_list(rows: list[dict[str, Any]]) -> str:
    """Format one line per dataset."""
    if not rows:
        return (
            "No datasets are saved yet. Add one with: python -m core data add FILE --text COLUMN"
            " --label COLUMN --name NAME"
        )
    return "\n".join(
        f"{row['name']:<30}{row['train_rows']:>9,} train{row['test_rows']:>9,} test "
        f" {len(row['classes'])} classes"
        for row in rows
    )


def format_report(card: dict[str, Any]) -> str:
    """Format a report as lines for a terminal."""
    report = card["report"]
    lines = [f"{card['name']}: {report['rows_kept']:,} of {report['rows_read']:,} rows kept"]
    lines += [f"  from     {card['origin']}"] if card["origin"] else []
    for file in card["files"]:
        lines.append(f"  read     {file['name']} ({_describe_format(file)})")
        lines += [f"           {note}" for note in file["notes"]]
        if file["notes"] and file["format"] == "delimited":
            lines.append("           to read it differently: --encoding, --separator, --header or")
            lines.append("           --no-header, --quotes or --no-quotes")
    texts = ", ".join(map(repr, card["text"]))
    lines.append(f"  columns  texts in {texts}, labels in {card['label']!r}")
    lines += [
        f"  left out {item['rows']:>7,}  {item['reason']}"
        f" ({name_places(item['where'], item['rows'])})"
        for item in report["dropped"]
    ]
    lines += [f"  renamed  {spell(label)} is {spell(name)}" for label, name in report["merged"]]
    lines += [
        f"  similar  {spell(label)} may be {spell(name)}: --merge makes them one class"
        for label, name in report["similar"]
    ]
    lines += [f"  note     {note}" for note in report["notes"]]
    lines += [f"  {'class':<24}{'train':>8}{'validation':>12}{'test':>8}"]
    lines += [
        f"  {name:<24}{train:>8,}{valid:>12,}{test:>8,}"
        for name, train, valid, test in report["classes"]
    ]
    return "\n".join(lines)


def _describe_format(file: dict[str, Any]) -> str:
    """Say how a file was read, and with which options it is read differently."""
    parts = [file["format"], file["encoding"]]
    if file["separator"]:
        parts.append(f"separated by {file['separator']!r}")
    if file["header"] is not None:
        parts.append("with a header" if file["header"] else "without a header")
    if file["quotes"] is False:
        parts.append("quotes are ordinary characters")
    return ", ".join(filter(None, parts))


def _find_on_hub(settings: Settings, files: list[str]) -> HubFiles | None:
    """Look up a dataset id on the Hub; None if ``files`` are files.

    A single owner/name that is no file is an id, even without ``hub:``.
    """
    named = (
        len(files) == 1
        and not Path(files[0]).expanduser().exists()
        and files[0].count("/") == 1
        and not Path(files[0]).suffix
    )
    if not named and not any(file.startswith("hub:") for file in files):
        return None
    if len(files) > 1:
        raise DataError("A dataset of the Hub is added on its own.", "Give one hub:OWNER/NAME.")
    name, configuration = split_id(files[0])
    return look_up(settings, name).pick(configuration)


def _fetch(settings: Settings, pick: HubFiles) -> list[Path]:
    typer.echo(f"Downloading {pick.size / 1e6:,.1f} MB: {pick.origin}.", err=True)
    return download(settings, pick, lambda progress: None, lambda: False)


def _parse_pairs(assignments: list[str]) -> tuple[tuple[str, str], ...]:
    for assignment in assignments:
        if "=" not in assignment:
            raise DataError(f"{assignment!r} renames nothing.", "Write LABEL=CLASS.")
    return tuple(
        (label, name)
        for label, _, name in (assignment.rpartition("=") for assignment in assignments)
    )
