"""Write the files of an export: the model in its format, and the run's configuration, scores,
predictions and curves next to it.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel
from tensorboardX import SummaryWriter
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.models.catalog import MODELS
from core.training.adapter import quiet_peft
from core.training.fast.first_token import read_first_token_only
from core.training.load_model import Base, load_base, quiet
from core.transfer.export.formats import Format

ONNX_FILE, LABELS_FILE = "model.onnx", "labels.json"
# of onnxruntime 1.32: on a CPU its joined kernel takes five times as long as its two parts
SLOW_FUSION = "SkipLayerNormFusion"


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Source of an export: folder and identity of the base model, adapter, classes and max
    tokens.
    """

    base: Path
    identity: str
    revision: str
    adapter: Path
    classes: tuple[str, ...]
    max_tokens: int
    seed: int


def write_model(source: ExportSource, target: Format, folder: Path) -> None:
    """Write the files of a format into ``folder``."""
    base = load_base(source.base, source.classes, source.seed)
    base.tokenizer.model_max_length = source.max_tokens
    base.tokenizer.save_pretrained(folder)
    _write_labels(source, folder)
    if target is Format.ADAPTER:
        for path in sorted(source.adapter.glob("adapter_*")):
            (folder / path.name).write_bytes(path.read_bytes())
        return
    model = _merge(base, source.adapter)
    model.config.name_or_path = source.identity  # never a folder of this machine
    if target is Format.MERGED:
        with quiet():
            model.save_pretrained(folder)
    else:
        read_first_token_only(model)
        _write_onnx(model, folder / ONNX_FILE)
        model.config.save_pretrained(folder)
    if target is Format.ONNX_INT8:
        _quantise(folder / ONNX_FILE)


def read_labels(folder: Path) -> tuple[tuple[str, ...], int]:
    """Read class names in the order of their ids, and max tokens."""
    content = json.loads((folder / LABELS_FILE).read_bytes())
    return tuple(content["id2label"].values()), int(content["max_tokens"])


class Logits(nn.Module):
    """The model as a function of ids and mask (n, T) to logits (n, C)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compute logits (n, C)."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _write_labels(source: ExportSource, folder: Path) -> None:
    names = {str(index): name for index, name in enumerate(source.classes)}
    content = {
        "id2label": names,
        "max_tokens": source.max_tokens,
        "base": source.identity,
        "revision": source.revision,
    }
    (folder / LABELS_FILE).write_text(
        json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8"
    )


def _merge(base: Base, adapter: Path) -> PreTrainedModel:
    with quiet_peft():
        model: PreTrainedModel = PeftModel.from_pretrained(base.model, adapter).merge_and_unload()
    return model.eval()


def _write_onnx(model: PreTrainedModel, path: Path) -> None:
    model.set_attn_implementation(
        "eager"
        # the other one brings a search for rows of NaN into the graph, which takes a third of its
        # time
    )
    ids = torch.randint(5, 90, (2, 16))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0  # a padded row, or the mask would be taken for a constant and left out
    axes = {0: "texts", 1: "tokens"}
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # speaks of torchvision, which is not wanted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, about a transition that is underway
        torch.onnx.export(
            Logits(model).eval(),
            (ids, mask),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(axes, axes),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _quantise(path: Path) -> None:
    # Seconds, and for this format alone.
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


KEPT = (
    *(
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
    ),
    *("train_seconds", "rows_per_second", "peak_memory_mb", "trained_rows", "steps", "best_step"),
)
CURVES = ("loss", "accuracy", "macro_f1", "learning_rate", "rows_per_second")
READ_CURVES = """# Curves

Loss, accuracy, macro-F1, learning rate and speed of the run, with the time of each measurement.
To view them:

    pip install tensorboard
    tensorboard --logdir .
"""


def write_run(details: Mapping[str, Any], source: ExportSource, path: Path) -> None:
    """Write configuration, data, scores and curves of the run, without any local path."""
    kept = {name: details[name] for name in KEPT if name in details}
    config = details["config"]
    if config["model"] not in MODELS:
        kept["config"] = {**config, "model": f"{source.identity}@{source.revision}"}
    path.write_text(
        json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )


def write_predictions(frame: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    """Write one line per test text: row, text, true class, and the probability of each class."""
    columns = [f"p{index}" for index in range(len(classes))]
    with path.open("w", encoding="utf-8") as file:
        for row, text, label, *shares in frame[["row", "text", "label", *columns]].itertuples(
            index=False
        ):
            told = {
                name: round(float(share), 7) for name, share in zip(classes, shares, strict=True)
            }
            line = {
                "row": int(row),
                "text": text,
                "label": classes[label],
                "predicted": max(told, key=told.__getitem__),
            }
            file.write(json.dumps({**line, "probabilities": told}, ensure_ascii=False) + "\n")


def write_curves(details: Mapping[str, Any], folder: Path) -> None:
    """Write TensorBoard event files for training and validation; test scores are at the last
    step.
    """
    writers = {
        split: SummaryWriter(str(folder / split), max_queue=1000)
        for split in ("train", "validation")
    }
    for point in details["metrics"]:
        for name in CURVES:
            if point[name] is not None:
                writers[point["split"]].add_scalar(
                    name, point[name], point["step"], walltime=point["at"]
                )
    last = max((point["step"] for point in details["metrics"]), default=0)
    if "test" in details:
        writers["test"] = SummaryWriter(str(folder / "test"))
        for name in ("accuracy", "macro_f1"):
            writers["test"].add_scalar(name, details["test"][name], last)
    for writer in writers.values():
        writer.close()
    (folder / "README.md").write_text(READ_CURVES, encoding="utf-8")
