"""LoRA training here compared with the same recipe in ``transformers.Trainer`` and PEFT.

    python benchmarks/training.py --model minilm --rows 640 --rounds 3 --data DIR

Each round trains both sides one after the other on the same rows, in new processes with the same
threads, and scores them on the same test rows. ``--model distilbert`` uses DistilBERT's shape with
random weights if the model is not on this machine: the speed is real, the accuracy is not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scipy import stats

from benchmarks.sides import SIDES, Measured, Task
from core.settings import count_cores

Figures = dict[str, float]
Interval = dict[str, float | None]
SHOWN = (
    "rows_per_second",
    "evaluated_rows_per_second",
    "accuracy",
    "macro_f1",
    "peak_memory_mb",
)  # of both sides


@dataclass(frozen=True)
class Summary:
    """Medians of each side, ratios of ours to the reference, and the efficiency of our matrix
    products.
    """

    sides: dict[str, Figures]
    ratio: Figures
    evaluation_ratio: Figures
    accuracy_difference: Interval
    products: Figures

    def as_dict(self) -> dict[str, object]:
        """Return everything as one flat object."""
        return {
            **self.sides,
            "ratio": self.ratio,
            "evaluation_ratio": self.evaluation_ratio,
            "accuracy_difference": self.accuracy_difference,
            **self.products,
        }


def main() -> None:
    """Print rows per second, accuracy, macro-F1 and memory of both sides with their ratio; with
    ``--json`` as JSON.
    """
    arguments = parse()
    if arguments.side:
        task = Task(**json.loads(arguments.task))
        print(json.dumps(SIDES[arguments.side](task).as_dict()))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as home:
        task = Task(
            arguments.model,
            arguments.rows,
            arguments.test_rows,
            arguments.seed,
            str(arguments.data or ""),
            home,
        )
        rounds = [measure_round(task, number) for number in range(arguments.rounds)]
    summary = summarize(rounds)
    if arguments.json:
        setting = {"model": arguments.model, "rows": arguments.rows, "rounds": arguments.rounds}
        described = summary.as_dict() | setting | {"threads": count_cores()}
        print(json.dumps(described, allow_nan=False))  # noqa: T201
    else:
        print(as_text(summary))  # noqa: T201


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["minilm", "distilbert"], default="minilm")
    parser.add_argument("--rows", type=int, default=640, help="training rows")
    parser.add_argument(
        "--test-rows", type=int, default=1000, help="rows that both sides are scored on"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the first round; each round takes the next"
    )
    parser.add_argument(
        "--data", type=Path, help="dataset folder; else LORALAB_DATA, else the demo corpus"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_round(task: Task, number: int) -> dict[str, Figures]:
    """Measure both sides once, each in its own process; the order alternates."""
    order = list(SIDES) if number % 2 == 0 else list(reversed(SIDES))
    return {side: run_side(side, task.with_seed(task.seed + number)) for side in order}


def run_side(side: str, task: Task) -> Figures:
    """Measure one side in a new process."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(count_cores()),
        "TOKENIZERS_PARALLELISM": "false",
    }
    if side == "ours":
        environment |= {"GOMP_SPINCOUNT": "1000", "MALLOC_ARENA_MAX": "1"}  # as a worker has it
    command = [sys.executable, __file__, "--side", side, "--task", json.dumps(task.as_dict())]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    line = f"{side:9} seed {task.seed}: {describe(figures)}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201
    return figures


def summarize(rounds: list[dict[str, Figures]]) -> Summary:
    """Compute medians of each side over the rounds, and the spread of the ratios."""
    sides = {
        side: {
            name: statistics.median(item[side][name] for item in rounds)
            for name in Measured.names()
        }
        for side in SIDES
    }
    return Summary(
        {
            side: {name: round(value, 4) for name, value in figures.items() if name in SHOWN}
            for side, figures in sides.items()
        },
        ratio=spread(
            [
                item["ours"]["rows_per_second"] / item["reference"]["rows_per_second"]
                for item in rounds
            ]
        ),
        evaluation_ratio=spread(
            [
                item["ours"]["evaluated_rows_per_second"]
                / item["reference"]["evaluated_rows_per_second"]
                for item in rounds
            ]
        ),
        accuracy_difference=difference(
            [item["ours"]["accuracy"] - item["reference"]["accuracy"] for item in rounds]
        ),
        products={
            name: round(sides["ours"][name], 3) for name in Measured.names() if name not in SHOWN
        },
    )


def spread(ratios: list[float]) -> Figures:
    """Return smallest, middle and largest."""
    return {
        "min": round(min(ratios), 2),
        "median": round(statistics.median(ratios), 2),
        "max": round(max(ratios), 2),
    }


def difference(result: list[float]) -> Interval:
    """Return the mean of ours minus the reference over paired seeds with its 95 % interval
    (Student's t); no interval for one round.
    """
    mean = statistics.fmean(result)
    reach = (
        float(stats.t.ppf(0.975, len(result) - 1)) * statistics.stdev(result) / len(result) ** 0.5
        if len(result) > 1
        else None
    )
    low, high = (None, None) if reach is None else (round(mean - reach, 4), round(mean + reach, 4))
    return {"mean": round(mean, 4), "low": low, "high": high}


def describe(figures: Figures) -> str:
    """Return one line."""
    return (
        f"{figures['rows_per_second']:.1f} rows/s, evaluation"
        f" {figures['evaluated_rows_per_second']:.0f} rows/s, accuracy {figures['accuracy']:.4f},"
        f" macro-F1 {figures['macro_f1']:.4f}, {figures['peak_memory_mb']:,.0f} MB"
    )


def as_text(summary: Summary) -> str:
    """Return a few lines for people."""
    ratio = "training {min} to {max} times, median {median}"
    lines = [f"{side}: {describe(summary.sides[side])}" for side in SIDES]
    lines.append(ratio.format(**summary.ratio))
    lines.append(ratio.replace("training", "evaluation").format(**summary.evaluation_ratio))
    gain = "accuracy, ours minus reference: {mean:+.4f}, 95 % interval {low} to {high}"
    lines.append(gain.format(**summary.accuracy_difference))
    peaks = (("gemm", "torch.mm"), ("onednn", "oneDNN"))
    products = summary.products
    shares = [
        f"{products[f'{name}_share']:.0%} of the {products[f'{name}_peak_gflops']:.0f} GFLOP/s of"
        f" {subject}"
        for name, subject in peaks
    ]
    return "\n".join([*lines, f"products while training: {' and '.join(shares)}"])


if __name__ == "__main__":
    main()
