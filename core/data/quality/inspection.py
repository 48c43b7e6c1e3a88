"""Run all quality checks of a dataset."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.dataset import SPLITS, Dataset
from core.data.quality import label_errors, odd_texts
from core.data.quality.findings import COLUMNS, Check, DataFinding, QualityReport
from core.data.quality.label_errors import Encode, LabeledTexts, find_neighbors, judge
from core.data.quality.near_duplicates import (
    Duplicates,
    find_duplicates,
    has_company,
    has_several,
    normalize_text,
)
from core.errors import Stopped
from core.progress import Phase, Progress

# of more texts a sample is checked: signatures of a million take 5 GB and an hour
MAX_TEXTS = 100_000
BATCH_TEXTS = 10_000  # read at once, 3 MB of news items
MAX_IMBALANCE = 1.5  # largest over smallest class; below it accuracy and macro-F1 hardly differ

Report = Callable[[Progress], None]


def inspect(
    dataset: Dataset,
    report: Report,
    should_stop: Callable[[], bool],
    encode: Encode | None = None,
    most: int = MAX_TEXTS,
) -> tuple[QualityReport, pd.DataFrame, pd.DataFrame]:
    """Run all checks and return the report, the findings (``COLUMNS``) and the neighbors of label
    suspects.

    Of more than ``most`` texts a sample of about as many is checked. With ``encode``, vectors of a
    frozen encoder judge labels in addition to TF-IDF; the report's notes say which. Raises Stopped
    and ArtifactDamaged.
    """
    began = time.monotonic()
    report(Progress(Phase.CHECKING))
    frame = read_sample(dataset, most, report, should_stop)
    labels = frame["label"].to_numpy(dtype=np.int64)
    parts = _check_single_texts(frame)
    if should_stop():
        raise Stopped("The check was stopped.", "Start it again.")
    duplicates = find_duplicates(
        frame, lambda done, total: report(Progress(Phase.COMPARING, done, total)), should_stop
    )
    parts |= _check_duplicates(frame, labels, duplicates)
    parts[Check.SUSPECT], neighbors, judges = _judge(
        frame, labels, len(dataset.classes), duplicates.group, report, should_stop, encode
    )
    findings = [_summarize(check, parts[check]) for check in Check if check in parts]
    findings.insert(list(Check).index(Check.IMBALANCE), _check_balance(dataset))
    rows = [part.assign(check=check.value) for check, part in parts.items()]
    table = pd.concat(rows, ignore_index=True)[list(COLUMNS)]
    seconds = round(time.monotonic() - began, 1)
    notes = (*dataset.notes, *_describe_sample(len(frame), dataset), judges)
    return (
        QualityReport(
            1, dataset.fingerprint, dataset.name, len(frame), seconds, notes, tuple(findings)
        ),
        table,
        neighbors,
    )


def read_sample(
    dataset: Dataset,
    texts: int,
    report: Report = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
    """Read split, row, text and label of all texts, or of about ``texts`` of them, chosen by a hash
    that copies of a text share, so that copies are found. Raises Stopped and ArtifactDamaged.
    """
    total, done = sum(dataset.rows(split) for split in SPLITS), 0
    limit = 2**32 * texts // max(texts, total)
    frames = []
    for split in SPLITS:
        chosen: dict[int, str] = {}
        position = 0
        for batch in dataset.iterate_texts(split, BATCH_TEXTS):
            if should_stop():
                raise Stopped("The check was stopped.", "Start it again.")
            report(Progress(Phase.CHECKING, done, total))
            inside = np.arange(len(batch))
            if total > texts:
                inside = np.flatnonzero(_hash(batch) < limit)
            chosen |= {position + place: batch[place] for place in inside.tolist()}
            position, done = position + len(batch), done + len(batch)
        labels = dataset.read(split, ["row", "label"]).iloc[list(chosen)]
        labels.insert(1, "text", pd.Series(list(chosen.values()), labels.index, dtype="str"))
        frames.append(labels.assign(split=split))
    return pd.concat(frames, ignore_index=True)


def _hash(texts: list[str]) -> NDArray[np.uint64]:
    """Compute 32-bit hashes (n,) of the normalized texts."""
    normalized = np.array([normalize_text(text) for text in texts], dtype=object)
    return pd.util.hash_array(normalized, categorize=False) >> np.uint64(32)


def _describe_sample(rows: int, dataset: Dataset) -> list[str]:
    total = sum(dataset.rows(split) for split in SPLITS)
    if rows == total:
        return []
    return [
        f"A random sample of {rows:,} of the {total:,} texts was checked, with all copies of each;"
        " the balance of the classes counts all texts."
    ]


def _judge(
    frame: pd.DataFrame,
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    report: Report,
    should_stop: Callable[[], bool],
    encode: Encode | None,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the label suspects, the texts most similar to each, and a note on the method."""
    texts = frame["text"].tolist()
    features = label_errors.word_features(texts)
    step = partial(_report_judging, report)
    probabilities, judges = judge(
        LabeledTexts(texts, labels, classes, groups), features, encode, step, should_stop
    )
    judged = label_errors.judge_labels(probabilities, labels)
    suspects = _pick(frame, judged.suspect, judged.score)
    positions = suspects.index.to_numpy(dtype=np.int64)
    return (
        suspects.assign(rival=judged.rival[positions]),
        find_neighbors(features, frame, positions, groups, should_stop),
        judges,
    )


def _report_judging(report: Report, done: int, total: int) -> None:
    report(Progress(Phase.JUDGING, done, total))


def _check_single_texts(frame: pd.DataFrame) -> dict[Check, pd.DataFrame]:
    texts = frame["text"].tolist()
    kinds = np.array(odd_texts.name_debris(texts), dtype=object)
    unusual = odd_texts.length_scores(texts)
    empty = odd_texts.find_nearly_empty(texts)
    characters = np.array([f"{len(text):,} characters" for text in texts], dtype=object)
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


def _check_duplicates(
    frame: pd.DataFrame, labels: NDArray[np.int64], duplicates: Duplicates
) -> dict[Check, pd.DataFrame]:
    partner = duplicates.leak
    locations = frame["split"].str.cat(frame["row"].astype(str), sep=" row ").to_numpy(dtype=object)
    is_equal = np.where(partner >= 0, duplicates.exact == duplicates.exact[partner], False)
    details = np.where(
        partner >= 0,
        np.where(is_equal, "same text as ", "near duplicate of ") + locations[partner],
        "",
    )
    has_equal = has_company(duplicates.exact)
    has_near = has_company(duplicates.group) & has_several(duplicates.group, duplicates.exact)
    return {
        Check.LEAKAGE: _pick(frame, partner >= 0, duplicates.similarity, details, duplicates.group),
        Check.CONFLICT: _pick(
            frame,
            has_several(duplicates.group, labels),
            duplicates.similarity,
            None,
            duplicates.group,
        ),
        Check.EXACT: _pick(frame, has_equal, has_equal.astype(float), None, duplicates.exact),
        Check.NEAR: _pick(frame, has_near, duplicates.similarity, None, duplicates.group),
    }


def _pick(
    frame: pd.DataFrame,
    chosen: NDArray[np.bool_],
    score: NDArray[np.float64],
    detail: NDArray[np.object_] | None = None,
    group: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Return the chosen rows with all ``COLUMNS`` except check: highest score first, groups
    together.
    """
    positions = np.flatnonzero(chosen)
    groups = np.full(len(positions), -1) if group is None else group[positions]
    picked = frame.loc[positions, ["split", "row"]].assign(
        group=groups, score=score[positions], rival=-1
    )
    picked["detail"] = "" if detail is None else detail[positions]
    if group is None:
        return picked.sort_values("score", ascending=False, kind="stable")
    highest = picked.groupby("group")["score"].transform("max")
    return (
        picked.assign(_order=highest)
        .sort_values(["_order", "group"], ascending=[False, True], kind="stable")
        .drop(columns="_order")
    )


def _summarize(check: Check, rows: pd.DataFrame) -> DataFinding:
    splits = ", ".join(
        f"{number:,} in {split}" for split, number in rows["split"].value_counts().items()
    )
    groups = int(rows.loc[rows["group"] >= 0, "group"].nunique())
    grouping = f" They form {groups:,} groups." if groups > 1 else ""
    return DataFinding(check, len(rows), groups, f"{splits}.{grouping}" if len(rows) else "")


def _check_balance(dataset: Dataset) -> DataFinding:
    classes = dataset.classes
    counts = np.bincount(dataset.read("train", ["label"])["label"], minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    ratio = counts[most] / max(1, counts[least])
    summary = (
        f"{classes[most]} has {counts[most]:,} training texts, {classes[least]} {counts[least]:,}:"
        f" {ratio:.1f} to 1."
    )
    if counts[most] == counts[least]:
        summary = f"Each class has {counts[most]:,} training texts."
    return DataFinding(
        Check.IMBALANCE, int(counts[counts * MAX_IMBALANCE < counts[most]].sum()), 0, summary
    )
