"""``python -m core quality``: check a dataset, print the findings, and write a cleaning recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.output import Json, PhasePrinter, print_result, wait_for_work
from core.data.dataset import Dataset
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
from core.jobs.launching import launch
from core.runs.requests import QualityRequest
from core.settings import Settings
from core.storage import files
from core.storage.recovery import open_store
from core.storage.store import Store


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
        named = name_rows(read_findings(dataset), read_texts(dataset), dataset.classes)
        _write(report_out, render_document(report, named, sections, dataset.notes).encode())
        described["page"] = str(report_out)
    return (
        described | {"recipe": _write_recipe(dataset, recipe_out, fixes or USUAL)}
        if recipe_out
        else described
    )


def _write_recipe(dataset: Dataset, path: Path, checks: tuple[Check, ...]) -> dict[str, object]:
    findings, texts = read_findings(dataset), read_texts(dataset)
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
