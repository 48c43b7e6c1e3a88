"""What the checks and the estimate need to know about data and model, read without an ML
library.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.recipe import Recipe
from core.models.architecture import ModelShape
from core.models.catalog import ModelLocation, shape_of
from core.quantization import unsupported_reason
from core.settings import Settings


@dataclass(frozen=True, eq=False)
class DataFacts:
    """Sizes of a dataset. ``train_rows`` can be trained on, without the validation rows;
    ``token_lengths`` (n,) are sorted, maybe none.
    """

    classes: int
    train_rows: int
    validation_rows: int
    test_rows: int
    token_lengths: NDArray[np.int64]

    def used_rows(self, config: RunConfig) -> int:
        """Rows that a run trains on: those asked for, as far as there are any."""
        return min(config.train_rows, self.train_rows) if config.train_rows else self.train_rows

    def used_test_rows(self, config: RunConfig) -> int:
        """Rows of the final evaluation on validation and test together."""
        limit = config.test_rows or max(self.test_rows, self.validation_rows)
        return min(limit, self.validation_rows) + min(limit, self.test_rows)

    def cut_share(self, max_tokens: int) -> float:
        """Share of the texts that are longer than ``max_tokens``."""
        if not len(self.token_lengths):
            return 0.0
        return 1 - int(np.searchsorted(self.token_lengths, max_tokens, side="right")) / len(
            self.token_lengths
        )

    def tokens_of(self, share: float) -> int:
        """The length that ``share`` of the texts do not exceed; 0 where no length is known."""
        if not len(self.token_lengths):
            return 0
        return int(
            self.token_lengths[
                min(int(share * len(self.token_lengths)), len(self.token_lengths) - 1)
            ]
        )

    def mean_tokens(self, max_tokens: int) -> float:
        """Mean tokens of a text once it is cut; 0 where no length is known."""
        return (
            float(np.minimum(self.token_lengths, max_tokens).mean())
            if len(self.token_lengths)
            else 0.0
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A base model on this machine. ``shape`` is None as long as its files are not here; ``device``
    is cpu or cuda.

    ``identity`` and ``revision`` tell its weights from all others, wherever they lie. ``threads``
    are those that a training gets. ``no_four_bit`` is why it cannot be held in 4 bits; empty where
    it can.
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
        """Identity and revision in one."""
        return f"{self.identity}@{self.revision}"


def data_facts(dataset: Dataset, recipe: Recipe | None = None) -> DataFacts:
    """Facts of a prepared dataset, less what ``recipe`` drops; reads two columns. Raises
    ArtifactDamaged.
    """
    train = dataset.read("train", ["row", "tokens"])
    if recipe is not None:
        train = train[~train["row"].isin(recipe.effect().dropped)]
    lengths = np.sort(train["tokens"].to_numpy(np.int64))
    return DataFacts(
        len(dataset.classes), len(train), dataset.validation_rows, dataset.test_rows, lengths
    )


def model_facts(model: ModelLocation, device: str = "cpu") -> ModelFacts:
    """Facts of a model that ``catalog.find_model`` has looked for. Raises ModelUnavailable if its
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
        unsupported_reason(),
    )
