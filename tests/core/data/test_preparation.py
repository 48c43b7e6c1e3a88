import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pandas as pd
import pytest

from core.data import preparation
from core.data.dataset import Dataset
from core.data.preparation import find_prepared, fingerprint_of, open_dataset, prepare
from core.data.rows import RawData, clean_rows
from core.data.sources import Source, SourceKind, source_key
from core.errors import ArtifactDamaged, DataError, Stopped
from core.progress import Phase, Progress
from core.settings import Settings
from tests.support.pet_rows import Make, items


def never() -> bool:
    return False


def ready(settings: Settings, source: Source) -> Dataset:
    return prepare(settings, source, lambda _: None, never)


def damage(path: Path) -> None:
    """Change bytes in the middle, keep the size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 64] = bytes(64)
    path.write_bytes(content)


def make_unreadable(source: Source) -> None:
    """Damage the files of the source, which look unchanged by size and time."""
    assert source.folder is not None
    for path in source.folder.iterdir():
        before = path.stat()
        path.write_bytes(b"\0" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def test_a_source_becomes_three_files_and_a_card(settings: Settings, make_source: Make) -> None:
    dataset = ready(settings, make_source(train=items(200), test=items(30)))

    assert (dataset.train_rows, dataset.validation_rows, dataset.test_rows) == (200, 20, 30)
    assert [len(dataset.read(split)) for split in ("train", "validation", "test")] == [180, 20, 30]
    assert (dataset.source, dataset.name, dataset.classes, dataset.notes) == (
        SourceKind.FOLDER,
        "pets",
        ("cat", "dog"),
        (),
    )
    assert dataset.folder == settings.prepared / dataset.fingerprint


def test_rows_keep_their_place_in_the_source_and_get_their_lengths(
    settings: Settings, make_source: Make
) -> None:
    dataset = ready(settings, make_source(train=items(200), test=items(30)))
    test = dataset.read("test")

    assert {name: str(kind) for name, kind in test.dtypes.items()} == {
        "row": "int64",
        "text": "str",
        "label": "int64",
        "characters": "int64",
        "words": "int64",
        "tokens": "int64",
    }
    assert test.iloc[1].tolist() == [1, "text 1 here", 1, 11, 3, 5]
    assert sorted([*dataset.read("train")["row"], *dataset.read("validation")["row"]]) == list(
        range(200)
    )


def test_validation_is_a_stratified_tenth_and_the_same_each_time(
    tmp_path: Path, make_source: Make
) -> None:
    source = make_source(train=items(200, ("a", "a", "a", "b")), test=items(30, ("a", "b")))
    first, second = (
        ready(Settings(home=tmp_path / name), source).read("validation") for name in ("one", "two")
    )

    assert first["label"].value_counts().to_dict() == {0: 15, 1: 5}
    pd.testing.assert_frame_equal(first, second)


def test_what_is_prepared_is_found_without_reading_rows(
    settings: Settings, make_source: Make
) -> None:
    source = make_source()
    assert find_prepared(settings, source) is None
    dataset = ready(settings, source)
    make_unreadable(source)

    assert (
        find_prepared(settings, source)
        == open_dataset(settings, dataset.fingerprint)
        == ready(settings, source)
        == dataset
    )


def test_a_changed_file_is_prepared_again_and_the_old_rows_stay(
    settings: Settings, make_source: Make
) -> None:
    old = ready(settings, make_source(train=items(40), test=items(10)))
    source = make_source(train=items(42), test=items(10))

    assert find_prepared(settings, source) is None
    assert ready(settings, source).fingerprint != old.fingerprint
    assert len(open_dataset(settings, old.fingerprint).read("test")) == 10


def test_the_same_rows_from_elsewhere_are_one_dataset_under_two_names(
    settings: Settings, make_source: Make
) -> None:
    item, two = make_source("csv", folder="one"), make_source("parquet", folder="two")

    first, second = ready(settings, item), ready(settings, two)

    assert first.folder == second.folder
    assert [first.name, second.name] == ["one", "two"]
    assert [
        result.name for source in (item, two) if (result := find_prepared(settings, source))
    ] == [
        "one",
        "two",
    ]


def test_progress_counts_all_rows(settings: Settings, make_source: Make) -> None:
    reported: list[Progress] = []

    prepare(settings, make_source(train=items(2500), test=items(30)), reported.append, never)

    assert [(report.done, report.total) for report in reported] == [
        (0, 0),
        (2500, 0),
        (30, 0),
        (0, 2530),
        (1000, 2530),
        (2000, 2530),
        (2250, 2530),
        (2500, 2530),
        (2530, 2530),
    ]
    assert {report.phase for report in reported} == {Phase.PREPARING}


def test_a_stop_leaves_nothing_behind(settings: Settings, make_source: Make) -> None:
    source = make_source(train=items(2500), test=items(30))
    reported: list[Progress] = []

    with pytest.raises(Stopped):
        prepare(settings, source, reported.append, lambda: len(reported) > 2)

    assert find_prepared(settings, source) is None
    assert [path.name for path in settings.prepared.iterdir()] == [".lock"]


@pytest.mark.parametrize("harm", [cut, damage, Path.unlink])
@pytest.mark.parametrize("name", ["train.parquet", "dataset.json"])
def test_preparing_again_fixes_what_is_damaged(
    settings: Settings, make_source: Make, name: str, harm: Callable[[Path], None]
) -> None:
    source = make_source()
    dataset = ready(settings, source)
    before = dataset.read("train")
    harm(dataset.folder / name)

    fixed = ready(settings, source)

    pd.testing.assert_frame_equal(fixed.read("train"), before)
    assert find_prepared(settings, source) == fixed == dataset


@pytest.mark.parametrize("harm", [cut, damage, Path.unlink])
def test_reading_a_damaged_file_says_what_to_do(
    settings: Settings, make_source: Make, harm: Callable[[Path], None]
) -> None:
    dataset = ready(settings, make_source())
    harm(dataset.folder / "test.parquet")

    with pytest.raises(
        ArtifactDamaged,
        match=(
            r"The prepared data of pets: test.parquet is missing or damaged .* Prepare the data"
            r" again\."
        ),
    ):
        dataset.read("test")


def test_a_file_with_other_rows_is_refused(settings: Settings, make_source: Make) -> None:
    dataset = ready(settings, make_source())
    shutil.copy(dataset.folder / "test.parquet", dataset.folder / "train.parquet")

    with pytest.raises(ArtifactDamaged, match=r"train.parquet of pets has 10 rows instead of 36"):
        dataset.read("train")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_a_damaged_card_or_pointer_counts_as_not_prepared(
    settings: Settings, make_source: Make, content: str
) -> None:
    source = make_source()
    dataset = ready(settings, source)
    card, pointer = (
        dataset.folder / "dataset.json",
        settings.prepared / "sources" / f"{source_key(source)}.json",
    )

    for path in (card, pointer):
        whole = path.read_text()
        path.write_text(content)
        assert find_prepared(settings, source) is None
        path.write_text(whole)
    assert find_prepared(settings, source) == dataset


def test_a_card_of_another_format_is_not_read(settings: Settings, make_source: Make) -> None:
    dataset = ready(settings, make_source())
    card = dataset.folder / "dataset.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"format": 2}))

    with pytest.raises(
        ArtifactDamaged,
        match=f"card of the prepared data {dataset.fingerprint} is missing or damaged",
    ):
        open_dataset(settings, dataset.fingerprint)


@pytest.mark.parametrize("fingerprint", ["0123456789ab", "../jobs", "", "sources"])
def test_an_unknown_fingerprint_is_not_on_this_machine(
    settings: Settings, fingerprint: str
) -> None:
    (settings.prepared / "sources").mkdir(parents=True)

    with pytest.raises(ArtifactDamaged, match="is not on this machine"):
        open_dataset(settings, fingerprint)


def test_files_that_change_while_they_are_read_are_refused(
    settings: Settings, make_source: Make
) -> None:
    source = make_source(train=items(40), test=items(10))

    def change(progress: Progress) -> None:
        if progress.total:
            make_source(train=items(44), test=items(10))

    with pytest.raises(DataError, match="The files of pets changed while they were read"):
        prepare(settings, source, change, never)


def prepare_in_process(home: str, source: Source, barrier: Barrier) -> None:
    barrier.wait()
    dataset = ready(Settings(home=Path(home)), source)
    assert dataset.is_intact()


@pytest.mark.slow
def test_two_processes_that_prepare_at_once_leave_one_whole_dataset(
    settings: Settings, make_source: Make
) -> None:
    source = make_source(train=items(3000), test=items(30))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=prepare_in_process, args=(str(settings.home), source, barrier))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    result = find_prepared(settings, source)

    assert [process.exitcode for process in processes] == [0, 0]
    assert result is not None
    assert result.is_intact()
    assert sorted(path.name for path in settings.prepared.iterdir()) == sorted(
        [".lock", result.fingerprint, "sources"]
    )


def test_a_wait_for_another_process_can_be_stopped(settings: Settings, make_source: Make) -> None:
    source = make_source()
    make_unreadable(source)

    with preparation._lock_folder(settings.prepared, never), pytest.raises(Stopped):
        prepare(settings, source, lambda _: None, lambda: True)


def raw(order: Sequence[str] = (), **columns: str | list[str]) -> RawData:
    return clean_rows({"train": items(40).assign(**columns), "test": items(10)}, order)


def test_fingerprint_changes_with_each_row_and_class_name_only() -> None:
    texts = items(40)["text"].tolist()

    assert fingerprint_of(raw()) == fingerprint_of(raw(url="x"))
    others = [raw(order=("dog", "cat")), raw(text=texts[::-1]), raw(text=[*texts[:-1], "other"])]
    assert len({fingerprint_of(each) for each in (raw(), *others)}) == 4


def test_fingerprint_reports_where_one_text_ends() -> None:
    rest = items(40)["text"].tolist()[2:]

    # labels 0 and 1 before the texts: both would read 0a11b without the lengths
    assert fingerprint_of(raw(text=["a", "1b", *rest])) != fingerprint_of(
        raw(text=["a1", "b", *rest])
    )
