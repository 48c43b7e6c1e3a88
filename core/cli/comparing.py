"""``python -m core baselines``, ``sweep`` and ``report``: baselines of a dataset, one run per value
of a hyperparameter, and HTML reports of runs.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import output
from core.cli.output import Json, print_result
from core.config import RunConfig
from core.data.cleaning import require_fitting
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.recipe import read_recipe_file, trained_fingerprint
from core.data.sources import find_source, named_source
from core.errors import ConfigError
from core.evaluation.baselines import EXPLAINED
from core.jobs import actions
from core.jobs.launching import launch, read_job_result
from core.models.catalog import find_known_model
from core.reports.run_report import write_report
from core.runs.run import find_run
from core.runs.run_baselines import (
    BaselineRequest,
    BaselineResult,
    Fitted,
    list_missing_baselines,
    read_fitted,
)
from core.runs.sweep import estimate_sweep, plan_sweep
from core.settings import Settings
from core.storage import files
from core.storage.recovery import open_store
from core.storage.store import Store

HTML = (".html", ".htm")


def register_baselines(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(baselines)


def baselines(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    rows: Annotated[int, typer.Option(min=0, help="Training rows for TF-IDF; 0 uses all.")] = 4000,
    model: Annotated[str, typer.Option(help="Base model of the linear probe.")] = "",
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Cleaning recipe, applied to the training texts."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the test accuracy of majority class, TF-IDF and linear probe.

    Baselines that are not stored yet are fitted.
    """

    def fitted_baselines() -> Any:
        store = open_store(Settings())
        settings = store.settings
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(
            settings, source, output.PhasePrinter(), lambda: False
        )
        config = RunConfig(train_rows=rows, model=model or settings.model)
        cleaning = read_recipe_file(recipe) if recipe else None
        if cleaning:
            require_fitting(dataset, cleaning)
        fingerprint = trained_fingerprint(dataset.fingerprint, cleaning)
        request = BaselineRequest.of(fingerprint, config, cleaning)
        if list_missing_baselines(settings, request, len(dataset.classes)):
            _fit(store, request, dataset.name)
        fitted = read_fitted(settings, request, len(dataset.classes))
        return {
            "data": dataset.name,
            "fingerprint": fingerprint,
            "baselines": [describe(baseline) for baseline in fitted],
        }

    print_result(fitted_baselines, as_json, _format_baselines)


def describe(fitted: Fitted) -> dict[str, Any]:
    """Return a baseline as JSON values."""
    scores = fitted.predictions.scores
    return {
        "baseline": str(fitted.baseline),
        "what": EXPLAINED[fitted.baseline],
        "accuracy": scores.accuracy.value,
        "interval": list(scores.accuracy.interval),
        "macro_f1": scores.macro_f1,
        "macro_f1_classes": scores.macro_f1_classes,
        "test_rows": scores.accuracy.n,
        "train_rows": fitted.train_rows,
        "seconds": fitted.seconds,
    }


def _fit(store: Store, request: BaselineRequest, name: str) -> None:
    job = output.wait_for_work(store, launch(store, request, name))
    result = read_job_result(job, BaselineResult)
    if result and result.left_out:
        print(f"Without the linear probe. {result.left_out}", file=sys.stderr)


def _format_baselines(result: Any) -> str:
    lines = [f"{result['data']}, fingerprint {result['fingerprint']}"]
    for baseline in result["baselines"]:
        low, high = baseline["interval"]
        accuracy = f"{baseline['accuracy']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(
            f"  {baseline['baseline']:<16}{accuracy:<26} of {baseline['test_rows']:,} test texts,"
            f" {baseline['train_rows']:,} training rows"
        )
    return "\n".join(lines)


def register_sweep(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(sweep)


def sweep(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Id or name of the run whose configuration is used."),
    ],
    field: Annotated[str, typer.Option(help="Field to change, for example rank or seed.")],
    values: Annotated[str, typer.Option(help="2 to 10 values, for example 2,8,32.")],
    dry: Annotated[
        bool, typer.Option("--dry", help="Print the estimates and queue nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Queue one run for each value of a field."""

    def queued() -> Any:
        store = open_store(Settings())
        planned = plan_sweep(find_run(store, run), field, values)
        for model in dict.fromkeys(request.config.model for request in planned.requests):
            find_known_model(model, store.settings, hub_reachable(store.settings))
        seconds = [
            round(estimate.likely_seconds, 1) if estimate else None
            for estimate in estimate_sweep(store, planned)
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

    print_result(queued, as_json, _format_sweep)


def _format_sweep(result: Any) -> str:
    total = (
        ""
        if result["likely_seconds"] is None
        else f", about {result['likely_seconds'] / 60:.1f} min in all"
    )
    lines = [f"  {run.get('run', 'not queued'):<12}{run['name']}" for run in result["runs"]]
    return "\n".join([f"Set {result['set']}: {len(result['runs'])} runs{total}", *lines])


def register_report(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(report)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Id or name of a run, or of two to ten to compare."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The HTML file to write.")],
    as_json: Json = False,
) -> None:
    """Write scores, charts and configuration of runs as one HTML file that opens offline."""

    def written() -> Any:
        store = open_store(Settings())
        jobs = [find_run(store, run) for run in runs]
        if to.suffix.lower() not in HTML:
            raise ConfigError(f"{to} is no HTML file.", "Name a file that ends in .html.")
        if to.is_dir() or not to.resolve().parent.is_dir():
            raise ConfigError(
                f"{to} cannot be written as a file.", "Name a file in an existing folder."
            )
        content = write_report(store, jobs)
        try:
            files.write_bytes(to.resolve(), content)
        except OSError as error:
            raise ConfigError(
                f"{to} cannot be written ({error.strerror}).", "Name another file."
            ) from error
        return {"file": str(to), "bytes": len(content), "runs": [job.id for job in jobs]}

    print_result(
        written, as_json, lambda result: f"{result['file']}, {result['bytes'] / 1000:,.0f} kB"
    )
