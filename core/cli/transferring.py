"""Runs as files: ``python -m core export``, ``import``, ``evaluate``, ``backup``, ``restore``."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import output
from core.cli.output import Json, PhasePrinter, print_result
from core.data.sources import find_source, named_source
from core.errors import ConfigError, StateConflict
from core.jobs.tasks.backups import (
    FINAL_TEST_RESTORED,
    PackedRuns,
    RestoredRuns,
    list_own_runs,
    write_backup,
)
from core.jobs.tasks.backups import restore as restore_runs
from core.jobs.tasks.export_run import export, pack
from core.runs import descriptions
from core.runs.run import Run, find_run
from core.settings import Settings
from core.storage import files
from core.storage.recovery import open_store
from core.transfer.export.formats import Format
from core.transfer.imports.archive import read_archive
from core.transfer.imports.backup_zip import open_backup
from core.transfer.imports.import_run import import_run


def register_transfer(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("export")(export_command)
    app.command("import")(import_command)
    app.command()(evaluate)


def export_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    target: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.ADAPTER,
    to: Annotated[
        Path, typer.Option("--to", help="Folder to write into; it must be new or empty.")
    ] = Path("export"),
    as_json: Json = False,
) -> None:
    """Export a run as adapter, merged model, ONNX, curves, script or all in one, and verify that
    the exported model predicts as the run does.
    """

    def exported() -> Any:
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise ConfigError(f"{to} exists already.", "Name a folder that is new or empty.")
        store = open_store(Settings())
        job = find_run(store, run)
        to.parent.mkdir(parents=True, exist_ok=True)
        with files.scratch_folder(to.absolute()) as scratch:
            folder = scratch / "unpacked"
            folder.mkdir()
            verification = export(store, job, target, folder, PhasePrinter(), lambda: False)
            if target is Format.BUNDLE:
                unpacked, folder = folder, scratch / "packed"
                folder.mkdir()
                pack(unpacked, folder / f"{job.id}-{target}.zip", f"{job.id}-{target}")
            if to.exists():
                to.rmdir()
            os.replace(folder, to)  # only now, so that a failure leaves nothing half-written
        path = to / f"{job.id}-{target}.zip" if target is Format.BUNDLE else to
        return {
            "path": str(path),
            "format": target,
            "bytes": _size(path),
            "verified": verification.describe() if verification else None,
        }

    print_result(exported, as_json, _format_export)


def import_command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="PEFT adapter folder, or a zip exported here as adapter or bundle."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the run.")] = "",
    classes: Annotated[
        str,
        typer.Option(
            help=(
                "Class names in the order of their ids, separated by commas, if the file lacks"
                " them."
            )
        ),
    ] = "",
    base: Annotated[
        str,
        typer.Option(
            help=(
                "Base model that the adapter was trained for, if the file names a folder of another"
                " machine or a Hub model without revision: an id, a folder, or org/name@commit."
            )
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Import an adapter as a finished run; only safetensors, JSON and vocabularies are read."""

    def imported() -> Any:
        store = open_store(Settings())
        names = [part.strip() for part in classes.split(",")] if classes.strip() else []
        job = import_run(store, read_archive(path), name=name, classes=names, base=base)
        return {
            **descriptions.describe_run(store, job),
            "classes": list(Run.of(store, job).classes),
        }

    print_result(imported, as_json, _format_import)


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of an imported run.")],
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    as_json: Json = False,
) -> None:
    """Score an imported run on the test texts of a dataset with the same class names."""

    def scored() -> Any:
        # Late: it imports torch, which few commands need.
        from core.jobs.workers.classify import score_run  # noqa: PLC0415

        settings = Settings()
        store = open_store(settings)
        job = find_run(store, run)
        score_run(
            store,
            job,
            named_source(settings, data) if data else find_source(settings),
            PhasePrinter(),
        )
        return descriptions.describe_run(store, store.read_job(job.id))

    print_result(scored, as_json, output.format_run)


def _format_import(run: dict[str, Any]) -> str:
    scored = (
        f"accuracy {run['test']['accuracy']:.4f} on {run['test']['rows']:,} test texts"
        if "test" in run
        else "not scored yet"
    )
    return f"{run['run']}  {run['name']}: {', '.join(run['classes'])}; {scored}"


def _format_export(result: dict[str, Any]) -> str:
    size = f"{result['path']}: {result['bytes'] / 1e6:.1f} MB"
    verified = result["verified"]
    if verified is None:
        return size
    return (
        f"{size}, {verified['labels_equal_share']:.1%} of {verified['texts']:,} predicted classes"
        f" as in the run, probabilities within {verified['max_probability_difference']:.1g}"
    )


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    )


def register_backup(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(backup)
    app.command()(restore)


def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Zip to write; it must be new.")],
    as_json: Json = False,
) -> None:
    """Write all runs that are over into one zip: records, curves, adapters, predictions, tags."""

    def written() -> Any:
        if to.exists():
            raise ConfigError(f"{to} exists already.", "Name a new file.")
        store = open_store(Settings())
        runs = list_own_runs(store)
        if not runs:
            raise StateConflict("There is no finished run to back up.", "Train one first.")
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".{to.name}.part")
        try:
            packed = PackedRuns()
            write_backup(store, runs, part, True, PhasePrinter(), lambda: False, packed)
            os.replace(part, to)  # only now, so that a failure leaves nothing half-written
        finally:
            part.unlink(missing_ok=True)
        return {"path": str(to), **asdict(packed), "bytes": to.stat().st_size}

    print_result(written, as_json, _format_backup)


def _format_backup(result: dict[str, Any]) -> str:
    size = f"{result['runs']} runs, {result['bytes'] / 1e6:.1f} MB"
    return f"{result['path']}: {size}{_format_left_out(result)}"


def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A zip that backup wrote.")],
    as_json: Json = False,
) -> None:
    """Restore the runs of a backup; each is checked, and existing runs are not changed."""

    def restored() -> Any:
        outcome = RestoredRuns()
        with open_backup(path) as opened:
            restore_runs(open_store(Settings()), opened, PhasePrinter(), lambda: False, outcome)
        return outcome.to_result().model_dump(mode="json")

    print_result(restored, as_json, _format_restored)


def _format_restored(result: dict[str, Any]) -> str:
    existing = f", {result['already']} existed already" if result["already"] else ""
    hidden = f"\n{FINAL_TEST_RESTORED}" if result["final_test"] else ""
    return f"{len(result['restored'])} runs restored{existing}{hidden}{_format_left_out(result)}"


def _format_left_out(result: dict[str, Any]) -> str:
    return "".join(f"\n{run} is left out: {why}" for run, why in result["left_out"].items())
