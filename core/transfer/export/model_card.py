"""Write the model card of an export: description, scores, usage, verification and training."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from string import Template

import yaml

from core.data.sources import HUB_ID
from core.evaluation.scores import Proportion, list_errors
from core.runs.descriptions import RunDetails
from core.runs.run import SplitScores
from core.transfer.export.formats import TITLES, Format, Verification
from core.transfer.export.script import AG_NEWS, find_training_data, quote
from core.transfer.export.write_files import ONNX_FILE, SLOW_FUSION, ExportSource

ESCAPED = frozenset("\\|`<>*_[]!&~$")
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

names = $NAMES
base = AutoModelForSequenceClassification.from_pretrained(
    $BASE,$REVISION
    num_labels=$CLASSES,
    id2label=names,
    problem_type="single_label_classification",
    dtype="float32",  # as in the verification, whatever the base model is stored in
    ignore_mismatched_sizes=True,  # the adapter has its own head
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
ONNX_USE = """import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

with open("labels.json", encoding="utf-8") as file:
    labels = json.load(file)
tokenizer = Tokenizer.from_file("tokenizer.json")  # truncates to $TOKENS tokens
tokenizer.enable_padding(pad_id=labels["pad_id"], pad_token=labels["pad_token"])
# this fusion is slow on a CPU
session = onnxruntime.InferenceSession("$FILE", disabled_optimizers=["$FUSION"])


def classify(texts):
    batch = tokenizer.encode_batch(texts)
    ids = np.array([text.ids for text in batch], dtype=np.int64)
    mask = np.array([text.attention_mask for text in batch], dtype=np.int64)
    logits = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # a probability per text and class


probabilities = classify(["A text to classify"])[0]
best = int(probabilities.argmax())
print(labels["id2label"][str(best)], float(probabilities[best]))"""
SCRIPTS_ABOVE = "`train.py` and `train.ipynb` in the folder above repeat the training."
ADD_BASE = (
    "The base model is not on the Hub: first copy its folder to {path} in the folder of this file,"
    " where the code below and `adapter_config.json` expect it."
)
# the least versions that were tried: see Export in docs/pages.md
LEAST_VERSIONS = {
    Format.ADAPTER: {"transformers": "4.57", "peft": "0.18", "torch": "2.13"},
    Format.MERGED: {"transformers": "4.57", "torch": "2.13"},
    Format.ONNX: {"onnxruntime": "1.20", "tokenizers": "0.22"},
    Format.ONNX_INT8: {"onnxruntime": "1.20", "tokenizers": "0.22"},
}
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
        _describe_usage(source, verification.format),
        "## Verification",
        _describe_verification(verification),
        _describe_execution(details),
        "## Training",
        _describe_training(details, source),
        describe_scripts(details, source, verification.format),
        "## Limitations",
        limits,
    ]
    return "\n\n".join(parts) + "\n"


def _build_metadata(details: RunDetails, source: ExportSource, target: Format) -> str:
    """Return YAML. Only a base model of the Hub is named: a name must be an id there."""
    test, data = details.result.test or SplitScores(), details.request.source.name
    metrics = [
        {"type": kind, "name": name, "value": value}
        for kind, name, value in (
            ("accuracy", "accuracy", test.accuracy),
            ("f1", "macro-F1", test.macro_f1),
        )
        if value is not None
    ]
    result = {
        "task": {"type": "text-classification"},
        "dataset": {"name": data, "type": _make_dataset_id(data), "split": "test"},
        "metrics": metrics,
    }
    fields = {
        "library_name": LIBRARIES[target],
        "pipeline_tag": "text-classification",
        **({} if source.is_local else {"base_model": source.identity}),
        "tags": ["lora", "text-classification"],
        **({"datasets": [HUB_ID]} if data == AG_NEWS else {}),
        "model-index": [{"name": details.name, "results": [result] if metrics else []}],
    }
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)}---"


def _make_dataset_id(name: str) -> str:
    """Return the dataset's id on the Hub, or a name in the form of an id."""
    if name == AG_NEWS:
        return HUB_ID
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "own"


def _describe_model(details: RunDetails, source: ExportSource, target: Format) -> str:
    data = _escape(details.request.source.name)
    classes = ", ".join(map(_format_code, source.classes))
    return (
        f"{TITLES[target]} for text classification: {_format_code(source.identity)} (revision"
        f" {_format_code(source.revision)}) fine-tuned with LoRA to predict one of"
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
        f" {accuracy.n:,} test texts{macro_f1}. {details.hidden_note}".rstrip(),
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
    note = f" {result.precision_note}" if result.precision_note else ""
    return f"{summary}. {precision}.{note}\n\n| field | value |\n|---|---|\n{config}"


def _describe_usage(source: ExportSource, target: Format) -> str:
    versions = ", ".join(
        f"{name} {version(name)} (at least {least})"
        for name, least in LEAST_VERSIONS[target].items()
    )
    parts = [
        f"The code was executed with {versions}. Start it in the folder of this file.",
        f"```python\n{_format_usage(source, target)}\n```",
    ]
    if target is Format.ADAPTER and source.is_local:
        parts.insert(0, ADD_BASE.format(path=_format_code(source.identity)))
    return "\n\n".join(parts)


def _format_usage(source: ExportSource, target: Format) -> str:
    """Return Python code; names are Python literals, so no name becomes code."""
    template = {Format.ADAPTER: ADAPTER_USE, Format.MERGED: MERGED_USE}.get(target, ONNX_USE)
    names = "".join(f"    {index}: {quote(name)},\n" for index, name in enumerate(source.classes))
    values = {
        "BASE": quote(source.identity),
        "REVISION": "" if source.is_local else f"\n    revision={quote(source.revision)},",
        "NAMES": f"{{\n{names}}}",
        "CLASSES": str(len(source.classes)),
        "TOKENS": str(source.max_tokens),
        "FILE": ONNX_FILE,
        "FUSION": SLOW_FUSION,
    }
    return Template(template).substitute(values)


def _describe_execution(details: RunDetails) -> str:
    scripts = (
        "`train.py` and `train.ipynb` were not executed: a base model in 4 bits needs a GPU."
        if details.config.four_bit
        else "`train.py` and `train.ipynb` were executed as well, on a few texts."
    )
    return (
        "The code above was executed as printed, in a new process: for texts of 3, 60 and more"
        " than 200 tokens, alone and in a batch of 7, it gives the probabilities that are"
        f" described here. {scripts}"
    )


def describe_scripts(details: RunDetails, source: ExportSource, target: Format) -> str:
    """Describe the commands that repeat the training; they are executed before an export ends."""
    data = find_training_data(details)
    place = (
        f"the dataset `{data}` of the Hub"
        if data == HUB_ID
        else f"the files of the folder `{data}` (`train` and `test` as CSV, JSON lines or Parquet,"
        " with the columns text and label)"
    )
    base = ""
    if source.is_local and target is not Format.ADAPTER:
        base = f" and the base model from the folder {_format_code(source.identity)}"
    commands = ["python train.py"]
    if target is Format.ADAPTER:
        commands.insert(0, "python train.py --adapter .  # only scores this adapter")
    return (
        f"To repeat the training with plain transformers and PEFT, on {place}{base}; the same as a"
        " notebook is `train.ipynb`. They need `datasets` and `accelerate`, too.\n\n"
        "```bash\n" + "\n".join(commands) + "\n```"
    )


def _format_code(text: str) -> str:
    """Return ``text`` on one line as a code span, whose fence is longer than any in the text."""
    line = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def _escape(value: object) -> str:
    """Return ``value`` on one line, with Markdown and HTML characters escaped."""
    text = " ".join(str(value).split())
    return "".join(f"\\{char}" if char in ESCAPED else char for char in text)
