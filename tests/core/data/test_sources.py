import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.sources import (
    AG_NEWS_CLASSES,
    HUB_REVISION,
    Source,
    SourceKind,
    data_files,
    dataset_name,
    demo_source,
    find_source,
    folder_source,
    hub_snapshot,
    source_key,
)
from core.errors import DataError
from core.settings import Settings


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text,label\n")
    return folder


def fill_hub_cache(folder: Path) -> Path:
    snapshot = folder / "hub/datasets--fancyzhx--ag_news/snapshots" / HUB_REVISION
    return fill(snapshot, "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create an empty Hub cache for the test."""
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    return tmp_path / "huggingface"


def test_a_folder_given_wins_over_the_setting_and_the_hub(
    tmp_path: Path, home: Path, hub_cache: Path
) -> None:
    fill_hub_cache(hub_cache)
    settings = Settings(home=home, data=fill(tmp_path / "one", "train.csv"))

    assert find_source(settings, fill(tmp_path / "two", "train.csv")).name == "two"
    assert find_source(settings).name == "one"


def test_ag_news_in_the_hub_cache_is_used_without_the_hub(
    settings: Settings, hub_cache: Path
) -> None:
    snapshot = fill_hub_cache(hub_cache)

    assert find_source(settings) == Source(SourceKind.HUB, "AG News")
    assert hub_snapshot() == snapshot


def test_half_a_download_does_not_count(settings: Settings, hub_cache: Path) -> None:
    (fill_hub_cache(hub_cache) / "data/test-00000-of-00001.parquet").unlink()

    assert find_source(settings).kind is SourceKind.DEMO


def test_without_folder_and_hub_the_demo_corpus_is_used_and_the_note_says_why(home: Path) -> None:
    assert find_source(Settings(home=home, hub=True)) == demo_source()
    assert (
        find_source(Settings(home=home, hub=True)).note
        == "The Hub cannot be reached, so the demo corpus is used."
    )
    assert (
        find_source(Settings(home=home, hub=False)).note
        == "The Hub is switched off, so the demo corpus is used."
    )


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
            {"train": ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]},
        ),
        (
            ["train/0000.jsonl", "eval/0000.jsonl", "dev/0.jsonl"],
            {"train": ["0000.jsonl"], "test": ["0000.jsonl"], "validation": ["0.jsonl"]},
        ),
        (["AG_NEWS_TRAIN.CSV", "classes.csv"], {"train": ["AG_NEWS_TRAIN.CSV"]}),
        (["latest.csv"], {"train": ["latest.csv"]}),
        (
            ["train.csv", ".git/test.csv", "__MACOSX/test.csv", "notes.txt"],
            {"train": ["train.csv"]},
        ),
    ],
)
def test_splits_are_reported_by_the_words_in_a_path(
    tmp_path: Path, names: list[str], splits: dict[str, list[str]]
) -> None:
    fill(tmp_path, *names)

    assert {
        split: [path.name for path in paths] for split, paths in data_files(tmp_path).items()
    } == splits


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["data.py", "notes.txt"], "contains no .parquet, .csv, .tsv, .jsonl or .json file"),
        (["test.csv"], "has no training file; found test.csv"),
        (["train.parquet", "test.csv"], "mixes formats: test.csv, train.parquet"),
    ],
)
def test_a_folder_without_usable_files_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        folder_source(fill(tmp_path / "given", *names))

    assert caught.value.fix


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        DataError, match=f"{tmp_path}/nowhere does not exist. Check --data or LORALAB_DATA"
    ):
        folder_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file, not a folder"):
        folder_source(tmp_path / "file")


@pytest.mark.parametrize(
    ("classes", "folder", "test_rows", "name"),
    [
        (AG_NEWS_CLASSES, "mine", 7600, "AG News"),
        (AG_NEWS_CLASSES[::-1], "AG_News-sample", 10, "AG News"),
        (AG_NEWS_CLASSES, "mine", 400, "mine"),
        (("ham", "spam"), "ag_news", 7600, "ag_news"),
    ],
)
def test_ag_news_is_known_by_its_classes_and_size_or_name(
    classes: tuple[str, ...], folder: str, test_rows: int, name: str
) -> None:
    assert dataset_name(classes, Path(folder), test_rows) == name


def test_class_names_are_read_from_the_schema_of_a_parquet_file(tmp_path: Path) -> None:
    features = (
        b'{"info": {"features": {"label": {"names": ["World", "Sports", "Business", "Sci/Tech"],'
        b' "_type": "ClassLabel"}}}}'
    )
    schema = pa.schema(
        [("text", pa.string()), ("label", pa.int64())], metadata={"huggingface": features}
    )
    (tmp_path / "ag_news").mkdir()
    pq.write_table(
        pa.table({"text": ["a"], "label": [0]}, schema=schema), tmp_path / "ag_news/train.parquet"
    )

    assert folder_source(tmp_path / "ag_news").name == "AG News"


def test_a_damaged_parquet_file_still_gives_a_source(tmp_path: Path) -> None:
    assert (
        folder_source(fill(tmp_path / "broken", "train.parquet", "test.parquet")).name == "broken"
    )


def test_the_key_changes_with_a_file_and_only_then(tmp_path: Path) -> None:
    source = folder_source(fill(tmp_path / "one", "train.csv"))
    before = source_key(source)
    again = source_key(folder_source(tmp_path / "one"))
    os.utime(tmp_path / "one/train.csv", ns=(0, 1))

    assert before == again != source_key(source)
    assert source_key(demo_source()) == source_key(demo_source("another note"))
