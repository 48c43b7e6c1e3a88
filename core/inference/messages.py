"""What the inference process is asked. Free of torch: pages build these."""

from dataclasses import dataclass
from pathlib import Path

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
