"""``python -m core baselines``: what a fine-tuned model has to beat on the data in use.

``python -m core sweep``: queue one run per value of a field.

``python -m core report``: a run or a comparison as one HTML file.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import follow
from core.cli.output import Json, print_result
from core.config import RunConfig
from core.data.preparation import find_prepared, prepare
from core.data.sources import find_source, named_source
from core.errors import ConfigError
from core.evaluation.baselines import EXPLAINED
from core.jobs import actions
from core.jobs.launching import launch, read_job_result
from core.reports.run_report import write_report
from core.runs.run import find_run
from core.runs.run_baselines import (
    BaselineRequest,
    BaselineResult,
    Fitted,
    missing_baselines,
    read_fitted,
)
from core.runs.sweep import estimate_sweep, plan_sweep
from core.settings import Settings
from core.storage import files
from core.storage.recovery import open_store
from core.storage.store import Store


def register_baselines(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(baselines)


def baselines(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    rows: Annotated[
        int, typer.Option(min=0, help="Training rows that TF-IDF learns from; 0 takes all.")
    ] = 4000,
    model: Annotated[str, typer.Option(help="Base model of the linear probe.")] = "",
    as_json: Json = False,
) -> None:
    """Fit majority class, TF-IDF and linear probe, or read those that are kept, and print their
    test accuracy.
    """

    def found() -> Any:
        store = open_store(Settings())
        settings = store.settings
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(
            settings, source, follow.PhasePrinter(), lambda: False
        )
        config = RunConfig(train_rows=rows, model=model or settings.model)
        request = BaselineRequest.of(dataset.fingerprint, config)
        if missing_baselines(settings, request, len(dataset.classes)):
            _fit(store, request, dataset.name)
        fitted = read_fitted(settings, request, len(dataset.classes))
        return {
            "data": dataset.name,
            "fingerprint": dataset.fingerprint,
            "baselines": [describe(one) for one in fitted],
        }

    print_result(found, as_json, _baselines_text)


def describe(one: Fitted) -> dict[str, Any]:
    """JSON values."""
    scores = one.predictions.scores
    return {
        "baseline": str(one.baseline),
        "what": EXPLAINED[one.baseline],
        "accuracy": scores.accuracy.value,
        "interval": list(scores.accuracy.interval),
        "macro_f1": scores.macro_f1,
        "test_rows": scores.accuracy.n,
        "train_rows": one.train_rows,
        "seconds": one.seconds,
    }


def _fit(store: Store, request: BaselineRequest, name: str) -> None:
    job = follow.wait_for_work(store, launch(store, request, name))
    result = read_job_result(job, BaselineResult)
    if result and result.left_out:
        print(f"Without the linear probe. {result.left_out}", file=sys.stderr)


def _baselines_text(found: Any) -> str:
    lines = [f"{found['data']}, fingerprint {found['fingerprint']}"]
    for one in found["baselines"]:
        low, high = one["interval"]
        share = f"{one['accuracy']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(
            f"  {one['baseline']:<16}{share:<26} of {one['test_rows']:,} test texts,"
            f" {one['train_rows']:,} training rows"
        )
    return "\n".join(lines)


def register_sweep(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(sweep)


def sweep(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Id or name of the run whose configuration is taken."),
    ],
    field: Annotated[str, typer.Option(help="Field to change, for example rank or seed.")],
    values: Annotated[str, typer.Option(help="2 to 10 values, for example 2,8,32.")],
    dry: Annotated[
        bool, typer.Option("--dry", help="Say what it would take and queue nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Queue the same run once for each value of a field."""

    def queued() -> Any:
        store = open_store(Settings())
        planned = plan_sweep(find_run(store, run), field, values)
        seconds = [
            round(found.likely_seconds, 1) if found else None
            for found in estimate_sweep(store, planned)
        ]
        jobs = [] if dry else actions.launch_sweep(store, planned)
        lines = [
            {"name": name, "likely_seconds": likely}
            for name, likely in zip(planned.names, seconds, strict=True)
        ]
        total = (
            round(sum(filter(None, seconds)), 1)
            if all(likely is not None for likely in seconds)
            else None
        )
        runs = (
            [{**line, "run": job.id} for line, job in zip(lines, jobs, strict=True)]
            if jobs
            else lines
        )
        return {"set": planned.id, "field": field, "likely_seconds": total, "runs": runs}

    print_result(queued, as_json, _sweep_text)


def _sweep_text(found: Any) -> str:
    total = (
        ""
        if found["likely_seconds"] is None
        else f", about {found['likely_seconds'] / 60:.1f} min in all"
    )
    lines = [f"  {one.get('run', 'not queued'):<12}{one['name']}" for one in found["runs"]]
    return "\n".join([f"Set {found['set']}: {len(found['runs'])} runs{total}", *lines])


def register_report(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(report)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Id or name of a run, or of two to ten to compare."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The HTML file to write.")],
    as_json: Json = False,
) -> None:
    """Write one HTML file with scores, charts and configuration; it opens without a network."""

    def written() -> Any:
        store = open_store(Settings())
        found = [find_run(store, run) for run in runs]
        if to.is_dir() or not to.resolve().parent.is_dir():
            raise ConfigError(
                f"{to} is no file that can be written.", "Name a file in a folder that exists."
            )
        content = write_report(store, found)
        try:
            files.write_bytes(to.resolve(), content)
        except OSError as error:
            raise ConfigError(
                f"{to} cannot be written ({error.strerror}).", "Name another file."
            ) from error
        return {"file": str(to), "bytes": len(content), "runs": [job.id for job in found]}

    print_result(
        written, as_json, lambda found: f"{found['file']}, {found['bytes'] / 1000:,.0f} kB"
    )
