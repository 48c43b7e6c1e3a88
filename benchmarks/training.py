"""LoRA training here compared with the same recipe in ``transformers.Trainer`` and PEFT.

    python benchmarks/training.py --model minilm --rows 640 --rounds 3 --data DIR

Four sides: both in fp32, and both in bf16 (Trainer with ``bf16=True``). Each round trains them one
after the other on the same rows, each in its own process with the same threads, and scores them on
the same test rows. A process lives through all rounds; those of Trainer are forks of one that has
imported its libraries, and so are ours. Memory is that of the first round. ``--model distilbert``
uses DistilBERT's shape with random weights if the model is not on this machine: the speed is real,
the accuracy is not.

    python benchmarks/training.py --until 0.88 --rows 4000 --test-rows 500 --rounds 1 --data DIR

also scores the test rows after every 25 steps, stops each side once it reaches this accuracy, and
prints the seconds of its steps until then.
"""

import argparse
import ctypes
import json
import mmap
import multiprocessing
import os
import pkgutil
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tasks import SIDES, Format, Measured, Task
from core.settings import count_cores

BEGAN = time.perf_counter()
Figures = dict[str, float]
Interval = dict[str, float | None]
SHOWN = (
    "rows_per_second",
    "evaluated_rows_per_second",
    "accuracy",
    "macro_f1",
    "peak_memory_mb",
    "seconds_to_accuracy",
)  # of each side
PRODUCTS = ("gemm_share", "gemm_peak_gflops", "onednn_share", "onednn_peak_gflops")
RATIOS = {  # of rows per second
    "ratio": ("ours", "reference"),
    "bf16_ratio": ("ours_bf16", "ours"),
    "ratio_to_reference_bf16": ("ours_bf16", "reference_bf16"),
}
ISAS = {"amx_bf16": "amx", "avx512_bf16": "avx512_bf16", "avx512f": "avx512", "avx2": "avx2"}
CPU_FACTS = Path("/proc/cpuinfo")
PAGE = mmap.PAGESIZE
READY = "ready"  # a process answers this once it has imported what its sides need


@dataclass(frozen=True)
class Summary:
    """Medians of each side, ratios between sides, and the efficiency of our products in fp32."""

    sides: dict[str, Figures]
    ratios: dict[str, Figures]
    evaluation_ratio: Figures
    accuracy_difference: Interval
    bf16_accuracy_difference: Interval
    products: Figures
    timed_seconds: float

    def as_dict(self) -> dict[str, object]:
        """Return everything as one flat object."""
        return {
            **self.sides,
            **self.ratios,
            "evaluation_ratio": self.evaluation_ratio,
            "accuracy_difference": self.accuracy_difference,
            "bf16_accuracy_difference": self.bf16_accuracy_difference,
            **self.products,
        }


def main() -> None:
    """Print rows per second, accuracy, macro-F1 and memory of the sides with their ratios; with
    ``--json`` as JSON.
    """
    arguments = parse()
    if arguments.function:
        serve(arguments.function)
        return
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        functions = dict.fromkeys(function for function, _ in SIDES.values())
        processes = {function: stack.enter_context(started(function)) for function in functions}
        for function, process in processes.items():
            require_ready(function, process)
        task = Task(
            arguments.model,
            arguments.rows,
            arguments.test_rows,
            arguments.seed,
            str(arguments.data or ""),
            home,
            arguments.until,
        )
        rounds = [measure_round(processes, task, number) for number in range(arguments.rounds)]
        for process in processes.values():  # both at once: each takes a second to end
            assert process.stdin is not None
            process.stdin.close()
    summary = summarize(rounds)
    seconds = share_seconds(summary.timed_seconds, time.perf_counter() - BEGAN)
    if arguments.json:
        setting = {"model": arguments.model, "rows": arguments.rows, "rounds": arguments.rounds}
        machine = {"threads": count_cores(), "isa": read_isa()}
        described = summary.as_dict() | setting | machine | {"seconds": seconds}
        print(json.dumps(described, allow_nan=False))  # noqa: T201
    else:
        took = "{total:.0f} s, of which {untimed_share:.0%} not timed".format(**seconds)
        print(f"{as_text(summary)}\n{took}")  # noqa: T201


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["minilm", "distilbert"], default="minilm")
    parser.add_argument("--rows", type=int, default=640, help="training rows")
    parser.add_argument(
        "--test-rows", type=int, default=50, help="rows that all sides are scored on"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the first round; each round takes the next"
    )
    parser.add_argument(
        "--data", type=Path, help="dataset folder; else LORALAB_DATA, else the demo corpus"
    )
    parser.add_argument("--until", type=float, default=0.0, help="test accuracy to stop at")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--function", help=argparse.SUPPRESS)
    return parser.parse_args()


def serve(function: str) -> None:
    """Measure the sides of ``function`` for each task on the standard input, one line of JSON each.

    Each side is a fork of this process, which imports the libraries once and computes nothing.
    """
    measure = pkgutil.resolve_name(function)
    pages = list_file_pages()
    print(READY, flush=True)  # noqa: T201
    context = multiprocessing.get_context("fork")
    sides: dict[str, Connection] = {}
    for line in sys.stdin:
        task = json.loads(line)
        precision = task.pop("precision")
        if precision not in sides:
            sides[precision], inner = context.Pipe()
            context.Process(
                target=answer,
                args=(measure, precision, inner, [*sides.values()], pages),
                daemon=True,
            ).start()
            inner.close()
        sides[precision].send(Task(**task))
        print(json.dumps(sides[precision].recv().as_dict()), flush=True)  # noqa: T201


def list_file_pages() -> list[int]:
    """Return the addresses of the pages of files, libraries mostly, that this process has mapped
    (Linux). A fork maps them only when it reads them, and so would seem to need less memory.
    """
    maps, pages = Path("/proc/self/maps"), list[int]()
    for line in maps.read_text().splitlines() if maps.is_file() else []:
        span, permissions, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) // PAGE for address in span.split("-"))
        if inode != "0" and permissions.startswith("r"):
            with maps.with_name("pagemap").open("rb") as pagemap:  # 64 bits a page
                pagemap.seek(8 * start)
                present = memoryview(pagemap.read(8 * (end - start))).cast("Q")
            pages += [PAGE * (start + page) for page, bits in enumerate(present) if bits >> 63]
    return pages


def answer(
    measure: Callable[[Task, Format], Measured],
    precision: Format,
    tasks: Connection,
    inherited: list[Connection],
    pages: list[int],
) -> None:
    """Measure one side for each task of a connection until its other end is closed."""
    for connection in inherited:
        connection.close()
    for page in pages:
        ctypes.string_at(page, 1)
    with redirect_stdout(sys.stderr), suppress(EOFError):  # Trainer prints its metrics
        while True:
            tasks.send(measure(tasks.recv(), precision))


def measure_round(
    processes: dict[str, "subprocess.Popen[str]"], task: Task, number: int
) -> dict[str, Figures]:
    """Measure each side once; the order alternates."""
    order = list(SIDES) if number % 2 == 0 else list(reversed(SIDES))
    seeded = task.with_seed(task.seed + number)
    return {side: measure_side(processes[SIDES[side][0]], side, seeded) for side in order}


@contextmanager
def started(function: str) -> Iterator["subprocess.Popen[str]"]:
    """Start the process of the sides that ``function`` measures; at the end it has nothing more to
    read, and ends.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(count_cores()),
        "TOKENIZERS_PARALLELISM": "false",
    }
    if function.endswith(":ours"):
        environment |= {"GOMP_SPINCOUNT": "1000", "MALLOC_ARENA_MAX": "1"}  # as a worker has it
    command = [sys.executable, __file__, "--function", function]
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        yield process


def require_ready(function: str, process: "subprocess.Popen[str]") -> None:
    """Wait until a process has imported its libraries: imports would disturb a time."""
    assert process.stdout is not None
    if process.stdout.readline() != f"{READY}\n":
        raise SystemExit(f"The process of {function} ended; its error is above.")


def measure_side(process: "subprocess.Popen[str]", side: str, task: Task) -> Figures:
    """Measure one side in its process."""
    given = task.as_dict() | {"precision": SIDES[side][1]}
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(given) + "\n")
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"The process of {side} ended; its error is above.")
    figures: Figures = json.loads(answer)
    line = f"{side:14} seed {task.seed}: {describe(figures)}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201
    return figures


def summarize(rounds: list[dict[str, Figures]]) -> Summary:
    """Compute medians of each side over the rounds, and the spread of the ratios."""
    sides = {
        side: {
            name: statistics.median(item[side][name] for item in rounds)
            for name in Measured.names()
        }
        # later rounds find memory of earlier ones
        | {"peak_memory_mb": rounds[0][side]["peak_memory_mb"]}
        for side in SIDES
    }

    def compare(side: str, other: str, figure: str) -> Figures:
        return spread([item[side][figure] / item[other][figure] for item in rounds])

    def subtract(side: str, other: str) -> Interval:
        return difference([item[side]["accuracy"] - item[other]["accuracy"] for item in rounds])

    return Summary(
        {
            side: {name: round(value, 4) for name, value in figures.items() if name in SHOWN}
            for side, figures in sides.items()
        },
        ratios={name: compare(*pair, "rows_per_second") for name, pair in RATIOS.items()},
        evaluation_ratio=compare("ours", "reference", "evaluated_rows_per_second"),
        accuracy_difference=subtract("ours", "reference"),
        bf16_accuracy_difference=subtract("ours_bf16", "ours"),
        products={
            name: round(sides["ours"][name], 3) for name in Measured.names() if name in PRODUCTS
        },
        timed_seconds=sum(figures["timed_seconds"] for item in rounds for figures in item.values()),
    )


def share_seconds(timed: float, total: float) -> Figures:
    """Return the seconds of the whole call, those of training and evaluation that rates were
    computed from, and the share of the rest: imports, preparing data, loading models.
    """
    share = round(1 - timed / total, 3)
    return {"total": round(total, 1), "timed": round(timed, 1), "untimed_share": share}


def spread(ratios: list[float]) -> Figures:
    """Return smallest, middle and largest."""
    return {
        "min": round(min(ratios), 2),
        "median": round(statistics.median(ratios), 2),
        "max": round(max(ratios), 2),
    }


def difference(result: list[float]) -> Interval:
    """Return the mean difference over paired seeds and its 95 % interval (Student's t): no interval
    for one round.
    """
    from scipy import special  # noqa: PLC0415 - takes time in which the sides could start

    mean = statistics.fmean(result)
    reach = (
        float(special.stdtrit(len(result) - 1, 0.975))
        * statistics.stdev(result)
        / len(result) ** 0.5
        if len(result) > 1
        else None
    )
    low, high = (None, None) if reach is None else (round(mean - reach, 4), round(mean + reach, 4))
    return {"mean": round(mean, 4), "low": low, "high": high}


def read_isa() -> str:
    """Return the best instruction set for matrix products; the architecture if it is unknown."""
    facts = CPU_FACTS.read_text().split() if CPU_FACTS.is_file() else []
    return next((isa for flag, isa in ISAS.items() if flag in facts), platform.machine())


def describe(figures: Figures) -> str:
    """Return one line."""
    return (
        f"{figures['rows_per_second']:.1f} rows/s, evaluation"
        f" {figures['evaluated_rows_per_second']:.0f} rows/s, accuracy {figures['accuracy']:.4f},"
        f" macro-F1 {figures['macro_f1']:.4f}, {figures['peak_memory_mb']:,.0f} MB"
        + (
            f", {seconds:.1f} s to the target"
            if (seconds := figures["seconds_to_accuracy"])
            else ""
        )
    )


def as_text(summary: Summary) -> str:
    """Return a few lines for people."""
    ratio = " {min} to {max} times, median {median}"
    lines = [f"{read_isa()}, {count_cores()} threads"]
    lines += [f"{side}: {describe(summary.sides[side])}" for side in SIDES]
    for name, (side, other) in RATIOS.items():
        lines.append(f"training, {side} to {other}:" + ratio.format(**summary.ratios[name]))
    lines.append("evaluation, ours to reference:" + ratio.format(**summary.evaluation_ratio))
    gain = "accuracy, {}: {mean:+.4f}, 95 % interval {low} to {high}"
    lines.append(gain.format("ours minus reference", **summary.accuracy_difference))
    lines.append(gain.format("ours_bf16 minus ours", **summary.bf16_accuracy_difference))
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
