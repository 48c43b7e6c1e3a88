import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.data.hub_download import (
    MAX_DOWNLOADS,
    HubFile,
    HubFiles,
    download,
    find_fetched,
    look_up,
    split_id,
)
from core.data.tables.read import read_table
from core.errors import DataError, Stopped
from core.progress import Phase, Progress
from core.settings import Settings
from tests.support.fake_hub import CONVERTED_REVISION, CSV, REVISION, TEST, TRAIN, Hub


def fetch(pick: HubFiles) -> list[Path]:
    return download(Settings(), pick, lambda progress: None, lambda: False)


def test_the_hubs_own_copy_is_taken_at_its_revision_train_first(hub: Hub) -> None:
    offer = look_up(Settings(), "some/pets")
    pick = offer.pick()

    assert offer.license == "mit"
    assert [(file.path, file.split, file.size) for file in pick.files] == [
        ("default/train/0000.parquet", "train", len(TRAIN)),
        ("default/test/0000.parquet", "test", len(TEST)),
    ]
    assert pick.size == len(TRAIN) + len(TEST)
    assert (
        pick.origin == "some/pets on the Hugging Face Hub, configuration default, revision"
        f" {CONVERTED_REVISION}"
    )


def test_the_files_are_read_with_the_names_of_their_classes(hub: Hub) -> None:
    paths = fetch(look_up(Settings(), "some/pets").pick())

    assert [path.name for path in paths] == ["train-00000.parquet", "test-00001.parquet"]
    frame = read_table(paths[0].name, paths[0].read_bytes()).frame
    assert frame.iloc[1].tolist() == ["Text 1 über Tiere", "Hund"]


def test_without_the_hubs_copy_its_tables_are_taken_and_nothing_else(hub: Hub) -> None:
    pick = look_up(Settings(), "some/plain").pick()

    assert [(file.path, file.split) for file in pick.files] == [
        ("train.csv", "train"),
        ("data/test.csv", "test"),
    ]
    assert pick.revision == REVISION
    assert [path.read_text() for path in fetch(pick)] == [CSV, CSV]
    assert not [path for path in hub.asked if path.endswith((".py", ".pkl"))]


def test_one_configuration_is_chosen_by_its_name(hub: Hub) -> None:
    offer = look_up(Settings(), "some/many")

    assert [file.path for file in offer.pick("de").files] == ["de/train/0000.parquet"]
    with pytest.raises(
        DataError, match="has several configurations: de, en. Write some/many:CONFIGURATION"
    ):
        offer.pick()
    with pytest.raises(DataError, match="has no configuration 'fr'. Choose one of de, en."):
        offer.pick("fr")


@pytest.mark.parametrize("hub_id", ["../etc", "one", "", "a/b/c", "hub:", "owner/name?x=1"])
def test_what_is_no_id_is_said(hub_id: str) -> None:
    with pytest.raises(DataError, match="is not a dataset id"):
        split_id(hub_id)


def test_an_id_may_name_a_configuration() -> None:
    assert split_id(" hub:owner/name:de ") == ("owner/name", "de")
    assert split_id("owner/name") == ("owner/name", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some/thing", "is not on the Hub, or needs a login"),
        ("some/login", "needs a login. Download its files"),
        ("some/script", "has no Parquet, CSV or JSON lines files"),
    ],
)
def test_what_cannot_be_looked_up_is_said(hub: Hub, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        look_up(Settings(), name)


def test_a_dataset_without_training_rows_is_refused(hub: Hub) -> None:
    with pytest.raises(
        DataError, match="has no training split. Its files are default/validation/0000.parquet"
    ):
        look_up(Settings(), "some/odd").pick()


def test_a_dataset_that_is_too_large_is_refused_before_anything_is_downloaded(hub: Hub) -> None:
    with pytest.raises(DataError, match="has 1,074 MB in 1 files; the limit is 100 MB in 20 files"):
        look_up(Settings(), "some/large").pick()
    assert not [path for path in hub.asked if "resolve" in path]


def test_a_file_that_ends_early_is_not_kept(hub: Hub) -> None:
    pick = look_up(Settings(), "some/short").pick()

    with pytest.raises(
        DataError,
        match=f"The download of train.csv ended after {len(CSV)} of {len(CSV) + 1} bytes.",
    ):
        fetch(pick)
    assert find_fetched(Settings(), pick) == []


def test_a_server_that_sends_more_than_it_said_is_cut_off(hub: Hub) -> None:
    pick = look_up(Settings(), "some/plain").pick()
    longer = HubFiles(
        pick.name,
        pick.configuration,
        pick.revision,
        (HubFile("train.csv", "train", 10),),
    )

    with pytest.raises(DataError, match="sends more data of some/plain than it announced"):
        fetch(longer)


def test_a_download_is_not_made_twice(hub: Hub) -> None:
    pick = look_up(Settings(), "some/pets").pick()
    first = fetch(pick)
    requests = len(hub.asked)

    assert fetch(pick) == first == find_fetched(Settings(), pick)
    assert len(hub.asked) == requests


def test_the_oldest_downloads_are_forgotten(hub: Hub) -> None:
    pick = look_up(Settings(), "some/pets").pick()
    picks = [replace(pick, revision=str(number) * 40) for number in range(MAX_DOWNLOADS + 1)]

    for pick in picks:
        fetch(pick)

    assert [bool(find_fetched(Settings(), pick)) for pick in picks] == [
        False,
        *[True] * MAX_DOWNLOADS,
    ]


def test_a_download_reports_how_far_it_is_and_can_be_stopped(hub: Hub) -> None:
    pick, reported = look_up(Settings(), "some/pets").pick(), list[Progress]()
    hub.held.clear()
    threading.Timer(0.2, hub.held.set).start()

    with pytest.raises(Stopped):
        download(Settings(), pick, reported.append, lambda: bool(reported))

    assert reported == [Progress(Phase.DOWNLOADING, len(TRAIN) // 2 // 1000, pick.size // 1000)]
    assert find_fetched(Settings(), pick) == []


def test_a_hub_that_falls_silent_ends_in_a_sentence(hub: Hub) -> None:
    pick = look_up(Settings(), "some/pets").pick()
    hub.held.clear()

    with pytest.raises(DataError, match="could not be downloaded \\(TimeoutError\\). Try again"):
        download(Settings(), pick, lambda progress: None, lambda: False, timeout_seconds=0.2)


def test_without_a_network_it_is_said_within_two_seconds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    began = time.monotonic()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataError, match="The Hub cannot be reached"):
            look_up(Settings(hub=True), "some/pets")

    assert time.monotonic() - began < 2
