"""Compare readers of data files on the corpus of the tests.

Every reader gets the same chances: where a case leaves the columns open, the pair of columns that
fits best counts; a library that does not detect separator and header is tried with four separators,
with and without a header, and its best attempt counts. Rows without a text or a label are left out
for it. Whether it reports what it left out is not judged here. Run it once in each environment::

    python benchmarks/readers.py --out project.json     # this project's environment
    python benchmarks/readers.py --out libraries.json   # one with duckdb, polars, pandas, chardet
    python benchmarks/readers.py --show project.json libraries.json

``docs/readers.md`` holds the results, and ``reader_speed.py`` measures time and memory.
"""

import argparse
import importlib
import importlib.util
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.corpus.case import Case, Counts, Exact, Refused, Row, Rows
from tests.corpus.cases import CASES
from tests.corpus.judge import rows_right

Columns = list[tuple[str, list[str | None]]]  # name and cells, in the order of the file
Attempt = Callable[[], Columns]
Reader = Callable[[Path], list[Attempt]]  # the most natural attempt first
Results = dict[str, dict[str, str]]  # reader: case: exact, wrong or refused
SEPARATORS = (",", ";", "\t", "|")
LEFT_TO_THE_APP = ("folder", "several files")  # kinds that no library reads as one table
PARQUET, JSON = ".parquet", (".json", ".jsonl")


def _strings(cells: Sequence[Any]) -> list[str | None]:
    return [None if cell is None else str(cell) for cell in cells]


def _dialects(path: Path) -> list[tuple[str, bool]]:
    first = "\t" if path.suffix == ".tsv" else ","
    order = [first, *(sep for sep in SEPARATORS if sep != first)]
    return [(sep, header) for header in (True, False) for sep in order]


def duckdb_attempts(path: Path, options: str = "") -> list[Attempt]:
    """Read with DuckDB: its sniffer decides, and everything is VARCHAR."""

    def read(query: str) -> Columns:
        duckdb: Any = importlib.import_module("duckdb")
        with duckdb.connect() as connection:
            result = connection.execute(query, [str(path)])
            names = [item[0] for item in result.description]
            rows = result.fetchall()
        return [(name, _strings([row[i] for row in rows])) for i, name in enumerate(names)]

    if path.suffix == PARQUET:
        return [partial(read, "SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?)")]
    if path.suffix in JSON:
        fields = "json ->> 'text' AS text, json ->> 'label' AS label"
        return [
            partial(read, f"SELECT {fields} FROM read_json_objects(?, format = 'auto')"),
            partial(read, "SELECT COLUMNS(*)::VARCHAR FROM read_json_auto(?)"),
        ]
    return [partial(read, f"FROM read_csv(?, all_varchar = true, sample_size = -1{options})")]


def duckdb_given_attempts(path: Path) -> list[Attempt]:
    """Read with DuckDB's parser alone: separator, header and quotes are given."""
    if path.suffix == PARQUET or path.suffix in JSON:
        return duckdb_attempts(path)
    return [
        attempt
        for quote in ('"', "")
        for sep, header in _dialects(path)
        for attempt in duckdb_attempts(
            path,
            f", delim = '{sep}', header = {header}, quote = '{quote}', escape = '{quote}',"
            " comment = '', skip = 0, store_rejects = true",
        )
    ]


def polars_attempts(path: Path) -> list[Attempt]:
    """Read with Polars, everything as strings."""

    def columns(read: Callable[..., Any], **options: Any) -> Columns:
        polars: Any = importlib.import_module("polars")
        frame = read(polars)(path, **options)
        strings = frame.select(polars.all().cast(polars.String))
        return [(name, strings[name].to_list()) for name in strings.columns]

    if path.suffix == PARQUET:
        return [partial(columns, lambda polars: polars.read_parquet)]
    if path.suffix in JSON:
        return [
            partial(columns, lambda polars: polars.read_ndjson, infer_schema_length=None),
            partial(columns, lambda polars: polars.read_json, infer_schema_length=None),
        ]
    fixed = {"infer_schema": False, "empty_string_is_null": False}
    return [
        partial(columns, lambda polars: polars.read_csv, separator=sep, has_header=header, **fixed)
        for sep, header in _dialects(path)
    ]


def pyarrow_attempts(path: Path) -> list[Attempt]:
    """Read with pyarrow, everything as strings."""

    def columns(table: Any) -> Columns:
        arrow: Any = importlib.import_module("pyarrow")
        return [
            (name, _strings(table.column(i).cast(arrow.string()).to_pylist()))
            for i, name in enumerate(table.column_names)
            if not arrow.types.is_nested(table.column(i).type)
        ]

    def parquet() -> Columns:
        return columns(importlib.import_module("pyarrow.parquet").ParquetFile(path).read())

    def json_lines() -> Columns:
        return columns(importlib.import_module("pyarrow.json").read_json(path))

    def delimited(sep: str, header: bool) -> Columns:
        arrow: Any = importlib.import_module("pyarrow")
        reader: Any = importlib.import_module("pyarrow.csv")
        parse = reader.ParseOptions(delimiter=sep, newlines_in_values=True)
        options = reader.ReadOptions(autogenerate_column_names=not header)
        names = reader.open_csv(path, options, parse).schema.names
        convert = reader.ConvertOptions(
            column_types=dict.fromkeys(names, arrow.string()), strings_can_be_null=False
        )
        return columns(reader.read_csv(path, options, parse, convert))

    if path.suffix == PARQUET:
        return [parquet]
    if path.suffix in JSON:
        return [json_lines]
    return [partial(delimited, sep, header) for sep, header in _dialects(path)]


def pandas_attempts(path: Path) -> list[Attempt]:
    """Read with the C parser of pandas, everything as strings."""

    def columns(read: str, **options: Any) -> Columns:
        pandas: Any = importlib.import_module("pandas")
        frame = getattr(pandas, read)(path, **options)
        return [
            (str(name), [None if pandas.isna(cell) else str(cell) for cell in frame.iloc[:, i]])
            for i, name in enumerate(frame.columns)
        ]

    if path.suffix == PARQUET:
        return [partial(columns, "read_parquet")]
    if path.suffix in JSON:
        return [
            partial(columns, "read_json", lines=True, dtype=False),
            partial(columns, "read_json", dtype=False),
        ]
    options = {"dtype": str, "keep_default_na": False, "index_col": False, "engine": "c"}
    return [
        partial(columns, "read_csv", sep=sep, header=0 if header else None, **options)
        for sep, header in _dialects(path)
    ]


READERS: dict[str, tuple[str, Reader]] = {  # name: module that it needs, function
    "DuckDB": ("duckdb", duckdb_attempts),
    "DuckDB, rejects": ("duckdb", partial(duckdb_attempts, options=", store_rejects = true")),
    "DuckDB, dialect given": ("duckdb", duckdb_given_attempts),
    "Polars": ("polars", polars_attempts),
    "pyarrow": ("pyarrow", pyarrow_attempts),
    "pandas": ("pandas", pandas_attempts),
}


def _best(attempts: list[Attempt], case: Case) -> str:
    """Return exact if an attempt is, otherwise what the most natural attempt gives."""
    verdicts = [_try(attempt, case) for attempt in attempts]
    return "exact" if "exact" in verdicts else verdicts[0]


def _try(attempt: Attempt, case: Case) -> str:
    try:
        columns = attempt()
    except KeyboardInterrupt:
        raise
    except BaseException:  # Polars panics with a class of its own
        return "refused"
    return "exact" if any(rows_right(case, (rows,)) for rows in _pairs(case, columns)) else "wrong"


def _pairs(case: Case, columns: Columns) -> Iterator[Rows]:
    """Yield the rows of each pair of columns that the case allows."""
    for i, (text, texts) in enumerate(columns):
        for j, (label, labels) in enumerate(columns):
            if i != j and case.text in ("", text) and case.label in ("", label):
                yield _usable(labels, texts)


def _usable(labels: list[str | None], texts: list[str | None]) -> Rows:
    rows: list[Row] = [
        (label.strip(), text)
        for label, text in zip(labels, texts, strict=True)
        if label and text and label.strip() and text.strip()
    ]
    return tuple(rows)


def _comparable(case: Case) -> bool:
    return case.kind not in LEFT_TO_THE_APP and any(
        isinstance(outcome, Exact | Counts) for outcome in case.outcomes
    )


def compare(cases: list[Case]) -> Results:
    """Return exact, wrong or refused for each reader that can be imported, and each case."""
    results: Results = defaultdict(dict)
    readers = {name: reader for name, (module, reader) in READERS.items() if _importable(module)}
    with tempfile.TemporaryDirectory() as home:
        for case in filter(_comparable, cases):
            paths = []
            for name, data in case.build().items():
                paths.append(Path(home) / case.id / name)
                paths[-1].parent.mkdir(parents=True, exist_ok=True)
                paths[-1].write_bytes(data)
            if len(paths) > 1:
                continue
            if _importable("streamlit"):
                results["this project"][case.id] = _read_here(case, paths, Path(home))
                continue
            for label, reader in readers.items():
                results[label][case.id] = _best(reader(paths[0]), case)
    return results


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _read_here(case: Case, paths: list[Path], home: Path) -> str:
    # only the environment of the project has what the project's reader needs
    from core.settings import Settings  # noqa: PLC0415
    from tests.corpus.reader import read_case  # noqa: PLC0415

    answer = read_case(case, paths, Settings(home=home / "home"))
    if answer.error is not None:
        return "refused"
    return "exact" if rows_right(case, answer.parts) else "wrong"


def detect(cases: list[Case]) -> Results:
    """Return whether each detector of encodings decodes the 8-bit files as they were written."""
    results: Results = defaultdict(dict)
    for case in cases:
        files = case.build()
        expected = [
            text for item in case.outcomes if isinstance(item, Exact) for _, text in item.rows
        ]
        if case.kind != "encoding" or not expected or len(files) > 1 or case.options.encoding:
            continue
        (data,) = files.values()
        for name, detector in DETECTORS.items():
            if _importable(name.partition(",")[0].replace("-", "_")):
                results[name][case.id] = _decodes(data, detector(data), expected)
    return results


def _decodes(data: bytes, encoding: str, expected: list[str]) -> str:
    try:
        text = data.decode(encoding or "ascii")
    except (UnicodeDecodeError, LookupError):
        return "refused"
    return "exact" if all(line in text for line in expected) else "wrong"


def _charset_normalizer(data: bytes) -> str:
    best = importlib.import_module("charset_normalizer").from_bytes(data).best()
    return str(best.encoding) if best else ""


def _chardet(data: bytes) -> str:
    return str(importlib.import_module("chardet").detect(data)["encoding"] or "")


def _rule(data: bytes) -> str:
    """Return UTF-8 or UTF-16 where it is valid, otherwise the code page of Western Windows."""
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "cp1252"


DETECTORS: dict[str, Callable[[bytes], str]] = {
    "charset-normalizer": _charset_normalizer,
    "chardet": _chardet,
    "codecs, UTF-8 or else cp1252": _rule,
}


def show(files: list[Path]) -> None:
    """Print a table of exact, silently wrong and refused files, per kind and reader."""
    merged: Results = defaultdict(dict)
    for file in files:
        for reader, verdicts in json.loads(file.read_text()).items():
            merged[reader] |= verdicts
    kinds = {case.id: case.kind for case in CASES}
    refusals = {
        case.id for case in CASES if any(isinstance(item, Refused) for item in case.outcomes)
    }
    for title, readers in (("reader", set(merged) - set(DETECTORS)), ("detector", set(DETECTORS))):
        columns = [name for name in merged if name in readers]
        print(f"\n| kind | files | {' | '.join(columns)} |")
        print("|---|---:|" + "---:|" * len(columns))
        ids = sorted({id for name in columns for id in merged[name]})
        for kind in [*dict.fromkeys(kinds[id] for id in ids), "all"]:
            chosen = [id for id in ids if kind in ("all", kinds[id])]
            cells = [_cell(merged[name], chosen, refusals) for name in columns]
            print(f"| {kind} | {len(chosen)} | {' | '.join(cells)} |")
        print(f"{title}: exact / wrong / refused where rows are expected / refused rightly")


def _cell(verdicts: dict[str, str], ids: list[str], refusals: set[str]) -> str:
    counts = Counter(
        "rightly" if verdicts[id] == "refused" and id in refusals else verdicts[id]
        for id in ids
        if id in verdicts
    )
    return " / ".join(str(counts[key]) for key in ("exact", "wrong", "refused", "rightly"))


def main() -> None:
    """Compare what can be imported, or show results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path, nargs="+")
    chosen = parser.parse_args()
    if chosen.show:
        show(chosen.show)
        return
    results = compare(CASES) | ({} if _importable("streamlit") else detect(CASES))
    chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
