"""All checks of a dataset in one pass."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.dataset import Dataset
from core.data.quality import label_errors, odd_texts
from core.data.quality.findings import COLUMNS, Check, DataFinding, QualityReport, read_texts
from core.data.quality.label_errors import find_neighbours
from core.data.quality.label_judges import Encode, judge
from core.data.quality.near_duplicates import Duplicates, find_duplicates, has_company, has_several
from core.errors import Stopped
from core.progress import Phase, Progress

UNEQUAL = 1.5  # largest over smallest class; below it accuracy and macro-F1 hardly differ

Tell = Callable[[Progress], None]


def inspect(
    dataset: Dataset, tell: Tell, should_stop: Callable[[], bool], encode: Encode | None = None
) -> tuple[QualityReport, pd.DataFrame, pd.DataFrame]:
    """Look for every kind of fault. Frames: the findings (``COLUMNS``), the suspects' neighbours.
    Raises Stopped and ArtifactDamaged.

    With ``encode`` the vectors of a frozen encoder judge labels beside the words; the report's
    notes say who judged.
    """
    began = time.monotonic()
    tell(Progress(Phase.CHECKING))
    frame = read_texts(dataset)
    labels = frame["label"].to_numpy(dtype=np.int64)
    parts = _look_at_each(frame)
    if should_stop():
        raise Stopped("The check was stopped.", "Start it again.")
    copies = find_duplicates(
        frame, lambda done, total: tell(Progress(Phase.COMPARING, done, total)), should_stop
    )
    parts |= _look_at_copies(frame, labels, copies)
    parts[Check.SUSPECT], neighbours, judges = _judge(
        frame, labels, len(dataset.classes), copies.group, tell, should_stop, encode
    )
    findings = [_sum_up(check, parts[check]) for check in Check if check in parts]
    findings.insert(list(Check).index(Check.IMBALANCE), _weigh_classes(frame, dataset.classes))
    rows = [part.assign(check=check.value) for check, part in parts.items()]
    table = pd.concat(rows, ignore_index=True)[list(COLUMNS)]
    seconds = round(time.monotonic() - began, 1)
    notes = (*dataset.notes, judges)
    return (
        QualityReport(
            1, dataset.fingerprint, dataset.name, len(frame), seconds, notes, tuple(findings)
        ),
        table,
        neighbours,
    )


def _judge(
    frame: pd.DataFrame,
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    tell: Tell,
    should_stop: Callable[[], bool],
    encode: Encode | None,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The label suspects, the texts most like each, and a sentence on who judged."""
    said = frame["text"].tolist()
    features = label_errors.word_features(said)
    step = partial(_tell_judging, tell)
    probabilities, judges = judge(
        said, features, labels, classes, groups, encode, step, should_stop
    )
    judged = label_errors.judge_labels(probabilities, labels)
    doubted = _pick(frame, judged.suspect, judged.score)
    places = doubted.index.to_numpy(dtype=np.int64)
    return (
        doubted.assign(rival=judged.rival[places]),
        find_neighbours(features, frame, places, groups, should_stop),
        judges,
    )


def _tell_judging(tell: Tell, done: int, total: int) -> None:
    tell(Progress(Phase.JUDGING, done, total))


def _look_at_each(frame: pd.DataFrame) -> dict[Check, pd.DataFrame]:
    said = frame["text"].tolist()
    kinds = np.array(odd_texts.name_debris(said), dtype=object)
    unusual = odd_texts.length_scores(said)
    empty = odd_texts.find_nearly_empty(said)
    characters = np.array([f"{len(text):,} characters" for text in said], dtype=object)
    return {
        Check.DEBRIS: _pick(
            frame,
            kinds != "",
            np.array([name.count(",") + 1 for name in kinds], dtype=float),
            kinds,
        ),
        Check.EMPTY: _pick(frame, empty, empty.astype(float), characters),
        Check.LENGTH: _pick(
            frame, np.abs(unusual) > odd_texts.OUTLIER, np.abs(unusual), characters
        ),
    }


def _look_at_copies(
    frame: pd.DataFrame, labels: NDArray[np.int64], copies: Duplicates
) -> dict[Check, pd.DataFrame]:
    partner = copies.leak
    where = frame["split"].str.cat(frame["row"].astype(str), sep=" row ").to_numpy(dtype=object)
    same = np.where(partner >= 0, copies.exact == copies.exact[partner], False)
    seen = np.where(
        partner >= 0, np.where(same, "same text as ", "nearly the text of ") + where[partner], ""
    )
    equal = has_company(copies.exact)
    near = has_company(copies.group) & has_several(copies.group, copies.exact)
    return {
        Check.LEAKAGE: _pick(frame, partner >= 0, copies.similarity, seen, copies.group),
        Check.CONFLICT: _pick(
            frame, has_several(copies.group, labels), copies.similarity, None, copies.group
        ),
        Check.EXACT: _pick(frame, equal, equal.astype(float), None, copies.exact),
        Check.NEAR: _pick(frame, near, copies.similarity, None, copies.group),
    }


def _pick(
    frame: pd.DataFrame,
    chosen: NDArray[np.bool_],
    score: NDArray[np.float64],
    detail: NDArray[np.object_] | None = None,
    group: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """The chosen rows with ``COLUMNS`` but check: groups stay together, the highest score first."""
    places = np.flatnonzero(chosen)
    groups = np.full(len(places), -1) if group is None else group[places]
    found = frame.loc[places, ["split", "row"]].assign(group=groups, score=score[places], rival=-1)
    found["detail"] = "" if detail is None else detail[places]
    if group is None:
        return found.sort_values("score", ascending=False, kind="stable")
    highest = found.groupby("group")["score"].transform("max")
    return (
        found.assign(_order=highest)
        .sort_values(["_order", "group"], ascending=[False, True], kind="stable")
        .drop(columns="_order")
    )


def _sum_up(check: Check, found: pd.DataFrame) -> DataFinding:
    splits = ", ".join(
        f"{number:,} in {split}" for split, number in found["split"].value_counts().items()
    )
    groups = int(found.loc[found["group"] >= 0, "group"].nunique())
    form = f" They form {groups:,} groups." if groups > 1 else ""
    return DataFinding(check, len(found), groups, f"{splits}.{form}" if len(found) else "")


def _weigh_classes(frame: pd.DataFrame, classes: tuple[str, ...]) -> DataFinding:
    counts = np.bincount(frame.loc[frame["split"] == "train", "label"], minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    ratio = counts[most] / max(1, counts[least])
    said = (
        f"{classes[most]} has {counts[most]:,} training texts, {classes[least]} {counts[least]:,}:"
        f" {ratio:.1f} to 1."
    )
    if counts[most] == counts[least]:
        said = f"Each class has {counts[most]:,} training texts."
    return DataFinding(Check.IMBALANCE, int(counts[counts * UNEQUAL < counts[most]].sum()), 0, said)
