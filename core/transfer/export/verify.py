"""Verify an export: load it from its files and compare its predictions with those of the run.

An adapter also needs the base model. Shapes: n texts, C classes.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.errors import ArtifactDamaged
from core.inference.classifier import Classifier
from core.training.adapted_model import quiet_peft
from core.training.batches import split_by_tokens
from core.training.load_model import quiet
from core.transfer.export.formats import Format, Verification
from core.transfer.export.write_files import ONNX_FILE, SLOW_FUSION, ExportSource, read_labels

# with padding; larger batches exceed a CPU's caches, smaller ones have more overhead
BATCH_TOKENS = 512
Batch = dict[str, NDArray[np.int64]]
Predict = Callable[[Batch], NDArray[np.float32]]  # ids and mask (B, T) to logits (B, C)


def verify_export(
    source: ExportSource, target: Format, folder: Path, texts: Sequence[str], onednn: bool = False
) -> Verification:
    """Compare the export in ``folder`` with the run on ``texts``.

    ``onednn`` selects the library of the run's matrix products: see ``core.training.fast.matmul``.
    Raises ArtifactDamaged if there are no texts.
    """
    if not texts:
        raise ArtifactDamaged(
            "The run has no test texts to verify an export with.", "Train it again."
        )
    run = Classifier(source.base, source.classes, source.seed, onednn)
    run.load_adapter("run", source.adapter)
    began = time.perf_counter()
    expected = run.classify("run", list(texts), source.max_tokens)
    run_seconds = time.perf_counter() - began
    untrained = run.classify(None, list(texts), source.max_tokens)
    predict = load_export(source, target, folder)
    # torch uses several threads for each batch
    threads = torch.get_num_threads() if target in (Format.ONNX, Format.ONNX_INT8) else 1
    exported, seconds = predict_texts(predict, folder, texts, threads)
    return Verification(
        format=target,
        texts=len(texts),
        labels_equal=int((exported.argmax(1) == expected.argmax(1)).sum()),
        max_probability_difference=float(np.abs(exported - expected).max()),
        differs_from_base=float(np.abs(exported - untrained).max()),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        rows_per_second=len(texts) / max(seconds, 1e-9),
        run_rows_per_second=len(texts) / max(run_seconds, 1e-9),
    )


def load_export(source: ExportSource, target: Format, folder: Path) -> Predict:
    """Load the export in ``folder`` and return its forward pass."""
    if target in (Format.ONNX, Format.ONNX_INT8):
        return _load_onnx(folder / ONNX_FILE)
    model_folder = source.base if target is Format.ADAPTER else folder
    names = dict(enumerate(read_labels(folder)[0]))
    labels = {"num_labels": len(names), "id2label": names} if target is Format.ADAPTER else {}
    with quiet(), quiet_peft():
        model = AutoModelForSequenceClassification.from_pretrained(
            model_folder, local_files_only=True, **labels
        )
        if target is Format.ADAPTER:
            model = PeftModel.from_pretrained(model, folder)
    model.eval()

    def predict(batch: Batch) -> NDArray[np.float32]:
        inputs = {name: torch.from_numpy(values) for name, values in batch.items()}
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(**inputs).logits.float().numpy()
        return logits

    return predict


def _load_onnx(path: Path) -> Predict:
    import onnxruntime  # noqa: PLC0415 - only these formats need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one batch per core is faster than all cores on one batch
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
    )

    def predict(batch: Batch) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], batch)[0]
        return logits

    return predict


def predict_texts(
    predict: Predict, folder: Path, texts: Sequence[str], threads: int
) -> tuple[NDArray[np.float64], float]:
    """Predict the probabilities (n, C) of ``texts``; return them and the elapsed seconds.

    Texts of similar length share a batch; ``threads`` batches run in parallel.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    limit = read_labels(folder)[1]
    began = time.perf_counter()
    encoded = tokenizer(list(texts), truncation=True, max_length=limit)
    lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)

    def compute(rows_of_batch: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = {
            name: [encoded[name][index] for index in rows_of_batch]
            for name in ("input_ids", "attention_mask")
        }
        padded = tokenizer.pad(rows, return_tensors="np")
        batch = {name: padded[name].astype(np.int64) for name in rows}
        logits = predict(batch).astype(np.float64)  # (B, C)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        probabilities: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return probabilities

    batches = split_by_tokens(lengths, BATCH_TOKENS)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(compute, batches))
    seconds = time.perf_counter() - began
    probabilities = np.empty((len(texts), parts[0].shape[1]))
    probabilities[np.concatenate(batches)] = np.concatenate(parts)
    return probabilities, seconds
