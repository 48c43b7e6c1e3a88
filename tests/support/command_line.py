"""The command line, run in the process of the test."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from core.cli.app import app


def run(*arguments: str) -> Result:
    """Run ``python -m core`` with these arguments."""
    return CliRunner().invoke(app, arguments)


def read_json(*arguments: str) -> Any:
    """Return what the command prints with ``--json``; it must succeed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
