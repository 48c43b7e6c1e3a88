"""Sizes of data and model that checks and estimates need, read without an ML library."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig, find_four_bit_problem
from core.data.dataset import Dataset, FileState
from core.data.recipe import Recipe
from core.data.tokenizer import UnknownTokens, measure_unknown_tokens, open_tokenizer
from core.models.catalog import ModelLocation, shape_of
from core.models.model_shape import ModelShape
from core.presets import COVERED, DataSize
from core.settings import Settings

UNKNOWN_TEXTS = 500  # a share of 1 % then has a standard error of about 0.1 %


@dataclass(frozen=True, eq=False)
class DataFacts:
    """Sizes of a dataset. ``train_rows`` excludes the validation rows; ``token_lengths`` (n,) are
    sorted and may be empty; ``rarest_rows`` are training rows of the rarest class, 0 if unknown.
    ``unknown`` is what the tokenizer of the base model does not know, None if not measured.
    """

    classes: int
    train_rows: int
    validation_rows: int
    test_rows: int
    token_lengths: NDArray[np.int64]
    rarest_rows: int = 0
    unknown: UnknownTokens | None = None

    @property
    def size(self) -> DataSize:
        """The sizes that presets are fitted to."""
        return DataSize(
            self.train_rows,
            self.validation_rows,
            self.test_rows,
            self.classes,
            self.tokens_of(COVERED),
            self.rarest_rows,
        )

    def used_rows(self, config: RunConfig) -> int:
        """Rows that a run trains on."""
        return min(config.train_rows, self.train_rows) if config.train_rows else self.train_rows

    def held_out_rows(self, config: RunConfig) -> tuple[int, int]:
        """Validation and test rows of the final evaluation."""
        limit = config.test_rows or max(self.test_rows, self.validation_rows)
        return min(limit, self.validation_rows), min(limit, self.test_rows)

    def cut_share(self, max_tokens: int) -> float:
        """Proportion of the texts longer than ``max_tokens``."""
        if not len(self.token_lengths):
            return 0.0
        return 1 - int(np.searchsorted(self.token_lengths, max_tokens, side="right")) / len(
            self.token_lengths
        )

    def tokens_of(self, share: float) -> int:
        """Length that a proportion ``share`` of the texts does not exceed; 0 if no length is
        known.
        """
        if not len(self.token_lengths):
            return 0
        return int(
            self.token_lengths[
                min(int(share * len(self.token_lengths)), len(self.token_lengths) - 1)
            ]
        )

    def mean_tokens(self, max_tokens: int) -> float:
        """Mean tokens of a truncated text; 0 if no length is known."""
        return (
            float(np.minimum(self.token_lengths, max_tokens).mean())
            if len(self.token_lengths)
            else 0.0
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A base model on this machine. ``shape`` is None until its files are downloaded; ``device`` is
    cpu or cuda.

    ``identity`` and ``revision`` identify its weights, wherever they are stored. ``threads`` are
    available to a training. ``no_four_bit`` is the reason why it cannot be loaded in 4 bits, or
    empty.
    """

    id: str
    available: bool
    reason: str
    shape: ModelShape | None
    device: str = "cpu"
    identity: str = ""
    revision: str = ""
    threads: int = 1
    no_four_bit: str = ""

    @property
    def name(self) -> str:
        """Identity and revision, joined by @."""
        return f"{self.identity}@{self.revision}"


def data_facts(dataset: Dataset, recipe: Recipe | None = None) -> DataFacts:
    """Read the sizes of a prepared dataset, without the rows that ``recipe`` drops. Raises
    ArtifactDamaged.

    Without a recipe they are read once for each state of the file: each estimate of a queued run
    needs them, and reading 108,000 lengths takes 27 ms.
    """
    if recipe is not None:
        return _read_facts(dataset, recipe)
    return _share_facts(dataset, dataset.identify_file("train"))


@lru_cache(maxsize=2)  # 860 KB each for AG News
def _share_facts(dataset: Dataset, _state: FileState | None) -> DataFacts:
    return _read_facts(dataset, None)


def _read_facts(dataset: Dataset, recipe: Recipe | None) -> DataFacts:
    train = dataset.read("train", ["row", "label", "tokens"])
    if recipe is not None:
        train = train[~train["row"].isin(recipe.effect().dropped)]
    lengths = np.sort(train["tokens"].to_numpy(np.int64))
    counts = np.bincount(train["label"].to_numpy(np.int64), minlength=len(dataset.classes))
    return DataFacts(
        len(dataset.classes),
        len(train),
        dataset.validation_rows,
        dataset.test_rows,
        lengths,
        int(counts.min()),
    )


def measure_unknown(dataset: Dataset, folder: Path) -> UnknownTokens | None:
    """Measure which parts of 500 training texts the tokenizer in ``folder`` does not know.

    None if there is no ``tokenizer.json``. Raises ArtifactDamaged and ModelUnavailable.
    """
    if not (folder / "tokenizer.json").is_file():
        return None
    rows = dataset.train_rows - dataset.validation_rows
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, UNKNOWN_TEXTS)).astype(np.int64))
    return measure_unknown_tokens(open_tokenizer(folder), dataset.take_texts("train", chosen))


def model_facts(model: ModelLocation, device: str = "cpu") -> ModelFacts:
    """Read the facts of a model found by ``catalog.find_model``. Raises ModelUnavailable if its
    files are damaged.
    """
    threads = Settings().used_threads
    names = (model.identity, model.revision)
    return ModelFacts(
        model.id,
        model.available,
        model.reason,
        shape_of(model),
        device,
        *names,
        threads,
        find_four_bit_problem(),
    )
