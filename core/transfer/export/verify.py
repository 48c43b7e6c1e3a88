"""Verify an export: load it from its files and compare its predictions with those of the run.

An adapter also needs the base model. Shapes: n texts, C classes.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BatchEncoding,
    PreTrainedTokenizerBase,
)

from core.errors import ArtifactDamaged, Stopped
from core.inference.classifier import Classifier
from core.training.adapted_model import quiet_peft
from core.training.batches import split_by_tokens
from core.training.load_model import quiet
from core.transfer.export.formats import TOLERANCE, Format, Verification
from core.transfer.export.fresh_process import MOST_SECONDS, Executed, PrintedExport, execute
from core.transfer.export.write_files import (
    ONNX_FILE,
    SINGLE_LABEL,
    SLOW_FUSION,
    ExportSource,
    read_labels,
)

# with padding; larger batches exceed a CPU's caches, smaller ones have more overhead
BATCH_TOKENS = 512
# of the texts that the printed code classifies, if the texts are long enough
PROBE_TOKENS = (3, 60, 220)
PROBES, BATCH_SIZES = 7, (1, 7)  # those and texts of the run; how many are classified at once
SCRIPT_ROWS = {"train": 2, "test": 8}  # what train.py reads: it is executed, not repeated
Batch = dict[str, NDArray[np.int64]]
Predict = Callable[[Batch], NDArray[np.float32]]  # ids and mask (B, T) to logits (B, C)


@dataclass(frozen=True, slots=True)
class PrintedCode:
    """How the code of an export is executed.

    Args:
        data: What ``train.py`` loads by default: a Hub id, or the name of a folder.
        scripts: Whether ``train.py`` and the notebook are executed: 4 bits need a GPU.
        onednn: Library of the run's matrix products: see ``core.training.fast.matmul``.
        should_stop: Polled while the code is executed.
        on_code: Called after each block of code.
        python: The Python that executes it.
        most_seconds: How long it may take.
    """

    data: str
    scripts: bool = True
    onednn: bool = False
    should_stop: Callable[[], bool] = lambda: False
    on_code: Callable[[], None] = lambda: None
    python: str = sys.executable
    most_seconds: float = MOST_SECONDS


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
    options: dict[str, object] = {}
    if target is Format.ADAPTER:
        options = {
            "num_labels": len(names),
            "id2label": names,
            "problem_type": SINGLE_LABEL,
            "dtype": torch.float32,
            "ignore_mismatched_sizes": True,
        }
    with quiet(), quiet_peft():
        model = AutoModelForSequenceClassification.from_pretrained(
            model_folder, local_files_only=True, **options
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
        return _predict_batch(predict, tokenizer, encoded, rows_of_batch)

    batches = split_by_tokens(lengths, BATCH_TOKENS)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(compute, batches))
    seconds = time.perf_counter() - began
    probabilities = np.empty((len(texts), parts[0].shape[1]))
    probabilities[np.concatenate(batches)] = np.concatenate(parts)
    return probabilities, seconds


def _predict_batch(
    predict: Predict,
    tokenizer: PreTrainedTokenizerBase,
    encoded: BatchEncoding,
    rows_of_batch: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Predict the probabilities (B, C) of these rows of the encoded texts."""
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


def verify_code(
    source: ExportSource,
    models: Mapping[str, Format],
    folder: Path,
    rows: Sequence[tuple[str, str]],
    printed: PrintedCode,
) -> list[Executed]:
    """Execute the code of the export in ``folder`` as printed, and compare it with the run.

    ``models`` maps each folder with a model card, relative to ``folder``, to its format. ``rows``
    are test texts with their class names. Raises ArtifactDamaged if any code fails, predicts
    differently, takes too long or does not classify, and Stopped.
    """
    run = Classifier(source.base, source.classes, source.seed, printed.onednn)
    run.load_adapter("run", source.adapter)
    probes = build_probes([text for text, _ in rows], run.tokenizer)
    test = list(rows[: SCRIPT_ROWS["test"]])
    export = PrintedExport(
        str(folder),
        str(source.base),
        source.identity,
        source.revision,
        printed.data,
        {"train": list(rows[: SCRIPT_ROWS["train"]]), "test": test},
        list(source.classes),
        probes,
        list(BATCH_SIZES),
        printed.scripts,
    )
    executed = _execute(export, printed)
    expected = run.classify("run", probes, source.max_tokens)
    for each in executed:
        place = _find_folder(each)
        target = models.get(place)
        if each.error:
            raise ArtifactDamaged(
                f"Code of the export fails as printed: {each.name} ({each.error.strip()[-300:]}).",
                "Choose another format. The run is unchanged.",
            )
        for size, given in each.probabilities.items():
            right: NDArray[np.floating[Any]] = expected
            if target is Format.ONNX_INT8:
                right = _predict_chunks(source, target, folder / place, probes, int(size))
            _require_equal(each.name, np.array(given), right)
        if "--adapter" in each.name:
            answers = run.classify("run", [text for text, _ in test], source.max_tokens)
            labels = [source.classes.index(label) for _, label in test]
            _require_accuracy(each, float((answers.argmax(1) == labels).mean()))
    _require_all_compared(models, executed)
    return executed


def _execute(export: PrintedExport, printed: PrintedCode) -> list[Executed]:
    try:
        executed = execute(
            export, printed.should_stop, printed.on_code, printed.python, printed.most_seconds
        )
    except TimeoutError as error:
        raise ArtifactDamaged(
            "The export was not verified: executing its code took longer than the limit of"
            f" {printed.most_seconds / 60:g} minutes.",
            "Try again when fewer jobs are running, or choose another format.",
        ) from error
    if executed is None:
        raise Stopped("The export was stopped.")
    return executed


def _require_all_compared(models: Iterable[str], executed: Sequence[Executed]) -> None:
    """Raise ArtifactDamaged unless code of each model's card classified in all batch sizes."""
    sizes = {str(size) for size in BATCH_SIZES}
    compared = {_find_folder(each) for each in executed if sizes <= each.probabilities.keys()}
    if missing := sorted(set(models) - compared):
        raise ArtifactDamaged(
            "No code of the model card classifies texts, so nothing was compared with the run:"
            f" folder {', '.join(missing)}.",
            "Choose another format. The run is unchanged.",
        )


def _find_folder(executed: Executed) -> str:
    """Return the folder of the executed file, relative to the export."""
    return executed.name.rpartition("/")[0] or "."


def _require_accuracy(executed: Executed, accuracy: float) -> None:
    """Raise ArtifactDamaged unless the code printed the run's accuracy on the same texts."""
    expected = f"test accuracy {accuracy:.4f} "
    if expected not in executed.output:
        raise ArtifactDamaged(
            f"{executed.name} does not score the adapter as the run does: it printed"
            f" {executed.output.splitlines()[-1:]}, not {expected.strip()!r}.",
            "Choose another format. The run is unchanged.",
        )


def _require_equal(
    name: str, answers: NDArray[np.float64], expected: NDArray[np.floating[Any]]
) -> None:
    difference = float(np.abs(answers - expected).max())
    if not difference <= TOLERANCE:  # or NaN
        raise ArtifactDamaged(
            f"{name} does not predict as the run does when it is executed as printed:"
            f" probabilities differ by up to {difference:.2g}.",
            "Choose another format. The run is unchanged.",
        )


def _predict_chunks(
    source: ExportSource, target: Format, folder: Path, texts: Sequence[str], size: int
) -> NDArray[np.float64]:
    """Predict the probabilities (n, C) in batches of ``size`` in the order of the texts.

    8-bit activations are scaled by the whole batch, so a prediction depends on it slightly.
    """
    predict = load_export(source, target, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoded = tokenizer(list(texts), truncation=True, max_length=source.max_tokens)
    parts = [
        _predict_batch(predict, tokenizer, encoded, np.arange(start, min(start + size, len(texts))))
        for start in range(0, len(texts), size)
    ]
    return np.concatenate(parts)


def build_probes(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Build texts of 3, 60 and 220 tokens from ``texts``, and add the first of these."""
    special = tokenizer.num_special_tokens_to_add()
    long = joined = " ".join(texts[:20])
    while True:
        options = {"add_special_tokens": False, "return_offsets_mapping": True}
        with quiet():  # it warns that the text is longer than the model allows
            offsets = tokenizer(long, truncation=False, **options)["offset_mapping"]
        ends = [end for _, end in offsets]
        if len(ends) >= PROBE_TOKENS[-1] or len(long) > 100 * PROBE_TOKENS[-1]:
            break
        long = f"{long} {joined}"
    lengths = [max(1, tokens - special) for tokens in PROBE_TOKENS]
    probes = [long[: ends[min(length, len(ends)) - 1]] for length in lengths]
    return (probes + list(texts))[:PROBES]
