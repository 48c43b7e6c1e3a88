"""Error analysis: slices with lower accuracy than the rest, confident mistakes, probably wrong
labels, and tags that users attach to texts.

Shape: n texts.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.explore import boilerplate
from core.data.tables.table import clean
from core.errors import ArtifactDamaged, StateConflict
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion
from core.evaluation.significance import LEVEL, compute_fisher_p_value, correct_p_values
from core.storage import files
from core.storage.locks import hold_lock
from core.translation import mark

WORD = re.compile(r"[^\W\d_]{2,}")
DIGIT = re.compile(r"\d")
DESCRIBED = frozenset({"length", "content", "cut off"})  # kinds of slices with names of ours
RARE_WORDS = 3  # words that occur in no other text; fewer are often just names
MOST_SOURCES = 8
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slice:
    """A subset of the texts, selected by ``mask`` (n,).

    ``inside`` and ``rest`` count correct predictions inside and outside of it. ``p_value`` is
    Fisher's exact test for a difference, Holm-corrected for all slices examined together.
    """

    kind: str
    name: str
    mask: Mask
    inside: Proportion
    rest: Proportion
    p_value: float

    @property
    def described(self) -> bool:
        """Whether ``name`` is a message, not a class, words of the texts or searched words."""
        return self.kind in DESCRIBED

    @property
    def difference(self) -> float:
        """Accuracy inside minus that of the rest, from -1 to 1; NaN if one is empty."""
        return self.inside.value - self.rest.value

    @property
    def decided(self) -> bool:
        """Whether the accuracy differs significantly from the rest at the 5 % level."""
        return self.p_value < LEVEL


def find_slices(
    predictions: Predictions, classes: Sequence[str], max_tokens: int | None = None
) -> list[Slice]:
    """Find slices by class, length, source, digits and rare words.

    With token counts, also the texts that are truncated to ``max_tokens``. Slices with no text or
    all texts are left out. The lowest accuracy relative to the rest comes first.
    """
    masks: list[tuple[str, str, Mask]] = [
        ("class", name, predictions.true == index) for index, name in enumerate(classes)
    ]
    frame = predictions.frame
    if "text" in frame:
        masks += _mask_texts(frame["text"])
    if max_tokens and "tokens" in frame:
        name = mark("over {tokens:,} tokens").format(tokens=max_tokens)
        masks.append((mark("cut off"), name, (frame["tokens"] > max_tokens).to_numpy()))
    correct = predictions.predicted == predictions.true
    slices = [
        _build_slice(kind, name, mask, correct)
        for kind, name, mask in masks
        if mask.any() and not mask.all()
    ]
    p_values = correct_p_values([item.p_value for item in slices])
    corrected = [replace(item, p_value=p) for item, p in zip(slices, p_values, strict=True)]
    return sorted(corrected, key=lambda item: item.difference)


def search_slice(
    predictions: Predictions, words: str, slices: Sequence[Slice] = ()
) -> Slice | None:
    """Return the slice of texts that contain ``words`` in any case; None for no text or all.

    The p-value is Bonferroni-corrected for ``slices`` and this one.
    """
    if "text" not in predictions.frame or not words.strip():
        return None
    mask = (
        predictions.frame["text"]
        .astype(str)
        .str.casefold()
        .str.contains(words.strip().casefold(), regex=False)
        .to_numpy(dtype=bool)
    )
    if not mask.any() or mask.all():
        return None
    correct = predictions.predicted == predictions.true
    matching = _build_slice(mark("search"), words.strip(), mask, correct)
    return replace(matching, p_value=min(1.0, matching.p_value * (len(slices) + 1)))


def _mask_texts(texts: "pd.Series[str]") -> list[tuple[str, str, Mask]]:
    written = texts.astype(str).tolist()
    masks = _mask_lengths(np.array([len(text) for text in written]))
    masks += [
        (mark("source"), pattern.name, _mask_rows(pattern.rows, len(written)))
        for pattern in _find_sources(written)
    ]
    masks.append(
        (
            mark("content"),
            mark("with digits"),
            np.array([DIGIT.search(text) is not None for text in written], dtype=bool),
        )
    )
    masks.append(
        (
            mark("content"),
            mark("{n:d} or more words no other text has").format(n=RARE_WORDS),
            _count_unique_words(written) >= RARE_WORDS,
        )
    )
    return masks


def _mask_lengths(characters: NDArray[np.int64]) -> list[tuple[str, str, Mask]]:
    """Split the texts into quartiles by length."""
    edges = (
        np.unique(np.quantile(characters, [0, 0.25, 0.5, 0.75, 1]).astype(int))
        if len(characters)
        else np.empty(0, int)
    )
    lows = [int(edges[0]) - 1, *map(int, edges[1:-1])] if len(edges) > 1 else []
    highs = map(int, edges[1:])
    return [
        (
            mark("length"),
            mark("{low:,} to {high:,} characters").format(low=low + 1, high=high),
            (low < characters) & (characters <= high),
        )
        for low, high in zip(lows, highs, strict=True)
    ]


def _find_sources(texts: Sequence[str]) -> list[boilerplate.Pattern]:
    named = [
        pattern
        for pattern in boilerplate.find_patterns(texts)
        if pattern.kind is not boilerplate.PatternKind.DEBRIS
    ]
    return sorted(named, key=lambda pattern: -len(pattern.rows))[:MOST_SOURCES]


def _count_unique_words(texts: Sequence[str]) -> NDArray[np.int64]:
    """Count the distinct words of each text that occur in no other (n,)."""
    words = [set(WORD.findall(text.casefold())) for text in texts]
    texts_with: dict[str, int] = {}
    for words_of_text in words:
        for word in words_of_text:
            texts_with[word] = texts_with.get(word, 0) + 1
    counts = [sum(texts_with[word] == 1 for word in words_of_text) for words_of_text in words]
    return np.array(counts, dtype=np.int64)


def _mask_rows(rows: NDArray[np.int32], n: int) -> Mask:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def _build_slice(kind: str, name: str, mask: Mask, correct: Mask) -> Slice:
    inside = Proportion(int((correct & mask).sum()), int(mask.sum()))
    rest = Proportion(int((correct & ~mask).sum()), int((~mask).sum()))
    return Slice(
        kind,
        name,
        mask,
        inside,
        rest,
        compute_fisher_p_value(inside.hits, inside.n, rest.hits, rest.n),
    )


CONFIDENT = 0.9


def find_confident_mistakes(
    predictions: Predictions, at_least: float = CONFIDENT
) -> NDArray[np.bool_]:
    """Find texts (n,) that are predicted incorrectly with a confidence of ``at_least``."""
    incorrect: NDArray[np.bool_] = predictions.predicted != predictions.true
    confident: NDArray[np.bool_] = predictions.confidence >= at_least
    return incorrect & confident


def find_contradicted_labels(predictions: Predictions) -> NDArray[np.bool_]:
    """Find probably wrong labels (n,) by confident learning (Northcutt et al. 2021).

    The thresholds are each class's mean probability over its own texts; of several classes above
    their threshold the most probable counts. A class without texts has no threshold.
    """
    probabilities, true = predictions.probabilities, predictions.true
    thresholds = np.full(predictions.classes, np.inf)
    for index in np.unique(true):
        thresholds[index] = probabilities[true == index, index].mean()
    above = np.where(probabilities >= thresholds - 1e-6, probabilities, 0.0)  # (n, C)
    if not len(true):
        return np.zeros(0, dtype=bool)
    contradicted: NDArray[np.bool_] = (above.max(axis=1) > 0) & (above.argmax(axis=1) != true)
    return contradicted


TAGS = mark("wrong label"), mark("ambiguous"), mark("hard"), mark("interesting")
LONGEST_NOTE = 500  # characters
LOCK_TIMEOUT_SECONDS = 5.0  # another visitor's write takes milliseconds


@dataclass(frozen=True, slots=True)
class Tag:
    """The tag of test row ``row``. ``at`` is a Unix time."""

    row: int
    tag: str
    note: str = ""
    at: float = 0.0


def read_tags(folder: Path) -> dict[int, Tag]:
    """Read the tags of a run by row; empty if there are none. Raises ArtifactDamaged."""
    path = folder / "tags.json"
    if not path.exists():
        return {}
    content = files.read_json(path)
    if not isinstance(content, list):
        raise _make_damaged_error()
    try:
        tags = [
            Tag(int(item["row"]), str(item["tag"]), str(item["note"]), float(item["at"]))
            for item in content
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _make_damaged_error() from error
    return {tag.row: tag for tag in tags}


def write_tag(folder: Path, row: int, tag: str, note: str) -> None:
    """Tag a row, replacing an earlier tag.

    Raises ArtifactDamaged, and StateConflict for an unknown tag or a note that is too long.
    """
    if tag not in TAGS:
        raise StateConflict(
            "There is no tag {tag!r}.", "Choose one of {tags}.", tag=tag, tags=", ".join(TAGS)
        )
    if len(note) > LONGEST_NOTE:
        raise StateConflict(
            "The note has {length:,} characters.",
            "Shorten it to {most:,}.",
            length=len(note),
            most=LONGEST_NOTE,
        )
    _change(folder, row, Tag(row, tag, clean(note).strip(), time.time()))


def remove_tag(folder: Path, row: int) -> None:
    """Remove the tag of a row, if it has one. Raises ArtifactDamaged and StateConflict."""
    _change(folder, row, None)


def _change(folder: Path, row: int, tag: Tag | None) -> None:
    with hold_lock(folder / "tags.lock", LOCK_TIMEOUT_SECONDS) as held:
        if not held:
            raise StateConflict(
                "Another user is writing the tags of this run.", "Try again in a moment."
            )
        tags = read_tags(folder)
        tags.pop(row, None)
        if tag:
            tags[row] = tag
        files.write_json(folder / "tags.json", [asdict(tags[key]) for key in sorted(tags)])


def _make_damaged_error() -> ArtifactDamaged:
    return ArtifactDamaged(
        "tags.json of this run is damaged.", "Move it out of the run's folder to start again."
    )
