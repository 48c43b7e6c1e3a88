"""Verify an export by loading it from its files alone (plus the base model for an adapter) and
comparing predictions.
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
from core.training.adapter import quiet_peft
from core.training.batches import token_batches
from core.training.load_model import quiet
from core.transfer.export.formats import Format, Verification
from core.transfer.export.write_files import ONNX_FILE, SLOW_FUSION, ExportSource, read_labels

BATCH_TOKENS = (
    512  # with padding: more leaves the caches of a CPU, less leaves its cores to overheads
)
Batch = dict[str, NDArray[np.int64]]
Answer = Callable[[Batch], NDArray[np.float32]]


def verify_export(
    source: ExportSource, target: Format, folder: Path, texts: Sequence[str], onednn: bool = False
) -> Verification:
    """Compare the export in ``folder`` with the run on ``texts``. Raises ArtifactDamaged if there
    are none.

    ``onednn`` selects the library of the run's matrix products: see ``core.training.fast.matmul``.
    """
    if not texts:
        raise ArtifactDamaged(
            "The run kept no test texts to prove an export with.", "Train it again."
        )
    run = Classifier(source.base, source.classes, source.seed, onednn)
    run.load_adapter("run", source.adapter)
    began = time.perf_counter()
    expected = run.classify("run", list(texts), source.max_tokens)
    run_seconds = time.perf_counter() - began
    untrained = run.classify(None, list(texts), source.max_tokens)
    answer = _open(source, target, folder)
    lanes = (
        torch.get_num_threads() if target in (Format.ONNX, Format.ONNX_INT8) else 1
    )  # torch divides a batch itself
    answered, seconds = _answer(answer, folder, texts, lanes)
    return Verification(
        format=target,
        texts=len(texts),
        labels_equal=int((answered.argmax(1) == expected.argmax(1)).sum()),
        max_probability_difference=float(np.abs(answered - expected).max()),
        differs_from_base=float(np.abs(answered - untrained).max()),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        rows_per_second=len(texts) / max(seconds, 1e-9),
        run_rows_per_second=len(texts) / max(run_seconds, 1e-9),
    )


def _open(source: ExportSource, target: Format, folder: Path) -> Answer:
    if target in (Format.ONNX, Format.ONNX_INT8):
        return _open_onnx(folder / ONNX_FILE)
    where = source.base if target is Format.ADAPTER else folder
    names = dict(enumerate(read_labels(folder)[0]))
    labels = {"num_labels": len(names), "id2label": names} if target is Format.ADAPTER else {}
    with quiet(), quiet_peft():
        model = AutoModelForSequenceClassification.from_pretrained(
            where, local_files_only=True, **labels
        )
        if target is Format.ADAPTER:
            model = PeftModel.from_pretrained(model, folder)
    model.eval()

    def answer(batch: Batch) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = model(
                **{name: torch.from_numpy(values) for name, values in batch.items()}
            ).logits
        scores: NDArray[np.float32] = logits.float().numpy()
        return scores

    return answer


def _open_onnx(path: Path) -> Answer:
    import onnxruntime  # noqa: PLC0415 - for these formats alone

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a batch a core is quicker than all cores at each batch
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
    )

    def answer(batch: Batch) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run(["logits"], batch)[0]
        return scores

    return answer


def _answer(
    answer: Answer, folder: Path, texts: Sequence[str], lanes: int
) -> tuple[NDArray[np.float64], float]:
    """Predict probabilities (n, C) of ``texts`` and return them with the elapsed seconds.

    Texts of similar length share a batch; ``lanes`` batches run in parallel.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    limit = read_labels(folder)[1]
    began = time.perf_counter()
    encoded = tokenizer(list(texts), truncation=True, max_length=limit)
    lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)

    def compute(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = {
            name: [encoded[name][index] for index in chosen]
            for name in ("input_ids", "attention_mask")
        }
        padded = tokenizer.pad(rows, return_tensors="np")
        scores = answer({name: padded[name].astype(np.int64) for name in rows}).astype(np.float64)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return shares

    batches = token_batches(lengths, BATCH_TOKENS)
    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(compute, batches))
    seconds = time.perf_counter() - began
    answers = np.empty((len(texts), found[0].shape[1]))
    answers[np.concatenate(batches)] = np.concatenate(found)
    return answers, seconds
