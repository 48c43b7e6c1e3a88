import os
from pathlib import Path

import pytest

from core.data.saved import ImportOptions, add_files, read_saved
from core.data.sources import named_source
from core.data.splits.data_folders import describe_state, list_tables, read_source
from core.data.tables.read_report import ReadOptions
from core.errors import DataError
from core.settings import Settings

WORDS = {"pos": "a good film, number", "neg": "a bad film, number"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def texts(split: str = "", rows: int = 12, encoding: str = "utf-8") -> dict[str, bytes]:
    return {
        f"{split}{label}/{number}_7.txt": f"{words} {number} café".encode(encoding)
        for label, words in WORDS.items()
        for number in range(rows)
    }


def test_each_file_is_a_text_of_the_class_that_its_folder_names(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts())

    ((name, path),) = list_tables(folder)
    table = read_source(name, path)

    assert name == "films"
    assert table.rows == 24
    assert table.frame["label"].value_counts().to_dict() == {"pos": 12, "neg": 12}
    assert table.frame.iloc[0].to_dict() == {
        "text": "a bad film, number 0 café",
        "label": "neg",
        "file": "neg/0_7.txt",
    }


def test_folders_of_splits_give_the_splits_and_unsup_has_no_labels(
    tmp_path: Path, settings: Settings
) -> None:
    unlabeled = {f"train/unsup/{number}.txt": b"no opinion" for number in range(3)}
    folder = write(tmp_path / "imdb", texts("train/") | texts("test/", 5) | unlabeled)

    card = add_files(settings, [folder], "imdb", ImportOptions())

    assert card.classes == ("neg", "pos")
    assert (card.rows("train"), card.rows("test")) == (24, 10)
    assert [(item.reason, item.rows) for item in card.report.dropped] == [("no label", 3)]


def test_files_of_newsgroups_are_texts_and_others_are_named(tmp_path: Path) -> None:
    groups = {f"alt.atheism/{number}": b"From: ann" for number in (49960, 51060)}
    folder = write(tmp_path / "news", groups | {"alt.atheism/a.zip": b"PK", "read me.txt": b"x"})

    table = read_source("news", folder)

    assert table.frame["label"].tolist() == ["alt.atheism", "alt.atheism"]
    assert table.file.notes == ("Other files are not read: 2, first 'a.zip'.",)


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    hidden = dict.fromkeys((".git/HEAD", "__MACOSX/a.txt", "_neg/a.txt", "pos/._a.txt"), b"x")
    folder = write(tmp_path / "films", texts() | hidden)

    table = read_source("films", folder)

    assert set(table.frame["label"]) == {"pos", "neg"}
    assert table.file.notes == ("Other files are not read: 4, first 'HEAD'.",)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_the_encoding_is_detected(tmp_path: Path, encoding: str) -> None:
    folder = write(tmp_path / "films", texts(encoding=encoding))

    table = read_source("films", folder)

    assert table.frame["text"].iloc[0] == "a bad film, number 0 café"


def test_a_chosen_encoding_holds_for_all_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts(encoding="cp437"))

    table = read_source("films", folder, ReadOptions("cp437"))

    assert table.frame["text"].iloc[0] == "a bad film, number 0 café"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts() | {"pos/x.txt": "caféé ".encode() + b"\xff"})

    with pytest.raises(DataError, match="pos/x.txt is not UTF-8"):
        read_source("films", folder)


def test_options_of_reading_hold_for_the_files_of_a_data_folder(
    tmp_path: Path, settings: Settings
) -> None:
    rows = "".join(f'"{words} {n},{label}\n' for n in range(12) for label, words in WORDS.items())
    rows = rows.replace(" film,", " film")
    folder = write(tmp_path / "tables", {"train.csv": rows.encode(), "test.csv": rows.encode()})
    reading = ReadOptions(header=False, quotes=False)

    card = add_files(settings, [folder], "tables", ImportOptions(reading=reading))

    raw = read_saved(named_source(settings, "tables"))
    assert (card.rows("train"), card.rows("test")) == (24, 24)
    assert raw.train["text"].iloc[0] == '"a good film number 0'


def test_minus_one_in_a_data_folder_can_be_kept_or_left_out(
    tmp_path: Path, settings: Settings
) -> None:
    rows = "text,label\n" + "".join(f"text {n},{n % 3 - 1}\n" for n in range(60))
    folder = write(tmp_path / "numbers", {"train.csv": rows.encode()})

    with pytest.raises(DataError, match="'-1'"):
        add_files(settings, [folder], "numbers", ImportOptions())
    card = add_files(settings, [folder], "numbers", ImportOptions(leave_out=("-1",)))

    assert card.classes == ("0", "1")


@pytest.mark.parametrize(
    ("line", "suffix"),
    [("{text};{label}", ".txt"), ("__label__{label} {text}", ".txt"), ("{label}\t{text}", ".dat")],
)
@pytest.mark.parametrize("below", ["", "emotions/"])
def test_tables_of_text_called_by_their_split_are_splits(
    tmp_path: Path, settings: Settings, line: str, suffix: str, below: str
) -> None:
    files = {
        f"{below}{name}{suffix}": "".join(
            line.format(text=f"{words} {number}".replace(",", ""), label=label) + "\n"
            for label, words in WORDS.items()
            for number in range(rows)
        ).encode()
        for name, rows in (("train", 12), ("my_test", 5), ("val", 4))
    }
    folder = write(tmp_path / "data", files | {f"{below}README.txt": b"Films.", "LICENSE": b"MIT"})

    card = add_files(settings, [folder], "films", ImportOptions())

    assert card.classes == ("neg", "pos")
    assert [card.rows(split) for split in ("train", "validation", "test")] == [24, 8, 10]


def test_texts_that_are_called_like_splits_stay_texts(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts() | {"pos/test.txt": b"a test", "neg/train.txt": b"x"})

    ((name, path),) = list_tables(folder)

    assert read_source(name, path).rows == 26


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither data files nor folders of texts"):
        list_tables(tmp_path)


def test_a_changed_added_or_moved_text_changes_the_state_of_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts())
    states = [describe_state(folder)]

    write(folder, {"pos/0_7.txt": b"a longer text than it was before"})
    states.append(describe_state(folder))
    write(folder, {"pos/new.txt": b"a film"})
    for path in folder.rglob("*"):  # two changes within a tick of the clock have the same time
        os.utime(path, (0, 0))
    states.append(describe_state(folder))
    (folder / "pos/new.txt").rename(folder / "neg/new.txt")
    states.append(describe_state(folder))

    assert len(set(states)) == 4
    assert describe_state(folder) == states[-1]


def test_a_folder_in_a_folder_is_the_content_of_an_archive(tmp_path: Path) -> None:
    folder = write(tmp_path / "films", texts("films-1.0/"))

    ((name, path),) = list_tables(folder)

    assert name == "films-1.0"
    assert set(read_source(name, path).frame["label"]) == {"pos", "neg"}


def test_documents_of_json_are_data_files_without_their_metadata(tmp_path: Path) -> None:
    rows = b'[{"text": "a good film", "label": "pos"}]'
    files = {"train.json": rows, "test.json": rows, "dataset_info.json": b"{}"}

    tables = list_tables(write(tmp_path, files))

    assert sorted(name for name, _ in tables) == ["test.json", "train.json"]


def test_arrow_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    files = {"train/data-00000-of-00001.arrow": b"\xff\xff\xff\xff", "dataset_dict.json": b"{}"}

    with pytest.raises(DataError, match="Arrow files.*to_parquet"):
        list_tables(write(tmp_path, files))
