"""How a command prints its result and its failure."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from core.errors import LoraLabError

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def print_result(make: Callable[[], Any], as_json: bool, as_text: Callable[[Any], str]) -> Any:
    """Print what ``make`` returns; a failure the user can mend becomes its plain sentence and exit code 1."""
    try:
        result = make()
    except LoraLabError as error:
        if as_json:
            typer.echo(json.dumps({"error": error.message, "fix": error.fix}, ensure_ascii=False))
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False) if as_json else as_text(result))
    return result
