"""``python -m core export`` and ``import``: take a run away in one format, proved, and bring one."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.data.sources import find_source, named_source
from core.errors import ConfigError
from core.exporting.formats import Format
from core.importing.parcel import read_parcel
from core.jobs import console, describe
from core.jobs.export import export, pack
from core.jobs.importing import import_run
from core.jobs.rebuild import open_store
from core.jobs.waiting import PhasePrinter
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command("export")(take_away)
    app.command("import")(bring)
    app.command()(evaluate)


def take_away(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    target: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.ADAPTER,
    to: Annotated[Path, typer.Option("--to", help="Folder to write into; it must be new or empty.")] = Path("export"),
    as_json: Json = False,
) -> None:
    """Write a run as adapter, merged model, ONNX, curves, script or all in one, and prove by replay that it answers as the run does."""

    def taken() -> Any:
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise ConfigError(f"{to} is there already.", "Name a folder that is new or empty.")
        store = open_store(Settings())
        job = describe.find_run(store, run)
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
        return {"path": str(path), "format": target, "bytes": _size(path), "verified": proof.described() if proof else None}

    print_result(taken, as_json, _as_text)


def bring(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="PEFT adapter folder, or a zip exported here as adapter or bundle.")],
    name: Annotated[str, typer.Option(help="Name of the run.")] = "",
    classes: Annotated[
        str, typer.Option(help="Class names in the order of their ids, separated by commas, where the file lacks them.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a finished run of an adapter; only safetensors and JSON are read."""

    def brought() -> Any:
        store = open_store(Settings())
        given = [one.strip() for one in classes.split(",")] if classes.strip() else []
        job = import_run(store, read_parcel(path), name=name, classes=given)
        return {**describe.run(store, job), "classes": list(describe.read_classes(job))}

    print_result(brought, as_json, _brought_as_text)


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of an imported run.")],
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    as_json: Json = False,
) -> None:
    """Score an imported run on the test texts of a dataset with the same class names."""

    def scored() -> Any:
        from core.jobs.score import score_run  # noqa: PLC0415 - brings torch, which no other command waits for

        settings = Settings()
        store = open_store(settings)
        job = describe.find_run(store, run)
        score_run(store, job, named_source(settings, data) if data else find_source(settings), PhasePrinter())
        return describe.run(store, store.job(job.id))

    print_result(scored, as_json, console.run_text)


def _brought_as_text(run: dict[str, Any]) -> str:
    scored = f"accuracy {run['test']['accuracy']:.4f} on {run['test']['rows']:,} test texts" if "test" in run else "not scored yet"
    return f"{run['run']}  {run['name']}: {', '.join(run['classes'])}; {scored}"


def _as_text(taken: dict[str, Any]) -> str:
    proof = taken["verified"]
    if proof is None:
        return f"{taken['path']}: {taken['bytes'] / 1e6:.1f} MB"
    return (
        f"{taken['path']}: {taken['bytes'] / 1e6:.1f} MB, {proof['labels_equal_share']:.1%} of {proof['texts']:,} labels as the run's,"
        f" probabilities within {proof['max_probability_difference']:.1g}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
