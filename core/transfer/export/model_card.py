"""Write the model card of an export: description, scores, usage, verification and training."""

import json
import re
from collections.abc import Sequence
from string import Template

from core.data.sources import HUB_ID
from core.evaluation.scores import Proportion, list_errors
from core.runs.descriptions import RunDetails
from core.runs.run import SplitScores
from core.transfer.export.formats import TITLES, Format, Verification
from core.transfer.export.write_files import ONNX_FILE, SLOW_FUSION, ExportSource

AG_NEWS = "AG News"
MOST_COLUMNS = 20  # classes; a page of the Hub cannot show a wider matrix
MOST_ERRORS = 30  # pairs of classes
LIBRARIES = {
    Format.ADAPTER: "peft",
    Format.MERGED: "transformers",
    Format.ONNX: "onnx",
    Format.ONNX_INT8: "onnx",
}
ADAPTER_USE = """from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

names = {int(number): name for number, name in $NAMES.items()}
base = AutoModelForSequenceClassification.from_pretrained(
    $BASE, revision=$REVISION, num_labels=$CLASSES, id2label=names
)
model = PeftModel.from_pretrained(base, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
classify = pipeline(
    "text-classification",
    model=model,
    tokenizer=tokenizer,
    truncation=True,
    max_length=$TOKENS,
)
print(classify("A text to classify"))"""
MERGED_USE = """from transformers import pipeline

classify = pipeline("text-classification", ".", truncation=True, max_length=$TOKENS)
print(classify("A text to classify"))"""
ONNX_USE = """import json, onnxruntime
from tokenizers import Tokenizer

labels = json.load(open("labels.json"))
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(labels["max_tokens"])
# this fusion is slow on a CPU
session = onnxruntime.InferenceSession("$FILE", disabled_optimizers=["$FUSION"])
ids = tokenizer.encode("A text to classify").ids
logits = session.run(["logits"], {"input_ids": [ids], "attention_mask": [[1] * len(ids)]})[0]
print(labels["id2label"][str(logits[0].argmax())])"""
LIMITS = (
    "The model only predicts the classes listed above: a text about anything else is assigned to"
    " one of them too. It was trained on the data named above and may be less accurate on other"
    " kinds of text, other years and other languages. Fairness between groups of people has not"
    " been measured."
)
IN_FOUR_BITS = (
    " The run was trained with a base model in 4 bits (NF4). Its scores, these files and their"
    " verification use the base model in full precision."
)


def build_card(details: RunDetails, source: ExportSource, verification: Verification) -> str:
    """Return the card as Markdown, with metadata for the Hub."""
    limits = LIMITS + (IN_FOUR_BITS if details.config.four_bit else "")
    parts = [
        _build_metadata(details, source, verification.format),
        f"# {_escape(details.name)}",
        _describe_model(details, source, verification.format),
        "## Scores",
        _format_scores(details),
        "## Usage",
        f"```python\n{_format_usage(source, verification.format)}\n```",
        "## Verification",
        _describe_verification(verification),
        "## Training",
        _describe_training(details, source),
        "## Limitations",
        limits,
    ]
    return "\n\n".join(parts) + "\n"


def _build_metadata(details: RunDetails, source: ExportSource, target: Format) -> str:
    """Return YAML; the values are written as JSON, which is valid YAML."""
    test, data = details.result.test or SplitScores(), details.request.source.name
    metrics = [
        {"type": "accuracy", "value": test.accuracy},
        {"type": "f1", "name": "macro-F1", "value": test.macro_f1},
    ]
    results = [
        {
            "task": {"type": "text-classification"},
            "dataset": {
                "name": data,
                "type": _make_dataset_id(data),
                "split": "test",
            },
            "metrics": metrics,
        }
    ]
    fields = {
        "library_name": LIBRARIES[target],
        "pipeline_tag": "text-classification",
        "base_model": source.identity,
        "tags": ["lora", "text-classification"],
        **({"datasets": [HUB_ID]} if data == AG_NEWS else {}),
        "model-index": [{"name": details.name, "results": results}],
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in fields.items()),
            "---",
        ]
    )


def _make_dataset_id(name: str) -> str:
    """Return the dataset's id on the Hub, or a name in the form of an id."""
    if name == AG_NEWS:
        return HUB_ID
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "own"


def _describe_model(details: RunDetails, source: ExportSource, target: Format) -> str:
    data = _escape(details.request.source.name)
    classes = ", ".join(f"`{_escape(name)}`" for name in source.classes)
    return (
        f"{TITLES[target]} for text classification: `{_escape(source.identity)}` (revision"
        f" `{_escape(source.revision)}`) fine-tuned with LoRA to predict one of"
        f" {len(source.classes)} classes: {classes}. Trained on {data}, data"
        f" fingerprint `{details.fingerprint}`. Texts are truncated to {source.max_tokens} tokens."
    )


def _format_scores(details: RunDetails) -> str:
    test = details.result.test
    accuracy = test.proportion if test else None
    if test is None or accuracy is None:
        return "The run has not been scored on test texts."
    low, high = accuracy.interval
    classes = f" over {test.macro_f1_classes} classes" if test.macro_f1_classes else ""
    macro_f1 = "" if test.macro_f1 is None else f"; macro-F1 {test.macro_f1:.4f}{classes}"
    lines = [
        f"Accuracy {accuracy.value:.4f} (95 % interval {low:.4f} to {high:.4f}) on"
        f" {accuracy.n:,} test texts{macro_f1}.",
        "",
        "| class | precision (95 % interval) | recall (95 % interval) | F1 | texts |",
        "|---|---|---|---|---|",
    ]
    matrix = details.scores.confusion if details.scores else ()
    per_class = details.scores.per_class if details.scores else ()
    for index, scores in enumerate(per_class):
        hits, predicted = matrix[index][index], sum(row[index] for row in matrix)
        precision, recall = (_format_proportion(hits, n) for n in (predicted, scores.support))
        f1 = "–" if scores.f1 is None else f"{scores.f1:.3f}"
        lines.append(
            f"| {_escape(scores.name)} | {precision} | {recall} | {f1} | {scores.support:,} |"
        )
    names = [_escape(scores.name) for scores in per_class]
    return "\n".join([*lines, "", *_format_matrix(names, matrix)])


def _format_matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[str]:
    """Format the confusion matrix, or the most frequent errors of many classes."""
    if len(names) <= MOST_COLUMNS:
        return [
            "Confusion matrix (rows: true class, columns: predicted class):",
            "",
            f"| | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
            *(
                f"| {name} | {' | '.join(map(str, row))} |"
                for name, row in zip(names, matrix, strict=False)
            ),
        ]
    errors = list_errors(matrix)
    shown = errors[:MOST_ERRORS]
    return [
        f"The {len(shown)} most frequent of {len(errors):,} kinds of errors:",
        "",
        "| true class | predicted class | texts |",
        "|---|---|---|",
        *(
            f"| {names[true]} | {names[predicted]} | {texts:,} |"
            for texts, true, predicted in shown
        ),
    ]


def _format_proportion(hits: int, n: int) -> str:
    if not n:
        return "–"
    proportion = Proportion(hits, n)
    low, high = proportion.interval
    return f"{proportion.value:.3f} ({low:.3f} to {high:.3f})"


def _describe_verification(verification: Verification) -> str:
    low, high = verification.equal.interval
    difference = verification.max_probability_difference
    return (
        "Loaded from these files, the model predicts the same label as the run for"
        f" {verification.labels_equal:,} of {verification.texts:,} test texts (95 % interval"
        f" {low:.1%} to {high:.1%}). Its probabilities differ by at most {difference:.2g} from"
        f" those of the run, and by up to {verification.differs_from_base:.2f} from those of the"
        f" untrained base model. It classifies {verification.rows_per_second:.0f} texts/s; the run"
        f" classifies {verification.run_rows_per_second:.0f} texts/s on the same machine. The"
        f" files take {verification.bytes / 1e6:.1f} MB."
    )


def _describe_training(details: RunDetails, source: ExportSource) -> str:
    # the configured base model may be a folder of this machine
    fields = {**details.config.model_dump(mode="json"), "model": source.identity}
    config = "\n".join(f"| `{name}` | {_escape(value)} |" for name, value in fields.items())
    costs, result = [], details.result
    if result.train_seconds is not None:
        costs.append(f"Training time: {result.train_seconds:.0f} s")
    if result.peak_memory_mb is not None:
        costs.append(f"Peak memory: {result.peak_memory_mb:,.0f} MB")
    summary = ". ".join(costs) or "Time and memory were not recorded"
    precision = f"Precision: {_escape(details.precision)}"
    precision += f"; matrix products by {details.products}" if details.products else ""
    return f"{summary}. {precision}.\n\n| field | value |\n|---|---|\n{config}"


def _format_usage(source: ExportSource, target: Format) -> str:
    template = {Format.ADAPTER: ADAPTER_USE, Format.MERGED: MERGED_USE}.get(target, ONNX_USE)
    names = json.dumps({str(index): name for index, name in enumerate(source.classes)})
    values = {
        "BASE": json.dumps(source.identity),
        "REVISION": json.dumps(source.revision),
        "NAMES": names,
        "CLASSES": str(len(source.classes)),
        "TOKENS": str(source.max_tokens),
        "FILE": ONNX_FILE,
        "FUSION": SLOW_FUSION,
    }
    return Template(template).substitute(values)


def _escape(value: object) -> str:
    """Return ``value`` on one line, with Markdown and HTML characters escaped."""
    text = " ".join(str(value).split())
    return "".join(f"\\{char}" if char in "|`<>*_[]!" else char for char in text)
