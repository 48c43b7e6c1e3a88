"""``python -m core classify`` and ``nearest``: classify texts or a column of a file; find the
nearest training texts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import output
from core.cli.output import Json, print_result
from core.data.files.columns import propose_columns
from core.data.files.read import read_file, read_table
from core.data.files.table import clean
from core.data.hub import hub_reachable
from core.errors import DataError
from core.inference.messages import Prediction
from core.jobs.launching import launch
from core.jobs.tasks.classify_texts import Classified, choose_columns
from core.jobs.tasks.embed_texts import (
    Index,
    NearestRequest,
    find_index_folder,
    has_index,
    read_index,
)
from core.reports.csv_export import to_csv
from core.runs.run import find_run
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.recovery import open_store
from core.storage.store import Store

WRITTEN = (".csv", ".jsonl", ".parquet")
MOST_NEIGHBORS = 100


def classify(
    run: Annotated[str, typer.Argument(help="Id or name of a run.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT…")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="CSV, TSV, JSON lines or Parquet.")
    ] = None,
    column: Annotated[
        str,
        typer.Option("--column", help="Column with the texts; detected if it is obvious."),
    ] = "",
    label: Annotated[
        str, typer.Option("--label", help="Column with true classes, for scores.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the results: .csv, .jsonl or .parquet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify texts, or a column of a file, with a run."""

    def predictions() -> Any:
        # Late: it imports torch, which few commands need.
        from core.jobs.workers.classify import classify_texts  # noqa: PLC0415

        settings = Settings()
        store = open_store(settings)
        job = find_run(store, run)
        if file is None:
            if column or label or out:
                raise DataError("--column, --label and --out need a file.", "Add --file.")
            if not texts:
                raise DataError(
                    "There is nothing to classify.", "Give texts, or a file with --file and --out."
                )
            return classify_texts(store, job, texts, hub=hub_reachable(settings))
        if texts:
            raise DataError(
                "Texts and a file cannot be classified at once.", "Leave out the texts or --file."
            )
        return _classify_file(store, job, file, column, label, out)

    print_result(predictions, as_json, _as_text)


def _classify_file(
    store: Store, job: Job, file: Path, column: str, label: str, out: Path | None
) -> dict[str, object]:
    from core.jobs.workers.classify import classify_frame  # noqa: PLC0415 - as above

    if out is None or out.suffix.lower() not in WRITTEN:
        problem = f"{out} has another ending." if out else "A file for the results is missing."
        raise DataError(problem, "Add --out with a name that ends in .csv, .jsonl or .parquet.")
    if out.resolve() == file.resolve():
        raise DataError(f"The results would replace {file}.", "Name another file with --out.")
    if not out.parent.is_dir():
        raise DataError(f"There is no folder {out.parent}.", "Create it, or choose another folder.")
    table = read_table(file.name, read_file(file))
    frame = choose_columns(table, column or propose_columns(table).text, label)
    classified = classify_frame(store, job, frame, hub_reachable(store.settings))
    files.write_bytes(out, _content(classified, out.suffix.lower()))
    scores = classified.scores
    return {
        "path": str(out),
        "rows": len(classified.frame),
        "blank": classified.blank,
        "accuracy": scores.accuracy.value if scores else None,
        "macro_f1": scores.macro_f1 if scores else None,
        "macro_f1_classes": scores.macro_f1_classes if scores else None,
        "counts": classified.counts.tolist() if classified.counts is not None else None,
        "unknown_labels": classified.unknown,
    }


def _content(classified: Classified, suffix: str) -> bytes:
    if suffix == ".csv":
        return to_csv(classified.frame)
    if suffix == ".jsonl":
        return classified.frame.to_json(orient="records", lines=True, force_ascii=False).encode()
    return bytes(classified.frame.to_parquet(index=False))


def _as_text(result: Sequence[dict[str, Any]] | dict[str, Any]) -> str:
    if not isinstance(result, dict):
        return output.format_predictions(result)
    rows = "1 row is" if result["rows"] == 1 else f"{result['rows']:,} rows are"
    lines = [f"{rows} in {result['path']}."]
    if result["blank"]:
        lines.append(f"{result['blank']:,} of them have no text and were not classified.")
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
        if not clean(text).strip():
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
        (prediction,) = predict([request], clean(text))
        return _describe(text, prediction, index, request.classes, count)

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
