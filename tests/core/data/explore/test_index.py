import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.data.explore.index import ensure_index, index_folder, open_index, read_rows
from core.data.explore.words import fold, split_words
from core.errors import ArtifactDamaged, Stopped
from core.progress import Phase, Progress
from tests.support.indexed_data import index_rows, write_rows

PETS = ("cat", "dog")
TRAIN = [("The CAT sat", 0), ("a dog, a DOG", 1), ("", 0), ("猫咪 cat", 0)]
TEST = [("dog sat", 1)]


def quiet(progress: Progress) -> None:
    pass


def never() -> bool:
    return False


def test_rows_of_all_splits_stand_in_one_order(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)

    assert index.splits == {"train": slice(0, 4), "validation": slice(4, 4), "test": slice(4, 5)}
    assert index.labels.tolist() == [0, 1, 0, 0, 1]
    assert read_rows(index, np.array([4, 0])).to_dict("list") == {
        "row": [0, 0],
        "text": ["dog sat", "The CAT sat"],
        "label": [1, 0],
        "characters": [7, 11],
        "words": [2, 3],
        "tokens": [4, 5],
    }


def test_parts_cover_all_rows_and_can_be_read_after_their_release(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)

    parts = index.list_parts(2)
    texts = []
    for part in parts:
        texts += index.texts[part].to_pylist()
        index.release()

    assert parts == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert texts == [text for text, _ in [*TRAIN, *TEST]]
    assert index.texts.to_pylist() == [text for text, _ in [*TRAIN, *TEST]]


def test_words_of_each_row_agree_with_reading_them_one_by_one(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)
    words = index.words.to_pylist()

    for row, (text, _) in enumerate([*TRAIN, *TEST]):
        ids = index.word_ids[index.word_starts[row] : index.word_starts[row + 1]]
        assert [words[word] for word in ids] == split_words(fold(text))
    every = Counter(word for text, _ in [*TRAIN, *TEST] for word in split_words(fold(text)))
    assert dict(zip(words, index.word_counts.tolist(), strict=True)) == every
    assert words[0] == "dog", "the most frequent word comes first"


def test_the_files_of_the_index_keep_their_content_and_format(tmp_path: Path) -> None:
    texts = [
        "It's (AP) NEWS - R&amp;D",
        "see http://a.b/c <b>caf\u0065\u0301</b>",
        "İSTANBUL ½ 2nd",
    ]
    train = [(text, row % 2) for row, text in enumerate([*texts, *(text for text, _ in TRAIN)])]
    dataset = write_rows(tmp_path / "pets", PETS, train=train, test=TEST)
    ensure_index(dataset, quiet, never)

    texts_table, words, patterns = (
        pa.ipc.open_file(index_folder(dataset) / f"{name}.arrow")
        for name in ("texts", "words", "patterns")
    )

    assert [file.num_record_batches for file in (texts_table, words, patterns)] == [1, 1, 1]
    table = texts_table.read_all()
    every = [text for text, _ in [*train, *TEST]]
    names = words.read_all()["word"].to_pylist()
    ids = {word: number for number, word in enumerate(names)}
    expected = pa.table(
        {
            "row": pa.array([*range(len(train)), 0], pa.int32()),
            "label": pa.array([label for _, label in [*train, *TEST]], pa.int16()),
            "characters": pa.array(map(len, every), pa.int32()),
            "words": pa.array([len(text.split()) for text in every], pa.int32()),
            "tokens": pa.array([len(text.split()) + 2 for text in every], pa.int32()),
            "text": pa.array(every, pa.large_string()),
            "folded": pa.array(map(fold, every), pa.large_string()),
            "words_in_order": pa.array(
                [[ids[word] for word in split_words(fold(text))] for text in every],
                pa.large_list(pa.uint32()),
            ),
        }
    )
    assert table.equals(expected, check_metadata=True)
    assert names[:4] == ["dog", "cat", "sat", "2nd"], "by frequency, then alphabetically"
    assert [path.name for path in dataset.folder.iterdir() if path.name.startswith(".")] == []


def test_an_index_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    dataset = write_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)
    reported: list[Progress] = []

    ensure_index(dataset, reported.append, never)
    ensure_index(dataset, reported.append, never)

    assert reported == [Progress(Phase.INDEXING, done, 5) for done in (0, 4, 5)]


@pytest.mark.parametrize("name", ["index.json", "texts.arrow", "words.arrow", "patterns.arrow"])
@pytest.mark.parametrize("fault", ["gone", "empty", "changed"])
def test_a_damaged_index_is_said_and_built_again(tmp_path: Path, name: str, fault: str) -> None:
    dataset = write_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)
    ensure_index(dataset, quiet, never)
    path = index_folder(dataset) / name
    content = path.read_bytes()
    path.unlink() if fault == "gone" else path.write_bytes(
        b"" if fault == "empty" else content[:-9] + b"x" * 9
    )

    with pytest.raises(ArtifactDamaged, match="The index of pets"):
        open_index(dataset)

    assert len(ensure_index(dataset, quiet, never)) == 5


def test_an_index_of_another_format_is_built_again(tmp_path: Path) -> None:
    dataset = write_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)
    ensure_index(dataset, quiet, never)
    card = index_folder(dataset) / "index.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"format": 99}))

    with pytest.raises(ArtifactDamaged, match="another format version"):
        open_index(dataset)
    assert len(ensure_index(dataset, quiet, never)) == 5


def test_a_stop_leaves_no_index(tmp_path: Path) -> None:
    dataset = write_rows(tmp_path / "pets", PETS, train=TRAIN, test=TEST)

    with pytest.raises(Stopped):
        ensure_index(dataset, quiet, lambda: True)

    assert not index_folder(dataset).exists()


def test_texts_without_any_word_have_an_index(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "pets", PETS, train=[("", 0), ("…", 1)])

    assert len(index) == 2
    assert len(index.words) == len(index.word_ids) == 0
    assert index.word_id("cat") is None
