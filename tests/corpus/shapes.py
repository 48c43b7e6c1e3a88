"""Empty files, too few or too many classes, several text columns, and other containers."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile

from tests.corpus.build import (
    changed,
    csv_line,
    csv_lines,
    delimited,
    films,
    jsonl,
    labeled,
    lines,
    parquet,
    zipped,
)
from tests.corpus.case import Builder, Case, Counts, Exact, Files, LeftOut, Refused, Row, Rows

KIND = "shape"
CONTAINER = "container"
ROWS = films()


def _empty() -> list[Case]:
    contents = {
        "no-bytes": b"",
        "line-end": b"\n",
        "blanks": b"  \n\n  \n",
        "byte-order-mark": b"\xef\xbb\xbf",
        "zeros": b"\0" * 500,
    }
    cases = [
        Case(f"shape-empty-{name}", KIND, _one_file(data), (Refused(("empty",)),))
        for name, data in contents.items()
    ]
    return [
        *cases,
        Case("shape-empty-jsonl", KIND, lambda: {"a.jsonl": b""}, (Refused(("empty",)),)),
        Case("shape-empty-json-list", KIND, lambda: {"a.json": b"[]"}, (Refused(("no rows",)),)),
        Case("shape-only-separators", KIND, lines([","] * 30),
             (Refused(("empty",)), Refused(("no training row",)), Refused(("column",)))),
    ]  # fmt: skip


def _one_file(data: bytes) -> Builder:
    return lambda: {"a.csv": data}


def _classes() -> list[Case]:
    def many(count: int) -> Rows:
        return labeled(*(f"intent {number:03}" for number in range(count)), each=12)

    too_many = Refused(("201 different values", "200"))
    return [
        Case("shape-one-class", KIND, delimited(tuple(("pos", text) for _, text in ROWS)),
             (Refused(("'pos'",)),)),
        Case("shape-class-of-nine", KIND, delimited((*ROWS, *labeled("rare", each=9))),
             (Refused(("'rare' (9)",)),)),
        Case("shape-class-of-ten", KIND, delimited((*ROWS, *labeled("rare", each=10))),
             (Exact((*ROWS, *labeled("rare", each=10))),)),
        Case("shape-51-classes", KIND, delimited(many(51)), (Exact(many(51)),)),
        Case("shape-77-classes", KIND, delimited(many(77)), (Exact(many(77)),),
             note="as many as BANKING77"),
        Case("shape-77-classes-parquet", KIND, parquet(many(77)), (Exact(many(77)),)),
        Case("shape-77-classes-jsonl", KIND, jsonl(many(77)), (Exact(many(77)),)),
        Case("shape-200-classes", KIND, delimited(many(200)),
             (Counts(tuple((f"intent {number:03}", 12) for number in range(200))),)),
        Case("shape-201-classes", KIND, delimited(many(201)), (too_many,)),
        Case("shape-no-label-column", KIND, lines(["text", *(text for _, text in ROWS)]),
             (Refused(("no column",)),), "text", "",
             note="one column: the message says that no column of labels was found"),
        Case("shape-label-not-in-file", KIND, delimited(ROWS, header=("text", "klass")),
             (Refused(("no column 'label'", "'klass'")),)),
        Case("shape-ten-thousand-rows", KIND, delimited(films(5000)),
             (Counts((("pos", 5000), ("neg", 5000)), ("a good film number 0",)),)),
        Case("shape-ragged-in-ten-thousand", KIND,
             lines(["text,label", *csv_lines(films(5000)), "a,b,c", "", "only"]),
             (Counts((("pos", 5000), ("neg", 5000)), (), (LeftOut("cells", (10002, 10004)),)),)),
    ]  # fmt: skip


def _columns() -> list[Case]:
    pairs = [csv_line(f"s{i} film", f"t{i} film", ("same", "other")[i % 2]) for i in range(40)]
    first: Rows = tuple[Row, ...]((("same", "other")[i % 2], f"s{i} film") for i in range(40))
    second: Rows = tuple[Row, ...]((("same", "other")[i % 2], f"t{i} film") for i in range(40))
    joined = tuple((label, f"{text}\nt{i} film") for i, (label, text) in enumerate(first))
    titles = [csv_line(f"title {i}", text, label) for i, (label, text) in enumerate(ROWS)]
    both = tuple((label, f"title {i}\n{text}") for i, (label, text) in enumerate(ROWS))
    wide = [csv_line(text, label, *["0"] * 1100) for label, text in ROWS]
    head = ",".join(["text", "label", *(f"c{i}" for i in range(1100))])
    split = [csv_line(text, label, "train") for label, text in ROWS]
    parts = [csv_line(f"{text} too", label, "test") for label, text in ROWS]
    return [
        Case("shape-sentence-pairs", KIND, lines(["sentence1,sentence2,label", *pairs]),
             (Exact(joined), Exact(first, mentions=("sentence2",)),
              Exact(second, mentions=("sentence1",)),
              Refused(("sentence2",))), "", "",
             note="both columns are read, or the one that is not is named"),
        Case("shape-title-and-body", KIND, lines(["title,body,label", *titles]),
             (Exact(both), Exact(ROWS, mentions=("title",))), "", ""),
        Case("shape-1102-columns", KIND, lines([head, *wide]),
             (Exact(ROWS), Refused(("1,102 columns",)))),
        Case("shape-split-column", KIND, lines(["text,label,split", *split, *parts]),
             (Exact((*ROWS, *((label, f"{text} too") for label, text in ROWS))),)),
        Case("shape-split-column-with-a-typo", KIND,
             lines(["text,label,split", *split, *parts, "one more,pos,tset"]),
             (Exact((*ROWS, *((label, f"{text} too") for label, text in ROWS)),
                    (LeftOut("split", (50,)),)),
              Refused(("tset",)),
              Exact((*ROWS, *((label, f"{text} too") for label, text in ROWS), ("pos", "one more")),
                    mentions=("split",)))),
        Case("shape-id-with-few-values", KIND,
             lines(["rater,text,label", *(csv_line(str(i % 3), t, label)
                                          for i, (label, t) in enumerate(ROWS))]),
             (Exact(ROWS),), "", ""),
        Case("shape-number-columns", KIND,
             lines(["id,score,comment,class", *(csv_line(str(i), f"0.{i}", t, label)
                                                for i, (label, t) in enumerate(ROWS))]),
             (Exact(ROWS),), "", ""),
    ]  # fmt: skip


def _arrow(stream: bool) -> Builder:
    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

        table = pa.table({"text": [t for _, t in ROWS], "label": [label for label, _ in ROWS]})
        buffer = io.BytesIO()
        make = pa.ipc.new_stream if stream else pa.ipc.new_file
        with make(buffer, table.schema) as writer:
            writer.write_table(table)
        return {"a.arrow": buffer.getvalue()}

    return build


def _containers() -> list[Case]:
    csv = delimited(ROWS)
    train = delimited(ROWS, "data/train.csv")
    mac = lines(["x"], "__MACOSX/data/._train.csv")

    def packed(name: str, data: bytes) -> Builder:
        return lambda: {name: data}

    content = csv()["a.csv"]
    encrypted = zipped("a.zip", csv)
    rows = json.dumps([{"text": t, "label": label} for label, t in ROWS]).encode()
    return [
        Case("container-gzip", CONTAINER, packed("a.csv.gz", gzip.compress(content, mtime=0)),
             (Exact(ROWS), Refused(("gzip", "unpack")))),
        Case("container-bzip2", CONTAINER, packed("a.csv.bz2", bz2.compress(content)),
             (Exact(ROWS), Refused(("bzip2", "unpack")))),
        Case("container-xz", CONTAINER, packed("a.csv.xz", lzma.compress(content)),
             (Exact(ROWS), Refused(("xz", "unpack")))),
        Case("container-gzip-named-csv", CONTAINER, packed("a.csv", gzip.compress(content)),
             (Exact(ROWS), Refused(("gzip", "unpack")))),
        Case("container-gzip-jsonl", CONTAINER, packed("a.jsonl.gz", gzip.compress(rows)),
             (Exact(ROWS), Refused(("gzip", "unpack")))),
        Case("container-zip", CONTAINER, zipped("a.zip", csv),
             (Exact(ROWS), Refused(("zip", "unpack")))),
        Case("container-zip-of-a-folder", CONTAINER, zipped("a.zip", train, mac),
             (Exact(ROWS), Refused(("zip", "unpack")))),
        Case("container-zip-of-two-files", CONTAINER,
             zipped("a.zip", delimited(ROWS, "train.csv"), delimited(films(14), "test.csv")),
             (Exact((*ROWS, *films(14))), Refused(("zip", "unpack")))),
        Case("container-zip-cut-off", CONTAINER, changed(encrypted, lambda data: data[:200]),
             (Refused(("zip archive",)),)),
        Case("container-excel", CONTAINER, _workbook(), (Refused(("excel", "csv")),)),
        Case("container-old-excel", CONTAINER,
             packed("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
             (Refused(("office", "csv")),)),
        Case("container-html-table", CONTAINER,
             lines(["<html><table><tr><td>text</td><td>label</td></tr>",
                    *(f"<tr><td>{t}</td><td>{label}</td></tr>" for label, t in ROWS),
                    "</table></html>"], "a.xls"),
             (Refused(("html",)), Refused(("column",)), Exact(ROWS)),
             note="what many web exports call Excel"),
        Case("container-arrow-file", CONTAINER, _arrow(False),
             (Exact(ROWS), Refused(("arrow", "parquet")))),
        Case("container-arrow-stream", CONTAINER, _arrow(True),
             (Exact(ROWS), Refused(("arrow", "parquet")), Refused(("not a text file",))),
             note="what Hugging Face datasets keeps in its cache"),
        Case("container-pickle", CONTAINER, packed("a.pkl", pickle.dumps({"text": ["a"]})),
             (Refused(("pickle",)),)),
        Case("container-pdf", CONTAINER, packed("a.csv", b"%PDF-1.7\n" + bytes(range(256))),
             (Refused(("pdf",)),)),
        Case("container-sqlite", CONTAINER, packed("a.db", b"SQLite format 3\0" + bytes(600)),
             (Refused(("database",)),)),
        Case("container-random-bytes", CONTAINER, packed("a.csv", bytes(range(256)) * 40),
             (Refused(("not a text file",)),)),
        Case("container-text-that-starts-with-pk", CONTAINER,
             lines(["PK,label", *csv_lines(ROWS)]), (Exact(ROWS),), "PK", "label"),
    ]  # fmt: skip


def _workbook() -> Builder:
    """Build the few parts of a workbook that a program looks at to recognize one."""

    def build() -> Files:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", "<workbook/>")
        return {"a.xlsx": buffer.getvalue()}

    return build


CASES = [*_empty(), *_classes(), *_columns(), *_containers()]
