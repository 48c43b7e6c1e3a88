"""Switches for what makes training faster than the plain loop; tests and benchmarks compare."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Optimizations:
    """All on by default. docs/performance.md has the gain of each.

    ``similar_length``: batches of texts of similar length. ``token_parts``: a batch is computed in
    micro-batches of a limited number of tokens. ``first_token``: only the first token goes through
    the last layer. ``fast_encoder``: forward and backward are hand-written. ``onednn``: oneDNN
    multiplies with frozen weights, where torch has it; a run records whether. ``lanes``:
    micro-batches are computed in parallel, each on its own thread. ``merge``: adapters are part of
    the weights while evaluating. ``sort``: evaluation takes texts by length.
    """

    similar_length: bool = True
    token_parts: bool = True
    first_token: bool = True
    fast_encoder: bool = True
    onednn: bool = True
    lanes: bool = True
    merge: bool = True
    sort: bool = True


ALL_ON = Optimizations()
ALL_OFF = Optimizations(*[False] * 8)
