"""``python -m core sweep``: queue one run per value of a field."""

from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.jobs import actions, describe
from core.jobs.rebuild import open_store
from core.jobs.sweep import expect_sweep, plan_sweep
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(sweep)


def sweep(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of the run whose configuration is taken.")],
    field: Annotated[str, typer.Option(help="Field to change, for example rank or seed.")],
    values: Annotated[str, typer.Option(help="2 to 10 values, for example 2,8,32.")],
    dry: Annotated[bool, typer.Option("--dry", help="Say what it would take and queue nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Queue the same run once for each value of a field."""

    def queued() -> Any:
        store = open_store(Settings())
        planned = plan_sweep(describe.find_run(store, run), field, values)
        seconds = [round(found.likely_seconds, 1) if found else None for found in expect_sweep(store, planned)]
        jobs = [] if dry else actions.launch_sweep(store, planned)
        lines = [{"name": name, "likely_seconds": likely} for name, likely in zip(planned.names, seconds, strict=True)]
        total = round(sum(filter(None, seconds)), 1) if all(likely is not None for likely in seconds) else None
        runs = [{**line, "run": job.id} for line, job in zip(lines, jobs, strict=True)] if jobs else lines
        return {"set": planned.id, "field": field, "likely_seconds": total, "runs": runs}

    print_result(queued, as_json, _text)


def _text(found: Any) -> str:
    total = "" if found["likely_seconds"] is None else f", about {found['likely_seconds'] / 60:.1f} min in all"
    lines = [f"  {one.get('run', 'not queued'):<12}{one['name']}" for one in found["runs"]]
    return "\n".join([f"Set {found['set']}: {len(found['runs'])} runs{total}", *lines])
