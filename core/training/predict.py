"""Predict the classes of encoded texts. Shapes: n texts, C classes."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import Precision
from core.errors import Stopped
from core.evaluation.predictions import build_prediction_frame
from core.training.adapted_model import TrainableModel
from core.training.batches import Encoded
from core.training.device import release_memory, release_weights

# ``map`` for the batches, in order, perhaps on several threads
MapBatches = Callable[
    [Callable[[NDArray[np.int64]], NDArray[np.float32]], Sequence[NDArray[np.int64]]],
    Iterable[NDArray[np.float32]],
]


def predict(
    network: TrainableModel,
    texts: Encoded,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    precision: Precision = "fp32",
) -> NDArray[np.float32]:
    """Predict log probabilities (n, C) with the current weights, in the order of ``texts``.

    Computes in fp32, as exported models do, or in the network's ``validation_precision``.
    ``on_rows`` receives the number of finished rows. Raises Stopped.
    """
    network.peft.eval()

    def compute_log_probabilities(ids: Tensor, mask: Tensor) -> Tensor:
        return torch.log_softmax(network.compute_logits(ids, mask, "fp32"), dim=-1)

    def map_batches(
        compute: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        batches: Sequence[NDArray[np.int64]],
    ) -> Iterable[NDArray[np.float32]]:
        def compute_batch(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            with network.starting_from(texts.read_frozen(rows, precision)):
                return compute(rows)

        return (
            network.pool.stream(compute_batch, batches)
            if network.pool
            else map(compute_batch, batches)
        )

    with network.evaluating(precision):
        # activations of training steps, and pages of weights that merging has read
        release_memory()
        release_weights(network.peft)
        scores = compute_by_batch(
            compute_log_probabilities,
            texts,
            network.split_evaluation_batches(texts.lengths),
            network.device,
            should_stop,
            on_rows,
            map_batches,
        )
    release_memory()  # of the merged weights
    return scores


def compute_by_batch(
    compute: Callable[[Tensor, Tensor], Tensor],
    texts: Encoded,
    batches: Sequence[NDArray[np.int64]],
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    map_batches: MapBatches = map,
) -> NDArray[np.float32]:
    """Return one row of numbers per text, in the order of ``texts``. Raises Stopped.

    Args:
        compute: Maps ids and mask (B, T) of a batch to its rows (B, k).
        texts: All texts.
        batches: Places of the texts of each batch; each text is in one batch.
        device: Where ``compute`` gets ids and mask.
        should_stop: Asked after each batch.
        on_rows: Receives the number of finished rows after each batch.
        map_batches: Maps in order, as ``MicrobatchPool.stream`` does.
    """

    @torch.inference_mode()
    def compute_batch(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        ids, mask, _ = texts.pad_batch(rows, device)
        output: NDArray[np.float32] = compute(ids, mask).cpu().numpy()
        return output

    result = np.empty((0, 0), dtype=np.float32)
    done = 0
    for rows, output in zip(batches, map_batches(compute_batch, batches), strict=True):
        if should_stop():
            raise Stopped("The run was stopped.")
        if not len(result):
            result = np.empty((len(texts), output.shape[1]), dtype=np.float32)
        result[rows] = output
        done += len(rows)
        on_rows(done)
    release_memory()
    return result


def tabulate_predictions(texts: Encoded, scores: NDArray[np.float32]) -> pd.DataFrame:
    """Tabulate row, label, p0 … p{C-1}, loss from log probabilities (n, C)."""
    losses = -np.take_along_axis(scores, texts.labels[:, None], axis=1)[:, 0]
    return build_prediction_frame(texts.rows, texts.labels, np.exp(scores), losses)
