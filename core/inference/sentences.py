"""Texts as vectors of a frozen base model: the mean of its last layer over a text's tokens, of length one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import Stopped
from core.training.batches import Encoded, encode, token_batches
from core.training.device import batch_tokens, choose_device, release_memory
from core.training.lanes import Lanes
from core.training.load import load_base
from core.training.products import product_seconds

MAX_TOKENS = 48  # of AG News texts, 53 long on average: a sixth less to compute than whole ones, and nearly as good for judging labels
BF16_GAIN = 1.5  # a vector needs three digits, so the whole model is converted once, and any clear gain counts


def encode_sentences(
    folder: Path,
    texts: Sequence[str],
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """Vectors (n, d) of ``texts`` by the model in ``folder``, computed in bf16 where that is faster. Raises Stopped, ModelUnavailable."""
    base = load_base(folder, ("unused", "head"), seed=0)
    device = choose_device()
    dtype = choose_dtype()
    model = base.model.base_model.to(device, dtype).eval()
    labels = np.zeros(len(texts), dtype=np.int64)
    encoded = Encoded(encode(base.tokenizer, texts, MAX_TOKENS), labels, labels, base.tokenizer.pad_token_id or 0)

    @torch.inference_mode()
    def compute(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        ids, mask, _ = encoded.batch(chosen, device)
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (B, T, d)
        mean = (states * mask[..., None]).sum(1)  # its length does not matter
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return vectors

    batches = token_batches(encoded.lengths, batch_tokens(device))
    each = Lanes().map if device.type == "cpu" else map
    result, done = np.empty((len(texts), model.config.hidden_size), dtype=np.float32), 0
    for chosen, vectors in zip(batches, each(compute, batches), strict=True):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        result[chosen] = vectors
        done += len(chosen)
        on_rows(done)
    release_memory()
    return result


def choose_dtype() -> torch.dtype:
    """bf16 where its products were just measured to be clearly faster than fp32 ones, else fp32."""
    return torch.bfloat16 if product_seconds(torch.float32) > BF16_GAIN * product_seconds(torch.bfloat16) else torch.float32
