"""The model with its adapter, and how it is computed here: precision, device, optimizations."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor

from core.config import Precision, RunConfig
from core.models.architecture import needs_plain_layers
from core.training.adapter import add_adapter, merged, set_training
from core.training.batches import token_batches
from core.training.device import autocast, batch_tokens, choose_device, choose_precision
from core.training.fast.encoder import FastEncoder, fast_encoder
from core.training.fast.first_token import read_first_token_only
from core.training.fast.matmul import onednn_is_available
from core.training.fast.optimizations import ALL_ON, Optimizations
from core.training.fast.threads import MicrobatchPool
from core.training.load_model import Base
from core.training.microbatches import microbatch_limit

UNSORTED_ROWS = 64  # of a batch, where texts are not sorted


@dataclass(frozen=True, eq=False)
class TrainableModel:
    """``fast`` is the hand-written encoder, None where it does not apply; ``pool`` has the threads
    that compute micro-batches in parallel.

    Without ``fast``, training uses one thread: torch's own dropout draws from one generator for
    all threads.
    """

    peft: PeftModel
    fast: FastEncoder | None
    precision: Precision
    device: torch.device
    optimizations: Optimizations
    pool: MicrobatchPool | None

    def start_step(self, config: RunConfig) -> None:
        """Switch dropout on."""
        set_training(self.peft, config.base_dropout)

    def start_microbatch(self, config: RunConfig, step: int, microbatch: int) -> None:
        """Seed the dropout masks for this micro-batch, in this thread."""
        if self.fast is not None:
            self.fast.bits.restart(config.seed, step, microbatch)

    @property
    def parallel_microbatches(self) -> int:
        """How many micro-batches are trained at the same time."""
        return self.training_pool.count if self.training_pool else 1

    @property
    def training_pool(self) -> MicrobatchPool | None:
        """The threads that train micro-batches in parallel, None where one thread trains."""
        return self.pool if self.fast else None

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, C) in fp32 from ids and mask (B, T)."""
        with autocast(self.precision, self.device):
            logits: Tensor = self.peft(input_ids=ids, attention_mask=mask).logits
        return logits.float()

    def parts(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split a batch of texts of these lengths into micro-batches."""
        if not self.optimizations.token_parts:
            return [np.arange(len(lengths))]
        return token_batches(
            lengths,
            microbatch_limit(
                int(lengths.sum()), batch_tokens(self.device), self.parallel_microbatches
            ),
        )

    def batches(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """How texts of these lengths are evaluated: longest first, or in their own order."""
        if self.optimizations.sort:
            return token_batches(lengths, batch_tokens(self.device))
        return np.array_split(np.arange(len(lengths)), math.ceil(len(lengths) / UNSORTED_ROWS))

    def evaluating(self) -> AbstractContextManager[None]:
        """Context in which predictions are made: the adapter is merged into the weights."""
        return merged(self.peft, self.fast) if self.optimizations.merge else nullcontext()


def build_model(
    base: Base,
    config: RunConfig,
    identity: str,
    revision: str | None,
    optimizations: Optimizations = ALL_ON,
) -> TrainableModel:
    """``base`` with a new adapter, on the device of this machine. Raises ConfigError on unknown
    targets, max tokens or precision.

    The fast encoder computes in fp32 and has no dropout but the adapter's.
    """
    device = choose_device()
    precision = choose_precision(config.precision, device)
    plain = needs_plain_layers(config) or precision != "fp32" or not optimizations.fast_encoder
    if optimizations.first_token:
        read_first_token_only(base.model)
    peft = add_adapter(base, config, identity, revision).to(device)
    pool = MicrobatchPool() if optimizations.lanes and device.type == "cpu" else None
    fast = None if plain else fast_encoder(peft, optimizations.onednn and onednn_is_available())
    return TrainableModel(peft, fast, precision, device, optimizations, pool)
