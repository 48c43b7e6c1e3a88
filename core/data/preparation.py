"""Prepare a source once, and find and open prepared datasets.

``<home>/data/<fingerprint>/{train,validation,test}.parquet, dataset.json``. For each source,
``<home>/data/sources/<key>.json`` stores the fingerprint, so that no rows are read to find the
dataset.
"""

import fcntl
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from core.data.dataset import (
    AGAIN,
    GROUP_ROWS,
    DatasetCard,
    read_dataset,
    write_dataset,
    write_split,
)
from core.data.dataset import Dataset as Dataset  # re-exported
from core.data.hidden_test import (
    build_visible,
    find_visible,
    list_visible_folders,
    require_visible,
)
from core.data.rows import RawData, draw_positions
from core.data.sources import Source, SourceKind, Split, dataset_name, pointer_path
from core.errors import ArtifactDamaged, DataError, Stopped
from core.progress import Phase, Progress
from core.settings import Settings
from core.storage import files

VALIDATION_SHARE = 0.1
CHUNK_ROWS = 1000  # about 0.1 s between checks for a stop
LOCK_POLL_SECONDS = 0.1

Report = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Pointer:
    """The stored entry of a source: its dataset, and the dataset's name and notes for this
    source.
    """

    fingerprint: str
    source: SourceKind
    name: str
    notes: tuple[str, ...]


POINTER = TypeAdapter(Pointer)


def find_prepared(settings: Settings, source: Source) -> Dataset | None:
    """Find the prepared copy of ``source`` in its present state, or None. A damaged copy counts as
    missing: preparing fixes it.

    Without the hidden final test of the class, if it has one.
    """
    whole = find_whole(settings, source)
    return find_visible(settings, whole) if whole else None


def find_whole(settings: Settings, source: Source) -> Dataset | None:
    """Find the prepared copy of ``source`` with the hidden final test of the class, or None."""
    path = pointer_path(settings, source)
    if not path.exists():
        return None
    try:
        pointer = POINTER.validate_python(files.read_json(path))
        dataset = _open(settings, pointer.fingerprint)
    except (ArtifactDamaged, ValidationError):
        return None
    return replace(dataset, source=pointer.source, name=pointer.name, notes=pointer.notes)


def open_dataset(settings: Settings, fingerprint: str) -> Dataset:
    """Open the prepared dataset with ``fingerprint``. Raises ArtifactDamaged if it is missing or
    incomplete, or includes the hidden final test of the class.
    """
    require_visible(settings, fingerprint)
    return _open(settings, fingerprint)


def _open(settings: Settings, fingerprint: str) -> Dataset:
    folder = settings.prepared / fingerprint
    if not re.fullmatch(r"[0-9a-f]{12}", fingerprint) or not folder.is_dir():
        raise ArtifactDamaged(f"The prepared data {fingerprint!r} is not on this machine.", AGAIN)
    return read_dataset(folder)


def remove_prepared(settings: Settings, dataset: Dataset) -> None:
    """Remove a prepared dataset, its copies without a hidden final test, and the pointers to it. A
    source that it can be prepared from again is not changed.
    """
    for folder in (*list_visible_folders(settings, dataset.fingerprint), dataset.folder):
        files.remove_folder(folder)
    for path in (settings.prepared / "sources").glob("*.json"):
        try:
            pointer = POINTER.validate_python(files.read_json(path))
        except (ArtifactDamaged, ValidationError):  # preparing its source again replaces it
            continue
        if pointer.fingerprint == dataset.fingerprint:
            path.unlink(missing_ok=True)


def prepare(settings: Settings, source: Source, report: Report, should_stop: ShouldStop) -> Dataset:
    """Return the prepared copy of ``source``; build it if it is missing or damaged. Runs in jobs.

    Without the hidden final test of the class, if it has one. Raises DataError if the source is
    unsuitable for a classifier, and Stopped.
    """
    report(Progress(Phase.PREPARING))
    with _lock_folder(settings.prepared, should_stop):
        existing = find_whole(settings, source)
        whole = (
            existing
            if existing is not None and existing.is_intact()
            else _prepare_whole(settings, source, report, should_stop)
        )
        return build_visible(settings, whole)


def _prepare_whole(
    settings: Settings, source: Source, report: Report, should_stop: ShouldStop
) -> Dataset:
    path = pointer_path(settings, source)
    raw = _read(settings, source, report)
    fingerprint = fingerprint_of(raw)
    dataset = _find_same_rows(settings, source, raw, fingerprint) or _write(
        settings, source, raw, fingerprint, report, should_stop
    )
    if pointer_path(settings, source) != path:
        raise DataError(f"The files of {source.name} changed while they were read.", AGAIN)
    content = Pointer(dataset.fingerprint, dataset.source, dataset.name, dataset.notes)
    files.write_json(path, POINTER.dump_python(content, mode="json"))
    return dataset


def fingerprint_of(raw: RawData) -> str:
    """Compute 12 hex digits over class names and all rows in order, independent of path and file
    format.
    """
    digest = hashlib.sha256()
    own_validation = (
        [] if raw.validation is None else [("validation", _iterate_values(raw.validation))]
    )
    for name, values in (
        ("classes", raw.classes),
        ("train", _iterate_values(raw.train)),
        ("test", _iterate_values(raw.test)),
        *own_validation,
    ):
        digest.update(name.encode())
        for value in values:
            content = value.encode()
            # prefixed with the length, otherwise ab, c would equal a, bc
            digest.update(b"%d:%b" % (len(content), content))
    return digest.hexdigest()[:12]


def _iterate_values(frame: pd.DataFrame) -> Iterator[str]:
    return chain.from_iterable(zip(frame["label"].astype(str), frame["text"], strict=True))


@contextmanager
def _lock_folder(folder: Path, should_stop: ShouldStop) -> Iterator[None]:
    """Wait until no other process prepares data in ``folder``. The kernel releases the lock when a
    process dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        while not _try_lock(lock.fileno()):
            _check_stop(should_stop)
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(settings: Settings, source: Source, report: Report) -> RawData:
    if source.kind is SourceKind.SAVED:
        # saved rows were checked when they were saved, so the datasets library is not loaded
        from core.data.saved import read_saved  # noqa: PLC0415

        return read_saved(source)
    # imports datasets, which must stay out of the server
    from core.data.load import load_rows  # noqa: PLC0415

    with files.scratch_folder(settings.prepared / "reading") as cache:
        return load_rows(source, cache, lambda rows, size: report(Progress(Phase.PREPARING, rows)))


def _find_same_rows(
    settings: Settings, source: Source, raw: RawData, fingerprint: str
) -> Dataset | None:
    """Find an intact dataset with the same rows that was prepared from another source."""
    try:
        known = _open(settings, fingerprint)
    except ArtifactDamaged:
        return None
    return (
        replace(known, source=source.kind, name=_dataset_name(source, raw), notes=raw.notes)
        if known.is_intact()
        else None
    )


def _write(
    settings: Settings,
    source: Source,
    raw: RawData,
    fingerprint: str,
    report: Report,
    should_stop: ShouldStop,
) -> Dataset:
    folder, total, done = settings.prepared / fingerprint, _count_rows(raw), 0

    def report_rows(rows: int) -> None:
        nonlocal done
        _check_stop(should_stop)
        report(Progress(Phase.PREPARING, done, total))
        done += rows

    with files.scratch_folder(folder) as part:
        written = tuple(
            write_split(part, split, _add_lengths(frame, positions, report_rows))
            for split, frame, positions in _divide(raw)
        )
        report_rows(0)
        card = DatasetCard(
            1, fingerprint, source.kind, _dataset_name(source, raw), raw.classes, raw.notes, written
        )
        return write_dataset(card, folder, part)


def _count_rows(raw: RawData) -> int:
    return sum(len(frame) for frame in (raw.train, raw.validation, raw.test) if frame is not None)


def _divide(raw: RawData) -> Iterator[tuple[Split, pd.DataFrame, NDArray[np.int64]]]:
    """Return the frame and the positions in it of each split. A frame of the remaining rows would
    hold all texts a second time.
    """
    if raw.validation is None:
        rest, part = draw_positions(raw.train, VALIDATION_SHARE)
        yield "train", raw.train, rest
        yield "validation", raw.train, part
    else:
        yield "train", raw.train, np.arange(len(raw.train))
        yield "validation", raw.validation, np.arange(len(raw.validation))
    yield "test", raw.test, np.arange(len(raw.test))


def _add_lengths(
    frame: pd.DataFrame, positions: NDArray[np.int64], report_rows: Callable[[int], None]
) -> Iterator[pd.DataFrame]:
    """Iterate over the rows at ``positions`` with their lengths in characters, words and tokens."""
    # loaded here because the server reads datasets without tokenizing them
    from core.data.tokenizer import measure  # noqa: PLC0415

    for start in range(0, len(positions), GROUP_ROWS):
        rows = frame.iloc[positions[start : start + GROUP_ROWS]].reset_index(drop=True)
        lengths = []
        for first in range(0, len(rows), CHUNK_ROWS):
            texts = rows["text"].iloc[first : first + CHUNK_ROWS].tolist()
            report_rows(len(texts))
            lengths.append(measure(texts))
        yield pd.concat([rows, pd.concat(lengths, ignore_index=True)], axis=1)


def _dataset_name(source: Source, raw: RawData) -> str:
    return (
        dataset_name(raw.classes, source.folder, len(raw.test))
        if source.kind is SourceKind.FOLDER
        else source.name
    )


def _check_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped("The preparation was stopped.", AGAIN)
