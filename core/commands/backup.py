"""``python -m core backup`` and ``restore``: all runs in one zip, and back on a fresh instance."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.errors import ConfigError, StateConflict
from core.importing.backup import open_backup
from core.jobs.backup import Packed, own_runs, write_backup
from core.jobs.rebuild import open_store
from core.jobs.restore import Restored
from core.jobs.restore import restore as put_back
from core.jobs.waiting import PhasePrinter
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put both commands on ``app``."""
    app.command()(backup)
    app.command()(restore)


def backup(to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Zip to write; it must be new.")], as_json: Json = False) -> None:
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

    print_result(written, as_json, lambda told: f"{told['path']}: {told['runs']} runs, {told['bytes'] / 1e6:.1f} MB{_left_out(told)}")


def restore(path: Annotated[Path, typer.Argument(metavar="FILE", help="A zip that backup wrote.")], as_json: Json = False) -> None:
    """Put the runs of a backup back; each is checked, and one that is here already is left alone."""

    def restored() -> Any:
        found = Restored()
        with open_backup(path) as opened:
            put_back(open_store(Settings()), opened, PhasePrinter(), lambda: False, found)
        return found.described()

    print_result(restored, as_json, _as_text)


def _as_text(told: dict[str, Any]) -> str:
    here = f", {told['already']} were here already" if told["already"] else ""
    return f"{len(told['restored'])} runs restored{here}{_left_out(told)}"


def _left_out(told: dict[str, Any]) -> str:
    return "".join(f"\n{run} is left out: {why}" for run, why in told["left_out"].items())
