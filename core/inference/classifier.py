"""A base model in memory with several adapters, which classifies texts with any of them.

Shapes: n texts, B rows, T tokens, d hidden, C classes.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.config import Precision
from core.errors import ArtifactDamaged
from core.inference.batched_lora import (
    AdapterRow,
    BatchedLora,
    compute_spectrum,
    find_lora_layers,
    read_plain,
    scale_adapters,
)
from core.inference.messages import AS_TRAINED, ClassifyRequest, Matrix, Prediction, Query, Variant
from core.training.adapted_model import CONFIG, WEIGHTS, quiet_peft
from core.training.batches import Encoded, MicrobatchPool, encode_each, split_by_tokens
from core.training.device import (
    choose_device,
    choose_microbatch_tokens,
    release_memory,
    release_weights,
)
from core.training.fast.last_layer import read_first_token_only
from core.training.load_model import Base, fetch, load_base
from core.training.predict import MapBatches, compute_by_batch

# minimum of a batch: without a backward pass, batches may be larger than in training on a CPU
READ_TOKENS = 896
MAX_ADAPTERS = 16  # in memory; each takes a few MB at usual ranks
AGAIN = "Train the run again, or choose another run."
# of sentence vectors. AG News texts have 53 tokens on average: a sixth less to compute, and label
# errors are found nearly as well
SENTENCE_TOKENS = 48

# ids and mask (B, T) to logits (B, C) and first tokens (B, d)
Read = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An adapter in memory: its name in PEFT, and its file's modification time and size."""

    name: str
    signature: tuple[int, int]


class Classifier:
    """Classifies texts with a base model and its adapters, each of which has its own head.

    ``classes`` are in the order of their ids. ``onednn`` selects the library of matrix products:
    see ``core.training.fast.matmul``. Only safetensors and JSON files are read. ``classify``
    computes in ``precision``: fp32, or bf16 if ``has_bf16``; everything else computes in fp32.
    """

    def __init__(
        self,
        folder: Path,
        classes: tuple[str, ...],
        seed: int = 0,
        onednn: bool = False,
        batched: bool = True,
    ) -> None:
        self.folder, self.classes, self._onednn = folder, classes, onednn
        self._batches = batched
        self._base = self._load_base(seed)
        release_memory()
        release_weights(self._base.model)  # loading read all of them; a text needs a part
        self._heads = {seed: self._read_head(self._base)}
        self._head_seed = seed
        self._peft: PeftModel | None = None
        self._adapters: dict[str, Loaded] = {}
        self._names = (f"run{number}" for number in count())
        self._batched: BatchedLora | None = None
        self._pool = MicrobatchPool()
        self.precision: Precision = "fp32"

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the base model."""
        return self._base.tokenizer

    @property
    def embeddings(self) -> torch.nn.Module:
        """The token embedding table, before positions are added."""
        table: torch.nn.Module = self._base.model.get_input_embeddings()
        return table

    @property
    def has_bf16(self) -> bool:
        """Whether many texts can be classified in bf16: by the hand-written layers on a CPU."""
        return self._find_batched() is not None

    def load_adapter(self, run_id: str, folder: Path) -> None:
        """Load the run's adapter, unless it is loaded and its file has not changed.

        Raises ArtifactDamaged if it cannot be loaded; then nothing changes.
        """
        path = folder / WEIGHTS
        try:
            signature = (path.stat().st_mtime_ns, path.stat().st_size)
        except OSError as error:
            raise ArtifactDamaged(f"The adapter of {run_id} is missing.", AGAIN) from error
        if run_id in self._adapters and self._adapters[run_id].signature == signature:
            return
        name = next(self._names)
        try:
            self._add(name, folder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self._drop(name)
            message = (
                f"The adapter of {run_id} is damaged or was trained for another model"
                f" ({type(error).__name__}: {str(error)[:200]})."
            )
            raise ArtifactDamaged(message, AGAIN) from error
        if old := self._adapters.pop(run_id, None):
            self._drop(old.name)
        self._adapters[run_id] = Loaded(name, signature)
        while len(self._adapters) > MAX_ADAPTERS:
            self._drop(self._adapters.pop(next(iter(self._adapters))).name)

    def classify(
        self,
        run_id: str | None,
        texts: Sequence[str],
        max_tokens: int,
        seed: int | None = None,
        variant: Variant = AS_TRAINED,
        should_stop: Callable[[], bool] = lambda: False,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> NDArray[np.float32]:
        """Compute the probabilities (n, C) of ``texts`` in ``precision``.

        With ``run_id`` None, the base model is used with the untrained head that ``seed``
        initializes. Raises Stopped, and ArtifactDamaged if a probability is not a number.
        """
        if not texts:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        reader = self._open_reader(run_id, seed, variant, self.precision)
        with reader as (read, map_batches):
            encoded, batches = self._split(texts, max_tokens)
            log_probabilities = compute_by_batch(
                lambda ids, mask: torch.log_softmax(read(ids, mask)[0], dim=-1),
                encoded,
                batches,
                choose_device(),
                should_stop,
                on_rows,
                map_batches,
            )
        self._require_numbers(log_probabilities, run_id)
        return np.exp(log_probabilities)

    def compute_states(
        self,
        run_id: str,
        texts: Sequence[str],
        max_tokens: int,
        should_stop: Callable[[], bool] = lambda: False,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> NDArray[np.float32]:
        """Compute the input of the run's head for each text (n, d). Raises Stopped.

        It is the hidden state of the first token after the last layer.
        """
        with self._open_reader(run_id, None, AS_TRAINED) as (read, map_batches):
            encoded, batches = self._split(texts, max_tokens)
            return compute_by_batch(
                lambda ids, mask: read(ids, mask)[1],
                encoded,
                batches,
                choose_device(),
                should_stop,
                on_rows,
                map_batches,
            )

    def _split(
        self, texts: Sequence[str], max_tokens: int
    ) -> tuple[Encoded, list[NDArray[np.int64]]]:
        """Encode the texts and split them into batches for this device."""
        encoded = encode_each(self.tokenizer, [(text, max_tokens) for text in texts])
        limit = max(READ_TOKENS, choose_microbatch_tokens(choose_device()))
        return encoded, split_by_tokens(encoded.lengths, limit)

    def predict_all(self, queries: Sequence[Query], text: str) -> list[Prediction]:
        """Predict one text for all queries, in one forward pass if the model allows it.

        Raises ArtifactDamaged if a probability is not a number.
        """
        predictions = self._predict_all(queries, text)
        for query, prediction in zip(queries, predictions, strict=True):
            self._require_numbers(prediction.probabilities[None], query.run_id)
        return predictions

    def _predict_all(self, queries: Sequence[Query], text: str) -> list[Prediction]:
        batched = self._find_batched()
        encoded = encode_each(self.tokenizer, [(text, query.max_tokens) for query in queries])
        device = choose_device()
        with torch.inference_mode():
            if batched is not None:
                ids, mask, _ = encoded.pad_batch(np.arange(len(queries)), device)
                choices = [
                    self._choose_adapter(query.run_id, query.seed, query.variant)
                    for query in queries
                ]
                return _to_predictions(*batched.read(ids, mask, choices))
            predictions: list[Prediction] = []
            for row, query in enumerate(queries):
                ids, mask, _ = encoded.pad_batch(np.array([row]), device)
                with self._open_reader(query.run_id, query.seed, query.variant) as (read, _each):
                    predictions += _to_predictions(*read(ids, mask))
        return predictions

    def _require_numbers(self, scores: NDArray[np.float32], run_id: str | None) -> None:
        """Raise ArtifactDamaged if scores (n, C) are NaN or infinite: a product has overflowed."""
        damaged = int((~np.isfinite(scores)).any(axis=1).sum())
        if not damaged:
            return
        adapter = "" if run_id is None else f" with the adapter of {run_id}"
        raise ArtifactDamaged(
            f"The base model in {self.folder}{adapter} computes NaN or infinite values for"
            f" {damaged:,} of {len(scores):,} texts.",
            "Choose another run, or save or download the base model again.",
        )

    @contextmanager
    def _open_reader(
        self,
        run_id: str | None,
        seed: int | None,
        variant: Variant,
        precision: Precision = "fp32",
    ) -> Iterator[tuple[Read, MapBatches]]:
        """Yield the forward pass of an adapter and the function that maps it over batches.

        Both are valid inside the context.
        """
        if batched := self._find_batched():
            merged = batched.merge(self._choose_adapter(run_id, seed, variant), precision)
            yield merged.read, self._pool.stream
            return
        with self.activate(run_id, seed, variant) as model:
            yield partial(read_plain, model.eval(), self._base.model.base_model), map

    def compute_spectra(self, run_id: str) -> list[Matrix]:
        """Describe the change of each adapted weight matrix. Raises ArtifactDamaged."""
        name = self._choose_adapter(run_id, None, AS_TRAINED).name
        assert self._peft is not None
        return [
            compute_spectrum(place, layer, name)
            for place, layer in find_lora_layers(self._peft)
            if name is not None and name in layer.lora_A
        ]

    @contextmanager
    def activate(
        self, run_id: str | None, seed: int | None = None, variant: Variant = AS_TRAINED
    ) -> Iterator[torch.nn.Module]:
        """Yield the model with the run's adapter active.

        With ``run_id`` None it is the base model with the untrained head that ``seed`` initializes.
        """
        choice = self._choose_adapter(run_id, seed, variant)
        if self._peft is not None and choice.name is not None:
            self._peft.set_adapter(choice.name)
            with scale_adapters(self._peft, choice):
                yield self._peft
            return
        with self._peft.disable_adapter() if self._peft is not None else nullcontext():
            self._write_head(self._base.model, choice.seed)
            yield self._peft or self._base.model

    def _choose_adapter(self, run_id: str | None, seed: int | None, variant: Variant) -> AdapterRow:
        if run_id is not None:
            if self._peft is None or run_id not in self._adapters:
                raise ArtifactDamaged(f"The adapter of {run_id} is not loaded.", AGAIN)
            return AdapterRow(self._adapters[run_id].name, 0, variant)
        head_seed = self._head_seed if seed is None else seed
        if head_seed not in self._heads:
            self._heads[head_seed] = self._read_head(self._load_base(head_seed))
        return AdapterRow(None, head_seed)

    def _find_batched(self) -> BatchedLora | None:
        """Return the model that computes several adapters in one pass; None if not supported."""
        if not self._batches or not BatchedLora.fits(self._base.model):
            return None
        if self._batched is None:
            self._batched = BatchedLora(self._base.model, self._heads, self._onednn)
        return self._batched

    def _add(self, name: str, folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_bytes())
        if not isinstance(content, dict) or content.get("peft_type") != "LORA":
            raise ValueError(f"{CONFIG} does not describe a LoRA adapter")
        # PEFT would warn that the base model was loaded from a folder
        unnamed = {"base_model_name_or_path": None, "revision": None}
        config = LoraConfig(
            **{**content, **unnamed, "inference_mode": True, "init_lora_weights": True}
        )
        tensors = load_file(folder / WEIGHTS)
        if wrong := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
            more = f" and {len(wrong) - 1} more tensors" if len(wrong) > 1 else ""
            raise ValueError(f"NaN or infinite values in {wrong[0]}{more}")
        with quiet_peft(), torch.random.fork_rng(devices=[]):
            if self._peft is None:
                self._peft = get_peft_model(self._base.model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
            result = set_peft_model_state_dict(self._peft, tensors, adapter_name=name)
        missing = [key for key in result.missing_keys if f".{name}." in key]
        if missing or result.unexpected_keys:
            raise ValueError(
                f"{len(missing)} tensors missing, {len(result.unexpected_keys)} unknown"
            )
        self._peft.to(choose_device())
        self._adapters_changed()

    def _adapters_changed(self) -> None:
        if self._batched is not None:
            self._batched.adapters_changed()

    def _drop(self, name: str) -> None:
        if self._peft is None or name not in self._peft.peft_config:
            return
        if len(self._peft.peft_config) == 1:  # PEFT needs one adapter: load the base model again
            self._base, self._peft, self._batched = self._load_base(self._head_seed), None, None
        else:
            # PEFT warns if it has to choose the next active adapter
            self._peft.set_adapter(next(other for other in self._peft.peft_config if other != name))
            self._peft.delete_adapter(name)
            self._adapters_changed()

    def _load_base(self, seed: int) -> Base:
        base = load_base(self.folder, self.classes, seed)
        read_first_token_only(base.model)
        base.model.to(choose_device())
        return base

    def _read_head(self, base: Base) -> dict[str, Tensor]:
        return {
            name: parameter.detach().clone()
            for name, parameter in base.model.named_parameters()
            if self._is_new(name, base)
        }

    def _write_head(self, model: torch.nn.Module, seed: int) -> None:
        """Write the untrained head of ``seed`` into the base model; trained heads are unchanged."""
        parameters = {
            name.replace(".original_module", ""): parameter
            for name, parameter in model.named_parameters()
        }
        with torch.no_grad():
            for name, tensor in self._heads[seed].items():
                parameters[name].copy_(tensor)
        self._head_seed = seed

    @staticmethod
    def _is_new(name: str, base: Base) -> bool:
        return any(f".{module}." in f".{name}" for module in base.head)


def _to_predictions(logits: Tensor, states: Tensor) -> list[Prediction]:
    probabilities = torch.softmax(logits.float(), dim=-1).cpu().numpy()  # (B, C)
    halves = states.float().cpu().numpy().astype(np.float16)  # (B, d)
    return [Prediction(*row) for row in zip(probabilities, halves, strict=True)]


def load_classifier(request: ClassifyRequest, onednn: bool) -> Classifier:
    """Load the base model of ``request`` and its adapter, if it has one.

    ``onednn`` is passed to ``Classifier``. Raises ModelUnavailable and ArtifactDamaged.
    """
    classifier = Classifier(fetch(request.model), request.classes, request.seed, onednn)
    if request.run_id is not None and request.adapter is not None:
        classifier.load_adapter(request.run_id, request.adapter)
    return classifier


def encode_sentences(
    folder: Path,
    texts: Sequence[str],
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int], None] = lambda rows: None,
    in_bf16: bool = False,
) -> NDArray[np.float32]:
    """Compute a vector per text (n, d) with the model in ``folder``: the normalized mean of its
    last layer over all tokens.

    With ``in_bf16`` the model is converted to bf16, whose three digits are enough. Raises Stopped
    and ModelUnavailable.
    """
    base = load_base(folder, ("unused", "head"), seed=0)
    device = choose_device()
    dtype = torch.bfloat16 if in_bf16 else torch.float32
    model = base.model.base_model.to(device, dtype).eval()
    encoded = encode_each(base.tokenizer, [(text, SENTENCE_TOKENS) for text in texts])

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
