"""The model card that goes with every export: what it is, how good, on what data, how it was
proved, and how to load it.
"""

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Any

from core.data.sources import HUB_ID
from core.evaluation.scores import Proportion
from core.transfer.export.formats import TITLES, Format, Verification
from core.transfer.export.write_files import ONNX_FILE, SLOW_FUSION, ExportSource

AG_NEWS = "AG News"
LIBRARIES = {
    Format.ADAPTER: "peft",
    Format.MERGED: "transformers",
    Format.ONNX: "onnx",
    Format.ONNX_INT8: "onnx",
}
ADAPTER_USE = """from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

names = {int(number): name for number, name in $NAMES.items()}
base = AutoModelForSequenceClassification.from_pretrained($BASE, revision=$REVISION, num_labels=$CLASSES, id2label=names)
model = PeftModel.from_pretrained(base, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True, max_length=$TOKENS)
print(classify("A text to sort"))"""
MERGED_USE = """from transformers import pipeline

classify = pipeline("text-classification", ".", truncation=True, max_length=$TOKENS)
print(classify("A text to sort"))"""
ONNX_USE = """import json, onnxruntime
from tokenizers import Tokenizer

labels = json.load(open("labels.json"))
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(labels["max_tokens"])
session = onnxruntime.InferenceSession("$FILE", disabled_optimizers=["$FUSION"])  # a fusion that is slow on a CPU
ids = tokenizer.encode("A text to sort").ids
logits = session.run(["logits"], {"input_ids": [ids], "attention_mask": [[1] * len(ids)]})[0]
print(labels["id2label"][str(logits[0].argmax())])"""
LIMITS = """It sorts texts into these classes and knows no others: a text about something else gets one of them all the same. It has learned
from the data named above; other kinds of texts, other years and other languages may be sorted worse than the scores say. Nothing
about fairness between groups of people has been measured."""

IN_FOUR_BITS = """ It was trained and scored on a base in 4 bits (NF4). The proof and these files are for the base in full precision,
on which answers may differ a little from those that the scores above count."""


def write_card(details: Mapping[str, Any], source: ExportSource, proof: Verification) -> str:
    """The card as Markdown with the Hub's metadata. ``details`` are those of
    ``core.runs.descriptions.describe_run_details``.
    """
    parts = [
        _metadata(details, source, proof),
        f"# {_line(details['name'])}",
        _what(details, source, proof),
        "## Scores",
        _scores(details),
    ]
    parts += [
        "## Use",
        f"```python\n{_usage(source, proof.format)}\n```",
        "## Proof",
        _proof(proof),
        "## Training",
        _training(details, source),
    ]
    limits = LIMITS + (IN_FOUR_BITS if details["config"].get("four_bit") else "")
    return "\n\n".join([*parts, "## Limits", limits]) + "\n"


def _metadata(details: Mapping[str, Any], source: ExportSource, proof: Verification) -> str:
    """YAML, whose values are written as JSON, which YAML contains."""
    test = details.get("test", {})
    metrics = [
        {"type": "accuracy", "value": test.get("accuracy")},
        {"type": "f1", "name": "macro-F1", "value": test.get("macro_f1")},
    ]
    results = [
        {
            "task": {"type": "text-classification"},
            "dataset": {
                "name": details["data"]["name"],
                "type": _dataset_id(details["data"]["name"]),
                "split": "test",
            },
            "metrics": metrics,
        }
    ]
    fields = {
        "library_name": LIBRARIES[proof.format],
        "pipeline_tag": "text-classification",
        "base_model": source.identity,
        "tags": ["lora", "text-classification"],
        **({"datasets": [HUB_ID]} if details["data"]["name"] == AG_NEWS else {}),
        "model-index": [{"name": details["name"], "results": results}],
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in fields.items()),
            "---",
        ]
    )


def _dataset_id(name: str) -> str:
    """As the Hub wants it: the id there, otherwise a name without blanks and marks."""
    return (
        HUB_ID if name == AG_NEWS else re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "own"
    )


def _what(details: Mapping[str, Any], source: ExportSource, proof: Verification) -> str:
    data = details["data"]
    classes = ", ".join(f"`{_line(name)}`" for name in source.classes)
    return (
        f"{TITLES[proof.format]} of a LoRA fine-tuning of `{_line(source.identity)}` (revision"
        f" `{_line(source.revision)}`) that sorts texts into {len(source.classes)} classes:"
        f" {classes}. Trained on {_line(data['name'])}, fingerprint `{data['fingerprint']}`. Texts"
        f" are cut after {source.max_tokens} tokens."
    )


def _scores(details: Mapping[str, Any]) -> str:
    test = details.get("test")
    if not test:
        return "It has not been scored on test texts."
    share = Proportion(int(test["hits"]), int(test["rows"]))
    low, high = share.interval
    lines = [
        (
            f"Accuracy {share.value:.4f} (95 % interval {low:.4f} to {high:.4f}) on {share.n:,}"
            f" test texts; macro-F1 {test['macro_f1']:.4f}."
        ),
        "",
    ]
    lines += [
        "| class | precision (95 % interval) | recall (95 % interval) | F1 | texts |",
        "|---|---|---|---|---|",
    ]
    matrix = details.get("confusion", [])
    for number, one in enumerate(details.get("per_class", [])):
        right = matrix[number][number]
        precision, recall = (
            _share(right, n) for n in (sum(row[number] for row in matrix), one["support"])
        )
        lines.append(
            f"| {_line(one['class'])} | {precision} | {recall} | {one['f1']:.3f} |"
            f" {one['support']:,} |"
        )
    names = [_line(one["class"]) for one in details.get("per_class", [])]
    lines += [
        "",
        "Confusion matrix, rows true, columns predicted:",
        "",
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    lines += [
        f"| {name} | {' | '.join(map(str, row))} |"
        for name, row in zip(names, details.get("confusion", []), strict=False)
    ]
    return "\n".join(lines)


def _share(hits: int, n: int) -> str:
    if not n:
        return "–"
    share = Proportion(hits, n)
    low, high = share.interval
    return f"{share.value:.3f} ({low:.3f} to {high:.3f})"


def _proof(proof: Verification) -> str:
    low, high = proof.equal.interval
    speed = (
        f"{proof.rows_per_second:.0f} texts/s against {proof.run_rows_per_second:.0f} of the run on"
        " the same machine"
    )
    return (
        "Read back from these files, it gave the same label as the run itself for"
        f" {proof.labels_equal:,} of {proof.texts:,} test texts (95 % interval {low:.1%} to"
        f" {high:.1%}); probabilities differed by at most {proof.max_probability_difference:.2g},"
        f" and by up to {proof.differs_from_base:.2f} from the untrained base. {speed};"
        f" {proof.bytes / 1e6:.1f} MB."
    )


def _training(details: Mapping[str, Any], source: ExportSource) -> str:
    fields = {
        **details["config"],
        "model": source.identity,
    }  # what was chosen may be a folder of this machine
    config = "\n".join(f"| `{name}` | {_line(value)} |" for name, value in fields.items())
    took = [f"{details['train_seconds']:.0f} s of training"] if "train_seconds" in details else []
    took += (
        [f"{details['peak_memory_mb']:,.0f} MB of memory at the peak"]
        if "peak_memory_mb" in details
        else []
    )
    computed = f"Precision: {_line(details['precision'])}"
    computed += f"; matrix products by {details['products']}" if details.get("products") else ""
    return (
        f"{', '.join(took) or 'Time and memory were not recorded'}. {computed}.\n\n| field | value"
        f" |\n|---|---|\n{config}"
    )


def _usage(source: ExportSource, target: Format) -> str:
    template = {Format.ADAPTER: ADAPTER_USE, Format.MERGED: MERGED_USE}.get(target, ONNX_USE)
    names = json.dumps({str(index): name for index, name in enumerate(source.classes)})
    values = {
        "BASE": json.dumps(source.identity),
        "REVISION": json.dumps(source.revision),
        "NAMES": names,
    }
    values |= {
        "CLASSES": str(len(source.classes)),
        "TOKENS": str(source.max_tokens),
        "FILE": ONNX_FILE,
        "FUSION": SLOW_FUSION,
    }
    return Template(template).substitute(values)


def _line(value: object) -> str:
    """Text of people inside Markdown: one line, nothing that opens a table cell, code or HTML."""
    text = " ".join(str(value).split())
    return "".join(f"\\{mark}" if mark in "|`<>*_[]!" else mark for mark in text)
