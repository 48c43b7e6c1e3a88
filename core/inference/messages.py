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


@dataclass(frozen=True, slots=True)
class Variant:
    """A trained adapter with every change of a weight multiplied by ``scale``, and none at all in
    the modules of ``off``.

    ``off`` names modules as (layer from 0, name within the layer).
    """

    scale: float = 1.0
    off: frozenset[tuple[int, str]] = frozenset()


AS_TRAINED = Variant()


@dataclass(frozen=True, slots=True)
class Matrix:
    """What training did to one weight W: the spectrum of its change scale · B A, and that of
    nothing else.

    ``change`` is the Frobenius norm of the change over that of W; ``singular`` are its singular
    values, the largest first, as many as the rank; ``effective_rank`` is exp of the entropy of
    their shares (Roy and Vetterli 2007), from 1 to the rank, 0 of no change.
    """

    layer: int
    module: str
    inputs: int
    outputs: int
    change: float
    singular: tuple[float, ...]
    effective_rank: float


@dataclass(frozen=True, slots=True)
class Query:
    """Whose answer is wanted, as for ``Classifier.classify``."""

    run_id: str | None
    max_tokens: int
    seed: int | None = None
    variant: Variant = AS_TRAINED


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """One answer that is wanted: from a run's adapter, or with both None from the untrained base
    whose head ``seed`` draws.
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
    """What a model made of one text: probabilities (C,), and ``state`` (d,), the first token after
    the last layer, which the head reads.
    """

    probabilities: NDArray[np.float32]
    state: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each of T tokens adds to the logit of class ``target``, by two methods; special tokens
    add nothing.

    ``gradients`` are integrated gradients against a text of padding (Sundararajan et al. 2017),
    summed over each token's vector. They should add up to the difference of the two logits:
    ``error`` is what is missing, after ``steps``. ``occlusion`` is by how much the logit falls when
    the token alone is masked.
    """

    pieces: tuple[str, ...]
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
    """A linear module with its LoRA matrices: A (r, inputs) and B (outputs, r), or none (rank 0).

    ``change`` is the Frobenius norm of scale · B A over that of the frozen W; 0 before training.
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

    ``kinds`` says of each token whether it begins a word or continues it. ``parts`` names the
    vectors that are added up before the first layer, ``summands`` (parts, t, d) has them.

    ``hidden`` is (L + 1, t, d), the first its input; ``moved`` (L, T) is how far each layer moves a
    token, relative to its length. ``attention`` (L, H, t, t) goes from row to column. t is T, or
    the number of tokens that are drawn of a longer text. ``features`` (d,) is what the last linear
    module of the head reads; ``text_tokens`` counts before the text is truncated.
    """

    pieces: tuple[str, ...]
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
    def tokens(self) -> int:
        """Number of tokens, T."""
        return len(self.ids)

    @property
    def drawn(self) -> int:
        """Number of tokens t that ``hidden`` and ``attention`` hold."""
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
        """(C,) softmax of the logits."""
        exponentials = np.exp(self.logits - self.logits.max())
        shares: Floats = exponentials / exponentials.sum()
        return shares
