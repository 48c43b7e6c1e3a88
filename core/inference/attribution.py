"""Why a text gets a class: integrated gradients through captum, and occlusion beside it. Shapes: T
tokens, d hidden, C classes.
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

STEPS = (32, 64, 128, 256)  # more until the convergence error is small enough
SMALL_ERROR = 0.05  # logits
AT_ONCE = 8  # texts in a forward and backward pass


def explain(
    classifier: Classifier,
    run_id: str | None,
    text: str,
    max_tokens: int,
    target: int | None,
    seed: int,
) -> Explanation:
    """What each token adds to the logit of class ``target``, or of the predicted class."""
    tokenizer, device = classifier.tokenizer, choose_device()
    (tokens,) = encode(tokenizer, [text], max_tokens)
    ids = torch.from_numpy(tokens.astype(np.int64))[None].to(device)  # (1, T)
    special = np.array(
        tokenizer.get_special_tokens_mask(tokens.tolist(), already_has_special_tokens=True),
        dtype=bool,
    )
    blank = (
        tokenizer.mask_token_id
        if tokenizer.mask_token_id is not None
        else tokenizer.pad_token_id or 0
    )
    with classifier.activate(run_id, seed) as model:
        model.eval()

        def logits(**given: Tensor) -> Tensor:
            found: Tensor = model(
                **given,
                attention_mask=torch.ones(len(next(iter(given.values()))), ids.shape[1]).to(device),
            ).logits
            return found

        with torch.no_grad():
            masked = ids.repeat(ids.shape[1] + 1, 1).fill_diagonal_(
                blank
            )  # row t lacks token t, the last none
            masked[-1] = ids[0]
            scores = torch.cat(
                [logits(input_ids=part) for part in torch.split(masked, AT_ONCE * 4)]
            )  # (T + 1, C)
        chosen = int(scores[-1].argmax()) if target is None else target
        drops = (scores[-1, chosen] - scores[:-1, chosen]).cpu().numpy()
        table = classifier.embeddings
        nothing = torch.where(
            torch.from_numpy(special).to(device), ids[0], tokenizer.pad_token_id or 0
        )[None]
        added, error, steps = _integrate(
            lambda vectors: logits(inputs_embeds=vectors)[:, chosen], table(ids), table(nothing)
        )
    drops[special] = 0.0
    pieces = tuple(tokenizer.convert_ids_to_tokens(tokens.tolist()))
    return Explanation(
        pieces,
        tuple(map(bool, special)),
        tuple(map(float, added)),
        tuple(map(float, drops)),
        chosen,
        error,
        steps,
    )


def _integrate(
    score: Callable[[Tensor], Tensor], vectors: Tensor, nothing: Tensor
) -> tuple[list[float], float, int]:
    """(T,) what each token adds along the straight line from ``nothing`` to ``vectors``, both (1,
    T, d); the error and the steps.
    """
    method = IntegratedGradients(score)
    added, error, used = vectors, float("inf"), 0
    for used in STEPS:
        added, delta = method.attribute(
            vectors.detach(),
            nothing.detach(),
            n_steps=used,
            internal_batch_size=AT_ONCE,
            return_convergence_delta=True,
        )
        error = float(delta.abs().max())
        if error <= SMALL_ERROR:
            break
    return added[0].sum(-1).detach().cpu().tolist(), error, used
