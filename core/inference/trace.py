"""One text on its way through a model: every step's numbers, with attention. Shapes: T tokens, d
hidden, L layers, H heads, C classes.

``Trace`` is sent to the web server, so this module does not import torch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
