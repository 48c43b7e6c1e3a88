"""Time and peak memory of reading 1,000,000 rows and storing text and label as Parquet.

Each reader runs in a process of its own, with two threads at most, in turn with the others for
three rounds; the table shows the fastest round, relative to the reader of this project. Run it once
in each environment, with the folder of the generated files on the same disk::

    python benchmarks/reader_speed.py FOLDER --rows 1000000
"""

import argparse
import csv
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

ROUNDS = 3
LABELS = ("billing", "delivery", "returns", "quality", "praise", "other")
WORDS = [
    *("the", "package", "arrived", "late", "and", "support"),
    *("answered", "my", "second", "mail", "about", "it"),
]
BATCH = 20_000  # rows


def rows(count: int) -> Iterator[tuple[str, str, str]]:
    """Yield id, text of about 280 characters and label; some texts hold quotes and line breaks."""
    for number in range(count):
        words = [WORDS[(number * 7 + i * (number % 5 + 1)) % len(WORDS)] for i in range(48)]
        if number % 10 == 0:
            words[5] = '"quoted"'
        if number % 25 == 0:
            words[9] = "line\nbreak"
        yield str(number), f"{number}, " + " ".join(words), LABELS[number % len(LABELS)]


def generate(folder: Path, count: int) -> None:
    """Write rows.csv and rows.parquet once."""
    import pyarrow as pa  # noqa: PLC0415 - each process imports only its reader
    import pyarrow.parquet as pq  # noqa: PLC0415

    if (folder / "rows.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in ("id", "text", "label")])
    with (
        (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file,
        pq.ParquetWriter(folder / "rows.tmp", schema) as parquet,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.names)
        batch: list[tuple[str, str, str]] = []
        for row in rows(count):
            batch.append(row)
            if len(batch) == BATCH:
                writer.writerows(batch)
                columns = dict(zip(schema.names, zip(*batch, strict=True), strict=True))
                parquet.write_table(pa.table(columns, schema=schema))
                batch.clear()
    (folder / "rows.tmp").rename(folder / "rows.parquet")


def duckdb_copy(path: Path, out: Path) -> None:
    """Let DuckDB read and write, with at most 1 GB."""
    duckdb: Any = importlib.import_module("duckdb")
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
        source = (
            "read_parquet(?)"
            if path.suffix == ".parquet"
            else "read_csv(?, all_varchar = true, store_rejects = true)"
        )
        query = f"COPY (SELECT text, label FROM {source}) TO '{out}' (FORMAT parquet)"
        connection.execute(query, [str(path)])


def polars_sink(path: Path, out: Path) -> None:
    """Let the streaming engine of Polars read and write."""
    polars: Any = importlib.import_module("polars")
    scan = (
        polars.scan_parquet(path)
        if path.suffix == ".parquet"
        else polars.scan_csv(path, infer_schema=False)
    )
    scan.select("text", "label").sink_parquet(out)


def pyarrow_batches(path: Path, out: Path) -> None:
    """Read with pyarrow, batch by batch."""
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    pa.set_cpu_count(2)
    if path.suffix == ".parquet":
        batches = pq.ParquetFile(path).iter_batches(BATCH, columns=["text", "label"])
    else:
        reader: Any = importlib.import_module("pyarrow.csv")
        batches = reader.open_csv(
            path,
            parse_options=reader.ParseOptions(newlines_in_values=True),
            convert_options=reader.ConvertOptions(
                column_types=dict.fromkeys(("text", "label"), pa.string()),
                include_columns=["text", "label"],
            ),
        )
    _write(out, batches)


def csv_batches(path: Path, out: Path) -> None:
    """Read with the csv module of Python, batch by batch."""
    pa: Any = importlib.import_module("pyarrow")
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])

    def batches() -> Iterator[Any]:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            texts: list[str] = []
            labels: list[str] = []
            for cells in reader:
                texts.append(cells[1])
                labels.append(cells[2])
                if len(texts) == BATCH:
                    yield pa.record_batch([texts, labels], schema=schema)
                    texts, labels = [], []
            yield pa.record_batch([texts, labels], schema=schema)

    _write(out, batches())


def pandas_chunks(path: Path, out: Path) -> None:
    """Read with the C parser of pandas, chunk by chunk."""
    pandas: Any = importlib.import_module("pandas")
    pa: Any = importlib.import_module("pyarrow")
    chunks = pandas.read_csv(
        path, dtype=str, keep_default_na=False, usecols=["text", "label"], chunksize=BATCH
    )
    _write(out, (pa.RecordBatch.from_pandas(chunk, preserve_index=False) for chunk in chunks))


def this_project(path: Path, out: Path) -> None:
    """Read as the project does, and write text and label."""
    from core.data.tables.read import read_table  # noqa: PLC0415

    table = read_table(path.name, path, choose=lambda sample: ("text", "label"))
    table.frame.to_parquet(out)


def _write(out: Path, batches: Any) -> None:
    pq: Any = importlib.import_module("pyarrow.parquet")
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(out, batch.schema)
        writer.write_batch(batch)
    if writer:
        writer.close()


READERS: dict[str, tuple[str, Callable[[Path, Path], None], tuple[str, ...]]] = {
    "this project": ("streamlit", this_project, ("csv", "parquet")),
    "csv module, in batches": ("pyarrow", csv_batches, ("csv",)),
    "pyarrow, in batches": ("pyarrow", pyarrow_batches, ("csv", "parquet")),
    "DuckDB": ("duckdb", duckdb_copy, ("csv", "parquet")),
    "Polars, streaming": ("polars", polars_sink, ("csv", "parquet")),
    "pandas, in chunks": ("pandas", pandas_chunks, ("csv",)),
}


def measure(reader: str, path: Path) -> dict[str, float]:
    """Run one reader in a process of its own: seconds, and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, __file__, str(path), "--one", reader],
        capture_output=True,
        text=True,
        env={**os.environ, "POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2"},
        check=False,
    )
    if done.returncode:
        return {"seconds": float("nan"), "megabytes": float("nan")}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_one(reader: str, path: Path) -> None:
    """Read the file and print what it took."""
    out = path.with_name("out.parquet")
    began = time.perf_counter()
    READERS[reader][1](path, out)
    seconds = time.perf_counter() - began
    # the peak of the process itself: ru_maxrss would inherit that of the parent
    status = Path("/proc/self/status")
    peak = (
        next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
        if status.exists()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    out.unlink()
    print(json.dumps({"seconds": seconds, "megabytes": peak / 1024}))


def main() -> None:
    """Measure every reader that can be imported, in turn, and print the fastest round of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", default="")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    if chosen.one:
        run_one(chosen.one, chosen.folder)
        return
    generate(chosen.folder, chosen.rows)
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(chosen.rounds):
        for name, (module, _, forms) in READERS.items():
            if importlib.util.find_spec(module):
                for form in forms:
                    figures = measure(name, chosen.folder / f"rows.{form}")
                    results.setdefault((form, name), []).append(figures)
    for (form, name), rounds in sorted(results.items()):
        seconds = min(item["seconds"] for item in rounds)
        peak = max(item["megabytes"] for item in rounds)
        print(f"| {form} | {name} | {seconds:.1f} s | {peak:,.0f} MB |")


if __name__ == "__main__":
    main()
