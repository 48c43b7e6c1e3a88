"""Several files of one dataset, and data folders that are read in place."""

import json

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
    together,
)
from tests.corpus.case import Builder, Case, Exact, LeftOut, Refused, Row, Rows

KIND = "several files"
FOLDER = "folder"
ROWS = films()
MORE: Rows = tuple((label, f"{text}, again") for label, text in ROWS)


def _splits() -> list[Case]:
    turned = [csv_line(*row) for row in MORE]
    extra = [csv_line(str(i), text, label) for i, (label, text) in enumerate(MORE)]
    both = Exact((*ROWS, *MORE))
    cases = [
        Case(
            f"several-train-and-{name}",
            KIND,
            together(delimited(ROWS, "train.csv"), delimited(MORE, f"{name}.csv")),
            (both,),
        )
        for name in ("test", "validation", "dev", "my_test_set", "Test")
    ]
    return [
        *cases,
        Case("several-columns-in-another-order", KIND,
             together(delimited(ROWS, "train.csv"), lines(["label,text", *turned], "test.csv")),
             (both,)),
        Case("several-one-more-column", KIND,
             together(delimited(ROWS, "train.csv"), lines(["id,text,label", *extra], "test.csv")),
             (both,), report="huggingface/datasets#4426"),
        Case("several-other-column-names", KIND,
             together(delimited(ROWS, "train.csv"),
                      delimited(MORE, "test.csv", header=("review", "label"))),
             (both, Refused(("test.csv", "no column 'text'")))),
        Case("several-formats", KIND,
             together(delimited(ROWS, "train.csv"), jsonl(MORE, "test.jsonl")), (both,)),
        Case("several-encodings", KIND,
             together(delimited((*ROWS, ("pos", "naïve café")), "train.csv"),
                      delimited((*MORE, ("neg", "naïve thé")), "test.csv", encoding="cp1252")),
             (Exact((*ROWS, ("pos", "naïve café"), *MORE, ("neg", "naïve thé"))),)),
        Case("several-separators", KIND,
             together(delimited(ROWS, "train.csv"), delimited(MORE, "test.csv", ";")), (both,)),
        Case("several-shards", KIND,
             together(parquet(ROWS, "train-00000-of-00002.parquet"),
                      parquet(MORE, "train-00001-of-00002.parquet")), (both,)),
        Case("several-types-of-label", KIND,
             together(jsonl(labeled("0", "1"), "train.jsonl"),
                      lines([json.dumps({"text": t, "label": int(label)})
                             for label, t in labeled("0", "1", each=5)], "test.jsonl")),
             (Exact((*labeled("0", "1"), *labeled("0", "1", each=5))),)),
        Case("several-test-label-not-in-train", KIND,
             together(delimited(ROWS, "train.csv"),
                      delimited((*MORE, ("new", "a text")), "test.csv")),
             (Exact((*ROWS, *MORE), (LeftOut("class not in the training split", (26,)),)),)),
        Case("several-no-train", KIND,
             together(delimited(ROWS, "test.csv"), delimited(MORE, "validation.csv")),
             (Refused(("training split",)),)),
        Case("several-ragged-in-each", KIND,
             together(lines(["text,label", *csv_lines(ROWS), "a,b,c"], "train.csv"),
                      lines(["text,label", *csv_lines(MORE), "x,y,z"], "test.csv")),
             (Exact((*ROWS, *MORE), (LeftOut("cells", (26, 26)),)),)),
    ]  # fmt: skip


def _folder(id: str, build: Builder, *outcomes: Exact | Refused, note: str = "") -> Case:
    return Case(f"folder-{id}", FOLDER, build, outcomes, folder=True, note=note)


def _dated(labels: bool) -> Rows:
    if labels:
        return labeled("2024-01-01", "2024-06-30")
    return tuple[Row, ...](
        (("pos", "neg")[i % 2], f"2024-{i // 28 + 1:02}-{i % 28 + 1:02}") for i in range(56)
    )


def _folders() -> list[Case]:
    zips = labeled("01234", "1234", "00501", each=15)
    versions = labeled("1.0", "1.1", "2.0", "2.00", each=15)
    words = labeled("NA", "None", "null", each=15)
    values: list[object] = [1, "1", True, None, "two"]
    kinds = [
        {"text": f"a {word} film number {i}", "label": value}
        for i, word in enumerate(("good", "great", "lovely") * 4)
        for value in values
    ]
    mixed_rows = tuple(
        ({"1": "1", "True": "true"}.get(str(row["label"]), str(row["label"])), str(row["text"]))
        for row in kinds
        if row["label"] is not None
    )
    accents = films() + (("pos", "A naïve plot, but a lovely café scene."),)
    numbers = tuple(("1" if label == "pos" else "0", text) for label, text in ROWS)
    hidden: Rows = tuple(("-1", f"a hidden text {i}") for i in range(10))
    ragged = ["text,label", *csv_lines(ROWS), "a,b,c"]
    return [
        *(_folder(f"zip-codes-{name}", build, Exact(zips)) for name, build in (
            ("csv", delimited(zips, "train.csv")), ("jsonl", jsonl(zips, "train.jsonl")),
            ("parquet", parquet(zips, "train.parquet")))),
        _folder("versions-jsonl", jsonl(versions, "train.jsonl"), Exact(versions)),
        _folder("missing-words-csv", delimited(words, "train.csv"), Exact(words)),
        _folder("missing-words-jsonl", jsonl(words, "train.jsonl"), Exact(words)),
        _folder("texts-like-dates", jsonl(_dated(False), "train.jsonl"), Exact(_dated(False))),
        _folder("labels-like-dates", jsonl(_dated(True), "train.jsonl"), Exact(_dated(True))),
        _folder("mixed-types", lines([json.dumps(row) for row in kinds], "train.jsonl"),
                Exact(mixed_rows, mentions=("12",)), Refused(("line",)),
                note="1 and true are different labels; twelve rows have none"),
        _folder("case-only", delimited(labeled("us", "US"), "train.csv"),
                Exact(labeled("us", "US"))),
        _folder("cp1252", delimited(accents, "train.csv", encoding="cp1252"), Exact(accents),
                Refused(("utf-8",))),
        _folder("byte-order-mark", delimited(ROWS, "train.csv", encoding="utf-8-sig"), Exact(ROWS)),
        _folder("ragged", lines(ragged, "train.csv"),
                Exact(ROWS, mentions=("cells", "line 26")), Refused(("line 26", "columns"))),
        _folder("quoted-lines", delimited(tuple((a, f"{b}\nmore") for a, b in ROWS), "train.csv"),
                Exact(tuple((a, f"{b}\nmore") for a, b in ROWS))),
        _folder("hidden-test-split",
                together(delimited(numbers, "train.csv"), delimited(hidden, "test.csv")),
                Exact(numbers, mentions=("no label",)), Refused(("-1",))),
        _folder("train-and-test",
                together(delimited(ROWS, "train.csv"), delimited(MORE, "test.csv")),
                Exact((*ROWS, *MORE))),
        _folder("nul-padding", changed(delimited(ROWS, "train.csv"), lambda d: d + b"\0" * 20),
                Exact(ROWS), Refused(("line",)), Refused(("NUL",))),
    ]  # fmt: skip


CASES = [*_splits(), *_folders()]
