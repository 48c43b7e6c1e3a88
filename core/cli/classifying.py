"""``python -m core classify`` and ``nearest``: classify texts or a column of a file; find the
nearest training texts.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import output
from core.cli.option_groups import FileReading, expand_options
from core.cli.output import Json, print_result, replace_invalid
from core.data.hub import hub_reachable
from core.data.tables.exported_cells import count_escaped
from core.data.tables.read import read_file
from core.data.tables.read_report import HeaderChoice, ReadOptions
from core.data.tables.whole_table import WholeTable, read_whole
from core.errors import DataError
from core.inference.messages import Prediction
from core.jobs.launching import launch
from core.jobs.tasks.classify_texts import (
    CLASS,
    PROBLEM,
    WRITTEN,
    Classified,
    TextPrediction,
    write_answers,
)
from core.jobs.tasks.embed_texts import (
    Index,
    NearestRequest,
    find_index_folder,
    has_index,
    read_index,
)
from core.jobs.tasks.text_batch import Batch, build_batch, propose
from core.runs.run import find_run
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.recovery import open_store
from core.storage.store import Store

MOST_NEIGHBORS = 100


@dataclass(frozen=True)
class ClassifiedFile:
    """The file whose rows are classified, and the file of the results."""

    file: Annotated[
        Path | None,
        typer.Option("--file", help="CSV, TSV, JSON, JSON lines, Parquet, or a text per line."),
    ] = None
    column: Annotated[
        str,
        typer.Option("--column", help="Column with the texts; detected if it is obvious."),
    ] = ""
    label: Annotated[str, typer.Option("--label", help="Column with true classes, for scores.")] = (
        ""
    )
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the results: .csv, .jsonl or .parquet.")
    ] = None
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help=(
                "Compute in fp32, even where bf16 is faster and gives 99.5 % of the run's"
                " validation texts the same label."
            ),
        ),
    ] = False


@expand_options
def classify(
    run: Annotated[str, typer.Argument(help="Id or name of a run.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT…")] = None,
    *,
    rows: ClassifiedFile,
    reading: FileReading,
    as_json: Json = False,
) -> None:
    """Classify texts, or all rows of a file, with a run.

    The results of a file hold its rows and columns as they are, and the answers in new columns.
    """

    def predictions() -> Any:
        store = open_store(Settings())
        job = find_run(store, run)
        chosen = reading.to_read_options()
        if rows.file is None:
            if rows != ClassifiedFile() or chosen != ReadOptions():
                raise DataError("Options for a file need a file.", "Add --file and --out.")
            return _classify_texts(store, job, texts or [])
        if texts:
            raise DataError(
                "Texts and a file cannot be classified at once.", "Leave out the texts or --file."
            )
        out = _require_writable(rows.file, rows.out)
        content = read_file(rows.file)
        table = read_whole(rows.file.name, content, chosen if chosen != ReadOptions() else None)
        batch = build_batch(table, rows.column or propose(table).text, rows.label)
        return _classify_file(store, job, table, batch, out, rows.exact)

    print_result(predictions, as_json, _as_text)


def _classify_texts(store: Store, job: Job, texts: Sequence[str]) -> list[TextPrediction]:
    # Late: it imports torch, which few commands need.
    from core.jobs.workers.classify import classify_texts  # noqa: PLC0415

    if not texts:
        raise DataError(
            "There is nothing to classify.", "Give texts, or a file with --file and --out."
        )
    valid = [replace_invalid(text, f"Text {number}") for number, text in enumerate(texts, 1)]
    return classify_texts(store, job, valid, hub=hub_reachable(store.settings))


def _require_writable(file: Path, out: Path | None) -> Path:
    if out is None or out.suffix.lower() not in WRITTEN:
        problem = f"{out} has another ending." if out else "A file for the results is missing."
        raise DataError(problem, "Add --out with a name that ends in .csv, .jsonl or .parquet.")
    if out.resolve() == file.resolve():
        raise DataError(f"The results would replace {file}.", "Name another file with --out.")
    if not out.parent.is_dir():
        raise DataError(f"There is no folder {out.parent}.", "Create it, or choose another folder.")
    return out


def _classify_file(
    store: Store, job: Job, table: WholeTable, batch: Batch, out: Path, exact: bool
) -> dict[str, object]:
    from core.jobs.workers.classify import classify_batch  # noqa: PLC0415 - as above

    hub = hub_reachable(store.settings)
    classified = classify_batch(store, job, batch, hub, exact=exact)
    suffix = next(suffix for suffix in WRITTEN if suffix == out.suffix.lower())
    files.write_bytes(out, write_answers(classified, suffix))
    scores = classified.scores
    return {
        "path": str(out),
        "rows": len(classified.frame),
        "classified": classified.answered,
        "blank": classified.blank,
        "unreadable": classified.unreadable,
        "text": batch.text,
        "label": batch.label or None,
        "header": table.header.present if table.header else None,
        "columns": list(classified.columns.values()),
        "renamed": classified.renamed,
        "escaped_cells": count_escaped(classified.plain) if suffix == ".csv" else 0,
        "classes": _count_classes(classified),
        "notes": [*_describe_header(table.header), *table.notes],
        "accuracy": scores.accuracy.value if scores else None,
        "macro_f1": scores.macro_f1 if scores else None,
        "macro_f1_classes": scores.macro_f1_classes if scores else None,
        "counts": classified.counts.tolist() if classified.counts is not None else None,
        "unknown_labels": classified.unknown,
        "precision": classified.precision,
        "agreement": asdict(classified.agreement) if classified.agreement else None,
        "precision_note": classified.precision_note,
    }


def _count_classes(classified: Classified) -> dict[str, int]:
    counts = classified.answers[CLASS].value_counts()
    return {str(name): int(rows) for name, rows in counts.items()}


def _describe_header(header: HeaderChoice | None) -> list[str]:
    """Say how the first row was read if that is a guess."""
    if header is None or header.certain:
        return []
    return [
        f"The first row was read as {'the header' if header.present else 'a text'}:"
        f" {header.reason}. --{'no-' if header.present else ''}header reads it otherwise."
    ]


def _as_text(result: Sequence[dict[str, Any]] | dict[str, Any]) -> str:
    if not isinstance(result, dict):
        return output.format_predictions(result)
    rows = "1 row is" if result["rows"] == 1 else f"{result['rows']:,} rows are"
    lines = [f"{rows} in {result['path']}; {result['classified']:,} classified.", *result["notes"]]
    lines.append(result["precision_note"])
    if result["blank"]:
        lines.append(f"{result['blank']:,} of them have no text and were not classified.")
    if result["unreadable"]:
        lines.append(
            f"{result['unreadable']:,} of them could not be read or are hidden: see {PROBLEM!r}."
        )
    lines += [
        f"The file has a column {name!r}; the new one is {new!r}."
        for name, new in result["renamed"].items()
    ]
    if result["escaped_cells"]:
        lines.append(
            "Cells that begin like a formula have an apostrophe in front, which LoRA Lab removes"
            f" when it reads the file: {result['escaped_cells']:,}."
        )
    if result["accuracy"] is not None:
        lines.append(f"Accuracy {result['accuracy']:.1%}, {output.format_macro_f1(result)}.")
    lines += [
        f"The label {name!r} of {rows:,} rows is no class of this run."
        for name, rows in result["unknown_labels"].items()
    ]
    return "\n".join(lines)


def nearest(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    count: Annotated[
        int, typer.Option(min=1, max=MOST_NEIGHBORS, help="How many training texts.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Show the training texts whose vectors are nearest to that of a text, with their classes.

    The first call for a run encodes its training texts.
    """

    def neighbors() -> Any:
        valid = replace_invalid(text, "The text").replace("\0", "")
        if not valid.strip():
            raise DataError("The text is empty.", "Give at least one word.")
        store = open_store(Settings())
        job = find_run(store, run)
        folder = find_index_folder(store, job)
        if not has_index(folder):
            output.wait_for_work(store, launch(store, NearestRequest(run=job.id), job.name))
        index = read_index(folder)

        # Late: it imports torch, which few commands need.
        from core.inference.process import predict  # noqa: PLC0415
        from core.jobs.workers.classify import build_classify_request  # noqa: PLC0415 - as above

        request = build_classify_request(store, job, hub_reachable(store.settings))
        (prediction,) = predict([request], valid)
        return _describe(valid, prediction, index, request.classes, count)

    print_result(neighbors, as_json, _format_nearest)


def _describe(
    text: str, prediction: Prediction, index: Index, classes: Sequence[str], count: int
) -> dict[str, Any]:
    label = int(prediction.probabilities.argmax())
    near = [
        {
            "row": int(line["row"]),
            "text": line["text"],
            "label": classes[line["label"]],
            "similarity": round(float(line["similarity"]), 4),
            "agrees": bool(line["label"] == label),
        }
        for line in index.find_nearest(prediction.state, count).to_dict("records")
    ]
    return {
        "text": text,
        "label": classes[label],
        "training_texts": len(index.texts),
        "nearest": near,
    }


def _format_nearest(result: dict[str, Any]) -> str:
    lines = [f"{result['label']}; nearest of {result['training_texts']:,} training texts:"]
    lines += [
        f"{near['similarity']:.3f}  {'  ' if near['agrees'] else '≠ '}{near['label']:<12}"
        f" {' '.join(near['text'].split())[:120]}"
        for near in result["nearest"]
    ]
    return "\n".join(lines)
