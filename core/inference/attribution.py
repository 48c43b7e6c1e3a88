"""Attribution of a prediction to tokens: integrated gradients by captum, and occlusion.

Shapes: T tokens, d hidden, C classes.
"""

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from core.inference.classifier import Classifier
from core.inference.messages import Explanation
from core.training.batches import encode
from core.training.device import choose_device

STEPS = (32, 64, 128, 256)  # increased until the convergence error is small enough
SMALL_ERROR = 0.05  # logits
BATCH_ROWS = 8  # texts in a forward and backward pass


class Paused(Exception):
    """Another request is waiting; this one can begin again later."""


def explain(
    classifier: Classifier,
    run_id: str | None,
    text: str,
    max_tokens: int,
    target: int | None,
    seed: int,
    should_pause: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Attribute the logit of class ``target``, or of the predicted class, to the tokens.

    ``should_pause`` is called before each batch. Raises Paused.
    """
    tokenizer, device = classifier.tokenizer, choose_device()
    (tokens,) = encode(tokenizer, [text], max_tokens)
    ids = torch.from_numpy(tokens.astype(np.int64))[None].to(device)  # (1, T)
    special = np.array(
        tokenizer.get_special_tokens_mask(tokens.tolist(), already_has_special_tokens=True),
        dtype=bool,
    )
    mask_id = tokenizer.mask_token_id
    if mask_id is None:
        mask_id = tokenizer.pad_token_id or 0
    with classifier.activate(run_id, seed) as model:
        model.eval()

        def compute_logits(**inputs: Tensor) -> Tensor:
            if should_pause():
                raise Paused
            rows = len(next(iter(inputs.values())))
            mask = torch.ones(rows, ids.shape[1]).to(device)  # (B, T)
            logits: Tensor = model(**inputs, attention_mask=mask).logits
            return logits

        logits = _occlude(lambda rows: compute_logits(input_ids=rows), ids, mask_id)  # (T + 1, C)
        index = int(logits[-1].argmax()) if target is None else target
        drops = (logits[-1, index] - logits[:-1, index]).cpu().numpy()  # (T,)
        embed = classifier.embeddings
        baseline = torch.where(
            torch.from_numpy(special).to(device), ids[0], tokenizer.pad_token_id or 0
        )[None]  # (1, T)
        gradients, error, steps = _integrate(
            lambda vectors: compute_logits(inputs_embeds=vectors)[:, index],
            embed(ids),
            embed(baseline),
        )
    drops[special] = 0.0
    return Explanation(
        tuple(tokenizer.convert_ids_to_tokens(tokens.tolist())),
        tuple(map(bool, special)),
        tuple(map(float, gradients)),
        tuple(map(float, drops)),
        index,
        error,
        steps,
    )


def _occlude(compute_logits: Callable[[Tensor], Tensor], ids: Tensor, mask_id: int) -> Tensor:
    """Return the logits (T + 1, C) of the text with token t masked; the last row has none masked.

    ``ids`` are (1, T).
    """
    with torch.no_grad():
        masked = ids.repeat(ids.shape[1] + 1, 1).fill_diagonal_(mask_id)  # (T + 1, T)
        masked[-1] = ids[0]
        return torch.cat([compute_logits(rows) for rows in torch.split(masked, BATCH_ROWS)])


def _integrate(
    score: Callable[[Tensor], Tensor], vectors: Tensor, baseline: Tensor
) -> tuple[list[float], float, int]:
    """Integrate the gradients of ``score`` on the line from ``baseline`` to ``vectors``.

    Both are (1, T, d). Returns the attribution of each token (T,), the convergence error and the
    number of steps.
    """
    method = IntegratedGradients(score)
    attributions, error, steps = vectors, float("inf"), 0
    for steps in STEPS:
        attributions, delta = method.attribute(
            vectors.detach(),
            baseline.detach(),
            n_steps=steps,
            internal_batch_size=BATCH_ROWS,
            return_convergence_delta=True,
        )
        error = float(delta.abs().max())
        if error <= SMALL_ERROR:
            break
    return attributions[0].sum(-1).detach().cpu().tolist(), error, steps
