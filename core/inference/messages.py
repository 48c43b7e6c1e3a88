"""Requests to the inference process and its results.

The web server imports this module, so it does not import torch. Shapes: T tokens, d hidden, L
layers, H heads, C classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.models.catalog import ModelLocation
from core.models.model_shape import name_layer


@dataclass(frozen=True, slots=True)
class Variant:
    """A change of a trained adapter: weight changes multiplied by ``scale``, modules switched off.

    ``off`` has modules as (layer from 0, name within the layer).
    """

    scale: float = 1.0
    off: frozenset[tuple[int, str]] = frozenset()


AS_TRAINED = Variant()


@dataclass(frozen=True, slots=True)
class Matrix:
    """Spectrum of the change of one weight matrix W: ``scale`` · B A of rank r.

    ``layer`` is ``OUTSIDE`` for a module that is in none. ``change`` is the Frobenius norm of the
    change divided by that of W. ``singular`` are the singular values of the change in descending
    order, at most r. ``effective_rank`` is the exponential of the entropy of their proportions (Roy
    and Vetterli 2007), from 1 to r; 0 if nothing changed.
    """

    layer: int
    module: str
    inputs: int
    outputs: int
    change: float
    singular: tuple[float, ...]
    effective_rank: float
    rank: int
    scale: float

    @property
    def name(self) -> str:
        """Layer from 1 and name of the module, for users."""
        return f"{name_layer(self.layer)} · {self.module}"


@dataclass(frozen=True, slots=True)
class Query:
    """Which model predicts, with the arguments of ``Classifier.classify``."""

    run_id: str | None
    max_tokens: int
    seed: int | None = None
    variant: Variant = AS_TRAINED


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """A model that should classify: a run's adapter, or the untrained base model.

    For the untrained base model ``run_id`` and ``adapter`` are None, and ``seed`` initializes its
    head.
    """

    run_id: str | None
    model: ModelLocation
    adapter: Path | None
    classes: tuple[str, ...]
    max_tokens: int
    seed: int = 42
    variant: Variant = AS_TRAINED


@dataclass(frozen=True, eq=False)
class Prediction:
    """Prediction for one text: ``probabilities`` (C,) and ``state`` (d,).

    ``state`` is the hidden state of the first token after the last layer, the input of the head.
    """

    probabilities: NDArray[np.float32]
    state: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attribution of the logit of class ``target`` to T tokens by two methods.

    Both are 0 for special tokens. ``gradients`` are integrated gradients (Sundararajan et al. 2017)
    from a text of padding tokens, summed over each token's vector. They should add up to the
    difference between the logits of the two texts; ``error`` is the absolute deviation after
    ``steps`` steps. ``occlusion`` is the decrease of the logit when only that token is masked.
    """

    tokens: tuple[str, ...]
    special: tuple[bool, ...]
    gradients: tuple[float, ...]
    occlusion: tuple[float, ...]
    target: int
    error: float
    steps: int


Half = NDArray[np.float16]
TokenKind = Literal["special", "word", "continued"]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AdaptedModule:
    """A linear module with LoRA matrices A (r, inputs) and B (outputs, r), or none (rank 0).

    ``change`` is the Frobenius norm of scale · B A divided by that of the frozen W; 0 before
    training.
    """

    layer: int
    module: str
    inputs: int
    outputs: int
    rank: int
    change: float


@dataclass(frozen=True, eq=False)
class Trace:
    """Every step of one text through a model.

    t is T, or the number of tokens that are shown of a longer text. ``kinds`` distinguishes special
    tokens, first tokens of a word, and continuations. ``parts`` names the vectors that are summed
    before the first layer; ``summands`` (parts, t, d) are their values. ``hidden`` (L + 1, t, d)
    starts with the input of the first layer. ``moved`` (L, T) is the length of each layer's change
    of a token relative to the length of its vector. ``attention`` (L, H, t, t) is from row to
    column. ``features`` (d,) is the input of the head's last linear module. ``text_tokens`` is the
    number of tokens before truncation.
    """

    tokens: tuple[str, ...]
    kinds: tuple[TokenKind, ...]
    ids: tuple[int, ...]
    text_tokens: int
    parts: tuple[str, ...]
    summands: Half
    hidden: Half
    moved: Floats
    attention: Half
    pooling: str
    features: Floats
    logits: Floats
    adapted: tuple[AdaptedModule, ...]

    @property
    def token_count(self) -> int:
        """Number of tokens, T."""
        return len(self.ids)

    @property
    def drawn(self) -> int:
        """Number of tokens t in ``hidden`` and ``attention``."""
        return int(self.hidden.shape[1])

    @property
    def layers(self) -> int:
        """Number of encoder layers, L."""
        return int(self.attention.shape[0])

    @property
    def heads(self) -> int:
        """Number of attention heads, H."""
        return int(self.attention.shape[1])

    @property
    def width(self) -> int:
        """Hidden size, d."""
        return int(self.hidden.shape[2])

    @property
    def probabilities(self) -> Floats:
        """Softmax of the logits (C,)."""
        exponentials = np.exp(self.logits - self.logits.max())
        probabilities: Floats = exponentials / exponentials.sum()
        return probabilities
