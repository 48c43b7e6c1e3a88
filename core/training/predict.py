"""What a model predicts on encoded texts. Shapes: n texts, C classes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core.config import Precision
from core.errors import Stopped
from core.training.batches import Encoded, token_batches
from core.training.device import autocast, batch_tokens, release_memory


@torch.inference_mode()
def predict(
    model: torch.nn.Module,
    texts: Encoded,
    precision: Precision,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """Log probabilities (n, C) in the order of ``texts``; ``on_rows`` hears how many are done. Raises Stopped."""
    model.eval()
    device = next(model.parameters()).device
    result = np.empty((0, 0), dtype=np.float32)
    done = 0
    for chosen in token_batches(texts.lengths, batch_tokens(device)):
        if should_stop():
            raise Stopped("The run was stopped.")
        ids, mask, _ = texts.batch(chosen, device)
        with autocast(precision, device):
            logits = model(input_ids=ids, attention_mask=mask).logits  # (B, C)
        scores = torch.log_softmax(logits.float(), dim=-1).cpu().numpy()
        if not len(result):
            result = np.empty((len(texts), scores.shape[1]), dtype=np.float32)
        result[chosen] = scores
        done += len(chosen)
        on_rows(done)
    release_memory()
    return result


def prediction_frame(texts: Encoded, scores: NDArray[np.float32]) -> pd.DataFrame:
    """Columns row, label, p0 … p{C-1}, loss from log probabilities (n, C)."""
    probabilities = np.exp(scores)
    columns = {f"p{index}": probabilities[:, index] for index in range(scores.shape[1])}
    loss = -np.take_along_axis(scores, texts.labels[:, None], axis=1)[:, 0]
    return pd.DataFrame({"row": texts.rows, "label": texts.labels, **columns, "loss": loss})
