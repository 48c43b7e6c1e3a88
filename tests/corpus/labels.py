"""Labels are strings exactly as written, in every format."""

import json
from dataclasses import dataclass

from tests.corpus.build import (
    FIRST,
    among,
    csv_line,
    delimited,
    films,
    including,
    jsonl,
    labeled,
    lines,
    parquet,
    parquet_columns,
)
from tests.corpus.case import Builder, Case, Exact, LeftOut, Refused, Rows

KIND = "labels"


@dataclass(frozen=True, slots=True)
class Names:
    """Labels that a reader must keep apart; ``formats`` are the formats that are tried."""

    id: str
    names: tuple[str, ...]
    report: str = ""
    formats: tuple[str, ...] = ("csv",)
    mentions: str = ""  # part of what the report says about the labels
    note: str = ""


ALL = ("csv", "tsv", "jsonl", "parquet")
APART = (
    Names("zip-codes", ("01234", "1234", "00501", "501"), "apache/arrow#46853", ALL),
    Names("agents", ("007", "07", "7"), "wireservice/csvkit#977"),
    Names("versions", ("1.0", "1.1", "2.0", "2.00"), "", ALL),
    Names("booleans", ("true", "false", "1", "0"), "", ALL),
    Names("boolean-case", ("True", "TRUE", "False")),
    Names("dates", ("2024-01-01", "2024-06-30"), "apache/arrow#46698", ALL),
    Names("date-times", ("2024-01-01", "2024-01-01 00:00:00"), "apache/arrow#46698"),
    Names("exponents", ("1e5", "100000", "1E5")),
    Names("signs", ("+1", "1", "-1", "-01")),
    Names("hexadecimal", ("0x10", "16")),
    Names("thousands", ("1,000", "1000", "1.000")),
    Names("decimal-fractions", (".5", "0.5", "0.50")),
    Names("trailing-point", ("1.", "1")),
    Names("minus-zero", ("0", "-0")),
    Names("underscores", ("1_000", "1000")),
    Names("long-numbers", ("12345678901234567", "12345678901234568"), "", ALL),
    Names("missing-words", ("NA", "None", "null", "NaN"), "OasisLMF/OasisLMF#307", ALL),
    Names("missing-marks", ("N/A", "n/a", "#N/A", "nan"), "pandas-dev/pandas#24681"),
    Names("infinity", ("inf", "-inf", "Infinity")),
    Names("case-only", ("us", "US"), "", ALL),
    Names("case-three", ("it", "It", "IT")),
    Names("sharp-s", ("ß", "ss", "SS")),
    Names("dotless-i", ("I", "ı", "İ", "i")),
    Names("arabic-digits", ("3", "٣")),
    Names("formulas", ("=1+1", "@x", "-1")),
    Names("number-signs", ("#pos", "#neg"), "pola-rs/polars#21441"),
    Names("emoji", ("👍", "👎", "👍🏽")),
    Names("quotes-in-label", ('"yes"', "yes")),
    Names("separator-in-label", ("a,b", "a;b", "a|b")),
    Names("words-like-a-header", ("text", "label")),
    Names("percent", ("5%", "5 %", "50%")),
    Names(
        "unicode-forms",
        ("caf\u00e9", "cafe\u0301"),
        formats=("csv", "jsonl"),
        mentions="merge",
        note="two spellings that look alike are offered for merging",
    ),
    Names("full-width-digits", ("1", "\uff11"), mentions="merge", note="as unicode-forms"),
    Names("zero-width-space", ("pos", "pos\u200b"), mentions="merge", note="as unicode-forms"),
)


def _built(rows: Rows, form: str) -> Builder:
    match form:
        case "tsv":
            return delimited(rows, "a.tsv", "\t")
        case "jsonl":
            return jsonl(rows)
        case "parquet":
            return parquet(rows)
        case _:
            return delimited(rows)


def _apart(names: Names) -> list[Case]:
    rows = labeled(*names.names)
    outcome = Exact(rows, mentions=(names.mentions,) if names.mentions else ())
    return [
        Case(
            f"label-{names.id}-{form}",
            KIND,
            _built(rows, form),
            (outcome,),
            report=names.report,
            note=names.note,
        )
        for form in names.formats
    ]


def _columns(kind: str) -> Builder:
    """Build a Parquet file whose label column is of an Arrow type, by its name here."""

    def columns() -> dict[str, object]:
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

        texts = [text for _, text in films()]
        numbers = [0 if label == "neg" else 1 for label, _ in films()]
        arrays: dict[str, object] = {
            "int64": pa.array(numbers),
            "int8": pa.array(numbers, pa.int8()),
            "float64": pa.array([float(number) for number in numbers]),
            "float16": pa.array(numbers, pa.float16()),
            "float-with-null": pa.array([None, 1.0, *map(float, numbers[2:])]),
            "fractions": pa.array([number + 0.5 for number in numbers]),
            "uint64": pa.array([2**63 + number for number in numbers], pa.uint64()),
            "bool": pa.array([number == 1 for number in numbers]),
            "decimal": pa.array([f"{number}.50" for number in numbers]).cast(pa.decimal128(5, 2)),
            "date32": pa.array([19000 + number for number in numbers], pa.int32()).cast(
                pa.date32()
            ),
        }
        return {"text": texts, "label": arrays[kind]}

    return parquet_columns(columns)


def _typed(kind: str, neg: str, pos: str, *, note: str = "") -> Case:
    rows = tuple((pos if label == "pos" else neg, text) for label, text in films())
    return Case(f"label-parquet-{kind}", KIND, _columns(kind), (Exact(rows),), note=note)


def _bool() -> Case:
    outcomes = tuple(
        Exact(tuple((yes if label == "pos" else no, text) for label, text in films()))
        for yes, no in (("true", "false"), ("True", "False"))
    )
    note = "a Boolean type has no spelling of its own"
    return Case("label-parquet-bool", KIND, _columns("bool"), outcomes, note=note)


def _json_values() -> list[Case]:
    """Labels that are no strings in JSON."""
    words = {"1": 1, "true": True, "two": "two"}
    rows = labeled("1", "true", "two")
    values = [json.dumps({"text": text, "label": words[label]}) for label, text in rows]
    mixed_rows = Case(
        "label-json-mixed-types",
        KIND,
        lines([*values, '{"text": "no label", "label": null}'], "a.jsonl"),
        (Exact(rows, (LeftOut("no label", (37,)),)),),
        note="1 and true are different labels",
    )
    numbers = [
        ("large", "12345678901234567890", "12345678901234567891"),
        ("fractions", "0.1", "0.10"),
        ("exponents", "1e2", "100"),
        ("huge", "1e400", "2e400"),
        ("floats", "1.0", "2.0"),
    ]
    cases = [mixed_rows]
    for name, first, second in numbers:
        rows = labeled(first, second)
        content = [f'{{"text": {json.dumps(text)}, "label": {label}}}' for label, text in rows]
        outcomes = [Exact(rows)]
        note = ""
        if name == "floats":
            whole = tuple((label[:-2], text) for label, text in rows)
            outcomes.append(Exact(whole))
            note = "a column of floating-point numbers may lose .0"
        cases.append(
            Case(
                f"label-json-number-{name}",
                KIND,
                lines(content, "a.jsonl"),
                tuple(outcomes),
                note=note,
            )
        )
    return cases


def _blanks() -> list[Case]:
    around = [("pos ", "pos"), ("\u00a0pos", "pos"), ("\tpos", "pos")]
    cases = []
    for number, (written, label) in enumerate(around):
        special = [csv_line("a text with a blank", written)]
        cases.append(
            among(
                f"label-blank-around-{number + 1}",
                KIND,
                special,
                including((label, "a text with a blank")),
                note="blanks around a label do not count",
            )
        )
    inner = labeled("New  York", "New York", "Rome")
    merged = tuple((" ".join(label.split()), text) for label, text in inner)
    cases.append(
        Case(
            "label-two-blanks-inside",
            KIND,
            delimited(inner),
            (Exact(inner), Exact(merged, mentions=("New  York",))),
            note="kept apart, or merged and said so",
        )
    )
    broken = labeled("one\ntwo", "three")
    joined = tuple((label.replace("\n", " "), text) for label, text in broken)
    cases.append(
        Case(
            "label-with-line-break",
            KIND,
            delimited(broken),
            (Exact(broken), Exact(joined, mentions=("renamed",))),
            note="kept, or joined and said so",
        )
    )
    return cases


def _missing() -> list[Case]:
    line = FIRST + 2
    empty = (LeftOut("no label", (line, line + 1, line + 2)),)
    return [
        among(
            "label-empty-cells",
            KIND,
            ["no label here,", 'nor here,""', "nor here either,  "],
            including(left_out=empty),
        ),
        Case(
            "label-jsonl-missing-key",
            KIND,
            lines(
                [
                    '{"text": "no key"}',
                    '{"text": "null", "label": null}',
                    '{"text": "empty", "label": ""}',
                    *(json.dumps({"text": text, "label": label}) for label, text in films()),
                ],
                "a.jsonl",
            ),
            (Exact(films(), (LeftOut("no label", (1, 2, 3)),)),),
        ),
        Case(
            "label-parquet-null",
            KIND,
            parquet_columns(
                lambda: {
                    "text": ["one", "two", *(text for _, text in films())],
                    "label": [None, "", *(label for label, _ in films())],
                }
            ),
            (Exact(films(), (LeftOut("no label", (1, 2)),)),),
        ),
        Case(
            "label-81-characters",
            KIND,
            delimited(labeled("x" * 81, "y")),
            (Exact(labeled("x" * 81, "y")), Refused(("81 characters",))),
            note="a limit on the length of a label is acceptable where it is named",
        ),
    ]


CASES = [
    *(case for names in APART for case in _apart(names)),
    _typed("int64", "0", "1"),
    _typed("int8", "0", "1"),
    _typed("float64", "0", "1", note="a floating-point type may lose .0"),
    _typed("float16", "0", "1", note="a floating-point type may lose .0"),
    _typed("fractions", "0.5", "1.5"),
    _typed("uint64", str(2**63), str(2**63 + 1)),
    _typed("decimal", "0.50", "1.50"),
    _typed("date32", "2022-01-08", "2022-01-09"),
    Case(
        "label-parquet-float-with-null",
        KIND,
        _columns("float-with-null"),
        (
            Exact(
                (("1", films()[1][1]),)
                + tuple(("1" if label == "pos" else "0", text) for label, text in films()[2:]),
                (LeftOut("no label", (1,)),),
            ),
        ),
        note="the null turns whole numbers into floating-point ones",
    ),
    _bool(),
    *_json_values(),
    *_blanks(),
    *_missing(),
]
