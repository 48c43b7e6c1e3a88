"""What makes a training faster than the plain loop, each to be switched off by itself: tests and
benchmarks compare.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Optimizations:
    """All on by default. docs/performance.md has the gain of each.

    ``similar_length``: batches of texts of similar length. ``token_parts``: a batch is computed in
    parts of so many tokens, not at once. ``first_token``: only the first token goes through the
    last layer. ``fast_encoder``: forward and backward written out by hand. ``onednn``: oneDNN
    multiplies with frozen weights, where torch has it; a run records whether. ``lanes``: parts are
    computed side by side, each on a thread of its own. ``merge``: adapters are part of the weights
    while evaluating. ``sort``: evaluation takes texts by length.
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
