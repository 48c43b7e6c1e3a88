"""Hidden final test of a class: a part of the test split that no one sees until it is revealed.

``<home>/data/<fingerprint of the rest>/hidden.parquet, hidden.json``. While the rules of the class
have a hidden part, each source opens as the dataset without it, which has a fingerprint of its own,
so that its index, checks, maps and baselines never contain the part. Prediction tables from
elsewhere or from before are read without its texts. A text of the part occurs nowhere else in its
dataset. Once it is revealed, its texts may be read again, and the dataset stays as it was.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.data.dataset import (
    GROUP_ROWS,
    SPLITS,
    DataFile,
    Dataset,
    read_dataset,
    write_dataset,
    write_split,
)
from core.data.sources import Split
from core.errors import ArtifactDamaged
from core.settings import Settings
from core.storage import accounts, files
from core.storage.store import Store
from core.translation import mark

MOST_ROWS = 1000  # a proportion near 0.9 has an interval of ± 1.9 points, and scoring takes seconds
USUAL_PERCENT = 20
NOTE = mark("{n:,} test rows are the hidden final test of the class.")
TABLE, CARD_NAME = "hidden.parquet", "hidden.json"
RULES = "rules"  # option with the rules of the class


class HiddenTest(BaseModel):
    """The rules of a class that choose the hidden part. The seed is drawn once per class."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hidden_percent: int = Field(
        0,
        ge=0,
        le=50,
        title=mark("Hidden final test, % of the test texts"),
        description=mark(
            "Hidden from everyone until you reveal its scores on this page, once, at the end. At"
            " most 1000 texts; 0 switches it off. The data are prepared again."
        ),
    )
    hidden_seed: int = Field(0, ge=0)
    hidden_since: float = Field(0.0, ge=0)  # seconds since 1970, when the size was last changed
    hidden_revealed: float = Field(0.0, ge=0)  # seconds since 1970; 0 before

    @property
    def is_on(self) -> bool:
        """Whether the datasets of the class have a hidden part."""
        return self.hidden_percent > 0

    @property
    def is_hiding(self) -> bool:
        """Whether the hidden part must not be seen now."""
        return self.is_on and not self.hidden_revealed

    @property
    def id(self) -> str:
        """Id of the test, in the names of the files with its scores."""
        return hashlib.sha256(f"{self.hidden_percent} {self.hidden_seed}".encode()).hexdigest()[:12]

    def hides(self, at: float) -> bool:
        """Whether what was written at a time may have scores of texts that are hidden now."""
        return self.is_hiding and at < self.hidden_since

    def find_fingerprint(self, whole: str) -> str:
        """Return the fingerprint of the dataset ``whole`` without its hidden part."""
        identity = f"{whole} hidden {self.hidden_percent} {self.hidden_seed}"
        return hashlib.sha256(identity.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class HiddenCard:
    """The content of ``hidden.json``: the dataset with the hidden part, and what chose it."""

    whole: str
    hidden_percent: int
    hidden_seed: int


CARD = TypeAdapter(HiddenCard)


def read_hidden_test(settings: Settings) -> HiddenTest:
    """Read from the rules of the class what is hidden. Raises ArtifactDamaged."""
    try:
        return HiddenTest.model_validate_json(read_stored_rules(settings) or "{}")
    except ValidationError as error:
        raise ArtifactDamaged(
            "The rules of the class cannot be read.", "Save them again on the page Class."
        ) from error


def read_stored_rules(settings: Settings, shared: bool = False) -> str:
    """Return the rules of the class as they are stored; empty if there are none.

    With ``shared``, from the snapshot of the database.
    """
    if not settings.database.exists():
        return ""
    return accounts.read_options(Store(settings, create=False, shared=shared)).get(RULES, "")


def find_visible(settings: Settings, whole: Dataset) -> Dataset | None:
    """Return the dataset that may be read now: ``whole``, or the one without its hidden part.

    None if that has not been built yet. Raises ArtifactDamaged.
    """
    hidden = read_hidden_test(settings)
    if not hidden.is_on:
        return whole
    try:
        visible = read_dataset(settings.prepared / hidden.find_fingerprint(whole.fingerprint))
    except ArtifactDamaged:  # missing or damaged: preparing builds it
        return None
    return replace(
        visible,
        source=whole.source,
        name=whole.name,
        notes=(*whole.notes, visible.notes[-1]),
    )


def build_visible(settings: Settings, whole: Dataset) -> Dataset:
    """Return the dataset that may be read now; build it if it is missing or damaged. Runs in jobs.

    Raises ArtifactDamaged.
    """
    hidden = read_hidden_test(settings)
    existing = find_visible(settings, whole)
    if existing is not None and existing.is_intact():
        return existing
    fingerprint = hidden.find_fingerprint(whole.fingerprint)
    test = whole.read("test")
    left_out = test["row"].isin(choose_rows(whole, hidden))
    note = NOTE.format(n=left_out.sum())
    facts = HiddenCard(whole.fingerprint, hidden.hidden_percent, hidden.hidden_seed)
    with files.scratch_folder(settings.prepared / fingerprint) as part:
        card = replace(
            whole.card,
            fingerprint=fingerprint,
            notes=(*whole.notes, note),
            files=(
                *(_copy_split(whole, split, part) for split in ("train", "validation")),
                write_split(part, "test", _iterate_groups(test[~left_out])),
            ),
        )
        hidden_files = {
            TABLE: test.loc[left_out, ["row", "text", "label"]].to_parquet(index=False),
            CARD_NAME: CARD.dump_json(facts),
        }
        visible = write_dataset(card, settings.prepared / fingerprint, part, hidden_files)
    # tables that were read with the hidden texts must be read again
    Store(settings, create=False).renew_versions()
    return visible


def _copy_split(whole: Dataset, split: Split, part: Path) -> DataFile:
    name = f"{split}.parquet"
    shutil.copyfile(whole.folder / name, part / name)
    return next(file for file in whole.files if file.split == split)


def _iterate_groups(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), GROUP_ROWS):
        yield frame.iloc[start : start + GROUP_ROWS]


def choose_rows(whole: Dataset, hidden: HiddenTest) -> list[int]:
    """Choose the hidden test rows: the same proportion of each class, drawn with the seed.

    Only of texts that occur once in the whole dataset, so that no other row shows them.
    """
    test = whole.read("test", ["row", "label"])
    single = _find_single_texts(whole)
    share = min(hidden.hidden_percent / 100, MOST_ROWS / max(1, len(test)))
    generator = np.random.default_rng(hidden.hidden_seed)
    chosen: list[int] = []
    for label in sorted(test["label"].unique()):
        of_class = (test["label"] == label).to_numpy()
        rows = generator.permutation(test.loc[of_class & single, "row"].to_numpy(np.int64))
        chosen += rows[: int(share * of_class.sum())].tolist()
    return sorted(chosen)


def _find_single_texts(whole: Dataset) -> NDArray[np.bool_]:
    """Return which test texts occur once in all splits (n,), from 64-bit hashes."""
    hashes = {split: whole.hash_texts(split) for split in SPLITS}
    values, counts = np.unique(np.concatenate(list(hashes.values())), return_counts=True)
    single: NDArray[np.bool_] = np.isin(hashes["test"], values[counts == 1])
    return single


def read_hidden_rows(dataset: Dataset) -> pd.DataFrame | None:
    """Read the hidden rows that belong to a visible dataset or to a cleaned copy of it.

    Returns row, text, label; None if there are none. Raises ArtifactDamaged.
    """
    folder = _find_hidden_folder(dataset)
    return None if folder is None else files.read_parquet(folder / TABLE)


def find_test_of(dataset: Dataset) -> HiddenTest:
    """Return the hidden test that a visible dataset or a cleaned copy of it leaves out.

    Raises ArtifactDamaged.
    """
    folder = _find_hidden_folder(dataset)
    if folder is None:
        return HiddenTest()
    try:
        card = CARD.validate_python(files.read_json(folder / CARD_NAME))
    except ValidationError as error:
        raise ArtifactDamaged(f"{CARD_NAME} is damaged.", "Prepare the data again.") from error
    return HiddenTest(hidden_percent=card.hidden_percent, hidden_seed=card.hidden_seed)


def _find_hidden_folder(dataset: Dataset) -> Path | None:
    folders = (dataset.folder, dataset.folder.parent.parent)
    return next((folder for folder in folders if (folder / TABLE).is_file()), None)


def read_hidden_texts(settings: Settings) -> frozenset[str]:
    """Read the texts of the hidden parts of all datasets under the rules of the class, revealed or
    not.
    """
    hidden = read_hidden_test(settings)
    return _read_texts(settings, hidden) if hidden.is_on else frozenset()


def _read_texts(settings: Settings, hidden: HiddenTest) -> frozenset[str]:
    return frozenset(
        text
        for folder in _list_folders(settings, hidden)
        for text in files.read_parquet(folder / TABLE, ["text"])["text"]
    )


def is_unprepared(settings: Settings) -> bool:
    """Return whether texts must not be seen now, but no dataset says yet which ones.

    Raises ArtifactDamaged.
    """
    hidden = read_hidden_test(settings)
    return hidden.is_hiding and not _list_folders(settings, hidden)


def hide_rows(settings: Settings, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a table of predictions without the texts that must not be seen now."""
    if "text" not in predictions or not (hidden := read_hidden_test(settings)).is_hiding:
        return predictions
    left_out = predictions["text"].isin(_read_texts(settings, hidden))
    return predictions[~left_out].reset_index(drop=True) if left_out.any() else predictions


def require_visible(settings: Settings, fingerprint: str) -> None:
    """Raise ArtifactDamaged if the dataset has a part that must not be seen now."""
    hidden = read_hidden_test(settings)
    if hidden.is_hiding and (settings.prepared / hidden.find_fingerprint(fingerprint)).is_dir():
        raise ArtifactDamaged(
            "These data include the hidden final test of the class.",
            "Use runs that were trained after the class has hidden it.",
        )


def list_visible_folders(settings: Settings, whole: str) -> list[Path]:
    """List the folders of the copies of the dataset ``whole`` without a hidden part."""
    return [folder for folder, card in _list_cards(settings) if card.whole == whole]


def _list_folders(settings: Settings, hidden: HiddenTest) -> list[Path]:
    """List the folders of the datasets that leave out this hidden test."""
    return [
        folder
        for folder, card in _list_cards(settings)
        if card == HiddenCard(card.whole, hidden.hidden_percent, hidden.hidden_seed)
    ]


def _list_cards(settings: Settings) -> list[tuple[Path, HiddenCard]]:
    cards = []
    for path in settings.prepared.glob(f"*/{CARD_NAME}"):
        try:
            cards.append((path.parent, CARD.validate_python(files.read_json(path))))
        except (ArtifactDamaged, ValidationError):  # preparing builds it again
            continue
    return cards
