"""``python -m core export``: take a run away in one format, proved."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.errors import ConfigError
from core.exporting.formats import Format
from core.jobs import describe
from core.jobs.export import export
from core.jobs.rebuild import open_store
from core.jobs.waiting import PhasePrinter
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command("export")(take_away)


def take_away(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    target: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.ADAPTER,
    to: Annotated[Path, typer.Option("--to", help="Folder to write into; it must be new or empty.")] = Path("export"),
    as_json: Json = False,
) -> None:
    """Write a run as adapter, merged model or ONNX, and prove by replay that it answers as the run does."""

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
            if to.exists():
                to.rmdir()
            shutil.move(made, to)  # only now: a failure leaves nothing half-written
        return {"path": str(to), "format": target, "verified": proof.described()}

    print_result(taken, as_json, _as_text)


def _as_text(taken: dict[str, Any]) -> str:
    proof = taken["verified"]
    return (
        f"{taken['path']}: {proof['labels_equal_share']:.1%} of {proof['texts']:,} labels as the run's,"
        f" probabilities within {proof['max_probability_difference']:.1g}"
    )
