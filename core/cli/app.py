"""The command line: everything the browser can do, with the same core functions.

``--json`` prints JSON on stdout.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import (
    checking,
    classifying,
    comparing,
    exploring,
    output,
    planning,
    saved_data,
    transferring,
)
from core.cli.option_groups import expand_options
from core.cli.output import Json, print_result
from core.config import RunConfig
from core.data.recipe import read_recipe_file
from core.data.sources import Source, find_source, named_source
from core.jobs import actions
from core.people.classroom import read_codes, read_rules
from core.presets import DataSize, Preset, list_unset, make_config, parse_assignments
from core.runs import artifacts, compared_runs, descriptions
from core.runs.limits import list_limits
from core.runs.requests import TrainRequest
from core.runs.run import find_run
from core.runs.waiting_times import read_queue
from core.settings import Settings
from core.storage.job import JobKind, JobState
from core.storage.recovery import open_store, repair
from core.storage.store import Store

app = typer.Typer(
    name="python -m core",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
)
app.add_typer(saved_data.app, name="data")
app.add_typer(checking.disputed, name="disputed")
for register in (
    exploring.register_model_views,
    exploring.register_explore,
    checking.register,
    comparing.register_baselines,
    comparing.register_sweep,
    comparing.register_report,
    transferring.register_transfer,
    transferring.register_backup,
):
    register(app)
app.command()(classifying.classify)
app.command()(classifying.nearest)


def _require_finite(number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter("It is not a finite number.")
    return number


Data = Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")]


@dataclass(frozen=True)
class PlannedRun:
    """The run that is estimated or launched."""

    preset: Annotated[Preset, typer.Option("--preset", help="Starting point.")] = Preset.QUICK
    model: Annotated[
        str | None,
        typer.Option(help="Base model: minilm, distilbert, a folder, or a Hub id with @revision."),
    ] = None
    data: Data = ""
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a hyperparameter."),
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=_require_finite,
            help="Choose rows, epochs, batch and evaluation interval that fit into this many"
            " minutes.",
        ),
    ] = None

    def make_config(self, size: DataSize | None) -> RunConfig:
        """Apply the assignments and the model to the preset."""
        chosen = (
            {"model": Settings().model}
            | parse_assignments(self.assignments or [])
            | ({"model": self.model} if self.model else {})
        )
        return make_config(self.preset, chosen, size)


EXIT_CODES = {JobState.COMPLETED: 0, JobState.CANCELLED: 130}


@app.command()
def doctor(
    as_json: Json = False,
    data: Data = "",
    repair_database: Annotated[
        bool, typer.Option("--repair", help="Set a damaged database aside and rebuild it.")
    ] = False,
) -> None:
    """Show what is ready on this machine: data, models, device, memory."""

    def report() -> Any:
        settings = Settings()
        if repair_database:
            runs, aside = repair(settings)
            typer.echo(
                f"{runs} runs in the database."
                + (f" The damaged file is now {aside.name}." if aside else ""),
                err=True,
            )
        return planning.describe_machine(settings, _source(settings, data), output.PhasePrinter())

    print_result(report, as_json, output.format_machine)


@app.command()
@expand_options
def estimate(
    run: PlannedRun,
    measure: Annotated[
        bool, typer.Option(help="Measure this machine first (seconds), unless it was measured.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Estimate steps, time, memory and disk of a run, without launching it."""

    def planned() -> Any:
        store, source = open_store(Settings()), _source(Settings(), run.data)
        size = planning.read_size(store.settings, source, output.PhasePrinter())
        config = run.make_config(size)
        return planning.describe_plan(
            planning.make_plan(store, config, source, run.minutes, measure, output.PhasePrinter())
        )

    print_result(planned, as_json, output.format_plan)


@app.command()
@expand_options
def train(
    run: PlannedRun,
    name: Annotated[str, typer.Option(help="Name of the run.")] = "",
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Cleaning recipe, applied to the training texts."),
    ] = None,
    guess: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            callback=_require_finite,
            help="Test accuracy that you expect, in per cent.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and print the scores.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Launch a training run in the background."""

    def launch() -> Any:
        settings = Settings()
        source = _source(settings, run.data)
        size = planning.find_size(settings, source)
        config = run.make_config(size)
        planning.require_launchable(config, settings)
        cleaning = read_recipe_file(recipe) if recipe else None
        planning.warn_about_recipe(settings, source, cleaning)
        if run.minutes is None:  # the plan below has it, too
            planning.warn_about_unknown_tokens(settings, source, config.model)
        store = open_store(settings)
        if run.minutes is not None:
            plan = planning.make_plan(
                store, config, source, run.minutes, True, output.PhasePrinter(), cleaning
            )
            typer.echo(output.format_plan(planning.describe_plan(plan)), err=True)
            config = plan.config
        later = () if size or run.minutes is not None else list_unset(run.assignments or [])
        request = TrainRequest(
            config=config, source=source, preset=run.preset, recipe=cleaning, fitted_later=later
        )
        if guess is not None:
            request = request.model_copy(update={"guess": guess / 100})
        job = actions.launch_training(store, request, name=name)
        return (
            output.wait_for_run(store, job)
            if wait
            else {"run": job.id, "name": job.name, "state": job.state}
        )

    result = print_result(launch, as_json, output.format_run)
    state = JobState(result["state"])
    if state.is_finished:
        raise typer.Exit(EXIT_CODES.get(state, 1))


@app.command()
def runs(as_json: Json = False) -> None:
    """List all runs, newest first."""

    def rows() -> Any:
        store = _open_lab()
        turns = read_queue(store)
        return [
            descriptions.describe_run(store, job, turns) for job in store.list_jobs(JobKind.TRAIN)
        ]

    print_result(rows, as_json, output.format_runs)


@app.command()
def show(run: Run, as_json: Json = False) -> None:
    """Show one run: configuration, state, curves, scores per class, confusion matrix (rows: true
    class).
    """

    def details() -> Any:
        store = _open_lab()
        return descriptions.describe_run_details(store, find_run(store, run))

    print_result(details, as_json, output.format_details)


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="Ids or names of two to ten runs.")
    ],
    as_json: Json = False,
) -> None:
    """Compare two to ten finished runs, and test whether differences are more than chance."""

    def pairs() -> Any:
        store = open_store(Settings())
        jobs = [find_run(store, run) for run in runs]
        described = {
            "pairs": compared_runs.compare_runs(store, jobs),
            "without_disputed": compared_runs.compare_undisputed(store, jobs),
        }
        pairs = {
            name: [compared_runs.describe_pair(pair) for pair in compared]
            for name, compared in described.items()
        }
        notes = compared_runs.list_hidden_notes(store, jobs)
        return {**pairs, **({"hidden_notes": notes} if notes else {})}

    print_result(pairs, as_json, output.format_comparison)


@app.command()
def stop(run: Run, as_json: Json = False) -> None:
    """Stop a run; its best adapter so far stays usable."""
    _act(run, as_json, actions.stop)


@app.command()
def resume(run: Run, as_json: Json = False) -> None:
    """Continue a run that ended early, from its last checkpoint."""
    _act(run, as_json, actions.resume)


@app.command()
def retry(run: Run, as_json: Json = False) -> None:
    """Launch a new run like one that failed, with the change that its failure proposes."""
    _act(run, as_json, actions.retry)


@app.command()
def log(run: Run, as_json: Json = False) -> None:
    """Print the log of a run's worker."""

    def printed() -> Any:
        store = open_store(Settings())
        return {
            "log": artifacts.read_log(store.get_folder(find_run(store, run))).decode(
                errors="replace"
            )
        }

    print_result(printed, as_json, lambda result: result["log"])


@app.command()
def delete(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a run, its files and the files classified with it permanently."""
    if not yes:
        typer.confirm(
            f"Delete {run}, all its files and those classified with it?", abort=True, err=True
        )

    def remove(store: Store, job: Any) -> Any:
        actions.delete(store, job)
        return job

    _act(run, as_json, remove, state="deleted")


def _source(settings: Settings, data: str) -> Source:
    return named_source(settings, data) if data else find_source(settings)


def _open_lab() -> Store:
    store = open_store(Settings())
    # a worker that died while no page was open is not shown as running for long
    actions.resume_queue(store)
    return store


def _act(run: str, as_json: bool, action: Callable[[Store, Any], Any], state: str = "") -> None:
    def act() -> Any:
        store = open_store(Settings())
        job = action(store, find_run(store, run))
        return {"run": job.id, "name": job.name, "state": state or job.state}

    print_result(act, as_json, output.format_run)


def register_classroom(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(classroom)
    app.command()(limits)


def classroom(as_json: Json = False) -> None:
    """Show the class code, the teacher's code and the rules of the class."""

    def codes() -> Any:
        store = open_store(Settings())
        class_codes = read_codes(store)
        return {
            "mode": store.settings.mode,
            "class_code": class_codes.student,
            "teacher_code": class_codes.teacher,
            "rules": read_rules(store).model_dump(exclude={"hidden_seed"}),
        }

    print_result(codes, as_json, _codes_text)


def _codes_text(codes: dict[str, Any]) -> str:
    hint = (
        ""
        if codes["mode"] == "classroom"
        else "\nThe server is not a classroom yet: start it with LORALAB_MODE=classroom."
    )
    return f"class code    {codes['class_code']}\nteacher code  {codes['teacher_code']}{hint}"


def limits(as_json: Json = False) -> None:
    """Show what students and guests may have and do on this server."""
    print_result(lambda: dict(list_limits()), as_json, _limits_text)


def _limits_text(table: dict[str, str]) -> str:
    width = max(map(len, table))
    return "\n".join(f"{limited:<{width}}  {most}" for limited, most in table.items())


register_classroom(app)


def main() -> None:
    """Start the command line, as ``python -m core`` and the command ``lora-lab`` do."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    app()
