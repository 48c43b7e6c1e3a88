"""Test the promises of docs/reliability.md by injecting faults, and count violations.

``python benchmarks/faults.py`` runs all rows in about an hour, ``--small`` a part in four
minutes; ``--only WORD`` runs the rows whose function name contains the word. ``--flip`` inverts the
stopwatch that chooses precision and matrix library at each resume of a real training. The script
fails if a promise is broken or a row injected no fault. With ``--json`` the last line is a list of
{"promise", "tries", "injected", "failures", "upper_bound"}.
"""

import argparse
import importlib
import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.promises.row import Row, Size, Test, TooLong

# of the modules in promises/, which are imported late: each process of a race runs this file again
TESTS = (
    "kills.killed_workers",
    "disk.power_cuts",
    "disk.failing_disk",
    "training.killed_trainings",
    "training.bit_equal",
    "training.flipped_trainings",
    "training.equal_runs",
    "training.equal_threads",
    "races.committed_rows",
    "kills.noticed_deaths",
    "kills.living_workers",
    "servers.killed_servers",
    "races.owners",
    "races.launches",
    "training.stops",
    "damages.damaged_folders",
    "chance.sequences",
)
MEMORY = Path("/dev/shm")  # a model of the disk knows what was synced, so real syncs are not needed


def main() -> int:
    """Print a line per row; return 1 if a promise was broken or not tested."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a part, in four minutes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument(
        "--only",
        default="",
        help="only rows whose function's name has this word, as in kills.noticed_deaths",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the full numbers, where the machine or the time is short",
    )
    parser.add_argument(
        "--flip", action="store_true", help="the stopwatch says the opposite at each resume"
    )
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the faults are intended
    rows = []
    for name in TESTS:
        if arguments.only in name:
            module, function = name.split(".")
            test: Test = getattr(importlib.import_module(f"benchmarks.promises.{module}"), function)
            rows.append(run(test, arguments))
    if arguments.json:
        print(json.dumps([described(row) for row in rows]))
    return int(any(row.broken for row in rows) or not rows)


def run(test: Test, arguments: argparse.Namespace) -> Row:
    """Run one row and print it."""
    began = time.monotonic()
    draw = random.Random(f"{arguments.seed} {test.__name__}")
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        try:
            row = test(
                Size(arguments.small, draw, Path(home) / "rows", arguments.share, arguments.flip)
            )
        except TooLong as stuck:
            row = Row(test.__name__, tries=1, failures=[f"stuck: {stuck}"])
    verdict = "BROKEN" if row.failures else "NOT TESTED" if row.broken else "holds"
    counts = (
        f"{row.tries:>5} tries {row.injected:>5} faults {len(row.failures):>3} failures, at most"
        f" {row.upper_bound:.2%}"
    )
    print(
        f"{verdict:<10} {row.promise:<48} {counts} {time.monotonic() - began:>6.0f} s "
        f" {row.figure}",
        flush=True,
    )
    for failure in row.failures[:5]:
        print(f"    {failure}", flush=True)
    return row


def described(row: Row) -> dict[str, object]:
    """Return the row as JSON."""
    counts = {
        "tries": row.tries,
        "injected": row.injected,
        "failures": len(row.failures),
        "upper_bound": row.upper_bound,
    }
    return {"promise": row.promise, **counts}


if __name__ == "__main__":
    sys.exit(main())
