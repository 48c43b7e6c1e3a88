from pathlib import Path

import pytest

from core.data.preparation import find_prepared, prepare
from core.data.saved import check_name, delete_saved, list_saved, read_saved, read_saved_card, save
from core.data.sources import Source, SourceKind, named_source, saved_source
from core.data.splits.build_splits import BuildOptions, BuiltDataset, build
from core.data.tables.read import read_table
from core.data.tables.table import FileFormat, Table
from core.errors import ArtifactDamaged, DataError
from core.settings import Settings

CHOICE = BuildOptions(("text",), "label")
LABELS = ("спорт", "мир")


def table(rows: int = 40, split: bool = False) -> Table:
    header = "text,label,split\n" if split else "text,label\n"
    ends = ["", "", "", ",dev", ",test"] if split else [""]
    lines = [
        f"текст {i},{LABELS[i % 2]}{ends[i % 5] or ',train' if split else ''}\n"
        for i in range(rows)
    ]
    return read_table("мои.csv", (header + "".join(lines)).encode())


def keep(
    settings: Settings, name: str = "мои тексты", rows: int = 40, replace: bool = False
) -> Source:
    given = table(rows)
    return save(
        settings, name, build([("train", given)], CHOICE), CHOICE, [given.file], replace=replace
    )


def test_a_saved_dataset_is_a_source_that_can_be_prepared(settings: Settings) -> None:
    source = keep(settings)

    prepared = prepare(settings, source, lambda progress: None, lambda: False)

    assert source == saved_source(settings, "мои тексты")
    assert (prepared.source, prepared.name, prepared.classes) == (
        SourceKind.SAVED,
        "мои тексты",
        ("мир", "спорт"),
    )
    assert (prepared.train_rows, prepared.validation_rows, prepared.test_rows) == (32, 4, 8)
    assert prepared.notes == ("Test split: 20 % of each class, drawn at random.",)
    again = find_prepared(settings, source)
    assert again is not None and again.fingerprint == prepared.fingerprint


def test_a_validation_split_of_ones_own_is_used_and_part_of_the_fingerprint(
    settings: Settings,
) -> None:
    given, choice = table(100, split=True), BuildOptions(("text",), "label", split="split")
    built = build([("train", given)], choice)
    source = save(settings, "own", built, choice, [given.file])

    prepared = prepare(settings, source, lambda progress: None, lambda: False)

    assert (prepared.rows("train"), prepared.rows("validation"), prepared.rows("test")) == (
        60,
        20,
        20,
    )
    assert (
        prepared.read("validation")["text"].tolist() == built.splits["validation"]["text"].tolist()
    )
    without = BuiltDataset(
        {split: frame for split, frame in built.splits.items() if split != "validation"},
        built.classes,
        built.report,
    )
    assert len(without.splits) == 2


def test_the_list_is_newest_first_and_the_card_reports_what_was_kept(settings: Settings) -> None:
    keep(settings, "one")
    keep(settings, "two", 60)

    assert [card.name for card in list_saved(settings)] == ["two", "one"]
    card = read_saved_card(settings, "two")
    assert (card.rows("train"), card.rows("validation"), card.rows("test")) == (48, 0, 12)
    assert (card.text, card.label, card.files[0].name) == (("text",), "label", "мои.csv")
    assert isinstance(card.files[0], FileFormat)


def test_a_name_is_taken_once_whatever_its_case(settings: Settings) -> None:
    keep(settings, "Reviews")

    with pytest.raises(DataError, match="There is already a dataset 'Reviews'"):
        keep(settings, "reviews")
    keep(settings, "reviews", 60, replace=True)
    assert [(card.name, card.rows("train")) for card in list_saved(settings)] == [("Reviews", 48)]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../up",
        "a/b",
        "-x",
        "x" * 49,
        "a\0b",
        "AG News",
        "ag_news",
        "Demo corpus",
        "<b>",
    ],
)
def test_some_names_cannot_be_used(name: str) -> None:
    with pytest.raises(DataError) as caught:
        check_name(name)

    assert caught.value.fix


@pytest.mark.parametrize(
    "name",
    ["a", "мои тексты", "口コミ", "Reviews (2026)".removesuffix(")") + "_v1.2", "  two   words "],
)
def test_names_in_any_language_can_be_used(name: str) -> None:
    assert check_name(name) == " ".join(name.split())


def test_a_deleted_dataset_says_so(settings: Settings) -> None:
    source = keep(settings)
    delete_saved(settings, source.name)

    assert list_saved(settings) == []
    for use in (lambda: find_prepared(settings, source), lambda: read_saved(source)):
        with pytest.raises(
            DataError, match="The dataset 'мои тексты' was deleted. Choose other data"
        ):
            use()
    with pytest.raises(DataError, match="There is no saved dataset"):
        delete_saved(settings, source.name)


def test_damage_is_said(settings: Settings) -> None:
    source = keep(settings)
    assert source.folder is not None
    (source.folder / "train.parquet").write_bytes(b"no")
    with pytest.raises(
        ArtifactDamaged,
        match=r"train.parquet is missing or damaged .* Delete the dataset and add it again",
    ):
        read_saved(source)

    (source.folder / "saved.json").write_text("{}")
    with pytest.raises(ArtifactDamaged, match="The card of the dataset 'мои тексты' is damaged"):
        read_saved_card(settings, source.name)
    assert list_saved(settings) == []


def test_data_is_named_by_a_saved_name_or_a_folder(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train.csv").write_text("text,label\n")
    assert named_source(settings, "mine").kind is SourceKind.FOLDER
    keep(settings, "mine")

    assert named_source(settings, "mine").kind is SourceKind.SAVED
    assert named_source(settings, "./mine").kind is SourceKind.FOLDER
    with pytest.raises(DataError, match="neither a saved dataset nor a folder 'other'"):
        named_source(settings, "other")
