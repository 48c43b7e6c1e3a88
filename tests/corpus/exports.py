"""Exports of labeling tools: one label in a list, several labels, nested annotations."""

import json

from tests.corpus.build import csv_line, films, lines
from tests.corpus.case import Case, Exact, Files, LeftOut, Outcome, Refused, Rows

KIND = "exports"
ROWS = films()
LABEL_NAME = "sentiment"


def _lines(
    id: str,
    values: list[dict[str, object]],
    *outcomes: Outcome,
    text: str = "text",
    label: str = "label",
    report: str = "",
    note: str = "",
) -> Case:
    content = [json.dumps(value, ensure_ascii=False) for value in values]
    build = lines(content, "a.jsonl")
    return Case(f"export-{id}", KIND, build, outcomes, text, label, report=report, note=note)


def _csv(id: str, content: list[str], *outcomes: Outcome, report: str = "", note: str = "") -> Case:
    return Case(f"export-{id}", KIND, lines(content), outcomes, report=report, note=note)


def _several(*lines_: int) -> tuple[LeftOut, ...]:
    return (LeftOut("label", lines_),)


def _doccano() -> list[Case]:
    single: list[dict[str, object]] = [
        {"id": i, "text": text, "label": [label]} for i, (label, text) in enumerate(ROWS)
    ]
    data: list[dict[str, object]] = [
        {"id": i, "data": text, "label": [label]} for i, (label, text) in enumerate(ROWS)
    ]
    extra: list[dict[str, object]] = [
        {"id": 90, "text": "both", "label": ["pos", "neg"]},
        {"id": 91, "text": "neither", "label": []},
    ]
    hashed = [csv_line(text, "pos#neg" if i < 4 else label) for i, (label, text) in enumerate(ROWS)]
    bars = [csv_line(text, "pos|neg" if i < 4 else label) for i, (label, text) in enumerate(ROWS)]
    lists = [csv_line(text, f"['{label}']") for label, text in ROWS]
    dumped = [csv_line(text, json.dumps([label])) for label, text in ROWS]
    two = [csv_line("both", "['pos', 'neg']"), csv_line("none", "[]")]
    rest = Exact(ROWS[4:], _several(2, 3, 4, 5))
    return [
        _lines("doccano", single, Exact(ROWS), report="doccano/doccano#1537"),
        _lines("doccano-data", data, Exact(ROWS), text="", label="", report="doccano/doccano#1605"),
        _lines("doccano-several", [*single, *extra],
               Exact(ROWS, (LeftOut("label", (25,)), LeftOut("no label", (26,)))),
               report="doccano/doccano#1537"),
        _csv("doccano-hash", ["text,label", *hashed], rest, Refused(("pos#neg",)),
             report="doccano/doccano#1821"),
        _csv("bar-joined", ["text,label", *bars], rest, Refused(("pos|neg",))),
        _csv("list-as-text", ["text,label", *lists], Exact(ROWS),
             report="huggingface/datasets#4673"),
        _csv("json-list-as-text", ["text,label", *dumped], Exact(ROWS)),
        _csv("list-as-text-several", ["text,label", *lists, *two],
             Exact(ROWS, (LeftOut("label", (26,)), LeftOut("no label", (27,)))),
             Refused(("label",))),
    ]  # fmt: skip


def _task(text: str, *choices: str, **facts: object) -> dict[str, object]:
    """Return a task as Label Studio exports it."""
    result = [
        {"from_name": LABEL_NAME, "to_name": "text", "type": "choices",
         "value": {"choices": list(choices)}}
    ]  # fmt: skip
    annotation = {"id": 1, "result": result if choices else [], "was_cancelled": not choices}
    return {"id": 1, "data": {"text": text}, "annotations": [annotation], **facts}


def _whole(id: str, value: object, *outcomes: Outcome, report: str = "", note: str = "") -> Case:
    def build() -> Files:
        return {"project-1.json": json.dumps(value).encode()}

    return Case(f"export-{id}", KIND, build, outcomes, "", "", report=report, note=note)


def _label_studio() -> list[Case]:
    tasks = [_task(text, label) for label, text in ROWS]
    disagree = _task("two people", "pos")
    second = _task("two people", "neg")["annotations"]
    assert isinstance(second, list) and isinstance(disagree["annotations"], list)
    disagree["annotations"] += second
    small = [{"text": text, LABEL_NAME: label, "id": i} for i, (label, text) in enumerate(ROWS)]
    several = [
        *small,
        {"text": "both", LABEL_NAME: {"choices": ["pos", "neg"]}, "id": 90},
        {"text": "none", "id": 91},
    ]
    head = f"annotation_id,annotator,created_at,id,lead_time,{LABEL_NAME},text,updated_at"
    table = [
        csv_line("7", "1", "2024-01-01T10:00:00Z", str(i), "3.5", label, text, "2024-01-01")
        for i, (label, text) in enumerate(ROWS)
    ]
    broken_lines: Rows = tuple((label, f"{text}\nsecond line, it is") for label, text in ROWS)
    multi = [
        csv_line("7", "1", "x", str(i), "3.5", label, text, "y")
        for i, (label, text) in enumerate(broken_lines)
    ]
    refused = Refused(("annotations",))
    lists = Refused(("lists",))
    return [
        _whole("label-studio", tasks, Exact(ROWS), refused, lists),
        _whole("label-studio-several", [*tasks, _task("both", "pos", "neg"), _task("skipped")],
               Exact(ROWS, (LeftOut("label", (25,)), LeftOut("no label", (26,)))), refused, lists,
               report="HumanSignal/label-studio#2954"),
        _whole("label-studio-disagree", [*tasks, disagree],
               Exact(ROWS, (LeftOut("label", (25,)),)), refused, lists),
        _whole("label-studio-min", small, Exact(ROWS)),
        _whole("label-studio-min-several", several,
               Exact(ROWS, (LeftOut("label", (25,)), LeftOut("no label", (26,)))),
               Refused((LABEL_NAME,))),
        Case("export-label-studio-csv", KIND, lines([head, *table]), (Exact(ROWS),), "", ""),
        Case("export-label-studio-csv-lines", KIND, lines([head, *multi]), (Exact(broken_lines),),
             "", "", report="HumanSignal/label-studio-converter#185"),
        Case("export-label-studio-csv-choices", KIND,
             lines([head, *table, csv_line("8", "1", "x", "9", "1", '{"choices": ["pos", "neg"]}',
                                           "both", "y")]),
             (Exact(ROWS, (LeftOut("label", (26,)),)), Refused(("choices",))), "text", LABEL_NAME,
             report="HumanSignal/label-studio-converter#65"),
    ]  # fmt: skip


def _prodigy() -> list[Case]:
    options = [{"id": "pos", "text": "Positive"}, {"id": "neg", "text": "Negative"}]

    def choice(text: str, accept: list[str], answer: str = "accept") -> dict[str, object]:
        return {"text": text, "options": options, "accept": accept, "answer": answer}

    chosen = [choice(text, [label]) for label, text in ROWS]
    others = [
        choice("rejected", ["pos"], "reject"),
        choice("ignored", [], "ignore"),
        choice("both", ["pos", "neg"]),
    ]
    binary: list[dict[str, object]] = [
        {"text": text, "label": "POSITIVE", "answer": "accept" if label == "pos" else "reject"}
        for label, text in ROWS
    ]
    cats: list[dict[str, object]] = [
        {"text": text, "cats": {"pos": float(label == "pos"), "neg": float(label == "neg")}}
        for label, text in ROWS
    ]
    left = (LeftOut("", (25, 26, 27)),)
    return [
        _lines("prodigy-choice", chosen, Exact(ROWS), text="", label=""),
        _lines("prodigy-choice-named", chosen, Exact(ROWS), label="accept"),
        _lines("prodigy-choice-rejected", [*chosen, *others], Exact(ROWS, left),
               text="", label=""),
        _lines("prodigy-binary", binary,
               Exact(tuple(("accept" if label == "pos" else "reject", t) for label, t in ROWS)),
               Refused(("'POSITIVE'",)), text="", label="",
               note="one label that was accepted or rejected: the answer is the label"),
        _lines("spacy-cats", cats, Exact(ROWS), Refused(("cats",)), text="", label="",
               report="explosion/spaCy#7587"),
    ]  # fmt: skip


def _multi_label() -> list[Case]:
    """Columns of 0 and 1, and labels joined in one cell: more than one label per text."""
    toxic = [
        csv_line(text, str(int(label == "neg")), str(i % 2), str(int(i % 3 == 0)))
        for i, (label, text) in enumerate(ROWS)
    ]
    emotions = [
        csv_line(text, ("2", "27", "2,27", "3")[i % 4]) for i, (_, text) in enumerate(films(24))
    ]
    single: Rows = tuple(
        (("2", "27", "", "3")[i % 4], text) for i, (_, text) in enumerate(films(24)) if i % 4 != 2
    )
    joined = tuple(i + 2 for i in range(48) if i % 4 == 2)
    responses: list[dict[str, object]] = [
        {"text": text, "label.responses": [label], "label.responses.status": ["submitted"]}
        for label, text in ROWS
    ]
    fast = [f"__label__{label} {text}" for label, text in ROWS]
    return [
        Case("export-columns-of-zero-and-one", KIND,
             lines(["text,toxic,obscene,insult", *toxic]),
             (Exact(tuple((str(int(label == "neg")), text) for label, text in ROWS),
                    mentions=("toxic",)),
              Refused(("label",))), "", "",
             note="multi-label data: refused, or one column is read and said so"),
        _csv("emotions-joined-by-comma", ["text,label", *emotions],
             Exact(single, (LeftOut("label", joined),)),
             Exact(tuple((("2", "27", "2,27", "3")[i % 4], t)
                         for i, (_, t) in enumerate(films(24))), mentions=("2,27",)),
             Refused(("2,27",)),
             note="several labels per text: counted and left out, or said"),
        _lines("argilla-responses", responses, Exact(ROWS), Refused(("label.responses", "list")),
               text="text", label="label.responses"),
        Case("export-fasttext", KIND, lines(fast, "a.txt"),
             (Exact(ROWS), Refused(("column",)), Refused(("label",))), "", "",
             note="a format of its own: read, or refused because there is one column"),
        Case("export-fasttext-several", KIND,
             lines([*fast, "__label__pos __label__neg both"], "a.txt"),
             (Exact(ROWS, (LeftOut("label", (25,)),)), Refused(("column",)), Refused(("label",))),
             "", ""),
    ]  # fmt: skip


CASES = [*_doccano(), *_label_studio(), *_prodigy(), *_multi_label()]
