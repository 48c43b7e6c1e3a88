"""Apply a cleaning recipe, and store the cleaned copy of a prepared dataset next to the original.

Its folder is ``<prepared>/<fingerprint>/cleaned/<fingerprint of the copy>/``.
"""

import shutil
from dataclasses import replace

import pandas as pd

from core.data.dataset import (
    SPLITS,
    Dataset,
    DatasetCard,
    read_dataset,
    write_dataset,
    write_split,
)
from core.data.quality.fixes import repair
from core.data.recipe import Effect, Recipe, describe_effect
from core.errors import ArtifactDamaged, DataError
from core.storage import files

MAX_COPIES = 8  # of one dataset; each can be rebuilt from its recipe
AGAIN = "Check the data on the Quality page and choose the fixes again."


def clean(dataset: Dataset, recipe: Recipe | None) -> Dataset:
    """Return ``dataset`` with ``recipe`` applied to its training texts; validation and test do not
    change. Runs in jobs.

    Raises DataError if the recipe is for other data, names texts that do not exist, or leaves a
    class empty.
    """
    if recipe is None:
        return dataset
    _require_same(dataset, recipe)
    fingerprint = recipe.cleaned_fingerprint()
    if fingerprint == dataset.fingerprint:
        return dataset
    folder = dataset.folder / "cleaned" / fingerprint
    try:
        cached = read_dataset(folder)
        if cached.is_intact():
            return replace(cached, source=dataset.source, name=_cleaned_name(dataset))
    except ArtifactDamaged:
        pass  # missing or damaged: build it again
    train = apply(dataset.read("train"), recipe.effect(), dataset.classes)
    with files.scratch_folder(folder) as part:
        written = tuple(
            write_split(part, split, [train if split == "train" else dataset.read(split)])
            for split in SPLITS
        )
        notes = (*dataset.notes, f"Cleaned: {describe_effect(recipe)}.")
        card = DatasetCard(
            1, fingerprint, dataset.source, _cleaned_name(dataset), dataset.classes, notes, written
        )
        cached = write_dataset(card, folder, part)
    _delete_old_copies(dataset)
    return cached


def require_fitting(dataset: Dataset, recipe: Recipe) -> None:
    """Raise DataError if ``recipe`` has no steps, is for other data, or names texts or classes that
    ``dataset`` does not have.
    """
    if not recipe.steps:
        raise DataError("The cleaning recipe has no steps.", AGAIN)
    _require_same(dataset, recipe)
    rows = dataset.read("train", ["row", "label"])
    apply(rows, recipe.effect(), dataset.classes, measured=False)


def _require_same(dataset: Dataset, recipe: Recipe) -> None:
    if recipe.fingerprint != dataset.fingerprint:
        fix = "Choose the data it was made for, or check this dataset and choose the fixes again."
        raise DataError(
            f"The cleaning recipe is for data {recipe.fingerprint}, not {dataset.fingerprint}.", fix
        )


def apply(
    train: pd.DataFrame, effect: Effect, classes: tuple[str, ...], *, measured: bool = True
) -> pd.DataFrame:
    """Return the training rows after the recipe.

    With ``measured`` the lengths of repaired texts are computed again; leave it out to only
    validate the recipe. Raises DataError.
    """
    named = effect.dropped | effect.repaired | set(effect.relabeled)
    if missing := named - set(train["row"].tolist()):
        raise DataError(
            f"The cleaning recipe names {len(missing):,} texts that are not in the training split.",
            AGAIN,
        )
    if unknown := {label for label in effect.relabeled.values() if not 0 <= label < len(classes)}:
        raise DataError(f"The cleaning recipe assigns an unknown class id: {min(unknown)}.", AGAIN)
    cleaned = train[~train["row"].isin(effect.dropped)].reset_index(drop=True)
    cleaned["label"] = (
        cleaned["row"].map(effect.relabeled).fillna(cleaned["label"]).astype(train["label"].dtype)
    )
    if measured:
        _repair(cleaned, effect)
    empty = [classes[label] for label in sorted(set(train["label"]) - set(cleaned["label"]))]
    if empty:
        raise DataError(
            f"The cleaning recipe leaves no training text of {empty[0]}.",
            "Remove a step from the recipe.",
        )
    return cleaned


def _repair(frame: pd.DataFrame, effect: Effect) -> None:
    # loaded here because the server reads datasets without tokenizing them
    from core.data.tokenizer import measure  # noqa: PLC0415

    chosen = frame["row"].isin(effect.repaired)
    if not chosen.any():
        return
    texts = [repair(text) for text in frame.loc[chosen, "text"]]
    frame.loc[chosen, "text"] = texts
    lengths = measure(texts)
    for column in lengths:
        frame.loc[chosen, column] = lengths[column].to_numpy()


def _delete_old_copies(dataset: Dataset) -> None:
    by_age = sorted(
        (dataset.folder / "cleaned").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime
    )
    for folder in by_age[:-MAX_COPIES]:
        shutil.rmtree(folder, ignore_errors=True)


def _cleaned_name(dataset: Dataset) -> str:
    return f"{dataset.name}, cleaned"
