"""Write the files of an export: the model in its format, and the run's configuration, scores,
predictions and curves next to it.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel
from tensorboardX import SummaryWriter
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.errors import ModelUnavailable
from core.models.catalog import MODELS
from core.runs.descriptions import RunDetails
from core.runs.run import PORTABLE_FIGURES
from core.training.adapted_model import quiet_peft
from core.training.fast.last_layer import read_first_token_only
from core.training.load_model import Base, load_base, quiet
from core.transfer.export.formats import Format

ONNX_FILE, LABELS_FILE, TOKENIZER_FILE = "model.onnx", "labels.json", "tokenizer.json"
SINGLE_LABEL = "single_label_classification"
SPECIAL_TOKENS = tuple(
    f"{name}_token" for name in ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
)
# a fusion of onnxruntime 1.32: on a CPU its kernel takes five times as long as the separate ones
SLOW_FUSION = "SkipLayerNormFusion"
RUN_FIELDS = (
    "name",
    "config",
    "data",
    "classes",
    "test",
    "untrained",
    "validation",
    "per_class",
    "confusion",
    "metrics",
    *PORTABLE_FIGURES,
)
CURVES = ("loss", "accuracy", "macro_f1", "learning_rate", "rows_per_second")
CURVES_README = """# Curves

TensorBoard event files with the loss, accuracy, macro-F1, learning rate and speed of the run.
Macro-F1 is the mean over the classes that have texts or predictions (macro_f1_classes of them).
To view them:

    pip install tensorboard
    tensorboard --logdir .
"""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """The model to export: base model, adapter, classes and max tokens.

    ``base`` and ``adapter`` are folders; ``identity`` and ``revision`` name the base model without
    a path.
    """

    base: Path
    identity: str
    revision: str
    adapter: Path
    classes: tuple[str, ...]
    max_tokens: int
    seed: int

    @property
    def is_local(self) -> bool:
        """Whether the base model comes from a folder, so that no one can download it."""
        return self.identity.startswith("local/")


def write_model(source: ExportSource, target: Format, folder: Path) -> None:
    """Write the model in format ``target``, its tokenizer and its labels into ``folder``."""
    base = load_base(source.base, source.classes, source.seed)
    write_tokenizer(base.tokenizer, source.max_tokens, folder)
    _write_labels(source, base.tokenizer, folder)
    if target is Format.ADAPTER:
        for path in sorted(source.adapter.glob("adapter_*")):
            (folder / path.name).write_bytes(path.read_bytes())
        return
    model = _merge(base, source.adapter)
    model.config.name_or_path = source.identity  # not the path of the base model
    model.config.problem_type = SINGLE_LABEL  # that of the base model's former head may differ
    if target is Format.MERGED:
        with quiet():
            model.save_pretrained(folder)
    else:
        read_first_token_only(model)
        _write_onnx(model, folder / ONNX_FILE)
        model.config.save_pretrained(folder)
    if target is Format.ONNX_INT8:
        _quantize(folder / ONNX_FILE)


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, max_tokens: int, folder: Path) -> None:
    """Write the tokenizer with the run's truncation and no padding, for transformers 4 and 5.

    The class is the one that reads ``tokenizer.json`` without changes in both: other classes of
    transformers 4 build their own normalizer, and it does not know ``TokenizersBackend``. Raises
    ModelUnavailable if the tokenizer cannot be written as ``tokenizer.json``.
    """
    if not tokenizer.is_fast:
        raise ModelUnavailable(
            f"The tokenizer of the base model ({type(tokenizer).__name__}) cannot be written as"
            " tokenizer.json, which an export needs.",
            "Export a run of another base model.",
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
    backend.save(str(folder / TOKENIZER_FILE))
    special = {
        name: token
        for name in SPECIAL_TOKENS
        if (token := getattr(tokenizer, name, None)) is not None
    }
    special.setdefault("pad_token", backend.id_to_token(0))  # the run pads with id 0 then
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "model_input_names": ["input_ids", "attention_mask"],  # as in the run
        "padding_side": "right",  # as in the run, whatever the base model's side is
        "truncation_side": tokenizer.truncation_side,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    _write_json(content, folder / "tokenizer_config.json")


def read_labels(folder: Path) -> tuple[tuple[str, ...], int]:
    """Read the class names in the order of their ids, and max tokens."""
    content = json.loads((folder / LABELS_FILE).read_bytes())
    return tuple(content["id2label"].values()), int(content["max_tokens"])


class Logits(nn.Module):
    """The model as a function of ids and mask (n, T) to logits (n, C)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute logits (n, C)."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _write_labels(source: ExportSource, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    names = {str(index): name for index, name in enumerate(source.classes)}
    content = {
        "id2label": names,
        "max_tokens": source.max_tokens,
        "pad_id": tokenizer.pad_token_id or 0,
        "pad_token": tokenizer.pad_token or tokenizer.backend_tokenizer.id_to_token(0),
        "base": source.identity,
        "revision": source.revision,
    }
    _write_json(content, folder / LABELS_FILE)


def _write_json(content: dict[str, object], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _merge(base: Base, adapter: Path) -> PreTrainedModel:
    with quiet_peft():
        model: PreTrainedModel = PeftModel.from_pretrained(base.model, adapter).merge_and_unload()
    return model.eval()


def _write_onnx(model: PreTrainedModel, path: Path) -> None:
    # sdpa adds a check for rows of NaN to the graph, which takes a third of the time
    model.set_attn_implementation("eager")
    ids = torch.randint(5, 90, (2, 16))  # (n, T)
    mask = torch.ones_like(ids)  # (n, T)
    mask[1, 9:] = 0  # without a padded row the exporter drops the mask as a constant
    axes = {0: "texts", 1: "tokens"}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch
        program: Any = torch.onnx.export(
            Logits(model).eval(),
            (ids, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(axes, axes),
            dynamo=True,
            verbose=False,
        )
    _remove_metadata(program.model)
    program.save(path, external_data=False)


def _remove_metadata(model: Any) -> None:
    """Remove the exporter's metadata from a model of ``onnx_ir``.

    Each node has a stack trace, which contains paths of this machine.
    """
    graphs = [model.graph, *model.functions.values()]
    graphs += [subgraph for graph in graphs for subgraph in graph.subgraphs()]
    for graph in graphs:
        nodes = list(graph)
        values = [*graph.inputs, *(value for node in nodes for value in node.outputs)]
        values += getattr(graph, "initializers", {}).values()  # a function has none
        for item in (model, graph, *nodes, *values):
            item.metadata_props.clear()
            item.doc_string = None


def _quantize(path: Path) -> None:
    # takes seconds to import; only this format needs it
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    full = path.with_name("full.onnx")
    path.rename(full)
    quantize_dynamic(
        full,
        path,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
    )
    full.unlink()


def write_run(details: RunDetails, source: ExportSource, path: Path) -> None:
    """Write the run's configuration, data, scores and curves to ``path``, without local paths."""
    values = {"name": details.name, **details.result.to_dict(), **details.to_dict()}
    if details.config.model not in MODELS:
        portable = details.config.model_copy(
            update={"model": f"{source.identity}@{source.revision}"}
        )
        values["config"] = portable.model_dump(mode="json")
    fields = {name: values[name] for name in RUN_FIELDS if name in values}
    path.write_text(
        json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )


def write_predictions(frame: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    """Write one line per test text: row, text, true class, and the probability of each class."""
    columns = [f"p{index}" for index in range(len(classes))]
    with path.open("w", encoding="utf-8") as file:
        table = frame[["row", "text", "label", *columns]]
        for row, text, label, *values in table.itertuples(index=False):
            probabilities = {
                name: round(float(value), 7) for name, value in zip(classes, values, strict=True)
            }
            line = {
                "row": int(row),
                "text": text,
                "label": classes[label],
                "predicted": max(probabilities, key=probabilities.__getitem__),
                "probabilities": probabilities,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_curves(details: RunDetails, folder: Path) -> None:
    """Write TensorBoard event files for training, validation and, at the last step, test."""
    writers = {
        split: SummaryWriter(str(folder / split), max_queue=1000)
        for split in ("train", "validation")
    }
    for metric in details.metrics:
        for name in CURVES:
            if (value := getattr(metric, name)) is not None:
                writers[metric.split].add_scalar(name, value, metric.step, walltime=metric.at)
    last = max((metric.step for metric in details.metrics), default=0)
    if test := details.result.test:
        writers["test"] = SummaryWriter(str(folder / "test"))
        for name in ("accuracy", "macro_f1", "macro_f1_classes"):
            if (value := getattr(test, name)) is not None:
                writers["test"].add_scalar(name, value, last)
    for writer in writers.values():
        writer.close()
    (folder / "README.md").write_text(CURVES_README, encoding="utf-8")
