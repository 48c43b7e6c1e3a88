"""JSON lines and JSON: shapes that people and libraries write."""

import json

from tests.corpus.build import changed, films, jsonl, lines
from tests.corpus.case import Case, Exact, Files, LeftOut, Outcome, Refused, Row, Rows

KIND = "json"
ROWS = films()
OBJECTS: list[dict[str, object]] = [{"text": text, "label": label} for label, text in ROWS]
DUMPED = [json.dumps(value) for value in OBJECTS]


def _lines(
    id: str,
    content: list[str],
    *outcomes: Outcome,
    name: str = "a.jsonl",
    report: str = "",
    note: str = "",
) -> Case:
    return Case(f"json-{id}", KIND, lines(content, name), outcomes, report=report, note=note)


def _whole(id: str, value: object, *outcomes: Outcome, indent: int | None = None) -> Case:
    def build() -> Files:
        return {"a.json": json.dumps(value, indent=indent).encode()}

    return Case(f"json-{id}", KIND, build, outcomes)


def _broken() -> list[Case]:
    half = '{"text": "cut off", "lab'
    refused = Refused(("JSON object",))
    return [
        _lines("last-line-cut", [*DUMPED, half], Exact(ROWS, (LeftOut("JSON", (25,)),))),
        _lines("broken-in-the-middle", [*DUMPED[:5], half, *DUMPED[5:]],
               Exact(ROWS, (LeftOut("JSON", (6,)),))),
        _lines("blank-lines", ["", *DUMPED[:3], "", "  ", *DUMPED[3:], ""],
               Exact(ROWS, (LeftOut("", (1, 5, 6, 28), optional=True),))),
        _lines("comma-after-each", [f"{line}," for line in DUMPED], Exact(ROWS),
               Refused(("line 1", "JSON object"))),
        _lines("several-in-a-line", ["".join(DUMPED[:12]), "".join(DUMPED[12:])], Exact(ROWS),
               Refused(("line 1", "JSON object"))),
        _lines("single-quotes", [str(value) for value in OBJECTS],
               Refused(("line 1", "JSON object")), Exact(ROWS)),
        _lines("comment-lines", ["// exported", "# today", *DUMPED],
               Exact(ROWS, (LeftOut("JSON", (1, 2)),)), Refused(("line 1",))),
        _lines("rows-as-lists", [json.dumps([text, label]) for label, text in ROWS],
               Exact(ROWS), refused),
        _lines("strings", [json.dumps(text) for _, text in ROWS], refused),
        _lines("numbers-between", [*DUMPED[:3], "5", "null", '"x"', *DUMPED[3:]],
               Exact(ROWS, (LeftOut("JSON", (4, 5, 6)),))),
        _lines("deeply-nested", [*DUMPED, '{"text": ' + "[" * 5000 + "]" * 5000 + "}"],
               Exact(ROWS, (LeftOut("", (25,)),)), Refused(("line 25",))),
    ]  # fmt: skip


def _shapes() -> list[Case]:
    columns = {"text": [t for _, t in ROWS], "label": [label for label, _ in ROWS]}
    indexed = {
        name: {str(i): value for i, value in enumerate(values)} for name, values in columns.items()
    }
    split = {
        "columns": ["text", "label"],
        "index": list(range(24)),
        "data": [[text, label] for label, text in ROWS],
    }
    refused = Refused(("JSON object",))
    return [
        _whole("list", OBJECTS, Exact(ROWS)),
        _whole("list-indented", OBJECTS, Exact(ROWS), indent=2),
        _lines("list-named-jsonl", [json.dumps(OBJECTS)], Exact(ROWS)),
        _lines("list-named-txt", [json.dumps(OBJECTS)], Exact(ROWS), refused, name="a.txt"),
        _lines("lines-named-json", DUMPED, Exact(ROWS), name="a.json",
               report="doccano/doccano#454"),
        _lines("lines-named-csv", DUMPED, Exact(ROWS), name="a.csv"),
        _lines("objects-over-several-lines", [json.dumps(value, indent=2) for value in OBJECTS],
               Exact(ROWS), Refused(("JSON object",))),
        _whole("columns-of-lists", columns, Exact(ROWS), refused, Refused(("lists",))),
        _whole("columns-by-index", indexed, Exact(ROWS), refused, Refused(("lists",))),
        _whole("split", split, Exact(ROWS), refused, Refused(("lists",))),
        _whole("wrapped", {"version": 1, "data": OBJECTS}, Exact(ROWS), refused,
               Refused(("lists",))),
        _whole("wrapped-indented", {"data": OBJECTS}, Exact(ROWS), refused,
               Refused(("lists",)), indent=1),
    ]  # fmt: skip


def _keys() -> list[Case]:
    turned = [{"label": v["label"], "text": v["text"]} for v in OBJECTS]
    late = [{**v, "note": "x"} if i > 20 else v for i, v in enumerate(OBJECTS)]
    null_first = [{**v, "extra": None if i < 20 else "a string"} for i, v in enumerate(OBJECTS)]
    changing = [{**v, "extra": (1, "1", [1], {"a": 1})[i % 4]} for i, v in enumerate(OBJECTS)]
    meta = [{**v, "meta": {"source": "x", "tags": ["a"]}} for v in OBJECTS]
    other_case = [{"Text": f"title {i}", **v} for i, v in enumerate(OBJECTS)]
    nested = [{"data": {"text": v["text"]}, "label": v["label"]} for v in OBJECTS]
    listed = [{"text": [v["text"]], "label": v["label"]} for v in OBJECTS]
    twice = [f'{{"text": "first {i}", {line[1:]}' for i, line in enumerate(DUMPED)]

    def each(values: list[dict[str, object]]) -> list[str]:
        return [json.dumps(value) for value in values]

    return [
        _lines("keys-in-another-order", [*DUMPED[:5], *each(turned)[5:]], Exact(ROWS)),
        _lines("key-appears-late", each(late), Exact(ROWS)),
        _lines("null-then-string", each(null_first), Exact(ROWS),
               report="huggingface/datasets#7222"),
        _lines("other-column-changes-type", each(changing), Exact(ROWS),
               report="huggingface/datasets#4491"),
        _lines("nested-column-unused", each(meta), Exact(ROWS)),
        _lines("keys-differ-in-case", each(other_case), Exact(ROWS)),
        _lines("text-is-nested", each(nested), Exact(ROWS), Refused(("text", "object"))),
        _lines("text-is-a-list-of-one", each(listed), Exact(ROWS), Refused(("text", "list"))),
        _lines("duplicate-keys", twice, Exact(ROWS, mentions=("text",)), Refused(("text",)),
               note="the last value wins in most readers; a file that says both is said"),
        _lines("blank-key", [line.replace('"label"', '" label "') for line in DUMPED],
               Exact(ROWS), Refused(("no column 'label'",))),
    ]  # fmt: skip


def _values() -> list[Case]:
    special: Rows = tuple[Row, ...](
        (("pos", "a/b"), ("neg", "tab\there"), ("pos", "\u00e9 and \u2028 more"), ("neg", "null"))
    )
    return [
        _lines("not-a-number", [*DUMPED, '{"text": NaN, "label": "pos"}'],
               Exact(ROWS, (LeftOut("", (25,)),))),
        _lines("infinity", [*DUMPED, '{"text": Infinity, "label": "pos"}'],
               Exact((*ROWS, ("pos", "Infinity"))), Exact(ROWS, (LeftOut("", (25,)),))),
        Case("json-ascii-and-not", KIND, jsonl(special + ROWS, ascii_only=False),
             (Exact(special + ROWS),)),
        Case("json-slash-escaped", KIND,
             lines([*DUMPED, '{"text": "a\\/b", "label": "pos"}'], "a.jsonl"),
             (Exact((*ROWS, ("pos", "a/b"))),)),
        Case("json-crlf", KIND, lines(DUMPED, "a.jsonl", end="\r\n"), (Exact(ROWS),)),
        Case("json-no-final-line-end", KIND, changed(jsonl(ROWS), bytes.rstrip), (Exact(ROWS),)),
        Case("json-record-separators", KIND,
             lines(["\x1e" + line for line in DUMPED], "a.jsonl"),
             (Exact(ROWS), Refused(("JSON object",))), note="RFC 7464"),
        Case("json-raw-tab-in-string", KIND,
             lines([*DUMPED, '{"text": "a\tb", "label": "pos"}'], "a.jsonl"),
             (Exact((*ROWS, ("pos", "a\tb"))), Exact(ROWS, (LeftOut("JSON", (25,)),)))),
    ]  # fmt: skip


def _rows_by_index() -> list[Case]:
    named = {f"id{number}": value for number, value in enumerate(OBJECTS)}
    return [
        _whole("rows-by-index", {str(key): row for key, row in enumerate(OBJECTS)}, Exact(ROWS)),
        _whole("rows-by-name", named, Exact(ROWS)),
    ]


CASES = [*_rows_by_index(), *_broken(), *_shapes(), *_keys(), *_values()]
