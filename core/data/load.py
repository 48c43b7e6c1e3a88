"""Read rows: Parquet, CSV and JSONL files of a folder, AG News from the Hub with Hugging Face
``datasets``, or the demo corpus.

Runs in a job, never in the server. The demo corpus, short news items written for this project,
needs no network.
"""

import errno
from pathlib import Path

import datasets
import huggingface_hub
import pandas as pd
import pyarrow

from core.data.rows import COLUMNS, RawData, clean_rows, missing_columns
from core.data.sources import (
    DEMO_FILES,
    DEMO_FOLDER,
    HUB_ID,
    HUB_REVISION,
    Source,
    SourceKind,
    data_files,
    hub_snapshot,
)
from core.data.splits.labels import SEVERAL, LabelReading, map_cells, read_labels
from core.data.tables.read import read_table
from core.data.tables.table import ReportRows, Table
from core.errors import DataError

OTHER_VALIDATION = (
    "The validation files in the folder are not used: a tenth of the training rows is held out."
)


def load_rows(source: Source, cache: Path, report: ReportRows | None = None) -> RawData:
    """Read and check all rows of ``source``. ``cache`` is a folder for the temporary files of
    ``datasets``; ``report`` gets the rows of a file that were read so far.

    Raises DataError if the data is unavailable, unreadable or unsuitable for a classifier.
    """
    if source.kind is SourceKind.DEMO:
        return read_demo_corpus()
    if source.folder is not None:
        return _read_folder(source.folder, report)
    _silence_libraries()
    splits = data_files(hub_snapshot() or _download())
    train, order = _read_hub_split(splits["train"], cache)
    test, _ = _read_hub_split(splits["test"], cache)
    return clean_rows({"train": train, "test": test}, order)


def _read_folder(folder: Path, report: ReportRows | None) -> RawData:
    """Read text and label of all files in a data folder."""
    splits = data_files(folder)
    tables = {
        split: [
            read_table(path.name, path, choose=_choose_columns, report=report)
            for path in splits[split]
        ]
        for split in ("train", "test")
        if split in splits
    }
    every = [table for split in tables.values() for table in split]
    for table in every:
        _require_columns(table)
    reading = read_labels([table.frame["label"] for table in every])
    if reading.unclear:
        raise DataError(
            f"The label {reading.unclear!r} may be a class, or mark rows without a label.",
            "Add the folder with `python -m core data add`, which lets you choose.",
        )
    notes = [OTHER_VALIDATION] if "validation" in splits else []
    notes += [note for table in every for note in _describe_reading(table)]
    notes += reading.notes
    frames: dict[str, pd.DataFrame] = {
        split: pd.concat([_label_rows(table, reading) for table in read], ignore_index=True)
        for split, read in tables.items()
    }
    return clean_rows(frames, tables["train"][0].class_names.get("label", ()), notes)


def _choose_columns(sample: Table) -> tuple[str, ...]:
    return COLUMNS if set(COLUMNS) <= set(sample.columns) else tuple(sample.columns)


def _require_columns(table: Table) -> None:
    if not set(COLUMNS) <= set(table.columns):
        error = missing_columns(table.columns, table.file.name)
        unread = "".join(f" {name!r} holds {kind} values." for name, kind in table.unread)
        raise DataError(f"{error.message}{unread}", error.fix)


def _describe_reading(table: Table) -> list[str]:
    """Say what was left out and decided when the file was read."""
    notes = [f"{table.file.name}: {note}" for note in table.file.notes]
    if left_out := table.report.describe_left_out():
        notes.append(f"{table.file.name}: left out: {left_out}.")
    return notes


def _label_rows(table: Table, reading: LabelReading) -> pd.DataFrame:
    cells = table.frame["label"]
    several = {cell: reason for cell, reason in reading.reasons.items() if reason == SEVERAL}
    return pd.DataFrame(
        {
            "text": table.frame["text"],
            "label": map_cells(cells, reading.labels),
            "reason": map_cells(cells, several),
            "line": table.frame.index,
        }
    ).assign(file=table.file.name)


def _silence_libraries() -> None:
    datasets.disable_progress_bars()
    # exported, but invisible to static tools
    huggingface_hub.utils.disable_progress_bars()  # type: ignore[attr-defined]
    # errors become a DataError; the library would log them a second time
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    # otherwise reading a local folder contacts a server, which takes up to 3 s per split
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False


def _download() -> Path:
    try:
        snapshot = huggingface_hub.snapshot_download(
            HUB_ID, repo_type="dataset", revision=HUB_REVISION, allow_patterns="data/*.parquet"
        )
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        fix = (
            "Try again, give a local folder with --data or LORALAB_DATA, or set LORALAB_HUB=false"
            " for the demo corpus."
        )
        raise DataError(
            f"AG News could not be downloaded from the Hub ({type(error).__name__}).", fix
        ) from error
    return Path(snapshot)


def _read_hub_split(paths: list[Path], cache: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read text and label of AG News with ``datasets``, and its class names in order."""
    try:
        rows = datasets.load_dataset(
            "parquet",
            data_files=[str(path) for path in paths],
            split="train",
            cache_dir=str(cache),
        )
    except (
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
        pyarrow.ArrowException,
    ) as error:
        raise _unreadable_error(", ".join(path.name for path in paths[:3]), error) from error
    frame = rows.select_columns(list(COLUMNS)).to_pandas()
    label = rows.features["label"]
    names = list(label.names) if isinstance(label, datasets.ClassLabel) else []
    labels = frame["label"].map(dict(enumerate(names))) if names else frame["label"].astype(str)
    return frame.assign(label=labels), names


def _unreadable_error(names: str, error: BaseException) -> DataError:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{names} cannot be read: {reason}.", "Check the file, or download it again.")


TEST_INTERVAL = 4  # every fourth line of a file is in the test split


def read_demo_corpus() -> RawData:
    """Read all items in the order World, Sports, Business, Sci/Tech; every fourth of each file is
    test.
    """
    frames = [_read_class(label, name) for label, name in enumerate(DEMO_FILES.values())]
    items = pd.concat(frames, ignore_index=True)
    train, test = (items[items["test"] == part] for part in (False, True))
    return RawData(_number_rows(train), _number_rows(test), tuple(DEMO_FILES))


def _read_class(label: int, name: str) -> pd.DataFrame:
    texts = [
        line
        for line in (DEMO_FOLDER / name).read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    in_test = [number % TEST_INTERVAL == 0 for number in range(1, len(texts) + 1)]
    return pd.DataFrame({"text": texts, "label": label, "test": in_test})


def _number_rows(items: pd.DataFrame) -> pd.DataFrame:
    return items.reset_index(drop=True).assign(row=range(len(items)))[["row", "text", "label"]]
