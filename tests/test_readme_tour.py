"""The README's tour does what the README shows: the same commands, the same output by shape."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMPT = "$ .venv/bin/python "


def read_tour(readme: str) -> list[tuple[str, list[str]]]:
    """Return the commands of the ``console`` blocks, each with the output lines below it."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", readme, re.DOTALL):
        for line in block.splitlines():
            if line.startswith(PROMPT):
                steps.append((line.removeprefix(PROMPT), []))
            elif line.strip():
                steps[-1][1].append(line)
    return steps


def shape(line: str) -> str:
    """Return the line with ids and numbers replaced and runs of spaces joined."""
    line = re.sub(r"\b([0-9a-f]{12}|[0-9a-f]{8})\b", "ID", line)
    line = re.sub(r"\d[\d,.]*(e[+-]?\d+)?", "#", line)
    return " ".join(line.split())


def run_command(command: str, home: Path, folder: Path) -> list[str]:
    environment = {
        **os.environ,
        "LORALAB_HOME": str(home),
        "LORALAB_HUB": "false",
        "LORALAB_SUPERVISE": "true",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.run(
        [sys.executable, *shlex.split(command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
    return [line for line in process.stdout.splitlines() if line.strip()]


@pytest.mark.worker
def test_the_tour_prints_what_the_readme_shows(home: Path, tmp_path: Path) -> None:
    steps = read_tour((ROOT / "README.md").read_text())
    assert len(steps) >= 4

    for command, expected in steps:
        output = iter([shape(line) for line in run_command(command, home, tmp_path)])
        missing = [line for line in expected if line != "…" and shape(line) not in output]
        assert not missing, f"{command} does not print: {missing}"


def test_a_tour_line_matches_by_shape_only() -> None:
    assert shape("first (2190e96e): 95.0%, within 7e-08") == shape("first (aaaa0000): 1%, within 3")
    assert shape("  test  accuracy 95.0%") != shape("  validation accuracy 95.0%")
