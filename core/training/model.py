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
    """``fast`` is the encoder written out by hand, None where it does not apply; ``lanes`` are the
    threads that compute parts side by side.

    Training has but one lane without ``fast``: torch's own dropout draws from one generator for all
    threads.
    """

    peft: PeftModel
    fast: FastEncoder | None
    precision: Precision
    device: torch.device
    optimizations: Optimizations
    lanes: MicrobatchPool | None

    def start_step(self, config: RunConfig) -> None:
        """Switch dropout on."""
        set_training(self.peft, config.base_dropout)

    def start_part(self, config: RunConfig, step: int, part: int) -> None:
        """Take the dropout masks of that part, for this thread."""
        if self.fast is not None:
            self.fast.bits.restart(config.seed, step, part)

    @property
    def side_by_side(self) -> int:
        """How many parts are trained at the same time."""
        return self.training_lanes.count if self.training_lanes else 1

    @property
    def training_lanes(self) -> MicrobatchPool | None:
        """Those in which parts are trained side by side."""
        return self.lanes if self.fast else None

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T) ids and mask of what is text to (B, C), in fp32."""
        with autocast(self.precision, self.device):
            logits: Tensor = self.peft(input_ids=ids, attention_mask=mask).logits
        return logits.float()

    def parts(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The parts in which a batch of texts of these lengths is computed."""
        if not self.optimizations.token_parts:
            return [np.arange(len(lengths))]
        return token_batches(
            lengths,
            microbatch_limit(int(lengths.sum()), batch_tokens(self.device), self.side_by_side),
        )

    def batches(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """How texts of these lengths are evaluated: longest first, or in their own order."""
        if self.optimizations.sort:
            return token_batches(lengths, batch_tokens(self.device))
        return np.array_split(np.arange(len(lengths)), math.ceil(len(lengths) / UNSORTED_ROWS))

    def evaluating(self) -> AbstractContextManager[None]:
        """Within it predictions are made; the adapter is part of the weights."""
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
    lanes = MicrobatchPool() if optimizations.lanes and device.type == "cpu" else None
    fast = None if plain else fast_encoder(peft, optimizations.onednn and onednn_is_available())
    return TrainableModel(peft, fast, precision, device, optimizations, lanes)
