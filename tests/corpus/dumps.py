"""Dumps of databases, tables of R, lists of NumPy and files that only look like tables."""

import io
import json
import tarfile
from collections.abc import Sequence

from tests.corpus.build import (
    EACH,
    among,
    changed,
    csv_line,
    csv_lines,
    delimited,
    films,
    including,
    labeled,
    lines,
    mixed,
    parquet_columns,
)
from tests.corpus.case import Case, Exact, Files, LeftOut, Outcome, Refused, Row, Rows

KIND = "dumps"
ROWS = films()
AGAIN: Rows = tuple((label, f"{text}, again") for label, text in ROWS)
SAID: Row = ("pos", 'he said "no", twice')


def _text(
    id: str, content: Sequence[str], *outcomes: Outcome, name: str = "a.csv", report: str = ""
) -> Case:
    return Case(f"dump-{id}", KIND, lines(content, name), outcomes, report=report)


def _detected(id: str, content: Sequence[str], *outcomes: Outcome, name: str = "a.csv") -> Case:
    return Case(f"dump-{id}", KIND, lines(content, name), outcomes, text="", label="")


def _document(id: str, value: object, *outcomes: Outcome) -> Case:
    return _text(id, [json.dumps(value)], *outcomes, name="a.json")


def _records(rows: Rows, **others: object) -> list[dict[str, object]]:
    return [{"text": text, "label": label, **others} for label, text in rows]


def _quoted(*cells: str, sep: str = ",") -> str:
    return sep.join(f'"{cell}"' for cell in cells)


def _short_headers() -> list[Case]:
    rows = mixed((SAID,))
    numbered = [(str(i), *row) for i, row in enumerate(rows, 1)]
    written = [_quoted(i, text.replace('"', r"\""), label, sep="\t") for i, label, text in numbered]
    plain = ["\t".join((str(i), text, label)) for i, (label, text) in enumerate(ROWS, 1)]
    ended = [_quoted(str(i), text, label, sep=";") + ";" for i, (label, text) in enumerate(ROWS)]
    commas = [f"{i},{text},{label}," for i, (label, text) in enumerate(ROWS)]
    return [
        _text("r-tab", [_quoted("text", "label", sep="\t"), *written], Exact(rows), name="a.txt"),
        _text("r-tab-plain", ["text\tlabel", *plain], Exact(ROWS), name="a.txt"),
        _text("ended-cells", ['"id";"text";"label"', *ended], Exact(ROWS),
              report="pandas-dev/pandas#41304"),
        _text("ended-cells-plain", ["id,text,label", *commas], Exact(ROWS),
              report="pandas-dev/pandas#15203"),
        _text("upper-case-sep", ["SEP=|", "text|label", *csv_lines(ROWS, "|")], Exact(ROWS)),
    ]  # fmt: skip


def _quotes() -> list[Case]:
    inner = [('a 32" screen', "neg"), ('he said "well, ok" and left', "pos")]
    rows = (*ROWS, *((label, text) for text, label in inner))
    enclosed = [_quoted(text, label) for label, text in rows]
    texts = [f'"{text}",{label}' for label, text in ROWS]
    mixed_tabs = [f'{label}\t{text}, "ok"' for label, text in ROWS]
    return [
        _text("inner-quotes", ["text,label", *enclosed], Exact(rows),
              report="mafintosh/csv-parser#52"),
        _text("inner-quotes-header", ['"text","label"', *enclosed], Exact(rows)),
        _text("inner-quotes-ended", ['"text","label"', *(f"{line}," for line in enclosed)],
              Exact(rows)),
        _text("one-inner-quote", ["text,label", *texts, '"a 6" disc",pos'],
              Exact((*ROWS, ("pos", '"a 6" disc"'))), Exact((*ROWS, ("pos", 'a 6" disc')))),
        _detected("constant-part", mixed_tabs, Exact(tuple((a, f'{b}, "ok"') for a, b in ROWS)),
                  name="collection"),
        _text("single-quotes", ["'text','label'", *(f"'{b}, it''s','{a}'" for a, b in ROWS)],
              Refused(("line 1", "single quotes"))),
    ]  # fmt: skip


def _tar() -> Files:
    buffer = io.BytesIO()
    data = "\n".join(["text,label", *csv_lines(ROWS)]).encode()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return {"a.tar": buffer.getvalue()}


def _others() -> list[Case]:
    values = ",\n".join(f"({i},'{text}','{label}')" for i, (label, text) in enumerate(ROWS))
    pointer = ["version https://git-lfs.github.com/spec/v1", "oid sha256:4d7a2146", "size 12345"]
    page = '<meta http-equiv="content-type" content="text/html"><table><tr><td>text</td></tr>'
    posts = [{"tweet": {"full_text": text, "lang": label}} for label, text in ROWS]
    script = f"window.YTD.tweets.part0 = {json.dumps(posts)}"
    return [
        _text("sql", [f"INSERT INTO `reviews` VALUES {values};"], Refused(("SQL",)), name="a.sql"),
        _text("sql-comment", ["-- MySQL dump", "", "DROP TABLE IF EXISTS a;"], Refused(("SQL",))),
        _text("lfs-pointer", pointer, Refused(("Git LFS", "git lfs pull"))),
        _text("lfs-pointer-parquet", pointer, Refused(("Git LFS",)), name="train.parquet"),
        _text("page-as-sheet", [page], Refused(("HTML",)), name="a.xls"),
        _text("javascript", [script], Refused(("JavaScript",)), name="tweets.js"),
        Case("dump-tar", KIND, _tar, (Refused(("tar archive",)),)),
        _text("no-fields", ["{}"], Refused(("no rows",)), name="a.json"),
        _text("no-fields-lines", ["{}", "{}"], Refused(("no rows",)), name="a.jsonl"),
        among("dump-null", KIND, [r"a text without a label,\N"],
              Exact(ROWS, (LeftOut("no label", (6,)),))),
    ]  # fmt: skip


def _documents() -> list[Case]:
    own, other = _records(ROWS, split="train"), _records(AGAIN, split="train")
    both = (*ROWS, *AGAIN)
    fields = [{"text": text, "intent": label, "entities": []} for label, text in ROWS]
    rasa = {"rasa_nlu_data": {"common_examples": fields, "regex_features": []}}
    rows: list[object] = [[text, label] for label, text in ROWS]
    broken = {"columns": ["text", "label"], "data": [None, ["a text"], *rows]}
    declined = [
        *_records(ROWS, answer="accept"),
        *_records((("pos", "no"),), answer="reject"),
        *_records((("neg", "none"),), answer="ignore"),
    ]
    return [
        _document("splits-of-rows", {"train": own, "test": other},
                  Exact(both, mentions=("'split (2)'",))),
        _document("with-names", {"labels": ["pos", "neg"], "examples": _records(ROWS)},
                  Exact(ROWS)),
        Case("dump-rasa", KIND, lines([json.dumps(rasa)], "nlu.json"), (Exact(ROWS),), "", ""),
        _document("broken-rows", broken, Exact(ROWS, (LeftOut("not a JSON object", (1, 2)),))),
        _text("joined-with-marks", [f"\ufeff{json.dumps(row)}" for row in _records(ROWS)],
              Exact(ROWS), name="a.jsonl"),
        _text("declined", [json.dumps(row) for row in declined],
              Exact(ROWS, (LeftOut("no label", (25, 26)),)), name="a.jsonl"),
    ]  # fmt: skip


def _columns() -> list[Case]:
    objects: Rows = tuple((label, json.dumps({"message": text})) for label, text in ROWS)
    parts = ["TRAIN", "TRAIN", "TRAIN", "TRAIN", "TEST", "TEST"] * 10
    many = films(30)
    tagged = [csv_line(part, *row[::-1]) for part, row in zip(parts, many, strict=True)]
    held = [csv_line(text, label, "train") for label, text in ROWS]
    held += [csv_line(text, label, "test") for label, text in AGAIN]
    ids = [csv_line(f"id{i}", text, label) for i, (label, text) in enumerate(ROWS)]
    printed = [csv_line(text, f"['{label}']") for label, text in ROWS]
    numbers = labeled("0", "1")
    arrays = [csv_line(text, f"[{label}]") for label, text in numbers]
    return [
        _detected("texts-of-json", ["text,label", *csv_lines(objects)], Exact(objects)),
        _detected("unnamed-split", tagged, Exact(many)),
        _detected("exact-name", ["Text,text,label", *ids], Exact(ROWS)),
        _detected("other-split", ["text,label,split", *held, "a text,pos,holdout"],
                  Exact((*ROWS, *AGAIN), (LeftOut("no split", (50,)),))),
        _text("numpy", ["text,label", *printed, "\"two\",\"['pos' 'neg']\""],
              Exact(ROWS, (LeftOut("several", (26,)),))),
        _text("numpy-numbers", ["text,label", *arrays, "two,[0 1]", "wide,[ 0  1]"],
              Exact(numbers, (LeftOut("several", (26, 27)),))),
    ]  # fmt: skip


def _lists_of(kind: str) -> Case:
    def columns() -> dict[str, object]:
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

        item = pa.string()
        types = {
            "large": pa.large_list(item),
            "fixed": pa.list_(item, 1),
            "view": pa.list_view(item),
            "large-view": pa.large_list_view(item),
        }
        return {
            "text": [text for _, text in ROWS],
            "label": pa.array([[label] for label, _ in ROWS], types[kind]),
        }

    return Case(f"dump-{kind}-lists", KIND, parquet_columns(columns), (Exact(ROWS),), "", "")


def _ends() -> list[Case]:
    table = delimited(ROWS)
    return [
        Case("dump-padded", KIND, changed(table, lambda data: data + bytes(512)),
             (Exact(ROWS), Exact(ROWS, (LeftOut("", (2 * EACH + 2,)),)))),
        among("dump-doubled-quotes", KIND, ['"""",pos', '"""""",neg'],
              including(("pos", '"'), ("neg", '""'))),
    ]  # fmt: skip


CASES = [
    *_short_headers(),
    *_quotes(),
    *_others(),
    *_documents(),
    *_columns(),
    *map(_lists_of, ("large", "fixed", "view", "large-view")),
    *_ends(),
]
