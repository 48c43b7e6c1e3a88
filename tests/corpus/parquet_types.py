"""Parquet: column types, names and damage."""

import json
from collections.abc import Callable

from tests.corpus.build import changed, films, lines, parquet, parquet_bytes, parquet_columns
from tests.corpus.case import Builder, Case, Exact, Files, LeftOut, Refused

KIND = "parquet"
ROWS = films()
TEXTS = [text for _, text in ROWS]
LABELS = [label for label, _ in ROWS]


def _array(kind: str, values: list[str]) -> object:
    import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

    width = max(map(len, values))
    match kind:
        case "dictionary":
            return pa.array(values).dictionary_encode()
        case "fixed-size-binary":
            return pa.array([value.ljust(width).encode() for value in values], pa.binary(width))
        case "list-of-one":
            return pa.array([[value] for value in values])
        case "struct":
            return pa.array([{"value": value} for value in values])
        case "map":
            return pa.array([[("k", value)] for value in values], pa.map_(pa.string(), pa.string()))
        case _:
            types = {
                "large-string": pa.large_string(),
                "string-view": pa.string_view(),
                "binary": pa.binary(),
                "large-binary": pa.large_binary(),
                "binary-view": pa.binary_view(),
            }
            cells = [value.encode() for value in values] if "binary" in kind else values
            return pa.array(cells, types[kind])


def _typed(column: str, kind: str, *, report: str = "") -> Case:
    def columns() -> dict[str, object]:
        table: dict[str, object] = {"text": TEXTS, "label": LABELS}
        table[column] = _array(kind, TEXTS if column == "text" else LABELS)
        return table

    refused = Refused((column, "binary" if "binary" in kind else kind.partition("-")[0]))
    nested = kind in ("list-of-one", "struct", "map")
    outcomes = (Exact(ROWS), refused) if nested or "binary" in kind else (Exact(ROWS),)
    return Case(
        f"parquet-{column}-{kind}",
        KIND,
        parquet_columns(columns),
        outcomes,
        report=report,
        note="padding of a fixed size is no part of the text" if kind.startswith("fixed") else "",
    )


def _unused(kind: str) -> Case:
    """A column of another type that is not read."""

    def columns() -> dict[str, object]:
        import pyarrow as pa  # noqa: PLC0415 - as above

        count = len(ROWS)
        arrays: dict[str, Callable[[], object]] = {
            "unknown-zone": lambda: pa.array(
                [10**15 + i for i in range(count)], pa.timestamp("us", tz="Mars/Olympus")
            ),
            "null": lambda: pa.nulls(count),
            "nested": lambda: pa.array([[{"a": [i]}] for i in range(count)]),
            "duration": lambda: pa.array(range(count), pa.duration("s")),
            "far-date": lambda: pa.array([2**31 - 1 - i for i in range(count)], pa.date32()),
            "nanoseconds": lambda: pa.array(
                [2**62 + i for i in range(count)], pa.timestamp("ns", tz="UTC")
            ),
            "embedding": lambda: pa.FixedSizeListArray.from_arrays(
                pa.array([0.5] * (count * 64), pa.float32()), 64
            ),
            "image": lambda: pa.array([{"bytes": b"\x89PNG" * 50, "path": "x.png"}] * count),
        }
        return {"extra": arrays[kind](), "text": TEXTS, "label": LABELS}

    return Case(f"parquet-unused-{kind}", KIND, parquet_columns(columns), (Exact(ROWS),))


def _table(change: Callable[[object], object], **options: object) -> Builder:
    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - as above

        return {
            "a.parquet": parquet_bytes(
                change(pa.table({"text": TEXTS, "label": LABELS})), **options
            )
        }

    return build


def _names(*names: str) -> Builder:
    """Build a table with the columns numbers, texts and labels under these names."""

    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - as above

        arrays = [pa.array([f"x{i}" for i in range(len(ROWS))]), pa.array(TEXTS), pa.array(LABELS)]
        return {"a.parquet": parquet_bytes(pa.Table.from_arrays(arrays, names=list(names)))}

    return build


def _duplicates() -> list[Case]:
    first = tuple((label, f"x{i}") for i, label in enumerate(LABELS))
    both = tuple((label, f"x{i}\n{text}") for i, (label, text) in enumerate(ROWS))
    return [
        Case("parquet-two-columns-called-text", KIND, _names("text", "text", "label"),
             (Exact(ROWS, mentions=("text",)), Exact(first, mentions=("text",)),
              Exact(both, mentions=("text",)), Refused(("text",))),
             report="apache/arrow#37428", note="which one is read is said"),
        Case("parquet-unused-columns-of-one-name", KIND, _twice_unused(), (Exact(ROWS),),
             report="apache/datafusion#24381"),
        Case("parquet-names-differ-in-case", KIND, _names("TEXT", "text", "label"), (Exact(ROWS),),
             report="duckdb/duckdb#13053"),
        Case("parquet-name-with-dot", KIND, _names("a.b", "text.raw", "label"), (Exact(ROWS),),
             "text.raw"),
        Case("parquet-empty-name", KIND, _names("", "text", "label"), (Exact(ROWS),)),
    ]  # fmt: skip


def _twice_unused() -> Builder:
    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - as above

        arrays = [pa.array(TEXTS), pa.array(LABELS), pa.array(LABELS), pa.array(range(len(ROWS)))]
        names = ["text", "label", "x", "x"]
        return {"a.parquet": parquet_bytes(pa.Table.from_arrays(arrays, names=names))}

    return build


def _shapes() -> list[Case]:
    refused = (Refused(("cannot be read",)),)
    return [
        Case("parquet-many-row-groups", KIND, _table(lambda table: table, row_group_size=2),
             (Exact(ROWS),)),
        *(Case(f"parquet-{name}", KIND, _table(lambda table: table, compression=name),
               (Exact(ROWS),)) for name in ("zstd", "brotli", "lz4", "gzip", "none")),
        Case("parquet-version-1", KIND, _table(lambda table: table, version="1.0"), (Exact(ROWS),)),
        Case("parquet-data-page-2", KIND,
             _table(lambda table: table, data_page_version="2.0"), (Exact(ROWS),)),
        Case("parquet-no-arrow-schema", KIND,
             _table(lambda table: table, store_schema=False), (Exact(ROWS),)),
        Case("parquet-no-rows", KIND,
             _table(lambda table: table.slice(0, 0)),  # type: ignore[attr-defined]
             (Refused(("no rows",)),)),
        Case("parquet-named-csv", KIND, parquet(ROWS, "a.csv"), (Exact(ROWS),)),
        Case("parquet-cut-off", KIND, changed(parquet(ROWS), lambda data: data[: len(data) // 2]),
             refused),
        Case("parquet-damaged-page", KIND,
             changed(parquet(ROWS), lambda data: data[:20] + b"\xff" * 60 + data[80:]), refused),
        Case("parquet-damaged-footer", KIND,
             changed(parquet(ROWS), lambda data: data[:-40] + b"\0" * 32 + data[-8:]),
             (Exact(ROWS), *refused)),
        Case("parquet-only-magic", KIND, lambda: {"a.parquet": b"PAR1PAR1"}, refused),
        Case("parquet-name-for-csv", KIND,
             lines(["text,label", *(f"{text},{label}" for label, text in ROWS)], "a.parquet"),
             (Exact(ROWS), *refused)),
        Case("parquet-nulls-in-text", KIND,
             parquet_columns(
                 lambda: {"text": [None, "", *TEXTS], "label": ["pos", "neg", *LABELS]}),
             (Exact(ROWS, (LeftOut("no text", (1, 2)),)),)),
        Case("parquet-index-of-pandas", KIND, _pandas_index(), (Exact(ROWS),)),
        Case("parquet-binary-not-utf-8", KIND,
             parquet_columns(lambda: {"text": [b"caf\xe9 is fine", *(t.encode() for t in TEXTS)],
                                      "label": ["pos", *LABELS]}),
             (Refused(("text", "binary")),
              Exact((("pos", "caf\ufffd is fine"), *ROWS), mentions=("decode",)),
              Exact((("pos", "café is fine"), *ROWS)),
              Exact(ROWS, (LeftOut("", (1,)),)))),
    ]  # fmt: skip


def _pandas_index() -> Builder:
    def build() -> Files:
        import pandas as pd  # noqa: PLC0415 - as above

        frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
        return {"a.parquet": frame[frame["label"] != "x"].iloc[::-1].iloc[::-1].to_parquet()}

    return build


def _numbers() -> list[Case]:
    """Labels of 32 bits, and class names of a column that does not hold class ids alone."""
    names = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": names}})}
    ids = [int(label == "pos") for label in LABELS]

    def named(label: list[object]) -> Builder:
        def build() -> Files:
            import pyarrow as pa  # noqa: PLC0415 - as above

            texts = [*TEXTS, "odd"][: len(label)]
            table = pa.table({"text": texts, "label": label})
            return {"a.parquet": parquet_bytes(table.replace_schema_metadata(metadata))}

        return build

    def tenths() -> dict[str, object]:
        import pyarrow as pa  # noqa: PLC0415 - as above

        label = pa.array([number + 0.1 for number in ids], pa.float32())
        return {"text": TEXTS, "label": label}

    short = tuple((f"{number}.1", text) for number, text in zip(ids, TEXTS, strict=True))
    missing = Exact(ROWS, (LeftOut("no label", (25,)),))
    return [
        Case("parquet-label-float32", KIND, parquet_columns(tenths), (Exact(short),)),
        Case(
            "parquet-class-names-of-floats",
            KIND,
            named([*map(float, ids), None]),
            (missing,),
        ),
        Case("parquet-class-names-of-names", KIND, named([*LABELS]), (Exact(ROWS),)),
        Case("parquet-class-id-without-name", KIND, named([*ids, 7]), (Refused(("'7'",)),)),
        Case(
            "parquet-nul-in-text",
            KIND,
            parquet_columns(lambda: {"text": [*TEXTS[:-1], "a\0b"], "label": LABELS}),
            (Exact((*ROWS[:-1], (LABELS[-1], "ab")), (), ("NUL",)),),
        ),
    ]


CASES = [
    *_numbers(),
    *(
        _typed("text", kind, report=report)
        for kind, report in (
            ("large-string", ""),
            ("string-view", "apache/arrow#49368"),
            ("binary", "Bears-R-Us/arkouda#1195"),
            ("large-binary", ""),
            ("binary-view", "apache/iceberg-python#1745"),
            ("fixed-size-binary", ""),
            ("dictionary", ""),
            ("list-of-one", ""),
            ("struct", ""),
        )
    ),
    *(
        _typed("label", kind)
        for kind in ("dictionary", "binary", "string-view", "list-of-one", "struct", "map")
    ),
    *(
        _unused(kind)
        for kind in (
            "unknown-zone",
            "null",
            "nested",
            "duration",
            "far-date",
            "nanoseconds",
            "embedding",
            "image",
        )
    ),
    *_duplicates(),
    *_shapes(),
]
