"""Sentence vectors of a frozen base model: the normalized mean of the last layer over all tokens.

Shapes: n texts, B rows, T tokens, d hidden.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.training.batches import encode_each, split_by_tokens
from core.training.device import choose_device, choose_microbatch_tokens
from core.training.fast.threads import MicrobatchPool
from core.training.load_model import load_base
from core.training.predict import compute_by_batch

# AG News texts have 53 tokens on average: a sixth less to compute, and label errors are found
# nearly as well
MAX_TOKENS = 48


def encode_sentences(
    folder: Path,
    texts: Sequence[str],
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    in_bf16: bool = False,
) -> NDArray[np.float32]:
    """Compute the vectors (n, d) of ``texts`` with the model in ``folder``.

    With ``in_bf16`` the model is converted to bf16, whose three digits are enough. Raises Stopped
    and ModelUnavailable.
    """
    base = load_base(folder, ("unused", "head"), seed=0)
    device = choose_device()
    dtype = torch.bfloat16 if in_bf16 else torch.float32
    model = base.model.base_model.to(device, dtype).eval()
    encoded = encode_each(base.tokenizer, [(text, MAX_TOKENS) for text in texts])

    def read(ids: Tensor, mask: Tensor) -> Tensor:
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (B, T, d)
        # the sum points in the direction of the mean
        return torch.nn.functional.normalize((states * mask[..., None]).sum(1), dim=1)  # (B, d)

    map_batches = MicrobatchPool().stream if device.type == "cpu" else map
    return compute_by_batch(
        read,
        encoded,
        split_by_tokens(encoded.lengths, choose_microbatch_tokens(device)),
        device,
        should_stop,
        on_rows,
        map_batches,
    )
