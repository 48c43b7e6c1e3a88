"""Read rows with Hugging Face ``datasets``: Parquet, CSV and JSONL files, AG News from the Hub, or
the demo corpus.

Runs in a job, never in the server. The demo corpus, short news items written for this project,
needs no network.
"""

import csv
import errno
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import datasets
import huggingface_hub
import pandas as pd
import pyarrow
import pyarrow.parquet

from core.data.rows import COLUMNS, RawData, clean_rows, missing_columns
from core.data.sources import (
    AG_NEWS_CLASSES,
    DEMO_FOLDER,
    HUB_ID,
    HUB_REVISION,
    Source,
    SourceKind,
    data_files,
    hub_snapshot,
)
from core.errors import DataError

BUILDERS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json"}
OTHER_VALIDATION = (
    "The validation files in the folder are not used: a tenth of the training rows is held out."
)


def load_rows(source: Source, cache: Path) -> RawData:
    """Read and check all rows of ``source``. ``cache`` is a folder for the temporary files of
    ``datasets``.

    Raises DataError if the data is unavailable, unreadable or unsuitable for a classifier.
    """
    if source.kind is SourceKind.DEMO:
        return read_demo_corpus()
    _silence_libraries()
    folder = source.folder or hub_snapshot() or _download()
    splits = data_files(folder)
    train, order = _read_split(splits["train"], cache)
    frames = {"train": train}
    if "test" in splits:
        frames["test"], _ = _read_split(splits["test"], cache)
    return clean_rows(frames, order, [OTHER_VALIDATION] if "validation" in splits else [])


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


def _read_split(paths: list[Path], cache: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read text and label of all ``paths``, and the class names in order if the files define
    them.
    """
    suffix = paths[0].suffix.lower()
    names = ", ".join(path.name for path in paths[:3])
    if not sum([_check_file(path, suffix) for path in paths]):
        raise DataError(f"{names} has no rows.", "Add rows, or remove it from the folder.")
    # strings, otherwise 007 would become 7 and the text NA a missing value
    features = datasets.Features(dict.fromkeys(COLUMNS, datasets.Value("string")))
    options = {"features": features, "keep_default_na": False} if suffix == ".csv" else {}
    try:
        rows = datasets.load_dataset(
            BUILDERS[suffix],
            data_files=[str(p) for p in paths],
            split="train",
            cache_dir=str(cache),
            **options,
        )
    except (
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
        pyarrow.ArrowException,
    ) as error:
        raise _unreadable_error(names, _find_root_cause(error)) from error
    if not set(COLUMNS) <= set(rows.column_names):
        raise missing_columns(rows.column_names, paths[0].name)
    frame = rows.select_columns(list(COLUMNS)).to_pandas()
    label = rows.features["label"]
    if not isinstance(label, datasets.ClassLabel):
        return frame, []
    return frame.assign(label=frame["label"].map(dict(enumerate(label.names)))), list(label.names)


def _check_file(path: Path, suffix: str) -> int:
    """Count the rows, and detect faults that the library would silently misread or report without a
    location.
    """
    try:
        match suffix:
            case ".csv":
                return _check_csv(path)
            case ".jsonl":
                return _check_jsonl(path)
            case _:
                metadata = pyarrow.parquet.read_metadata(path)
                _require_columns(metadata.schema.to_arrow_schema().names, path)
                return int(metadata.num_rows)
    except UnicodeDecodeError as error:
        problem = (
            f"{path.name} is not UTF-8: byte {error.object[error.start]:#04x} at position"
            f" {error.start:,}"
        )
        raise DataError(f"{problem}.", "Save it as UTF-8.") from error
    except (OSError, ValueError, csv.Error, pyarrow.ArrowException) as error:
        raise _unreadable_error(path.name, error) from error


def _check_csv(path: Path) -> int:
    csv.field_size_limit(sys.maxsize)
    rows = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        _require_columns(header, path)
        for fields in filter(None, reader):  # pandas skips blank lines too
            if len(fields) != len(header):
                problem = (
                    f"{path.name}, line {reader.line_num:,}: the row has {len(fields)} of"
                    f" {len(header)} columns"
                )
                raise DataError(
                    f"{problem}.",
                    "Put texts that hold a comma, a quote or a line break in double quotes.",
                )
            rows += 1
    return rows


def _check_jsonl(path: Path) -> int:
    rows = 0
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            if not _is_object(line):
                raise DataError(
                    f"{path.name}, line {number:,} is not a JSON object.",
                    'Write one {"text": …, "label": …} per line.',
                )
            rows += 1
    return rows


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _require_columns(names: Iterable[str], path: Path) -> None:
    columns = list(names)
    if not set(COLUMNS) <= set(columns):
        raise missing_columns(columns, path.name)


def _unreadable_error(names: str, error: BaseException) -> DataError:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(
        f"{names} cannot be read: {reason}.",
        "Check the file, or save it again as Parquet, CSV or JSONL.",
    )


def _find_root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


FILES = dict(
    zip(AG_NEWS_CLASSES, ("world.txt", "sports.txt", "business.txt", "scitech.txt"), strict=True)
)
TEST_INTERVAL = 4  # every fourth line of a file is in the test split


def read_demo_corpus() -> RawData:
    """Read all items in the order World, Sports, Business, Sci/Tech; every fourth of each file is
    test.
    """
    frames = [_read_class(label, name) for label, name in enumerate(FILES.values())]
    items = pd.concat(frames, ignore_index=True)
    train, test = (items[items["test"] == part] for part in (False, True))
    return RawData(_number_rows(train), _number_rows(test), tuple(FILES))


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
