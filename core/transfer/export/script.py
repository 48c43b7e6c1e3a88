"""Write train.py and train.ipynb of an export, which repeat a training without this project.

They use transformers and PEFT directly and are meant to be read and changed by students.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from pydantic import BaseModel, ConfigDict

from core.data.sources import HUB_ID
from core.runs.descriptions import RunDetails
from core.transfer.export.write_files import ExportSource

AG_NEWS, LOCAL_DATA = "AG News", "data"
SCRIPT = '''"""Train $NAME again with transformers and PEFT: python train.py --data FOLDER-OR-HUB-ID

The data needs the columns text and label in the splits train and test. The run was trained on
$DATA, fingerprint $FINGERPRINT.
Test accuracy of the run: $ACCURACY.

As in the run, the same number of training rows is drawn from each class, but not the same rows nor
in the same order, so the accuracy differs by chance: after thousands of rows by about one
percentage point, after hundreds by more. With --adapter, an exported adapter is scored and nothing
is trained.
"""

import argparse
import hashlib
import math

import numpy as np
from datasets import ClassLabel, Features, Value, load_dataset
from peft import LoraConfig, PeftModel, TaskType, get_peft_model$IMPORT_PEFT
from transformers import (
    AutoModelForSequenceClassification,$IMPORT_BITS
    DataCollatorWithPadding,
    $TOKENIZER,
    Trainer,
    TrainingArguments,
    set_seed,
)

BASE, REVISION = $BASE, $REVISION
DATA = $DEFAULT_DATA  # folder with files of the splits train and test, or Hub id
CLASSES = $CLASSES
FINGERPRINT = $FINGERPRINT_LITERAL
TARGET_MODULES = $TARGETS
HEAD = $HEAD
ROWS = $ROWS  # training rows; 0 for all
MAX_TOKENS, SEED = $TOKENS, $SEED
EPOCHS, BATCH_SIZE = $EPOCHS, $BATCH
WARMUP = $WARMUP  # proportion of the steps

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("--data", default=DATA, help="dataset folder or Hub id")
arguments.add_argument("--base", default=BASE, help="base model: Hub id or folder")
arguments.add_argument("--adapter", help="folder of an exported adapter, to score it only")
arguments.add_argument("--steps", type=int, default=0, help="stop after this step; 0: the end")
arguments.add_argument("--out", default="retrained", help="folder for the trained adapter")
options = arguments.parse_args()
set_seed(SEED)

# 1. Data: labels become class ids, and each class has the same number of training rows.
data = load_dataset(options.data)
train, test = data["train"], data["test"]
label = train.features["label"]


def to_class_id(row):  # by name: other data may have the classes in another order
    name = label.int2str(row["label"]) if isinstance(label, ClassLabel) else str(row["label"])
    return {"label": CLASSES.index(name) if name in CLASSES else int(row["label"])}


features = Features({**train.features, "label": Value("int64")})
train, test = (split.map(to_class_id, features=features) for split in (train, test))
digest = hashlib.sha256()
for part, values in (("classes", CLASSES), ("train", train), ("test", test)):
    digest.update(part.encode())
    for value in values:
        for text in [value] if part == "classes" else [str(value["label"]), value["text"]]:
            digest.update(b"%d:%b" % (len(text.encode()), text.encode()))
fingerprint = digest.hexdigest()[:12]
is_same = fingerprint == FINGERPRINT
print(
    f"data fingerprint {fingerprint}:",
    "same data as the run" if is_same else f"other data than the run ({FINGERPRINT})",
)
if ROWS and ROWS < len(train):
    labels, generator = np.array(train["label"]), np.random.default_rng(SEED)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[: ROWS // len(CLASSES)]
        for label in range(len(CLASSES))
    ]
    train = train.select(generator.permutation(np.concatenate(chosen)))

# 2. Tokens: each text is split into tokens and truncated to MAX_TOKENS.
tokenizer = $TOKENIZER.from_pretrained(options.base, revision=REVISION)
tokenizer.padding_side = "right"  # so that positions do not depend on other texts
tokenizer.model_input_names = ["input_ids", "attention_mask"]  # as in the run


def tokenize(rows):
    return tokenizer(rows["text"], truncation=True, max_length=MAX_TOKENS)


def tokenize_split(split):
    other_columns = [name for name in split.column_names if name != "label"]
    return split.map(tokenize, batched=True, remove_columns=other_columns)


train, test = tokenize_split(train), tokenize_split(test)

# 3. Model: the base model is frozen; the adapter and the head are trained.
names = dict(enumerate(CLASSES))
model = AutoModelForSequenceClassification.from_pretrained(
    options.base,
    revision=REVISION,
    num_labels=len(CLASSES),
    id2label=names,
    label2id={name: index for index, name in names.items()},
    problem_type="single_label_classification",
    dtype="float32",  # whatever the base model is stored in
    ignore_mismatched_sizes=True,  # a head for other classes is replaced
$BITS)
for name, parameter in model.named_parameters():  # a new head, as in the run
    if name.split(".")[0] in HEAD and parameter.is_floating_point():
        parameter.data.normal_(0, model.config.initializer_range if parameter.dim() > 1 else 0)
${PREPARE}if options.adapter:
    model = PeftModel.from_pretrained(model, options.adapter)
else:
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=$RANK,
        lora_alpha=$ALPHA,
        lora_dropout=$DROPOUT,
        target_modules=TARGET_MODULES,
        modules_to_save=HEAD,
        use_rslora=$RSLORA,
        use_dora=$DORA,$PATTERNS
    )
    model = get_peft_model(model, lora)
model.print_trainable_parameters()

# 4. Training and evaluation.


def compute_accuracy(output):
    correct = output.predictions.argmax(-1) == output.label_ids
    return {"accuracy": float(correct.mean())}


steps = options.steps or math.ceil(len(train) / BATCH_SIZE) * EPOCHS
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=options.out,
        num_train_epochs=EPOCHS,
        max_steps=options.steps or -1,
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=64,
        learning_rate=$RATE,
        lr_scheduler_type="$SCHEDULE",
        warmup_steps=math.ceil(WARMUP * steps),
        weight_decay=$DECAY,
        max_grad_norm=1.0,
        seed=SEED,
        logging_steps=20,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=train,
    eval_dataset=test,
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=compute_accuracy,
)
if not options.adapter:
    trainer.train()
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
print(f"test accuracy {trainer.evaluate()['eval_accuracy']:.4f} (the run: $ACCURACY)")
'''
FOUR_BIT = {  # additions to the script for a base model in 4 bits
    "IMPORT_PEFT": ", prepare_model_for_kbit_training",
    "IMPORT_BITS": "\n    BitsAndBytesConfig,",
    "BITS": (
        "    quantization_config=BitsAndBytesConfig(\n"
        '        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True\n'
        "    ),\n"
    ),
    "PREPARE": "model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)\n",
}


def find_training_data(details: RunDetails) -> str:
    """Return what the script loads unless its arguments say otherwise: a Hub id or a folder."""
    return HUB_ID if details.request.source.name == AG_NEWS else LOCAL_DATA


class SavedLora(BaseModel):
    """The fields of ``adapter_config.json``, as PEFT saves it, that the script needs."""

    model_config = ConfigDict(frozen=True)

    r: int
    lora_alpha: int | float
    target_modules: tuple[str, ...]
    modules_to_save: tuple[str, ...] | None
    layers_to_transform: tuple[int, ...] | None = None
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, int | float] = {}


def build_script(details: RunDetails, source: ExportSource, lora: SavedLora) -> str:
    """Return the script of a run."""
    config, test = details.config, details.result.test
    accuracy = test.accuracy if test else None
    values = {
        "NAME": _sanitize(details.name),
        "DATA": _sanitize(details.request.source.name),
        "FINGERPRINT": _sanitize(details.fingerprint),
        "FINGERPRINT_LITERAL": quote(details.fingerprint),
        "ACCURACY": "not measured" if accuracy is None else f"{accuracy:.4f}",
        "BASE": quote(source.identity),
        "TOKENIZER": _find_tokenizer_class(source.base),
        "REVISION": "None" if source.is_local else quote(source.revision),
        "DEFAULT_DATA": quote(find_training_data(details)),
        "CLASSES": _quote_all(source.classes),
        "TARGETS": _quote_all(sorted(lora.target_modules)),
        "HEAD": _quote_all(sorted(set(lora.modules_to_save or ()))),
        "ROWS": str(config.train_rows),
        "TOKENS": str(source.max_tokens),
        "SEED": str(config.seed),
        "RANK": str(lora.r),
        "ALPHA": repr(lora.lora_alpha),
        "DROPOUT": repr(config.dropout),
        "RSLORA": str(config.rslora),
        "DORA": str(config.dora),
        "PATTERNS": "".join(
            f"\n        {name}={value},"
            for name, value in (
                ("layers_to_transform", _quote_layers(lora)),
                ("rank_pattern", _quote_pattern(lora.rank_pattern)),
                ("alpha_pattern", _quote_pattern(lora.alpha_pattern)),
            )
            if value
        ),
        "EPOCHS": str(config.epochs),
        "BATCH": str(config.batch_size),
        "RATE": repr(config.learning_rate),
        "SCHEDULE": (
            {"linear": "linear", "cosine": "cosine"}.get(config.schedule, "constant_with_warmup")
        ),
        "WARMUP": repr(config.warmup),
        "DECAY": repr(config.weight_decay),
    }
    added = FOUR_BIT if config.four_bit else dict.fromkeys(FOUR_BIT, "")
    return Template(SCRIPT).substitute(values | added)


def _quote_layers(lora: SavedLora) -> str:
    return repr(list(lora.layers_to_transform)) if lora.layers_to_transform else ""


def _find_tokenizer_class(base: Path) -> str:
    """Return the class that reads the tokenizer of ``base`` in transformers 4 and 5.

    transformers 4 does not know the class that transformers 5 writes for ``tokenizer.json`` as it
    is.
    """
    path = base / "tokenizer_config.json"
    options = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    is_new = options.get("tokenizer_class") == "TokenizersBackend"
    return "PreTrainedTokenizerFast" if is_new else "AutoTokenizer"


def _quote_pattern(pattern: Mapping[str, int | float]) -> str:
    entries = (f"{quote(name)}: {value!r}" for name, value in pattern.items())
    return f"{{{', '.join(entries)}}}" if pattern else ""


def build_notebook(script: str) -> str:
    """Return ``script`` as a Jupyter notebook with a heading and a code cell per numbered part."""
    head, *parts = script.split("\n# ")
    head = head.replace(
        "options = arguments.parse_args()",
        "options = arguments.parse_args([])  # change the defaults above",
    )
    cells = [_build_cell("code", head)]
    for part in parts:
        title, code = part.split("\n", 1)
        cells += [_build_cell("markdown", title), _build_cell("code", code)]
    return json.dumps(
        {
            "cells": cells,
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 4,
        },
        indent=1,
    )


def quote(text: str) -> str:
    """Return ``text`` as a Python literal, in double quotes if it contains none."""
    literal = repr(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'


def _quote_all(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"


def _build_cell(kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {
        "cell_type": kind,
        "metadata": {},
        "source": text.strip().splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _sanitize(text: object) -> str:
    """Return ``text`` for a docstring: on one line, without double quotes and backslashes.

    The docstring is also a description of argparse, which replaces ``%(prog)s``.
    """
    return " ".join(str(text).replace("\\", " ").replace('"', "'").replace("%(", "% (").split())
