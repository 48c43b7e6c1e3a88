"""``python -m core quality`` and ``disputed``: check a dataset, print the findings, write a recipe;
list, add and remove disputed labels of the test split.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.output import Json, PhasePrinter, print_result, wait_for_work
from core.data.dataset import Dataset
from core.data.disputed_labels import (
    count_other_versions,
    find_labels,
    read_disputed,
    read_own_disputed,
)
from core.data.explore.index import ensure_index
from core.data.preparation import find_prepared, prepare
from core.data.quality.findings import (
    CHECK_TEXTS,
    Check,
    QualityReport,
    name_rows,
    read_findings,
    read_report,
    read_texts,
)
from core.data.quality.fixes import FIXES, USUAL, suggest_step
from core.data.quality.summary import describe_data, render_document
from core.data.recipe import Recipe, describe_effect, to_bytes
from core.data.sources import Source, find_source, named_source
from core.errors import DataError
from core.jobs.actions import dispute_labels, undo_disputes
from core.jobs.launching import launch
from core.runs.requests import QualityRequest
from core.settings import Settings
from core.storage import files
from core.storage.recovery import open_store
from core.storage.store import Store

disputed = typer.Typer(
    no_args_is_help=True, help="Disputed labels of test texts: list, add, remove."
)
Data = Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")]
Rows = Annotated[
    list[int], typer.Argument(metavar="ROW…", min=0, help="Row numbers in the test split.")
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(quality)


def quality(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    recipe_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a cleaning recipe for train --recipe."),
    ] = None,
    fixes: Annotated[
        list[Check] | None,
        typer.Option("--fix", help="A finding that the recipe fixes; the usual ones by default."),
    ] = None,
    report_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all findings as one HTML page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the data for duplicates, leakage, label errors and other problems."""

    def checked() -> Any:
        settings = Settings()
        source = named_source(settings, data) if data else find_source(settings)
        return check(open_store(settings), source, recipe_out, tuple(fixes or ()), report_out)

    print_result(checked, as_json, format_report)


def check(
    store: Store,
    source: Source,
    recipe_out: Path | None = None,
    fixes: tuple[Check, ...] = (),
    report_out: Path | None = None,
) -> dict[str, object]:
    """Return the stored report on ``source``, or run a check and wait for it; Ctrl-C stops it.

    Args:
        store: Store of the home folder.
        source: Data to check.
        recipe_out: File for a cleaning recipe.
        fixes: Findings that the recipe fixes; the usual ones if empty.
        report_out: File for the full report as HTML.

    Raises:
        DataError: The check failed, or a finding has no fix for all of its texts.
    """
    if unknown := [kind for kind in fixes if kind not in FIXES]:
        fix = (
            "Choose single texts on the Quality page."
            if unknown[0] is Check.SUSPECT
            else "It does not concern single rows."
        )
        raise DataError(f"There is no fix for all texts of {unknown[0].value!r}.", fix)
    if fixes and recipe_out is None:
        raise DataError("--fix needs a file for the recipe.", "Name the file with --recipe-out.")
    printer = PhasePrinter()
    dataset = find_prepared(store.settings, source) or prepare(
        store.settings, source, printer, lambda: False
    )
    if read_report(dataset) is None:
        wait_for_work(
            store, launch(store, QualityRequest(fingerprint=dataset.fingerprint), dataset.name)
        )
    report = read_report(dataset)
    if report is None:
        raise DataError("The report of the check cannot be read.", "Check the data again.")
    described = describe(report)
    if report_out:
        sections = describe_data(dataset, ensure_index(dataset, printer, lambda: False))
        findings = read_findings(dataset)
        named = name_rows(findings, read_texts(dataset, findings), dataset.classes)
        _write(report_out, render_document(report, named, sections, dataset.notes).encode())
        described["page"] = str(report_out)
    return (
        described | {"recipe": _write_recipe(dataset, recipe_out, fixes or USUAL)}
        if recipe_out
        else described
    )


def _write_recipe(dataset: Dataset, path: Path, checks: tuple[Check, ...]) -> dict[str, object]:
    findings = read_findings(dataset)
    texts = read_texts(dataset, findings)
    steps = [step for kind in checks if (step := suggest_step(kind, findings, texts))]
    recipe = Recipe(fingerprint=dataset.fingerprint, steps=tuple(steps))
    _write(path, to_bytes(recipe))
    described = [
        {"check": step.check, "fix": step.fix.value, "rows": len(step.rows)} for step in steps
    ]
    return {"file": str(path), "effect": describe_effect(recipe), "steps": described}


def _write(path: Path, content: bytes) -> None:
    try:
        files.write_bytes(path, content)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({type(error).__name__}).", "Name another file."
        ) from error


def describe(report: QualityReport) -> dict[str, object]:
    """Return the report as JSON values."""
    findings = [
        {
            "check": finding.check.value,
            "texts": finding.texts,
            "groups": finding.groups,
            "said": finding.summary,
            "effect": CHECK_TEXTS[finding.check].effect,
        }
        for finding in report.findings
    ]
    return {
        "data": report.name,
        "fingerprint": report.fingerprint,
        "rows": report.rows,
        "seconds": report.seconds,
        "notes": list(report.notes),
        "findings": findings,
    }


def format_report(described: dict[str, object]) -> str:
    """Format the report as lines for a terminal."""
    findings = described["findings"]
    assert isinstance(findings, list)
    lines = [
        f"{finding['check']:20} {finding['texts']:>8,}  {finding['said']}".rstrip()
        for finding in findings
    ]
    recipe = described.get("recipe")
    if isinstance(recipe, dict):
        lines.append(f"Recipe in {recipe['file']}: {recipe['effect']}.")
    if "page" in described:
        lines.append(f"Report in {described['page']}.")
    return "\n".join(
        [
            (
                f"{described['data']}, {described['rows']:,} texts, fingerprint"
                f" {described['fingerprint']}"
            ),
            *lines,
        ]
    )


@disputed.command("list")
def list_disputed(data: Data = "", as_json: Json = False) -> None:
    """List the disputed labels of a dataset with their texts."""
    print_result(lambda: _describe_disputed(*_open_prepared(data)), as_json, format_disputed)


@disputed.command()
def add(
    rows: Rows,
    data: Data = "",
    suggest: Annotated[
        str, typer.Option(metavar="CLASS", help="The class that fits these texts better.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Mark labels of test texts as disputed. Scores are then also shown without these texts."""

    def added() -> Any:
        store, dataset = _open_prepared(data)
        labels = find_labels(dataset, rows, suggest)
        dispute_labels(store, dataset.fingerprint, dataset.name, labels)
        return _describe_disputed(store, dataset)

    print_result(added, as_json, format_disputed)


@disputed.command()
def remove(rows: Rows, data: Data = "", as_json: Json = False) -> None:
    """Undo the marks of disputed labels."""

    def removed() -> Any:
        store, dataset = _open_prepared(data)
        marked = read_own_disputed(store, dataset.fingerprint)
        if unknown := [row for row in rows if row not in marked]:
            raise DataError(
                f"The label of row {unknown[0]:,} is not disputed.",
                "`python -m core disputed list` shows the rows.",
            )
        undo_disputes(store, dataset.fingerprint, dataset.name, rows)
        return _describe_disputed(store, dataset)

    print_result(removed, as_json, format_disputed)


def _open_prepared(data: str) -> tuple[Store, Dataset]:
    settings = Settings()
    source = named_source(settings, data) if data else find_source(settings)
    dataset = find_prepared(settings, source) or prepare(
        settings, source, PhasePrinter(), lambda: False
    )
    return open_store(settings), dataset


def _describe_disputed(store: Store, dataset: Dataset) -> dict[str, object]:
    labels = read_disputed(store, dataset.fingerprint)
    texts = dataset.read("test", ["row", "text"]).set_index("row")["text"]
    return {
        "data": dataset.name,
        "fingerprint": dataset.fingerprint,
        "disputed": [
            {
                **label.model_dump(mode="json", exclude={"suggested"}),
                "suggested": label.suggested or None,
                "text": texts.get(label.row),
            }
            for label in labels.values()
        ],
        "of_other_versions": count_other_versions(store, dataset.name, dataset.fingerprint),
    }


def format_disputed(described: dict[str, Any]) -> str:
    """Format one line per disputed label."""
    labels = described["disputed"]
    lines = [
        f"{described['data']}, fingerprint {described['fingerprint']}: {len(labels):,} disputed"
        f" {'label' if len(labels) == 1 else 'labels'}"
    ]
    for label in labels:
        suggested = f" -> {label['suggested']}" if label["suggested"] else ""
        lines.append(f"{label['row']:>8}  {label['label']}{suggested}  {label['text']!r}")
    if others := described["of_other_versions"]:
        lines.append(f"{others:,} of another version of the dataset, not applied to this one.")
    return "\n".join(lines)
