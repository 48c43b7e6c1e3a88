"""What a check of a dataset found, and how it is kept: ``<prepared data>/<fingerprint>/quality/``.

The findings name texts by split and row and do not hold them: the prepared data does.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from core.data.dataset import SPLITS, Dataset
from core.data.quality import label_errors as near
from core.errors import ArtifactDamaged
from core.storage import files

COLUMNS = (
    "check",
    "split",
    "row",
    "group",
    "score",
    "detail",
    "rival",
)  # rival: the competing class id, -1 for none


class Check(StrEnum):
    """What is looked for; the worst for a result first."""

    LEAKAGE = "leakage"
    CONFLICT = "conflicting labels"
    SUSPECT = "label suspects"
    EXACT = "exact duplicates"
    NEAR = "near duplicates"
    IMBALANCE = "imbalance"
    DEBRIS = "encoding debris"
    EMPTY = "nearly empty"
    LENGTH = "unusual lengths"


@dataclass(frozen=True, slots=True)
class Words:
    """A check in words: its title, what such texts do to a result, and what to do."""

    title: str
    effect: str
    fix: str


WORDS = {
    Check.LEAKAGE: Words(
        "Held-out texts that training also has",
        "The model is scored on texts that it has learned, so the score is higher than on new"
        " texts.",
        "Take the training copy out of the source, and keep the held-out one.",
    ),
    Check.CONFLICT: Words(
        "Same text, different labels",
        "At most one of the labels is right. Training is pulled both ways, and no model can score"
        " all of them.",
        "Read each group and settle on one label, or take the texts out.",
    ),
    Check.SUSPECT: Words(
        "Labels that the other texts contradict",
        "Wrong labels in train teach mistakes; in test they count right answers as wrong.",
        "Read the highest scores first. Some are wrong labels, others texts that belong to two"
        " classes.",
    ),
    Check.EXACT: Words(
        "Exact duplicates",
        "A repeated text counts more than once, in training and in every score.",
        "Keep one of each.",
    ),
    Check.NEAR: Words(
        "Near duplicates",
        "Texts that differ by a word or two add little to learn, and make intervals narrower than"
        " they should be.",
        "Keep one of each group where they say the same.",
    ),
    Check.IMBALANCE: Words(
        "Classes of unequal size",
        "Accuracy flatters a model that prefers the large classes.",
        "Judge runs by macro-F1, or add texts to the small classes.",
    ),
    Check.DEBRIS: Words(
        "Debris of encoding and HTML",
        "It costs tokens, and where it marks a source it gives the class away without the content.",
        "Clean the source, and clean texts to classify in the same way.",
    ),
    Check.EMPTY: Words(
        "Nearly empty texts",
        "There is nothing to learn from them; their labels are noise.",
        "Take them out.",
    ),
    Check.LENGTH: Words(
        "Texts of unusual length",
        "Very long texts are cut at the run's max tokens; very short ones are often fragments.",
        "See whether they are whole, and choose max tokens with the long ones in mind.",
    ),
}


@dataclass(frozen=True, slots=True)
class DataFinding:
    """What one check found: texts concerned, groups they form (0 where they form none), and a
    sentence with its numbers.
    """

    check: Check
    texts: int
    groups: int
    said: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """All findings of one dataset; ``rows`` counts the texts that were checked, ``seconds`` what it
    took.
    """

    format: Literal[1]
    fingerprint: str
    name: str
    rows: int
    seconds: float
    notes: tuple[str, ...]
    findings: tuple[DataFinding, ...]


REPORT = TypeAdapter(QualityReport)
NEIGHBOURS = "neighbours.parquet"


def save_report(
    dataset: Dataset,
    report: QualityReport,
    findings: pd.DataFrame,
    neighbours: pd.DataFrame | None = None,
) -> None:
    """Keep all together with the prepared data, in the place of an earlier check. ``findings`` has
    ``COLUMNS``.
    """
    said = files.to_json(REPORT.dump_python(report, mode="json"))
    table = findings[list(COLUMNS)].to_parquet(index=False)
    kept = (
        pd.DataFrame(columns=list(near.COLUMNS))
        if neighbours is None
        else neighbours[list(near.COLUMNS)]
    )
    names = {
        "report.json": said,
        "findings.parquet": table,
        NEIGHBOURS: kept.to_parquet(index=False),
    }
    files.write_folder(dataset.folder / "quality", names)


def read_report(dataset: Dataset) -> QualityReport | None:
    """The kept report; None where there is none, or it is of another dataset, damaged or of an
    older format.
    """
    try:
        report = REPORT.validate_python(files.read_json(dataset.folder / "quality" / "report.json"))
    except (ArtifactDamaged, ValidationError):
        return None
    return report if report.fingerprint == dataset.fingerprint else None


def read_findings(dataset: Dataset) -> pd.DataFrame:
    """``COLUMNS``, the worst of each check first. Raises ArtifactDamaged."""
    found = files.read_parquet(dataset.folder / "quality" / "findings.parquet")
    if not set(COLUMNS) <= set(found):
        raise ArtifactDamaged("The kept findings lack columns.", "Check the data again.")
    return found


def read_neighbours(dataset: Dataset, split: str, row: int) -> pd.DataFrame:
    """Split, row and similarity of the texts most like a suspect; empty where an older check kept
    none. Raises ArtifactDamaged.
    """
    path = dataset.folder / "quality" / NEIGHBOURS
    if not path.is_file():
        return pd.DataFrame(columns=["split", "row", "similarity"])
    kept = files.read_parquet(path)
    if not set(near.COLUMNS) <= set(kept):
        raise ArtifactDamaged("The kept neighbours lack columns.", "Check the data again.")
    found = kept.loc[
        (kept["split"] == split) & (kept["row"] == row), ["near_split", "near_row", "similarity"]
    ]
    return found.rename(columns={"near_split": "split", "near_row": "row"})


def read_texts(dataset: Dataset) -> pd.DataFrame:
    """Split, row, text and label of all texts. Raises ArtifactDamaged."""
    frames = [dataset.read(split, ["row", "text", "label"]).assign(split=split) for split in SPLITS]
    return pd.concat(frames, ignore_index=True)


def name_rows(found: pd.DataFrame, texts: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """``found`` with text, class and competing class by name; ``texts`` as ``read_texts`` gives
    them.
    """
    named = found.merge(texts, on=["split", "row"], how="left")
    names = dict(enumerate(classes))
    return named.assign(
        **{"class": named["label"].map(names), "competing class": named["rival"].map(names)}
    )
