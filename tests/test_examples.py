"""The scripts in ``examples/`` run as documented, with small settings."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
LONGEST = 60  # lines: an example is read in one go
pytestmark = pytest.mark.slow


def run_example(name: str, *arguments: str) -> str:
    """Standard output of an example, started as its docstring says."""
    command = [sys.executable, "-m", f"examples.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_prints_the_curve_and_the_scores_of_every_class() -> None:
    output = run_example("train_and_evaluate", "--rows", "80", "--rank", "4")

    assert "5 steps" in output  # 80 rows in batches of 16
    assert re.search(r"test accuracy 0\.\d{3} \(95 % interval 0\.\d{3} to 0\.\d{3}\)", output)
    assert all(name in output for name in ("World", "Sports", "Business", "Sci/Tech"))


def test_a_comparison_ends_with_a_verdict() -> None:
    output = run_example("compare_two_runs", "--rows", "80", "--ranks", "2", "4")

    assert "rank 2: test accuracy" in output
    assert re.search(r"rank 4 is .* rank 2 on 300 texts \(95 % interval", output)


def test_an_exported_adapter_classifies_with_plain_peft() -> None:
    output = run_example("export_and_load", "--text", "The striker scored twice in the cup final.")

    assert "200 of 200 test texts get the same label" in output
    probabilities = {line.split()[0]: float(line.split()[1]) for line in output.splitlines()[-4:]}
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.003)
    assert max(probabilities, key=probabilities.__getitem__) == "Sports"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_names_its_command(path: Path) -> None:
    content = path.read_text(encoding="utf-8")

    assert len(content.splitlines()) < LONGEST
    assert f"python -m examples.{path.stem}" in content
