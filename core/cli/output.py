"""Print results and errors of commands as JSON or text, and job progress on stderr."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from core.config import RunConfig
from core.data.tables.json_values import to_unicode
from core.errors import LoraLabError
from core.evaluation.scores import list_errors
from core.jobs import actions
from core.jobs.launching import launch
from core.jobs.supervisor import ensure_supervisor
from core.progress import Progress as JobProgress
from core.runs import descriptions
from core.runs.requests import CalibrateRequest
from core.runs.run import RunResult
from core.storage.job import Job, JobState
from core.storage.store import Store

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def print_result(make: Callable[[], Any], as_json: bool, as_text: Callable[[Any], str]) -> Any:
    """Print what ``make`` returns; an error is printed with its fix, and the exit code is 1."""
    try:
        result = make()
    except LoraLabError as error:
        if as_json:
            _print(json.dumps({"error": error.message, "fix": error.fix}, ensure_ascii=False))
        _print(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    _print(json.dumps(result, ensure_ascii=False, allow_nan=False) if as_json else as_text(result))
    return result


def _print(text: str, err: bool = False) -> None:
    """Print ``text``; arguments and file names that are no Unicode would end in a traceback."""
    typer.echo(to_unicode(text), err=err)


def replace_invalid(text: str, name: str) -> str:
    """Return an argument with � for each byte that is no character, and say so on stderr."""
    valid = to_unicode(text)
    if valid != text:
        replaced = valid.count("�") - text.count("�")
        typer.echo(f"{name} is not valid Unicode: � replaces {replaced} of its bytes.", err=True)
    return valid


Described = Mapping[str, Any]
MOST_COLUMNS = 20  # classes; a wider matrix does not fit into a line of the terminal
MOST_ERRORS = 20  # pairs of classes


def format_machine(machine: Described) -> str:
    """Format the machine report."""
    data = machine["data"]
    lines = [
        (
            f"Data       {data['name']} ({data['source']}): {data['train_rows']:,} train rows,"
            f" {data['test_rows']:,} test rows, fingerprint {data['fingerprint']}"
        ),
        *(f"           {note}" for note in data["notes"]),
        *(
            f"Model      {model['id']}: {'available' if model['available'] else 'unavailable'}."
            f" {model['reason']}"
            for model in machine["models"]
        ),
        f"Device     {machine['device']}; a base in 4 bits: {machine['four_bit']}",
        f"Precision  auto is {machine['precision']} here, matrix products by {machine['products']}",
        f"Machine    {machine['cores']} cores, {machine['memory_mb']:,} MB",
        f"Home       {machine['home']}, {machine['activations_mb']:,} MB of frozen layers' outputs",
        f"Open to    {machine['mode']}: {machine['ways_in']}",
    ]
    return "\n".join(lines)


def format_plan(plan: Described) -> str:
    """Format the estimate of a run."""
    parts, config = plan["of_likely_seconds"], plan["config"]
    likely, low, high = (_minutes(plan[f"{name}_seconds"]) for name in ("likely", "low", "high"))
    rows = f"{config['train_rows']:,}" if config["train_rows"] else "all"
    lines = [
        (
            f"Run        {config['model']}, {rows} rows, {config['epochs']} epochs, batch"
            f" {config['batch_size']}, rank {config['rank']}"
        ),
        f"Steps      {plan['steps']:,}, {plan['validations']:,} validations",
        f"Time       about {likely}, between {low} and {high}",
        *(
            f"           {_minutes(seconds):>9}  {part.replace('_', ' ')}"
            for part, seconds in parts.items()
        ),
        f"Memory     {plan['peak_memory_mb']:,} MB at most",
        f"Disk       {plan['disk_mb']:,} MB",
        f"Precision  {plan['precision']}",
        f"Speed      {plan['source']}",
        *(f"Warning    {warning}" for warning in plan["warnings"]),
    ]
    if "note" in plan:
        chosen = ", ".join(
            f"{field} = {value}" for field, value in plan["chosen_for_the_budget"].items()
        )
        lines += [f"Budget     {plan['note']}", f"           {chosen or 'as asked for'}"]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


SCORED = {"tfidf": "TF-IDF"}
SCORED_IN = ("validation_precision", "evaluation_precision", "agreement")


def format_run(run: Described) -> str:
    """Format state and scores of a run."""
    lines = [f"{run.get('name', run['run'])} ({run['run']}): {run['state']}"]
    if "queue" in run:
        lines.append(f"  {_turn(run['queue'])}")
    if run.get("phase"):
        lines.append(f"  {run['phase']}, {run['done']:,} of {run['total']:,}")
    if run.get("message"):
        lines.append(f"  {run['message']} {run['fix']}")
    for alert in run.get("alerts", []):
        lines.append(f"  alert at step {alert['step']:,}: {alert['message']} {alert['action']}")
    for split in ("untrained", "validation", "test", "tfidf"):
        if split in run:
            lines.append(
                f"  {SCORED.get(split, split):<10} accuracy {run[split]['accuracy']:.1%},"
                f" {format_macro_f1(run[split])}, {run[split]['rows']:,} texts"
            )
    scored_in = {name: run[name] for name in SCORED_IN if name in run}
    notes = (RunResult.model_validate(scored_in).precision_note, run.get("hidden_note"))
    lines += [f"  {note}" for note in notes if note]
    # of an imported run some are not known
    if {"rows_per_second", "train_seconds", "total_seconds", "peak_memory_mb"} <= run.keys():
        speed = (
            f"{run['rows_per_second']:.1f} rows/s, {run['train_seconds']:,.0f} s of training,"
            f" {run['total_seconds']:,.0f} s in all"
        )
        lines.append(f"  {speed}, {run['peak_memory_mb']:,.0f} MB at most")
    if "seconds" in run:
        parts = (f"{part} {value:,.1f} s" for part, value in run["seconds"].items() if value)
        lines.append(f"  {', '.join(parts)}")
    return "\n".join(lines)


def format_macro_f1(scores: Described) -> str:
    """Format macro-F1 with its number of classes, which earlier versions did not record."""
    if scores.get("macro_f1") is None:
        return "macro-F1 –"
    classes = scores.get("macro_f1_classes")
    return f"macro-F1 {scores['macro_f1']:.3f}" + (f" over {classes:,} classes" if classes else "")


def _format_score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _turn(queue: Described) -> str:
    """Format the queue position of a run and its start in local time."""
    wait, ahead = queue["starts_in_seconds"], queue["ahead"]
    if wait is None:
        return f"{ahead} before it; its start cannot be estimated yet"
    if not ahead:
        return "next in line"
    clock = time.strftime("%H:%M", time.localtime(time.time() + wait["likely"]))
    low, likely, high = (_minutes(wait[name]) for name in ("low", "likely", "high"))
    return f"{ahead} before it; starts in about {likely} ({low} to {high}), about {clock}"


def format_runs(runs: Sequence[Described]) -> str:
    """Format one line per run."""
    if not runs:
        return "No runs yet. Start one with: python -m core train --preset taste --wait"
    lines, width = [], max(len(run["run"]) for run in runs) + 2
    for run in runs:
        accuracy = f"{run['test']['accuracy']:.1%}" if "test" in run else ""
        turn = f"  ({_turn(run['queue'])})" if "queue" in run else ""
        lines.append(f"{run['run']:<{width}}{run['state']:<13}{accuracy:>7}  {run['name']}{turn}")
    notes = dict.fromkeys(run["hidden_note"] for run in runs if "hidden_note" in run)
    return "\n".join([*lines, *notes])


def format_details(run: Described) -> str:
    """Format a run with its configuration, scores per class and confusion matrix."""
    lines = [
        format_run(run),
        *_format_undisputed(run.get("test_without_disputed")),
        *_format_diagnosis(run.get("diagnosis")),
        "",
        "Configuration",
        *(f"  {field} = {value}" for field, value in run["config"].items()),
    ]
    if "per_class" in run:
        width = max(len(name) for name in run["classes"]) + 2
        lines += ["", f"{'':<{width}}precision  recall     F1  95 % interval  support"]
        for row in run["per_class"]:
            precision, recall, f1 = (
                _format_score(row[name]) for name in ("precision", "recall", "f1")
            )
            edges = "–".join(map(_format_score, row["f1_interval"])) if f1 != "–" else f1
            lines.append(
                f"{row['class']:<{width}}{precision:>9}{recall:>8}{f1:>7}{edges:>15}"
                f"{row['support']:>9,}"
            )
        lines += ["", *_format_confusion(run, width)]
    return "\n".join(lines)


def _format_confusion(run: Described, width: int) -> list[str]:
    """Format the matrix, or the most confused pairs of classes where it is too wide for a line."""
    classes, counts = run["classes"], run["confusion"]
    if len(classes) <= MOST_COLUMNS:
        return [
            "Confusion matrix (rows: true class, columns: predicted)",
            *(
                f"{name:<{width}}" + "".join(f"{count:>8,}" for count in row)
                for name, row in zip(classes, counts, strict=True)
            ),
        ]
    errors = list_errors(counts)
    total = sum(texts for texts, _, _ in errors)
    return [
        f"Most frequent of {total:,} errors (--json has the matrix)",
        *(
            f"{texts:>8,}  {classes[true]} predicted as {classes[predicted]}"
            for texts, true, predicted in errors[:MOST_ERRORS]
        ),
    ]


def _format_undisputed(scores: Described | None) -> list[str]:
    if scores is None:
        return []
    texts = f"{scores['disputed']:,} disputed labels"
    if scores["accuracy"] is None:
        return [f"  without {texts} no test text remains"]
    low, high = scores["accuracy_interval"]
    return [
        f"  without {texts}: accuracy {scores['accuracy']:.1%} ({low:.1%} to {high:.1%}),"
        f" {format_macro_f1(scores)}, {scores['rows']:,} test texts"
    ]


def _format_diagnosis(diagnosis: Described | None) -> list[str]:
    if diagnosis is None:
        return []
    changes = "".join(
        f" --set {name}={','.join(value) if isinstance(value, list | tuple) else value}"
        for name, value in diagnosis["changes"].items()
    )
    with_changes = f" Changes:{changes}" if changes else ""
    return ["", f"Diagnosis: {diagnosis['sentence']} {diagnosis['action']}{with_changes}".rstrip()]


def format_comparison(comparison: Described) -> str:
    """Format one sentence per pair."""
    lines = [pair["verdict"] for pair in comparison["pairs"]]
    undisputed = [pair["verdict"] for pair in comparison["without_disputed"]]
    notes = comparison.get("hidden_notes", [])
    return "\n".join(
        [*lines, *(["Without disputed labels:"] if undisputed else []), *undisputed, *notes]
    )


def format_predictions(predictions: Sequence[Described]) -> str:
    """Format label and probabilities of each text."""
    lines = []
    for prediction in predictions:
        lines.append(f"{prediction['label']}: {prediction['text']}")
        lines += [
            f"  {name:<16}{probability:>7.1%}"
            for name, probability in prediction["probabilities"].items()
        ]
    return "\n".join(lines)


POLL_SECONDS = 0.25
SECOND_PRESS_SECONDS = 2.0


def wait_for_run(store: Store, job: Job) -> dict[str, object]:
    """Wait for the end of a run and return its description.

    Ctrl-C detaches and returns its current description; a second Ctrl-C stops the run.
    """
    try:
        _follow(store, job)
        return descriptions.describe_run(store, store.read_job(job.id))
    except KeyboardInterrupt:
        print(
            f"\nDetached; {job.name} continues. Stop it with: python -m core stop {job.id}",
            file=sys.stderr,
        )
    try:
        time.sleep(SECOND_PRESS_SECONDS)
    except KeyboardInterrupt:
        actions.stop(store, store.read_job(job.id))
        _follow(store, job)
    return descriptions.describe_run(store, store.read_job(job.id))


def measure_costs(store: Store, config: RunConfig) -> None:
    """Measure the cost of work with this model and wait for the result; Ctrl-C stops it.

    A failure is printed, and the caller continues without the measurement.
    """
    try:
        request = CalibrateRequest(model=config.model, precision=config.precision)
        wait_for_work(store, launch(store, request, config.model))
    except LoraLabError as error:
        print(f"{error.message} {error.fix}", file=sys.stderr)


def wait_for_work(store: Store, job: Job) -> Job:
    """Wait for a job other than a run and return it; Ctrl-C stops it.

    Raises LoraLabError if the job did not complete.
    """
    try:
        _follow(store, job)
    except KeyboardInterrupt:
        actions.stop(store, store.read_job(job.id))
        print(f"{job.name} is being stopped.", file=sys.stderr)
        raise
    ended = store.read_job(job.id)
    if ended.state is not JobState.COMPLETED:
        raise LoraLabError(
            ended.message or f"{job.name} is {ended.state}.", ended.fix or "Run the command again."
        )
    return ended


class PhasePrinter:
    """Prints a line on stderr when a phase begins; for commands that take seconds."""

    def __init__(self) -> None:
        self._phase = ""

    def __call__(self, progress: JobProgress) -> None:
        """Print the phase if it has changed."""
        if progress.phase != self._phase:
            self._phase = progress.phase
            print(f"{progress.phase} …", file=sys.stderr)


def _follow(store: Store, job: Job) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar, phase = bars.add_task("waiting", total=None), ""
        while not (job := store.read_job(job.id)).state.is_finished:
            ensure_supervisor(store.settings)
            if job.phase != phase:
                phase = job.phase
                bars.reset(
                    bar, total=job.total or None, description=f"{job.name}: {phase or job.state}"
                )
                if not bars.console.is_terminal:
                    print(f"{job.name}: {phase or job.state}", file=sys.stderr)
            bars.update(bar, completed=job.done, total=job.total or None)
            time.sleep(POLL_SECONDS)
