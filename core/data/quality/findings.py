"""Findings of a data quality check, stored in ``<prepared data>/<fingerprint>/quality/``.

Findings refer to texts by split and row and do not contain them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from core.data.dataset import SPLITS, Dataset
from core.data.quality import label_errors as near
from core.errors import ArtifactDamaged
from core.storage import files
from core.translation import mark

# rival: id of the suggested class, -1 for none
COLUMNS = ("check", "split", "row", "group", "score", "detail", "rival")


class Check(StrEnum):
    """The kinds of findings, the most harmful first."""

    LEAKAGE = mark("leakage")
    CONFLICT = mark("conflicting labels")
    SUSPECT = mark("label suspects")
    EXACT = mark("exact duplicates")
    NEAR = mark("near duplicates")
    IMBALANCE = mark("imbalance")
    DEBRIS = mark("encoding debris")
    EMPTY = mark("nearly empty")
    LENGTH = mark("unusual lengths")


@dataclass(frozen=True, slots=True)
class CheckText:
    """Display texts of a check: title, effect on results, and fix."""

    title: str
    effect: str
    fix: str


CHECK_TEXTS = {
    Check.LEAKAGE: CheckText(
        "Held-out texts that also appear in training",
        "The model is scored on texts that it has learned, so the score is higher than on new"
        " texts.",
        "Remove the training copy from the source, and keep the held-out one.",
    ),
    Check.CONFLICT: CheckText(
        "Same text, different labels",
        "At most one of the labels is correct. Training gets contradictory signals, and no model"
        " can score all of them.",
        "Read each group and choose one label, or remove the texts.",
    ),
    Check.SUSPECT: CheckText(
        "Probably wrong labels",
        "Wrong labels in train teach mistakes; in test they count correct predictions as errors.",
        "Read the highest scores first. Some are wrong labels, others texts that belong to two"
        " classes.",
    ),
    Check.EXACT: CheckText(
        "Exact duplicates",
        "A repeated text counts more than once, in training and in every score.",
        "Keep one of each.",
    ),
    Check.NEAR: CheckText(
        "Near duplicates",
        "Texts that differ by a word or two add little information, and make intervals too narrow.",
        "Keep one text of each group if they mean the same.",
    ),
    Check.IMBALANCE: CheckText(
        "Classes of unequal size",
        "Accuracy favors a model that prefers the large classes.",
        "Judge runs by macro-F1, or add texts to the small classes.",
    ),
    Check.DEBRIS: CheckText(
        "Garbled characters and HTML",
        "It costs tokens, and if it identifies a source it gives the class away.",
        "Clean the source, and clean texts to classify in the same way.",
    ),
    Check.EMPTY: CheckText(
        "Nearly empty texts",
        "They contain nothing to learn from; their labels are noise.",
        "Remove them.",
    ),
    Check.LENGTH: CheckText(
        "Texts of unusual length",
        "Very long texts are truncated at the run's max tokens; very short ones are often"
        " fragments.",
        "Check whether they are complete, and choose max tokens with the long ones in mind.",
    ),
}


@dataclass(frozen=True, slots=True)
class DataFinding:
    """The result of one check: number of texts, number of groups they form (0 for none), and a
    summary, stored as ``said``.
    """

    check: Check
    texts: int
    groups: int
    summary: Annotated[str, Field(alias="said")]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """All findings of one dataset; ``rows`` is the number of texts checked, ``seconds`` the elapsed
    time.
    """

    format: Literal[1]
    fingerprint: str
    name: str
    rows: int
    seconds: float
    notes: tuple[str, ...]
    findings: tuple[DataFinding, ...]


REPORT = TypeAdapter(QualityReport)
NEIGHBORS = "neighbours.parquet"


def save_report(
    dataset: Dataset,
    report: QualityReport,
    findings: pd.DataFrame,
    neighbors: pd.DataFrame | None = None,
) -> None:
    """Store report, findings (``COLUMNS``) and neighbors with the prepared data, replacing an
    earlier check.
    """
    report_json = files.to_json(REPORT.dump_python(report, mode="json", by_alias=True))
    table = findings[list(COLUMNS)].to_parquet(index=False)
    neighbor_table = (
        pd.DataFrame(columns=list(near.COLUMNS))
        if neighbors is None
        else neighbors[list(near.COLUMNS)]
    )
    contents = {
        "report.json": report_json,
        "findings.parquet": table,
        NEIGHBORS: neighbor_table.to_parquet(index=False),
    }
    files.write_folder(dataset.folder / "quality", contents)


def read_report(dataset: Dataset) -> QualityReport | None:
    """Read the stored report; None if it is missing, damaged, of another dataset or of an older
    format.
    """
    try:
        report = REPORT.validate_python(files.read_json(dataset.folder / "quality" / "report.json"))
    except (ArtifactDamaged, ValidationError):
        return None
    return report if report.fingerprint == dataset.fingerprint else None


def read_findings(dataset: Dataset) -> pd.DataFrame:
    """Read the findings (``COLUMNS``), the highest score of each check first. Raises
    ArtifactDamaged.
    """
    findings = files.read_parquet(dataset.folder / "quality" / "findings.parquet")
    if not set(COLUMNS) <= set(findings):
        raise ArtifactDamaged("The stored findings lack columns.", "Check the data again.")
    return findings


def read_neighbors(dataset: Dataset, split: str, row: int) -> pd.DataFrame:
    """Read split, row and similarity of the texts most similar to a suspect; empty if none are
    stored. Raises ArtifactDamaged.
    """
    path = dataset.folder / "quality" / NEIGHBORS
    if not path.is_file():
        return pd.DataFrame(columns=["split", "row", "similarity"])
    stored = files.read_parquet(path)
    if not set(near.COLUMNS) <= set(stored):
        raise ArtifactDamaged("The stored neighbors lack columns.", "Check the data again.")
    neighbors = stored.loc[
        (stored["split"] == split) & (stored["row"] == row),
        ["near_split", "near_row", "similarity"],
    ]
    return neighbors.rename(columns={"near_split": "split", "near_row": "row"})


def read_texts(dataset: Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Read split, row, text and label of each text that is named in ``rows`` (split and row).
    Raises ArtifactDamaged.
    """
    frames = []
    for split in SPLITS:
        labels = dataset.read_labels(split)
        named = labels["row"].isin(rows.loc[rows["split"] == split, "row"])
        frames.append(dataset.add_texts(split, labels[named]).assign(split=split))
    return pd.concat(frames, ignore_index=True)


def name_rows(
    findings: pd.DataFrame, texts: pd.DataFrame, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Add text, class and suggested class names to ``findings``; ``texts`` as returned by
    ``read_texts``.
    """
    named = findings.merge(texts, on=["split", "row"], how="left")
    names = dict(enumerate(classes))
    return named.assign(
        **{"class": named["label"].map(names), "competing class": named["rival"].map(names)}
    )
