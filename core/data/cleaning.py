"""A dataset as a cleaning recipe leaves it: a prepared copy beside the original,
``<prepared>/<fingerprint>/cleaned/<its own>/``.
"""

import shutil
from dataclasses import replace

import pandas as pd

from core.data.dataset import (
    SPLITS,
    DataFile,
    Dataset,
    DatasetCard,
    checksum,
    read_dataset,
    write_dataset,
)
from core.data.quality.fixes import repair
from core.data.recipe import Effect, Recipe, describe_effect
from core.errors import ArtifactDamaged, DataError

KEPT = 8  # copies of one dataset; any of them can be made again from its recipe
AGAIN = "Check the data on the Quality page and choose the fixes again."


def clean(dataset: Dataset, recipe: Recipe | None) -> Dataset:
    """``dataset`` with ``recipe`` applied to its training texts; validation and test stay as they
    are. For jobs.

    Raises DataError where the recipe is for other data, names texts that are not there, or leaves a
    class without any.
    """
    if recipe is None:
        return dataset
    _require_same(dataset, recipe)
    fingerprint = recipe.cleaned_fingerprint()
    if fingerprint == dataset.fingerprint:
        return dataset
    folder = dataset.folder / "cleaned" / fingerprint
    try:
        made = read_dataset(folder)
        if made.is_intact():
            return replace(made, source=dataset.source, name=_name(dataset))
    except ArtifactDamaged:
        pass  # none, or damaged: it is made anew
    frames = {split: dataset.read(split) for split in SPLITS}
    frames["train"] = apply(frames["train"], recipe.effect(), dataset.classes)
    contents = {split: frame.to_parquet(index=False) for split, frame in frames.items()}
    written = tuple(
        DataFile(split, len(frames[split]), len(data), checksum(data))
        for split, data in contents.items()
    )
    notes = (*dataset.notes, f"Cleaned: {describe_effect(recipe)}.")
    card = DatasetCard(
        1, fingerprint, dataset.source, _name(dataset), dataset.classes, notes, written
    )
    made = write_dataset(
        card, folder, {f"{split}.parquet": data for split, data in contents.items()}
    )
    _forget_old(dataset)
    return made


def require_fitting(dataset: Dataset, recipe: Recipe) -> None:
    """Raise DataError where ``recipe`` has no steps, is for other data, or names texts or classes
    that these data do not have.
    """
    if not recipe.steps:
        raise DataError("The cleaning recipe has no steps.", AGAIN)
    _require_same(dataset, recipe)
    apply(dataset.read("train"), recipe.effect(), dataset.classes, measured=False)


def _require_same(dataset: Dataset, recipe: Recipe) -> None:
    if recipe.fingerprint != dataset.fingerprint:
        fix = "Choose the data that it was made for, or check these and choose the fixes again."
        raise DataError(
            f"The cleaning recipe is for data {recipe.fingerprint}, not {dataset.fingerprint}.", fix
        )


def apply(
    train: pd.DataFrame, effect: Effect, classes: tuple[str, ...], *, measured: bool = True
) -> pd.DataFrame:
    """The training rows after the recipe; lengths of repaired texts are ``measured`` anew, unless
    it is only tried. Raises DataError.
    """
    named = effect.dropped | effect.repaired | set(effect.relabelled)
    if missing := named - set(train["row"].tolist()):
        raise DataError(
            f"The cleaning recipe names {len(missing):,} texts that are not in the training split.",
            AGAIN,
        )
    if wrong := {label for label in effect.relabelled.values() if not 0 <= label < len(classes)}:
        raise DataError(
            f"The cleaning recipe gives a label that there is not: {min(wrong)}.", AGAIN
        )
    kept = train[~train["row"].isin(effect.dropped)].reset_index(drop=True)
    kept["label"] = (
        kept["row"].map(effect.relabelled).fillna(kept["label"]).astype(train["label"].dtype)
    )
    if measured:
        _repair(kept, effect)
    gone = [classes[label] for label in sorted(set(train["label"]) - set(kept["label"]))]
    if gone:
        raise DataError(
            f"The cleaning recipe leaves no training text of {gone[0]}.",
            "Take a step out of the recipe.",
        )
    return kept


def _repair(frame: pd.DataFrame, effect: Effect) -> None:
    # The tokenizer is for who prepares, not for who reads.
    from core.data.tokenizer import measure  # noqa: PLC0415

    chosen = frame["row"].isin(effect.repaired)
    if not chosen.any():
        return
    texts = [repair(text) for text in frame.loc[chosen, "text"]]
    frame.loc[chosen, "text"] = texts
    lengths = measure(texts)
    for column in lengths:
        frame.loc[chosen, column] = lengths[column].to_numpy()


def _forget_old(dataset: Dataset) -> None:
    by_age = sorted(
        (dataset.folder / "cleaned").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime
    )
    for folder in by_age[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _name(dataset: Dataset) -> str:
    return f"{dataset.name}, cleaned"
