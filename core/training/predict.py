"""Predict the classes of encoded texts. Shapes: n texts, C classes."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import Stopped
from core.evaluation.predictions import build_prediction_frame
from core.training.adapted_model import TrainableModel
from core.training.batches import Encoded
from core.training.device import release_memory

Each = Callable[
    [Callable[[NDArray[np.int64]], NDArray[np.float32]], Sequence[NDArray[np.int64]]],
    Iterable[NDArray[np.float32]],
]


def predict(
    network: TrainableModel,
    texts: Encoded,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """Predict log probabilities (n, C) with the current weights, in the order of ``texts``; see
    ``score``.
    """
    network.peft.eval()
    batches = network.batches(texts.lengths)
    with network.evaluating():
        each = network.pool.stream if network.pool else map
        return score(network.logits, texts, batches, network.device, should_stop, on_rows, each)


def score(
    logits: Callable[[Tensor, Tensor], Tensor],
    texts: Encoded,
    batches: Sequence[NDArray[np.int64]],
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    each: Each = map,
) -> NDArray[np.float32]:
    """Predict log probabilities (n, C) with ``logits``, which maps ids and mask (B, T) to (B, C);
    see ``compute``.
    """

    def scores(ids: Tensor, mask: Tensor) -> Tensor:
        return torch.log_softmax(logits(ids, mask), dim=-1)

    return compute(scores, texts, batches, device, should_stop, on_rows, each)


def compute(
    read: Callable[[Tensor, Tensor], Tensor],
    texts: Encoded,
    batches: Sequence[NDArray[np.int64]],
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    each: Each = map,
) -> NDArray[np.float32]:
    """Apply ``read`` to ids and mask (B, T) of each batch; returns one row per text in the order of
    ``texts``.

    ``batches`` contain each row once. ``on_rows`` receives the number of finished rows; ``each``
    maps in order, as ``MicrobatchPool.stream`` does. Raises Stopped.
    """

    @torch.inference_mode()
    def read_batch(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        ids, mask, _ = texts.batch(chosen, device)
        output: NDArray[np.float32] = read(ids, mask).cpu().numpy()
        return output

    result = np.empty((0, 0), dtype=np.float32)
    done = 0
    for chosen, output in zip(batches, each(read_batch, batches), strict=True):
        if should_stop():
            raise Stopped("The run was stopped.")
        if not len(result):
            result = np.empty((len(texts), output.shape[1]), dtype=np.float32)
        result[chosen] = output
        done += len(chosen)
        on_rows(done)
    release_memory()
    return result


def tabulate_predictions(texts: Encoded, scores: NDArray[np.float32]) -> pd.DataFrame:
    """Tabulate row, label, p0 … p{C-1}, loss from log probabilities (n, C)."""
    losses = -np.take_along_axis(scores, texts.labels[:, None], axis=1)[:, 0]
    return build_prediction_frame(texts.rows, texts.labels, np.exp(scores), losses)
