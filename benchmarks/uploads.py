"""Fuzz the reader of uploads.

    python benchmarks/uploads.py [--tries 3000]

Prints how many files were tried, how many were rejected with a message or raised another error, and
the time.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, Phase, given, settings

from core.data.splits.build_splits import BuildOptions, build
from core.data.splits.columns import propose_columns
from core.data.tables.read import read_table
from core.errors import DataError
from tests.support.security.broken_files import READ, REFUSED
from tests.support.security.fuzzed_files import files

LIMIT_SECONDS = 2


def try_file(name: str, content: bytes, outcomes: Counter[str], seconds: list[float]) -> None:
    """Read the file and build a dataset with the proposed columns, as the page does."""
    began = time.perf_counter()
    try:
        table = read_table(name, content)
        outcomes["read"] += 1
        proposal = propose_columns(table)
        if proposal.label:
            build([("train", table)], BuildOptions((proposal.text,), proposal.label))
            outcomes["built"] += 1
    except DataError as error:
        outcomes[
            (
                "refused with what to do"
                if error.message and error.fix
                else "refused without what to do"
            )
        ] += 1
    except Exception as error:
        outcomes["unhandled"] += 1
        print(f"unhandled {type(error).__name__}: {error} in {name} {content[:80]!r}")
    seconds.append(time.perf_counter() - began)


def main() -> None:
    """Try the known files and the requested number of fuzzed files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=3000)
    tries = parser.parse_args().tries
    outcomes: Counter[str] = Counter()
    seconds: list[float] = []
    for name, content in [
        *((name, content) for name, content, _ in REFUSED.values()),
        *READ.values(),
    ]:
        try_file(name, content, outcomes, seconds)
    corpus = len(seconds)

    @settings(
        max_examples=tries,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(files())
    def fuzz(file: tuple[str, bytes]) -> None:
        try_file(*file, outcomes, seconds)

    fuzz()
    unhandled = outcomes["unhandled"]
    slow = sum(second > LIMIT_SECONDS for second in seconds)
    print(
        f"{len(seconds) - corpus:,} fuzzed files and {corpus} of the corpus; {unhandled} unhandled,"
        f" {slow} over {LIMIT_SECONDS} s"
    )
    print(
        f"slowest {max(seconds):.2f} s, median {sorted(seconds)[len(seconds) // 2] * 1000:.1f} ms"
    )
    print(", ".join(f"{outcome}: {number:,}" for outcome, number in outcomes.items()))


if __name__ == "__main__":
    main()
