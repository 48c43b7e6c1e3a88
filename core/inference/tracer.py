"""Record hidden states, attention and logits of texts, without the shortcuts of the fast path.

Shapes: B rows, T tokens, d hidden, L layers, H heads, C classes, n texts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from core.errors import Stopped
from core.inference.batched_lora import Place, find_lora_layers
from core.inference.classifier import Classifier
from core.inference.messages import AdaptedModule, Half, TokenKind, Trace
from core.models.families import find_family
from core.models.model_shape import IN_A_LAYER, OUTSIDE
from core.training.batches import Encoded, encode, split_by_tokens
from core.training.device import choose_device, choose_microbatch_tokens, release_memory
from core.training.load_model import Base, load_base
from core.translation import mark

# a larger attention map is not readable, and 6 layers × 12 heads of 512 tokens would be 38 MB
DRAWN_TOKENS = 48
RELEASE_EVERY = 10  # batches of hidden states, after which freed memory is returned


class Tracer(Classifier):
    """A classifier whose last layer computes every token.

    ``attention`` is transformers' implementation: eager returns attention maps, sdpa is faster.
    """

    def __init__(
        self,
        folder: Path,
        classes: tuple[str, ...],
        seed: int = 0,
        onednn: bool = False,
        attention: str = "eager",
    ) -> None:
        self._attention = attention
        super().__init__(folder, classes, seed, onednn)

    def trace(
        self, run_id: str | None, text: str, max_tokens: int, seed: int | None = None
    ) -> Trace:
        """Record every step of ``text`` through the run's model.

        With ``run_id`` None it is the untrained base model.
        """
        tokenizer = self._base.tokenizer
        (ids,) = encode(tokenizer, [text], self._limit(max_tokens))
        text_tokens = len(tokenizer(text, verbose=False)["input_ids"])
        batch = torch.from_numpy(ids.astype(np.int64))[None].to(choose_device())  # (1, T)
        with (
            self.activate(run_id, seed) as model,
            torch.inference_mode(),
            _record(model.eval(), len(self.classes)) as recording,
        ):
            output = model(
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                output_hidden_states=True,
                output_attentions=True,
            )
            adapted = tuple(self._list_modules(model, run_id))
        hidden = torch.cat(output.hidden_states).float()  # (L + 1, T, d)
        moved = (hidden[1:] - hidden[:-1]).norm(dim=-1) / hidden[:-1].norm(dim=-1).clamp_min(1e-9)
        t = min(len(ids), DRAWN_TOKENS)
        family = find_family(self._base.shape.model_type)
        summands = torch.stack(
            [part.expand(1, *hidden.shape[1:])[0, :t] for part in recording.embedded.values()]
        )
        return Trace(
            tuple(tokenizer.convert_ids_to_tokens(ids.tolist())),
            _find_kinds(tokenizer, text, len(ids)),
            tuple(ids.tolist()),
            text_tokens,
            tuple(recording.embedded),
            _half(summands),
            _half(hidden[:, :t]),
            moved.cpu().numpy(),
            _half(torch.cat(output.attentions)[:, :, :t, :t]),
            family.head.description if family else mark("the model's own pooling"),
            recording.features.float().cpu().numpy(),
            output.logits[0].float().cpu().numpy(),
            adapted,
        )

    def hidden_states(
        self,
        run_id: str | None,
        texts: Sequence[str],
        max_tokens: int,
        should_stop: Callable[[], bool] = lambda: False,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> Half:
        """Compute the hidden states (L + 1, 2, n, d) of ``texts``. Raises Stopped.

        After the embeddings and after each layer: the first token, and the mean over all tokens.
        """
        labels = np.zeros(len(texts), dtype=np.int64)
        tokens = encode(self._base.tokenizer, list(texts), self._limit(max_tokens))
        encoded = Encoded(tokens, labels, labels, self._base.tokenizer.pad_token_id or 0)
        device, done, result = choose_device(), 0, np.empty((0, 2, len(texts), 0), dtype=np.float16)
        with self.activate(run_id) as model, torch.inference_mode():
            model.eval()
            batches = split_by_tokens(encoded.lengths, choose_microbatch_tokens(device))
            for number, chosen in enumerate(batches, 1):
                if should_stop():
                    raise Stopped("The embedding map was stopped.")
                ids, mask, _ = encoded.pad_batch(chosen, device)
                pooled = _pool(
                    model(
                        input_ids=ids, attention_mask=mask, output_hidden_states=True
                    ).hidden_states,
                    mask,
                )
                if not result.size:
                    result = np.empty(
                        (len(pooled), 2, len(texts), pooled.shape[-1]), dtype=np.float16
                    )
                result[:, :, chosen] = pooled
                done += len(chosen)
                on_rows(done)
                if number % RELEASE_EVERY == 0:
                    release_memory()
        release_memory()
        return result

    def _limit(self, max_tokens: int) -> int:
        return min(max_tokens, self._base.shape.max_positions or max_tokens)

    def _list_modules(self, model: nn.Module, run_id: str | None) -> Iterator[AdaptedModule]:
        changes = {} if run_id is None else dict(_lora_changes(model, self._adapters[run_id].name))
        shape = self._base.shape
        for linear in (*shape.linears, *shape.outer):
            place = (linear.layer, linear.within_layer)
            rank, change = changes.get(place, (0, 0.0))
            if rank or linear.layer != OUTSIDE:
                yield AdaptedModule(*place, linear.inputs, linear.outputs, rank, change)

    def _load_base(self, seed: int) -> Base:
        base = load_base(self.folder, self.classes, seed)
        base.model.set_attn_implementation(self._attention)
        base.model.to(choose_device())
        return base


class _Recording:
    """Tensors recorded by hooks: output of each embedding table, and input of the head's output.

    ``embedded`` is keyed by a short name of the table; ``features`` is (d,).
    """

    def __init__(self) -> None:
        self.embedded: dict[str, Tensor] = {}
        self.features = torch.empty(0)


@contextmanager
def _record(model: nn.Module, classes: int) -> Iterator[_Recording]:
    """Record with forward hooks inside the context."""
    recording = _Recording()

    def keep_embedding(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            recording.embedded[name] = (output if output.dim() == 3 else output[None]).float()

        return keep

    def keep_features(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        recording.features = inputs[0].reshape(-1, inputs[0].shape[-1])[0]

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            hooks.append(module.register_forward_hook(keep_embedding(_short(name))))
        elif (
            isinstance(module, nn.Linear)
            and module.out_features == classes
            and not IN_A_LAYER.search(f"{name}.")
        ):
            hooks.append(module.register_forward_pre_hook(keep_features))
    try:
        yield recording
    finally:
        for hook in hooks:
            hook.remove()


def _find_kinds(
    tokenizer: PreTrainedTokenizerBase, text: str, tokens: int
) -> tuple[TokenKind, ...]:
    """Return the kind of each of the first ``tokens`` tokens."""
    words = tokenizer(text, truncation=True, max_length=tokens).word_ids()
    kinds: list[TokenKind] = []
    for index, word in enumerate(words):
        continued = index > 0 and word == words[index - 1]
        kinds.append("special" if word is None else "continued" if continued else "word")
    return tuple(kinds)


def _short(name: str) -> str:
    return name.rsplit(".", 1)[-1].removesuffix("_embeddings").replace("_", " ")


def _lora_changes(model: nn.Module, adapter: str) -> Iterator[tuple[Place, tuple[int, float]]]:
    """Yield the place of each adapted module with its rank and relative change."""
    for place, module in find_lora_layers(model):
        if adapter in module.lora_A:
            a, b = module.lora_A[adapter].weight, module.lora_B[adapter].weight  # (r, in), (out, r)
            change = (
                module.scaling[adapter] * (b @ a)
            ).norm() / module.get_base_layer().weight.norm()
            yield place, (len(a), float(change))


def _pool(hidden: Sequence[Tensor], mask: Tensor) -> NDArray[np.float16]:
    """Pool L + 1 tensors (B, T, d) to (L + 1, 2, B, d): first token, and mean without padding."""
    weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)  # (B, T, 1)
    pooled = torch.stack(
        [torch.stack([states[:, 0], (states * weights).sum(1)]) for states in hidden]
    )
    return _half(pooled)


def _half(tensor: Tensor) -> Half:
    halves: Half = tensor.float().cpu().numpy().astype(np.float16)
    return halves
