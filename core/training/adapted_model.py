"""A base model with a LoRA adapter, and how it is computed: precision, device, optimizations.

Adapted layer: y = W x + scale · B A dropout(x), with W (out, in) frozen, A (r, in) random, B (out,
r) zero at first, and scale alpha / r, or alpha / √r with rsLoRA. Hu et al. 2021, "LoRA: Low-Rank
Adaptation of Large Language Models".
"""

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save
from torch import Tensor, nn

from core.config import Precision, RunConfig
from core.errors import ConfigError
from core.models.model_shape import (
    list_target_modules,
    needs_plain_layers,
    resolve_targets,
)
from core.training.batches import MicrobatchPool, split_by_tokens
from core.training.device import (
    autocast,
    choose_device,
    choose_microbatch_tokens,
    require_precision,
)
from core.training.fast.encoder import FastEncoder, fast_encoder
from core.training.fast.last_layer import read_first_token_only
from core.training.fast.matmul import onednn_is_available
from core.training.load_model import Base
from core.training.microbatches import choose_training_tokens, compute_microbatch_limit


@dataclass(frozen=True, slots=True)
class Optimizations:
    """Optimizations, on by default; docs/performance.md has the gain of each.

    Args:
        similar_length: Batches have texts of similar length.
        microbatches: A batch is computed in micro-batches of a limited number of tokens.
        first_token: Only the first token goes through the last layer.
        fast_encoder: Forward and backward are hand-written.
        onednn: oneDNN multiplies with frozen weights in fp32 if torch has it; a run records this.
        microbatch_threads: Micro-batches are computed in parallel, each on its own thread.
        merge: Adapters are part of the weights during evaluation.
        sort: Texts are evaluated by length.
    """

    similar_length: bool = True
    microbatches: bool = True
    first_token: bool = True
    fast_encoder: bool = True
    onednn: bool = True
    microbatch_threads: bool = True
    merge: bool = True
    sort: bool = True


ALL_ON = Optimizations()
ALL_OFF = Optimizations(*[False] * 8)
UNSORTED_ROWS = 64  # rows per batch where texts are not sorted
FROZEN_VERSION = 1  # of stored outputs of frozen layers: a new number invalidates earlier ones
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def add_adapter(base: Base, config: RunConfig, identity: str, revision: str | None) -> PeftModel:
    """Add a new adapter to ``base``, seeded by ``config.seed``; the encoder is frozen, the head is
    trained.

    ``identity`` is stored as the name of the base model, so it must not be a path of this machine.
    Raises ConfigError for unknown targets.
    """
    if base.shape.max_positions and config.max_tokens > base.shape.max_positions:
        raise ConfigError(
            f"This model reads at most {base.shape.max_positions} tokens, not {config.max_tokens}.",
            "Lower max tokens.",
        )
    layers = sorted({linear.layer for linear in list_target_modules(config, base.shape)})
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=config.rank,
        lora_alpha=int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(resolve_targets(config, base.shape)),
        layers_to_transform=None if config.layers == "all" else layers,
        modules_to_save=list(base.head),
        bias="none",
        use_rslora=config.rslora,
        use_dora=config.dora,
    )
    with torch.random.fork_rng(devices=[]), quiet_peft():
        torch.manual_seed(config.seed)
        model = get_peft_model(base.model, lora)
    lora.base_model_name_or_path, lora.revision = identity, revision
    return model


def list_trainable(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Return the trained parameters by name."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def copy_weights(model: PeftModel) -> dict[str, Tensor]:
    """Copy the trained parameters."""
    return {name: weight.detach().clone() for name, weight in list_trainable(model).items()}


def restore_weights(model: PeftModel, weights: Mapping[str, Tensor]) -> None:
    """Set trained parameters to ``weights``."""
    trained = list_trainable(model)
    with torch.no_grad():
        for name, weight in weights.items():
            trained[name].copy_(weight)


def list_modules(model: PeftModel) -> list[tuple[nn.Module, bool]]:
    """List all modules, and whether each is part of the adapter's dropout."""
    dropouts = {part for layer in _layers(model) for part in layer.lora_dropout.modules()}
    return [(module, module in dropouts) for module in model.modules()]


def set_training(modules: Iterable[tuple[nn.Module, bool]], base_dropout: bool) -> None:
    """Switch on the dropout of the adapter, and of the base model on request: drawing its masks
    costs a third of a step.

    Equals ``train`` of the model and of its adapter's dropout, which takes 1 ms even if it changes
    no module.
    """
    for module, of_adapter in modules:
        if module.training != (of_adapter or base_dropout):
            module.training = of_adapter or base_dropout


def serialize_adapter(model: PeftModel) -> dict[str, bytes]:
    """Return the adapter as PEFT saves it: file name to content."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    config = model.peft_config["default"].to_dict() | {"inference_mode": True}
    # ``default=sorted``: PEFT keeps names in sets
    content = json.dumps(config, indent=2, sort_keys=True, allow_nan=False, default=sorted)
    return {
        WEIGHTS: save(
            {name: tensor.contiguous() for name, tensor in state.items()}, {"format": "pt"}
        ),
        CONFIG: content.encode(),
    }


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence the warning that PEFT 0.21 uses an old name of transformers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


@contextmanager
def merged(
    model: PeftModel, fast: FastEncoder | None = None, precision: Precision = "fp32"
) -> Iterator[None]:
    """Merge the adapter into the weights inside the context: W + scale · B A, which saves two small
    products per layer and text.

    Afterwards the original weights are restored: PEFT's unmerge subtracts and leaves rounding
    errors. ``fast`` is the hand-written encoder, if the model uses it; only it computes in a
    ``precision`` other than fp32.
    """
    if fast is not None:
        with fast.merged(precision):
            yield
        return
    layers = list(_layers(model))
    originals = [layer.get_base_layer().weight.data for layer in layers]
    try:
        for layer, weight in zip(layers, originals, strict=True):
            layer.get_base_layer().weight.data = weight.clone()
            layer.merge()
        yield
    finally:
        for layer, weight in zip(layers, originals, strict=True):
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()


def _layers(model: PeftModel) -> Iterator[LoraLayer]:
    return (module for module in model.modules() if isinstance(module, LoraLayer))


@dataclass(frozen=True, eq=False)
class TrainableModel:
    """A model with its adapter. ``fast`` is the hand-written encoder, or None if it does not apply;
    ``pool`` has the threads that compute micro-batches in parallel.

    Without ``fast``, training uses one thread, because torch's dropout has one generator for all
    threads.
    """

    peft: PeftModel
    fast: FastEncoder | None
    precision: Precision
    device: torch.device
    optimizations: Optimizations
    pool: MicrobatchPool | None

    def start_step(self, config: RunConfig) -> None:
        """Switch on dropout for a step."""
        set_training(self._modules, config.base_dropout)

    @cached_property
    def _modules(self) -> list[tuple[nn.Module, bool]]:
        return list_modules(self.peft)

    def start_microbatch(self, config: RunConfig, step: int, microbatch: int) -> None:
        """Seed the dropout masks for this micro-batch, in this thread."""
        if self.fast is not None:
            self.fast.bits.restart(config.seed, step, microbatch)

    @property
    def parallel_microbatches(self) -> int:
        """Number of micro-batches that are trained at the same time."""
        return self.training_pool.count if self.training_pool else 1

    @property
    def training_pool(self) -> MicrobatchPool | None:
        """The threads that train micro-batches in parallel; None if one thread trains."""
        return self.pool if self.fast else None

    def compute_logits(
        self, ids: Tensor, mask: Tensor, precision: Precision | None = None
    ) -> Tensor:
        """Compute logits (B, C) from ids and mask (B, T), by default in the precision of the run;
        their type is fp32.
        """
        precision = "fp32" if self.fast else precision or self.precision
        with autocast(precision, self.device):
            logits: Tensor = self.peft(input_ids=ids, attention_mask=mask).logits
        return logits.float()

    @property
    def frozen_layers(self) -> int:
        """Number of layers below the first adapted one whose output could be stored."""
        return self.fast.frozen if self.fast else 0

    def identify_frozen(self, precision: Precision) -> str:
        """Return 32 hex digits that depend on what computes the output of the frozen layers:
        weights, number of layers, precision and libraries.
        """
        facts = (FROZEN_VERSION, self.frozen_layers, precision, self.optimizations.onednn)
        identity = f"{facts}|{torch.__version__}|{self.device}|{self._frozen_weights}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    @cached_property
    def _frozen_weights(self) -> str:
        """Digest of the encoder's configuration and of its weights that are not trained."""
        encoder = self.peft.base_model.model.base_model
        digest = hashlib.sha256(encoder.config.to_json_string().encode())
        for weight in encoder.parameters():
            if not weight.requires_grad:
                digest.update(weight.detach().contiguous().numpy())
        return digest.hexdigest()

    def starting_from(self, below: Tensor | None) -> AbstractContextManager[None]:
        """Return a context in which the output of the frozen layers is ``below`` (B, T, d), or is
        computed if it is None.
        """
        if below is None or self.fast is None:
            return nullcontext()
        return self.fast.starting_from(below)

    @torch.inference_mode()
    def compute_frozen(self, ids: Tensor, mask: Tensor, precision: Precision) -> Tensor:
        """Compute the output (B, T, d) of the frozen layers in the type of ``precision``."""
        assert self.fast is not None
        encoder = self.peft.base_model.model.base_model
        with self.fast.only_frozen(precision):
            states: Tensor = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states.bfloat16() if precision == "bf16" else states

    @torch.inference_mode()
    def compute_first_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Compute the encoder's output (B, 1, d), the first token of its last layer."""
        encoder = self.peft.base_model.model.base_model
        states: Tensor = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    @torch.inference_mode()
    def compute_head(self, first_tokens: Tensor) -> Tensor:
        """Compute logits (B, C) from the encoder's output (B, 1, d)."""
        assert self.fast is not None
        ids = torch.zeros(first_tokens.shape[:2], dtype=torch.int64)  # of any token
        with self.fast.ending_with(first_tokens):
            return self.compute_logits(ids, torch.ones_like(ids))

    @property
    def microbatch_tokens(self) -> int:
        """The most tokens of a micro-batch in training."""
        bf16 = self.fast is not None and self.precision == "bf16"
        return choose_training_tokens(self.device.type, bf16)

    def split_microbatches(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split a batch of texts of these lengths into micro-batches."""
        if not self.optimizations.microbatches:
            return [np.arange(len(lengths))]
        return split_by_tokens(
            lengths,
            compute_microbatch_limit(
                int(lengths.sum()), self.microbatch_tokens, self.parallel_microbatches
            ),
        )

    def split_evaluation_batches(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split texts of these lengths into evaluation batches: longest first, or in order."""
        if self.optimizations.sort:
            return split_by_tokens(lengths, choose_microbatch_tokens(self.device))
        return np.array_split(np.arange(len(lengths)), math.ceil(len(lengths) / UNSORTED_ROWS))

    @property
    def validation_precision(self) -> Precision:
        """The precision of validations while training: bf16 where the hand-written encoder trains
        in bf16, otherwise fp32.
        """
        bf16 = self.fast is not None and self.fast.bf16 and self.optimizations.merge
        return "bf16" if bf16 else "fp32"

    def evaluating(self, precision: Precision = "fp32") -> AbstractContextManager[None]:
        """Return the context of an evaluation: the adapter is merged into the weights.

        ``precision`` is fp32 or ``validation_precision``.
        """
        merging = self.optimizations.merge
        return merged(self.peft, self.fast, precision) if merging else nullcontext()


def build_model(
    base: Base,
    config: RunConfig,
    identity: str,
    revision: str | None,
    optimizations: Optimizations = ALL_ON,
) -> TrainableModel:
    """Add a new adapter to ``base``, on the device of this machine. Raises ConfigError for unknown
    targets, max tokens or precision.

    The hand-written encoder computes in fp32 and bf16.
    """
    device = choose_device()
    precision = require_precision(config.precision, device)
    plain = needs_plain_layers(config) or precision == "fp16" or not optimizations.fast_encoder
    if optimizations.first_token:
        read_first_token_only(base.model)
    peft = add_adapter(base, config, identity, revision).to(device)
    pool = MicrobatchPool() if optimizations.microbatch_threads and device.type == "cpu" else None
    onednn = optimizations.onednn and onednn_is_available()
    fast = None if plain else fast_encoder(peft, onednn, precision)
    return TrainableModel(peft, fast, precision, device, optimizations, pool)
