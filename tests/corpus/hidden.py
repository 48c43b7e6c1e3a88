"""Labels that are no labels: -1 in a hidden test split, unsupervised rows, unlabeled files."""

import json
from collections.abc import Callable

from tests.corpus.build import (
    csv_line,
    delimited,
    films,
    jsonl,
    lines,
    parquet_bytes,
    parquet_columns,
    together,
)
from tests.corpus.case import Ask, Builder, Case, Exact, Files, LeftOut, Refused, Rows

KIND = "hidden labels"
REPORT = "huggingface/datasets#245"


def _numbered(each: int = 12) -> Rows:
    return tuple(("1" if label == "pos" else "0", text) for label, text in films(each))


def _numbers(rows: Rows, name: str, labels: bool = False) -> Builder:
    """Build Parquet with integers, optionally with the class names of Hugging Face."""
    if not labels:
        return parquet_columns(
            lambda: {"text": [t for _, t in rows], "label": [int(label) for label, _ in rows]}, name
        )

    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

        features = {
            "text": {"dtype": "string", "_type": "Value"},
            "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
        }
        table = pa.table(
            {"text": [t for _, t in rows], "label": [int(label) for label, _ in rows]}
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        return {name: parquet_bytes(table)}

    return build


def _hidden(texts: int, first: int = 100) -> Rows:
    return tuple(("-1", f"a hidden text {number}") for number in range(first, first + texts))


def _left(count: int, start: int = 1) -> tuple[LeftOut, ...]:
    return (LeftOut("no label", tuple(range(start, start + count))),)


def _test_split() -> list[Case]:
    rows = _numbered()
    named = films()
    makers: tuple[tuple[str, Callable[[Rows, str], Builder]], ...] = (
        ("parquet", lambda part, file: _numbers(part, f"{file}.parquet")),
        ("csv", lambda part, file: delimited(part, f"{file}.csv")),
        ("jsonl", lambda part, file: jsonl(part, f"{file}.jsonl")),
    )
    cases = []
    for name, make in makers:
        cases.append(
            Case(
                f"hidden-test-split-{name}",
                KIND,
                together(make(rows, "train"), make(_hidden(10), "test")),
                (Exact(rows, _left(10, 2 if name == "csv" else 1)),),
                report=REPORT,
            )
        )
    cases.append(
        Case(
            "hidden-test-split-class-names",
            KIND,
            together(
                _numbers(rows, "train.parquet", True), _numbers(_hidden(10), "test.parquet", True)
            ),
            (Exact(named, _left(10)),),
            report="huggingface/datasets#5624",
        )
    )
    cases.append(
        Case(
            "hidden-test-file-without-labels",
            KIND,
            together(
                delimited(rows, "train.csv"),
                lines(["text", *(text for _, text in _hidden(5))], "test.csv"),
            ),
            (Exact(rows, _left(5, 2)), Refused(("test.csv", "no column 'label'"))),
        )
    )
    return cases


def _unsupervised() -> list[Case]:
    rows = _numbered(20)
    return [
        Case(
            "hidden-unsupervised-file",
            KIND,
            together(_numbers(rows, "train.parquet"), _numbers(_hidden(30), "unsup.parquet")),
            (Exact(rows, _left(30)), Refused(("unsup",))),
        ),
        Case(
            "hidden-unsupervised-file-in-full",
            KIND,
            together(
                _numbers(rows, "train.parquet"), _numbers(_hidden(30), "unsupervised.parquet")
            ),
            (Exact(rows, _left(30)), Refused(("unsupervised",))),
        ),
        Case(
            "hidden-unsupervised-named-classes",
            KIND,
            together(
                _numbers(rows, "train.parquet", True),
                _numbers(_hidden(30), "unsupervised.parquet", True),
            ),
            (Exact(films(20), _left(30)), Refused(("unsupervised",))),
        ),
        Case(
            "hidden-split-column-unsupervised",
            KIND,
            lines(
                [
                    "text,label,split",
                    *(csv_line(text, label, "train") for label, text in rows),
                    *(csv_line(text, label, "unsupervised") for label, text in _hidden(5)),
                ]
            ),
            (Exact(rows, (LeftOut("label", tuple(range(42, 47))),)), Refused(("unsupervised",))),
        ),
    ]


def _one_file() -> list[Case]:
    rows = _numbered(20)
    hidden = _hidden(30)
    thirds: Rows = tuple(
        (("-1", "0", "1")[number % 3], f"a text with feeling {number}") for number in range(45)
    )
    polar: Rows = tuple(
        (("-1", "1")[number % 2], f"a text with feeling {number}") for number in range(40)
    )
    ask = Ask(("-1",), ())
    note = "in 0 and 1 with -1 the last means no label, in -1 and 1 it is a class"
    return [
        Case("hidden-minus-one-parquet", KIND, _numbers((*rows, *hidden), "a.parquet"),
             (Exact(rows, _left(30, 41)), ask), report=REPORT, note=note),
        Case("hidden-minus-one-csv", KIND, delimited((*rows, *hidden)),
             (Exact(rows, _left(30, 42)), ask), note=note),
        Case("hidden-minus-one-jsonl", KIND, jsonl((*rows, *hidden)),
             (Exact(rows, _left(30, 41)), ask), note=note),
        Case("hidden-minus-one-float-parquet", KIND,
             parquet_columns(lambda: {
                 "text": [text for _, text in (*rows, *hidden)],
                 "label": [float(label) for label, _ in (*rows, *hidden)]}),
             (Exact(rows, _left(30, 41)), ask), note=note),
        Case("hidden-minus-one-class-names", KIND, _numbers((*rows, *hidden), "a.parquet", True),
             (Exact(films(20), _left(30, 41)),)),
        Case("hidden-polarity-is-a-class", KIND, delimited(polar), (Exact(polar), ask), note=note),
        Case("hidden-three-polarities", KIND, delimited(thirds), (Exact(thirds), ask),
             note="-1, 0, 1 as often as each other: three classes, or ask"),
        Case("hidden-all-minus-one", KIND, _numbers(hidden, "a.parquet"),
             (Refused(("-1",)), Refused(("no training row",))), report="huggingface/datasets#183"),
        Case("hidden-all-empty", KIND, delimited(tuple(("", text) for _, text in rows)),
             (Refused(("label",)),)),
        Case("hidden-words", KIND,
             delimited((*films(), *(("unlabeled", f"a text {i}") for i in range(3)))),
             (Refused(("too few", "'unlabeled'")), Exact(films(), (LeftOut("label", (26, 27, 28)),))
              )),
    ]  # fmt: skip


CASES = [*_test_split(), *_unsupervised(), *_one_file()]
