"""Test labels that users dispute, stored as JSON for each dataset.

``<home>/disputed/<fingerprint>.json`` holds the marks of admins, which count for all visitors; in a
class each student also has marks of their own below ``disputed/<folder>/``. A mark belongs to one
row of the test split of the data with that fingerprint: changed data have another fingerprint, and
no marks until a user sets them.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.access import Role
from core.data.dataset import Dataset
from core.data.recipe import FINGERPRINT
from core.errors import ArtifactDamaged, DataError, NotAllowed, StateConflict
from core.storage import files
from core.storage.locks import hold_lock
from core.storage.store import Store

LONGEST_LABEL = 1_000  # characters: a script may suggest what is no class
MOST_OF_A_STUDENT = 1_000  # of all datasets; AG News has some hundred wrong test labels
LOCK_TIMEOUT_SECONDS = 5.0  # another visitor's write takes milliseconds


class DisputedLabel(BaseModel):
    """A label of the test split that is probably wrong.

    ``row`` is the row id in the split, ``label`` the class that it has there, ``suggested`` the
    class that a user would give it; empty for none. ``at`` is a Unix time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int = Field(ge=0)
    label: str
    suggested: str = ""
    at: float = 0.0


class DisputedFile(BaseModel):
    """The content of a stored file; ``data`` is the name of the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fingerprint: str = Field(pattern=FINGERPRINT)
    data: str
    labels: tuple[DisputedLabel, ...] = ()


def can_have_disputed(fingerprint: str) -> bool:
    """Return whether labels of the dataset can be disputed: imported runs may name no dataset or
    one of another program.
    """
    return re.fullmatch(FINGERPRINT, fingerprint) is not None


def read_disputed(store: Store, fingerprint: str) -> dict[int, DisputedLabel]:
    """Read the disputed labels that count for the visitor, by row: those of admins and their own.

    Raises ArtifactDamaged.
    """
    shared = _read(_path(store, fingerprint, ""), fingerprint)
    return shared | read_own_disputed(store, fingerprint)


def read_own_disputed(store: Store, fingerprint: str) -> dict[int, DisputedLabel]:
    """Read the disputed labels that the visitor may undo, by row. Raises ArtifactDamaged."""
    return _read(_path(store, fingerprint, store.visitor.folder), fingerprint)


def count_left(store: Store) -> int | None:
    """Return how many more labels the visitor may dispute; None without a limit.

    Raises ArtifactDamaged.
    """
    if store.visitor.role is not Role.STUDENT:
        return None
    own = (store.settings.home / "disputed" / store.visitor.folder).glob("*.json")
    return max(0, MOST_OF_A_STUDENT - sum(len(_load(path).labels) for path in own))


def count_other_versions(store: Store, data: str, fingerprint: str) -> int:
    """Count the visible disputed labels of datasets with the same name and other content.

    They are not applied. Raises ArtifactDamaged.
    """
    root = store.settings.home / "disputed"
    paths = {
        path for folder in ("", store.visitor.folder) for path in (root / folder).glob("*.json")
    }
    others = [_load(path) for path in paths if path.stem != fingerprint]
    return sum(len(other.labels) for other in others if other.data == data)


def find_labels(dataset: Dataset, rows: Iterable[int], suggested: str = "") -> list[DisputedLabel]:
    """Return the labels of test rows as disputed ones.

    Raises DataError for a row that the test split does not have, and for a suggested class that the
    dataset does not have or that the row already has.
    """
    if suggested and suggested not in dataset.classes:
        raise DataError(
            f"{dataset.name} has no class {suggested!r}.",
            f"Choose one of {', '.join(dataset.classes)}.",
        )
    frame = dataset.read("test", ["row", "label"])
    labels = dict(zip(frame["row"].tolist(), frame["label"].tolist(), strict=True))
    disputed = []
    for row in dict.fromkeys(rows):
        if row not in labels:
            raise DataError(
                f"The test split of {dataset.name} has no row {row:,}.",
                "The pages Quality and Errors show the rows of texts.",
            )
        label = dataset.classes[labels[row]]
        if label == suggested:
            raise DataError(
                f"Row {row:,} already has the class {label!r}.", "Suggest another class, or none."
            )
        disputed.append(DisputedLabel(row=row, label=label, suggested=suggested))
    return disputed


def change_disputed(
    store: Store,
    fingerprint: str,
    data: str,
    added: Sequence[DisputedLabel] = (),
    removed: Collection[int] = (),
) -> None:
    """Add disputed labels, replacing those of the same rows, and remove others.

    Raises ArtifactDamaged, DataError without a fingerprint of LoRA Lab or for a label that no class
    has as its name, NotAllowed for more labels than a student may dispute, and StateConflict while
    another tab or user writes.
    """
    longest = max(
        (len(label) for mark in added for label in (mark.label, mark.suggested)), default=0
    )
    if longest > LONGEST_LABEL:
        raise DataError(
            f"A label has {longest:,} characters.", f"Use at most {LONGEST_LABEL:,} characters."
        )
    if not can_have_disputed(fingerprint):
        raise DataError(
            f"The dataset {data!r} has no fingerprint, so its labels cannot be disputed.",
            "Dispute labels of a run that was trained here.",
        )
    path = _path(store, fingerprint, store.visitor.folder)
    # one lock for all datasets, whose labels are counted together
    with hold_lock(path.with_name("disputed.lock"), LOCK_TIMEOUT_SECONDS) as held:
        if not held:
            raise StateConflict("Another tab or user is marking labels.", "Try again in a moment.")
        now, left = store.clock(), count_left(store)
        labels = _read(path, fingerprint)
        if left is not None and len({mark.row for mark in added} - labels.keys()) > left:
            raise NotAllowed(
                "A student may dispute {most:,} labels on this server.",
                "Undo some of yours: the page Quality lists them.",
                most=MOST_OF_A_STUDENT,
            )
        labels |= {mark.row: mark.model_copy(update={"at": now}) for mark in added}
        remaining = tuple(labels[row] for row in sorted(labels) if row not in removed)
        if remaining:
            content = DisputedFile(fingerprint=fingerprint, data=data, labels=remaining)
            files.write_json(path, content.model_dump(mode="json"))
        else:
            path.unlink(missing_ok=True)


def move_disputed(store: Store, folder: str, into: str) -> None:
    """Add the marks of one folder to those of another, which keeps its own of the same rows.

    Raises ArtifactDamaged.
    """
    for path in sorted((store.settings.home / "disputed" / folder).glob("*.json")):
        target = _path(store, path.stem, into)
        moved = _load(path)
        labels = {label.row: label for label in moved.labels} | _read(target, path.stem)
        content = moved.model_copy(update={"labels": tuple(labels[row] for row in sorted(labels))})
        files.write_json(target, content.model_dump(mode="json"))
        path.unlink()


def _path(store: Store, fingerprint: str, folder: str) -> Path:
    return store.settings.home / "disputed" / folder / f"{fingerprint}.json"


def _read(path: Path, fingerprint: str) -> dict[int, DisputedLabel]:
    if not fingerprint or not path.exists():
        return {}
    content = _load(path)
    if content.fingerprint != fingerprint:
        raise ArtifactDamaged(
            "The disputed labels are of another dataset.",
            f"Delete {path.name} in the folder disputed.",
        )
    return {label.row: label for label in content.labels}


def _load(path: Path) -> DisputedFile:
    try:
        return DisputedFile.model_validate(files.read_json(path))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            "The disputed labels of a dataset are damaged.",
            f"Delete {path.name} in the folder disputed.",
        ) from error
