"""Print the result or the error of a command, as JSON or as text."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from core.errors import LoraLabError

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def print_result(make: Callable[[], Any], as_json: bool, as_text: Callable[[Any], str]) -> Any:
    """Print what ``make`` returns; an error is printed with its fix, and the exit code is 1."""
    try:
        result = make()
    except LoraLabError as error:
        if as_json:
            typer.echo(json.dumps({"error": error.message, "fix": error.fix}, ensure_ascii=False))
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        json.dumps(result, ensure_ascii=False, allow_nan=False) if as_json else as_text(result)
    )
    return result


Described = Mapping[str, Any]


def machine_text(machine: Described) -> str:
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
        f"Home       {machine['home']}",
        f"Open to    {machine['mode']}: {machine['ways_in']}",
    ]
    return "\n".join(lines)


def plan_text(plan: Described) -> str:
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
    ]
    if "note" in plan:
        chosen = ", ".join(
            f"{field} = {value}" for field, value in plan["chosen_for_the_budget"].items()
        )
        lines += [f"Budget     {plan['note']}", f"           {chosen or 'as asked for'}"]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def run_text(run: Described) -> str:
    """Format state and scores of a run."""
    lines = [f"{run.get('name', run['run'])} ({run['run']}): {run['state']}"]
    if "queue" in run:
        lines.append(f"  {_turn(run['queue'])}")
    if run.get("phase"):
        lines.append(f"  {run['phase']}, {run['done']:,} of {run['total']:,}")
    if run.get("message"):
        lines.append(f"  {run['message']} {run['fix']}")
    for split in ("untrained", "validation", "test"):
        if split in run:
            lines.append(
                f"  {split:<10} accuracy {run[split]['accuracy']:.1%}, macro-F1"
                f" {run[split]['macro_f1']:.3f}, {run[split]['rows']:,} texts"
            )
    if {
        "rows_per_second",
        "train_seconds",
        "total_seconds",
        "peak_memory_mb",
    } <= run.keys():  # of an imported run some are not known
        speed = (
            f"{run['rows_per_second']:.1f} rows/s, {run['train_seconds']:,.0f} s of training,"
            f" {run['total_seconds']:,.0f} s in all"
        )
        lines.append(f"  {speed}, {run['peak_memory_mb']:,.0f} MB at most")
    return "\n".join(lines)


def _turn(queue: Described) -> str:
    """Format the queue position of a run and its start in local time."""
    wait, ahead = queue["starts_in_seconds"], queue["ahead"]
    if wait is None:
        return f"{ahead} before it; when it starts cannot be told yet"
    if not ahead:
        return "next in line"
    clock = time.strftime("%H:%M", time.localtime(time.time() + wait["likely"]))
    low, likely, high = (_minutes(wait[name]) for name in ("low", "likely", "high"))
    return f"{ahead} before it; starts in about {likely} ({low} to {high}), about {clock}"


def runs_text(runs: Sequence[Described]) -> str:
    """Format one line per run."""
    if not runs:
        return "No runs yet. Start one with: python -m core train --preset taste --wait"
    lines = []
    for run in runs:
        accuracy = f"{run['test']['accuracy']:.1%}" if "test" in run else ""
        turn = f"  ({_turn(run['queue'])})" if "queue" in run else ""
        lines.append(f"{run['run']:<10}{run['state']:<13}{accuracy:>7}  {run['name']}{turn}")
    return "\n".join(lines)


def details_text(run: Described) -> str:
    """Format a run with its configuration, scores per class and confusion matrix."""
    lines = [
        run_text(run),
        "",
        "Configuration",
        *(f"  {field} = {value}" for field, value in run["config"].items()),
    ]
    if "per_class" in run:
        width = max(len(name) for name in run["classes"]) + 2
        lines += ["", f"{'':<{width}}precision  recall     F1  95 % interval  support"]
        for row in run["per_class"]:
            edges = "{:.3f}–{:.3f}".format(*row["f1_interval"])
            lines.append(
                f"{row['class']:<{width}}{row['precision']:>9.3f}{row['recall']:>8.3f}{row['f1']:>7.3f}{edges:>15}{row['support']:>9,}"
            )
        lines += ["", "Confusion matrix (rows: true class, columns: predicted)"]
        for name, counts in zip(run["classes"], run["confusion"], strict=True):
            lines.append(f"{name:<{width}}" + "".join(f"{count:>8,}" for count in counts))
    return "\n".join(lines)


def comparison_text(comparison: Described) -> str:
    """Format one sentence per pair."""
    return "\n".join(pair["verdict"] for pair in comparison["pairs"])


def predictions_text(predictions: Sequence[Described]) -> str:
    """Format label and probabilities of each text."""
    lines = []
    for prediction in predictions:
        lines.append(f"{prediction['label']}: {prediction['text']}")
        lines += [
            f"  {name:<16}{probability:>7.1%}"
            for name, probability in prediction["probabilities"].items()
        ]
    return "\n".join(lines)
