"""``python -m core report``: a run or a comparison as one HTML file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core import files
from core.commands.printing import Json, print_result
from core.errors import ConfigError
from core.jobs import describe
from core.jobs.rebuild import open_store
from core.jobs.reporting import write_report
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(report)


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Id or name of a run, or of two to ten to compare.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The HTML file to write.")],
    as_json: Json = False,
) -> None:
    """Write one HTML file with scores, charts and configuration; it opens without a network."""

    def written() -> Any:
        store = open_store(Settings())
        found = [describe.find_run(store, run) for run in runs]
        if to.is_dir() or not to.resolve().parent.is_dir():
            raise ConfigError(f"{to} is no file that can be written.", "Name a file in a folder that exists.")
        content = write_report(store, found)
        try:
            files.write_bytes(to.resolve(), content)
        except OSError as error:
            raise ConfigError(f"{to} cannot be written ({error.strerror}).", "Name another file.") from error
        return {"file": str(to), "bytes": len(content), "runs": [job.id for job in found]}

    print_result(written, as_json, lambda found: f"{found['file']}, {found['bytes'] / 1000:,.0f} kB")
