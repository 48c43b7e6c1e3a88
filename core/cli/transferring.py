"""``python -m core export`` and ``import``: take a run away in one format, proved, and bring one.

``python -m core backup`` and ``restore``: all runs in one zip, and back on a fresh instance.
"""

import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import output
from core.cli.follow import PhasePrinter
from core.cli.output import Json, print_result
from core.data.sources import find_source, named_source
from core.errors import ConfigError, StateConflict
from core.jobs.tasks.back_up import Packed, own_runs, write_backup
from core.jobs.tasks.export_run import export, pack
from core.jobs.tasks.restore import Restored
from core.jobs.tasks.restore import restore as put_back
from core.runs import descriptions
from core.runs.run import Run, find_run
from core.settings import Settings
from core.storage.recovery import open_store
from core.transfer.export.formats import Format
from core.transfer.imports.archive import read_archive
from core.transfer.imports.backup_zip import open_backup
from core.transfer.imports.import_run import import_run


def register_transfer(app: typer.Typer) -> None:
    """Put the command on ``app``."""
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
    """Write a run as adapter, merged model, ONNX, curves, script or all in one, and prove by replay
    that it answers as the run does.
    """

    def taken() -> Any:
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise ConfigError(f"{to} is there already.", "Name a folder that is new or empty.")
        store = open_store(Settings())
        job = find_run(store, run)
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent) as place:
            made = Path(place) / "made"
            made.mkdir()
            proof = export(store, job, target, made, PhasePrinter(), lambda: False)
            if target is Format.BUNDLE:
                unpacked, made = made, Path(place) / "packed"
                made.mkdir()
                pack(unpacked, made / f"{job.id}-{target}.zip", f"{job.id}-{target}")
            if to.exists():
                to.rmdir()
            os.replace(made, to)  # only now: a failure leaves nothing half-written
        path = to / f"{job.id}-{target}.zip" if target is Format.BUNDLE else to
        return {
            "path": str(path),
            "format": target,
            "bytes": _size(path),
            "verified": proof.describe() if proof else None,
        }

    print_result(taken, as_json, _export_text)


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
                "Class names in the order of their ids, separated by commas, where the file lacks"
                " them."
            )
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a finished run of an adapter; only safetensors and JSON are read."""

    def brought() -> Any:
        store = open_store(Settings())
        given = [one.strip() for one in classes.split(",")] if classes.strip() else []
        job = import_run(store, read_archive(path), name=name, classes=given)
        return {
            **descriptions.describe_run(store, job),
            "classes": list(Run.of(store, job).classes),
        }

    print_result(brought, as_json, _import_text)


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of an imported run.")],
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    as_json: Json = False,
) -> None:
    """Score an imported run on the test texts of a dataset with the same class names."""

    def scored() -> Any:
        # Brings torch, which no other command waits for.
        from core.jobs.workers.score import score_run  # noqa: PLC0415

        settings = Settings()
        store = open_store(settings)
        job = find_run(store, run)
        score_run(
            store,
            job,
            named_source(settings, data) if data else find_source(settings),
            PhasePrinter(),
        )
        return descriptions.describe_run(store, store.job(job.id))

    print_result(scored, as_json, output.run_text)


def _import_text(run: dict[str, Any]) -> str:
    scored = (
        f"accuracy {run['test']['accuracy']:.4f} on {run['test']['rows']:,} test texts"
        if "test" in run
        else "not scored yet"
    )
    return f"{run['run']}  {run['name']}: {', '.join(run['classes'])}; {scored}"


def _export_text(taken: dict[str, Any]) -> str:
    proof = taken["verified"]
    if proof is None:
        return f"{taken['path']}: {taken['bytes'] / 1e6:.1f} MB"
    return (
        f"{taken['path']}: {taken['bytes'] / 1e6:.1f} MB, {proof['labels_equal_share']:.1%} of"
        f" {proof['texts']:,} labels as the run's, probabilities within"
        f" {proof['max_probability_difference']:.1g}"
    )


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    )


def register_backup(app: typer.Typer) -> None:
    """Put both commands on ``app``."""
    app.command()(backup)
    app.command()(restore)


def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Zip to write; it must be new.")],
    as_json: Json = False,
) -> None:
    """Write all runs that are over into one zip: records, curves, adapters, predictions, tags."""

    def written() -> Any:
        if to.exists():
            raise ConfigError(f"{to} is there already.", "Name a file that is new.")
        store = open_store(Settings())
        runs = own_runs(store)
        if not runs:
            raise StateConflict("There is no finished run to take away.", "Train one first.")
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".{to.name}.part")
        try:
            told = Packed()
            write_backup(store, runs, part, True, PhasePrinter(), lambda: False, told)
            os.replace(part, to)  # only now: a failure leaves nothing half-written
        finally:
            part.unlink(missing_ok=True)
        return {"path": str(to), **asdict(told), "bytes": to.stat().st_size}

    print_result(
        written,
        as_json,
        lambda told: (
            f"{told['path']}: {told['runs']} runs, {told['bytes'] / 1e6:.1f} MB{_left_out(told)}"
        ),
    )


def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A zip that backup wrote.")],
    as_json: Json = False,
) -> None:
    """Put the runs of a backup back; each is checked, and one that is here already is left
    alone.
    """

    def restored() -> Any:
        found = Restored()
        with open_backup(path) as opened:
            put_back(open_store(Settings()), opened, PhasePrinter(), lambda: False, found)
        return found.described()

    print_result(restored, as_json, _restore_text)


def _restore_text(told: dict[str, Any]) -> str:
    here = f", {told['already']} were here already" if told["already"] else ""
    return f"{len(told['restored'])} runs restored{here}{_left_out(told)}"


def _left_out(told: dict[str, Any]) -> str:
    return "".join(f"\n{run} is left out: {why}" for run, why in told["left_out"].items())
