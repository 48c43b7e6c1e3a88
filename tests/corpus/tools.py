"""Files of annotation tools, data hubs and databases, as people download them."""

import json
from collections.abc import Sequence

from tests.corpus.build import EACH, csv_line, films, lines
from tests.corpus.case import Case, Counts, Exact, Files, LeftOut, Outcome, Refused, Rows

KIND = "tools"
ROWS = films()
HALF = ROWS[: len(ROWS) // 2]


def _json(
    id: str,
    value: object,
    *outcomes: Outcome,
    name: str = "a.json",
    report: str = "",
    note: str = "",
) -> Case:
    def build() -> Files:
        return {name: json.dumps(value, ensure_ascii=False, indent=1).encode()}

    return Case(f"tool-{id}", KIND, build, outcomes, "", "", report=report, note=note)


def _lines(id: str, values: Sequence[object], *outcomes: Outcome, report: str = "") -> Case:
    build = lines([json.dumps(value, ensure_ascii=False) for value in values], "a.jsonl")
    return Case(f"tool-{id}", KIND, build, outcomes, "", "", report=report)


def _text(
    id: str,
    content: Sequence[str],
    *outcomes: Outcome,
    name: str = "a.csv",
    report: str = "",
    note: str = "",
) -> Case:
    return Case(
        f"tool-{id}", KIND, lines(content, name), outcomes, "", "", report=report, note=note
    )


def _left(reason: str, *lines_: int) -> tuple[LeftOut, ...]:
    return (LeftOut(reason, lines_),)


def _fasttext() -> list[Case]:
    plain = [f"__label__{label} {text}" for label, text in ROWS]
    tabs = [f"__label__{label}\t{text}" for label, text in ROWS]
    commas = [f"__label__{label} , {text}" for label, text in ROWS]
    behind = [f"{text} __label__{label}" for label, text in ROWS]
    other = [f"__class__{label} {text}" for label, text in ROWS]
    marked = tuple((f"__label__{label}", text) for label, text in ROWS)
    with_commas = tuple((label, f"{text}, he said, and left") for label, text in ROWS)
    quotes = tuple((label, f'"{text}" he said') for label, text in ROWS)
    return [
        _text("fasttext", plain, Exact(ROWS), name="a.txt"),
        _text("fasttext-train", plain, Exact(ROWS), name="cooking.train"),
        _text("fasttext-csv-name", plain, Exact(ROWS)),
        _text("fasttext-commas", [f"__label__{a} {b}" for a, b in with_commas], Exact(with_commas),
              name="a.txt"),
        _text("fasttext-quotes", [f"__label__{a} {b}" for a, b in quotes], Exact(quotes),
              name="a.txt"),
        _text("fasttext-several", [*plain, "__label__pos __label__neg both"],
              Exact(ROWS, _left("several labels", 25)), name="a.txt",
              report="facebookresearch/fastText#1035"),
        _text("fasttext-no-label", [*plain, "a text without a label"],
              Exact(ROWS, _left("no label", 25)), name="a.txt"),
        _text("fasttext-blank-line", [*plain[:4], "", *plain[4:]], Exact(ROWS), name="a.txt"),
        _text("fasttext-tab", tabs, Exact(ROWS), Exact(marked), name="a.txt"),
        _text("fasttext-comma-between", commas,
              Exact(tuple((a, f", {b}") for a, b in ROWS)), Exact(ROWS), Exact(marked),
              Exact(tuple((a, f" {b}") for a, b in ROWS)),
              Exact(tuple((a, f" {b}") for a, b in marked)),
              name="a.txt", note="written as by some tutorials"),
        _text("fasttext-label-behind", behind, Exact(ROWS), Refused(("column",)),
              Refused(("label",)), name="a.txt"),
        _text("fasttext-other-prefix", other, Refused(("column",)), Refused(("label",)),
              name="a.txt"),
        _text("fasttext-in-a-table", ["text,label", *(csv_line(b, a) for a, b in marked)],
              Exact(marked), Exact(ROWS, mentions=("__label__",))),
    ]  # fmt: skip


def _splits_in_one_file() -> list[Case]:
    def listed(rows: Rows) -> list[dict[str, str]]:
        return [{"text": text, "label": label} for label, text in rows]

    pairs = [[text, label] for label, text in ROWS]
    named = Refused(("train",))
    return [
        _json("document-of-splits", {"train": listed(ROWS), "test": listed(HALF)},
              Exact((*ROWS, *HALF)), named, note="the key names the split"),
        _json("document-of-splits-of-one-size", {"train": listed(ROWS), "test": listed(ROWS)},
              Exact((*ROWS, *ROWS)), named),
        _json("document-of-pairs", {"train": pairs, "val": pairs[:6], "test": pairs[:6]},
              Exact((*ROWS, *ROWS[:6], *ROWS[:6])), named, Refused(("object",)),
              note="as the intents of CLINC150 are published"),
        _json("list-of-pairs", pairs, Exact(ROWS), Refused(("object",))),
        _json("list-of-pairs-with-names", [["text", "label"], *pairs], Exact(ROWS),
              Refused(("object",))),
        _json("texts-by-class", {"pos": [b for a, b in ROWS if a == "pos"],
                                 "neg": [b for a, b in ROWS if a == "neg"]},
              Exact(ROWS), Refused(("label",)), Refused(("column",)), Refused(("object",)),
              Refused(("rows",))),
        _lines("lines-of-pairs", pairs, Exact(ROWS), Refused(("object",))),
        _json("intents", {"intents": [
            {"tag": tag, "patterns": [b for a, b in ROWS if a == tag], "responses": ["ok"]}
            for tag in ("pos", "neg")]},
              Exact(ROWS), Refused(("label",)), Refused(("row",)),
              note="the file of many tutorials of chatbots; a row holds several texts"),
        _json("squad", {"version": "1", "data": [
            {"title": "x", "paragraphs": [{"context": b, "qas": []}]} for _, b in ROWS]},
              Refused(("label",)), Refused(("column",)), note="no labels"),
    ]  # fmt: skip


def _assistants() -> list[Case]:
    """Utterances with intents, next to lists of intents, entities and patterns."""
    texts = [{"text": text, "intent": label, "entities": []} for label, text in ROWS]
    intents = [{"name": "pos"}, {"name": "neg"}, {"name": "None"}]
    luis = {"luis_schema_version": "7.0.0", "name": "x", "culture": "en-us", "intents": intents,
            "entities": [{"name": "film", "roles": []}], "closedLists": [],
            "patterns": [{"pattern": "a {film}", "intent": "pos"}],
            "utterances": texts}  # fmt: skip
    unread = ("not read", "'intents', 'entities', 'patterns'")
    clu = {"projectFileVersion": "2022-05-01", "metadata": {"projectName": "x", "language": "en"},
           "assets": {"projectKind": "Conversation", "intents": [{"category": "pos"}],
                      "utterances": [{**row, "language": "en"} for row in texts]}}  # fmt: skip
    rasa = {"rasa_nlu_data": {"common_examples": texts, "lookup_tables": [],
                              "regex_features": [{"name": "zip", "pattern": "[0-9]"}]}}  # fmt: skip
    single = {"text": "a good film", "label": "pos", "parts": {"words": [{"text": "good"}],
                                                               "marks": [{"at": 3}]}}  # fmt: skip
    return [
        _json("luis", luis, Exact(ROWS, mentions=unread)),
        _json("luis-lists-only", {"intents": intents, "utterances": texts},
              Exact(ROWS, mentions=("not read", "'intents'"))),
        _json("clu", clu, Exact(ROWS, mentions=("not read", "'intents'"))),
        _json("rasa-lists", rasa, Exact(ROWS, mentions=("not read", "'regex_features'"))),
        _json("one-text-with-lists", single, Refused(("pos",))),
    ]  # fmt: skip


def _split_columns() -> list[Case]:
    head = "text,label,split"
    rows = [csv_line(text, label, "holdout" if number > 17 else "train")
            for number, (label, text) in enumerate(ROWS)]  # fmt: skip
    other = [line.replace(",train", ",a").replace(",holdout", ",b") for line in rows]
    return [
        _text("split-column-with-an-unknown-value", [head, *rows],
              Exact(ROWS, mentions=("'split' is not used", "'holdout', 'train'"))),
        _text("set-column-of-groups", [head, *other], Exact(ROWS)),
    ]  # fmt: skip


def _nested() -> list[Case]:
    wrapped = [{"text": {"value": text}, "label": {"value": label}} for label, text in ROWS]
    several = [{"text": {"en": text, "de": f"{text} auf Deutsch"}, "label": label}
               for label, text in ROWS]  # fmt: skip
    search = [{"_index": "reviews", "_id": str(i), "_score": 1, "_source": {"text": b, "label": a}}
              for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    hits = {"took": 3, "_shards": {"total": 1}, "hits": {"total": {"value": 24}, "hits": search}}
    tweet = [{"id_str": str(i), "full_text": b, "user": {"screen_name": "a b c", "id": i},
              "entities": {"hashtags": [], "urls": []}, "label": a}
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    mongo = [{"_id": {"$oid": f"5f{i:022x}"}, "text": b, "label": a}
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    scored = [{"text": b, "label": {"name": a, "score": 0.5 + i / 100}}
              for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    voters = films(350)
    votes = [{"text": b, "label": a, "votes": {f"{2 * i}": 1, f"{2 * i + 1}": 0}}
             for i, (a, b) in enumerate(voters)]  # fmt: skip
    firestore = [{"document": {"name": f"d{i}", "fields": {
        "text": {"stringValue": b}, "label": {"stringValue": a}}}}
        for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    dynamo = [{"Item": {"text": {"S": b}, "label": {"S": a}, "id": {"N": str(i)}}}
              for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    chat = [{"messages": [{"role": "user", "content": b}, {"role": "assistant", "content": a}]}
            for a, b in ROWS]  # fmt: skip
    prompt = [{"prompt": f"{b}\n\n###\n\n", "completion": f" {a}"} for a, b in ROWS]
    return [
        _lines("objects-of-one-value", wrapped, Exact(ROWS)),
        _lines("object-of-languages", several, Exact(ROWS, mentions=("text.de",)),
               Exact(tuple((a, f"{b} auf Deutsch") for a, b in ROWS), mentions=("text.en",))),
        _lines("elasticsearch", search, Exact(ROWS)),
        _json("elasticsearch-hits", hits, Exact(ROWS)),
        _lines("tweets", tweet, Exact(ROWS), report="huggingface/datasets#2799"),
        _lines("mongoexport", mongo, Exact(ROWS)),
        _json("mongoexport-list", mongo, Exact(ROWS)),
        _lines("label-with-score", scored, Exact(ROWS)),
        _lines("values-by-id", votes, Exact(voters)),
        _lines("firestore", firestore, Exact(ROWS), Refused(("column",))),
        _lines("dynamodb", dynamo, Exact(ROWS), Refused(("column",))),
        _lines("chat-messages", chat, Exact(ROWS), Refused(("label",)), Refused(("messages",))),
        _lines("prompt-and-completion", prompt,
               Exact(tuple((a, f"{b}\n\n###\n\n") for a, b in ROWS))),
    ]  # fmt: skip


def _annotators() -> list[Case]:
    def entities(text: str) -> list[list[object]]:
        return [[0, 1, "X"]]

    spans = [{"id": i, "text": b, "label": entities(b)} for i, (_, b) in enumerate(ROWS)]
    numbers = [{"id": i, "text": b, "annotations": [{"label": 1 + (a == "neg"), "user": 1}]}
               for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    comments = [{"id": i, "text": b, "label": [a], "Comments": []}
                for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    argilla = [{"id": f"r{i}", "fields": {"text": b}, "metadata": {},
                "responses": {"sentiment": [{"value": a, "user_id": "u", "status": "submitted"}]}}
               for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    flat = [{"text": b, "sentiment": [{"value": a, "user_id": "u"}], "sentiment-suggestion": a}
            for a, b in ROWS]  # fmt: skip
    old = [{"text": b, "inputs": {"text": b}, "prediction": [{"label": a, "score": 0.9}],
            "annotation": a, "status": "Validated"} for a, b in ROWS]  # fmt: skip
    rasa = {"rasa_nlu_data": {"common_examples": [
        {"text": b, "intent": a, "entities": []} for a, b in ROWS]}}  # fmt: skip
    aws = [{"source": b, "task": 0 if a == "pos" else 1,
            "task-metadata": {"class-name": a, "confidence": 0.9, "human-annotated": "yes"}}
           for a, b in ROWS]  # fmt: skip
    vertex = [{"classificationAnnotation": {"displayName": a}, "textContent": b,
               "dataItemResourceLabels": {"ml_use": "training"}} for a, b in ROWS]  # fmt: skip
    azure = {
        "projectFileVersion": "2022",
        "assets": {
            "documents": [
                {"location": f"{i}.txt", "class": {"category": a}} for i, (a, _) in enumerate(ROWS)
            ]
        },
    }
    tasks = [{"id": i, "text": b, "sentiment": a, "annotator": 1, "lead_time": 3.14}
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    spans_left = LeftOut("", tuple(range(1, 2 * EACH + 1)))
    return [
        _lines("doccano-spans", spans, Exact((), (spans_left,)), Refused(("label",)),
               Refused(("class",)), report="doccano/doccano#113"),
        _lines("doccano-label-ids", numbers, Exact(tuple((str(1 + (a == "neg")), b)
                                                         for a, b in ROWS)),
               Refused(("label",)), Refused(("annotations",)), report="doccano/doccano#113"),
        _lines("doccano-comments", comments, Exact(ROWS), report="doccano/doccano#1605"),
        _lines("argilla-records", argilla, Exact(ROWS), Refused(("label",)),
               Refused(("column",)), Refused(("row",))),
        _lines("argilla-flat", flat, Exact(ROWS), Refused(("label",)), Refused(("column",))),
        _lines("argilla-old", old, Exact(ROWS)),
        _json("rasa", rasa, Exact(ROWS), Refused(("column",)), Refused(("row",)),
              Refused(("label",))),
        _lines("sagemaker-manifest", aws, Exact(ROWS),
               Exact(tuple((str(int(a == "neg")), b) for a, b in ROWS))),
        _lines("vertex", vertex, Exact(ROWS)),
        _json("azure-project", azure, Refused(("label",)), Refused(("column",)),
              Refused(("row",)), Refused(("class",)), note="the texts are in other files"),
        _json("label-studio-min-list", tasks, Exact(ROWS)),
    ]  # fmt: skip


def _token_lists() -> list[Case]:
    conll = [line for label, text in ROWS
             for line in (*(f"{word} NN O" for word in text.split()), "")]  # fmt: skip
    tabs = [line for label, text in ROWS
            for line in (*(f"{word}\tO" for word in text.split()), "")]  # fmt: skip
    brat = ["T1\tpos 0 4\tgood", "T2\tneg 5 9\tfilm", "R1\trel Arg1:T1 Arg2:T2"]
    tokens = [{"tokens": text.split(), "label": label} for label, text in ROWS]
    svm = [f"{int(label == 'pos')} 1:0.5 {i + 2}:0.25" for i, (label, _) in enumerate(ROWS)]
    return [
        _text("conll", conll, Refused(("label",)), Refused(("column",)), Refused(("cells",)),
              name="a.conll", note="labels of words, not of texts"),
        _text("conll-tab", tabs, Refused(("label",)), name="a.tsv"),
        _text("brat", brat, Refused(("cells",)), Refused(("label",)), name="a.ann"),
        _lines("list-of-tokens", tokens, Refused(("tokens",)), Refused(("label",)),
               Exact(tuple((a, json.dumps(b.split())) for a, b in ROWS), mentions=("tokens",)),
               Exact(tuple((a, " ".join(b.split())) for a, b in ROWS), mentions=("tokens",))),
        _text("libsvm", svm, Refused(("label",)), Refused(("column",)), name="a.svm"),
    ]  # fmt: skip


def _hub() -> list[Case]:
    viewer = {"dataset": "x", "features": [{"feature_idx": 0, "name": "text"}], "rows": [
        {"row_idx": i, "row": {"text": b, "label": a}, "truncated_cells": []}
        for i, (a, b) in enumerate(ROWS)]}  # fmt: skip
    split = {"columns": ["text", "label"], "index": list(range(24)),
             "data": [[b, a] for a, b in ROWS]}  # fmt: skip
    table = {
        "schema": {
            "fields": [{"name": "index"}, {"name": "text"}, {"name": "label"}],
            "primaryKey": ["index"],
            "pandas_version": "1.4.0",
        },
        "data": [{"index": i, "text": b, "label": a} for i, (a, b) in enumerate(ROWS)],
    }
    columns = {"text": {str(i): b for i, (_, b) in enumerate(ROWS)},
               "label": {str(i): a for i, (a, _) in enumerate(ROWS)}}  # fmt: skip
    amazon = [{"reviewerID": f"A{i}", "asin": f"B00{i:07}", "helpful": [0, 0], "reviewText": b,
               "overall": 5.0 if a == "pos" else 1.0, "summary": "Good stuff",
               "unixReviewTime": 1252800000 + i, "reviewTime": "09 13, 2009"}
              for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    stars: Rows = tuple(("5.0" if a == "pos" else "1.0", b) for a, b in ROWS)
    python = [repr(row) for row in amazon]
    return [
        _json("dataset-viewer", viewer, Exact(ROWS), Refused(("column",)), Refused(("label",))),
        _json("pandas-split", split, Exact(ROWS)),
        _json("pandas-table", table, Exact(ROWS), report="pandas-dev/pandas#31917"),
        _json("pandas-columns", columns, Exact(ROWS)),
        _lines("amazon-reviews", amazon, Exact(stars)),
        _text("amazon-python-dicts", python, Exact(stars), Refused(("JSON",)),
              name="reviews.json", note="written with Python's repr, as the older files are"),
        Case("tool-yelp", KIND, lines([json.dumps(
            {"review_id": f"r{i}", "stars": 5.0 if a == "pos" else 1.0, "useful": 0, "text": b})
            for i, (a, b) in enumerate(ROWS)], "a.json"),
            (Counts((("1.0", EACH), ("5.0", EACH))),), "text", "stars"),
    ]  # fmt: skip


CASES = [
    *_fasttext(),
    *_splits_in_one_file(),
    *_assistants(),
    *_split_columns(),
    *_nested(),
    *_annotators(),
    *_token_lists(),
    *_hub(),
]
