import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from core.errors import DataError
from core.transfer.imports import archive
from core.transfer.imports.archive import read_archive, read_upload
from tests.support.peft_files import zipped

GOOD = {"mine/adapter_config.json": b"{}", "mine/adapter_model.safetensors": b"weights"}


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def entry(name: str, **fields: int) -> bytes:
    """A good zip and in it one entry of that name with those fields."""
    buffer = io.BytesIO(zipped(GOOD))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.writestr(info, b"content")
    return buffer.getvalue()


def test_a_zip_gives_the_files_of_its_adapter() -> None:
    result = read_upload("mine.zip", zipped(GOOD))

    assert result.files == {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def test_what_is_reported_of_the_run_may_lie_next_to_the_adapters_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "run.json").write_bytes(b"told")
    (tmp_path / "config.json").write_bytes(b"of another model")

    assert read_archive(tmp_path).files == {"adapter_config.json": b"{}", "run.json": b"told"}


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "deep/er/training_args.bin", "optimizer.pt", "x.PKL"]
)
def test_a_pickle_is_refused_and_never_opened(name: str, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))

    with pytest.raises(DataError, match="a pickle: such files can run code"):
        read_upload("mine.zip", zipped({**GOOD, name: trap}))

    assert not (tmp_path / "sprung").exists()


def test_a_pickle_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")

    with pytest.raises(DataError, match=r"adapter_model\.bin.*a pickle"):
        read_archive(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../run.json",
        "/etc/run.json",
        "a/../../run.json",
        "..\\run.json",
        "C:/run.json",
        "\\run.json",
    ],
)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="leads out of its folder"):
        read_upload("mine.zip", entry(name))


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_a_link_or_device_is_refused(mode: int) -> None:
    with pytest.raises(DataError, match="a link or a device"):
        read_upload("mine.zip", entry("mine/run.json", external_attr=mode << 16))


def test_an_encrypted_file_is_refused() -> None:
    data = bytearray(entry("mine/run.json"))
    at = data.rindex(b"PK\x01\x02")  # its line in the directory
    data[at + 8] |= 1

    with pytest.raises(DataError, match="encrypted"):
        read_upload("mine.zip", bytes(data))


def test_an_unknown_packing_is_said() -> None:
    data = bytearray(entry("mine/run.json"))
    for at in range(len(data) - 12):
        for mark, method in (
            (b"PK\x03\x04", 8),
            (b"PK\x01\x02", 10),
        ):  # before each file, and its line in the directory
            if data[at : at + 4] == mark:
                data[at + method] = 99

    with pytest.raises(DataError, match="zip that can be read"):
        read_upload("mine.zip", bytes(data))


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = entry("mine/adapter_config.json")

    with pytest.raises(DataError, match="two files of one name"):
        read_upload("mine.zip", data)


def test_a_bomb_is_refused() -> None:
    with pytest.raises(DataError, match="would unpack to 50 MB"):
        read_upload("mine.zip", zipped({**GOOD, "mine/zeros": bytes(50_000_000)}))


def test_a_bomb_hidden_behind_what_does_not_shrink_is_refused() -> None:
    with pytest.raises(DataError, match="would unpack to"):
        read_upload(
            "mine.zip",
            zipped({**GOOD, "mine/zeros": bytes(5_000_000), "mine/random": os.urandom(1_000_000)}),
        )


def test_a_long_directory_is_refused_before_an_object_is_made_of_each_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    opened: list[object] = []
    long_one = zipped({f"{'x' * 200}{number}": b"" for number in range(10)})
    told_elsewhere = zipped({"a": b""}).replace(
        archive.END_MARK, archive.ZIP64_MARK + b"0" * 16 + archive.END_MARK
    )
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: opened.append(file))

    for data in (long_one, told_elsewhere):
        with pytest.raises(DataError, match="more than 2 files"):
            read_upload("mine.zip", data)
    assert opened == []


def test_a_zip_of_very_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)

    with pytest.raises(DataError, match="holds 3 files"):
        read_upload("mine.zip", zipped({**GOOD, "mine/run.json": b""}))


def test_a_zip_that_unpacks_to_too_much_in_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED", 100)

    with pytest.raises(DataError, match="would unpack to"):
        read_upload("mine.zip", zipped({**GOOD, "mine/random": os.urandom(200)}))


def test_a_file_that_is_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "JSON_BYTES", 10)

    with pytest.raises(DataError, match="adapter_config"):
        read_upload("mine.zip", zipped({"adapter_config.json": os.urandom(11)}))


def test_several_adapters_are_not_guessed_between() -> None:
    with pytest.raises(DataError, match="holds 2 adapters"):
        read_upload("mine.zip", zipped({**GOOD, "other/adapter_config.json": b"{}"}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip at all", "neither a folder nor a zip"),
        (zipped({"config.json": b"{}"}), "holds no adapter"),
    ],
)
def test_what_holds_no_adapter_says_so(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_upload("mine.zip", data)


def test_a_damaged_zip_says_so() -> None:
    whole = zipped({**GOOD, "mine/run.json": os.urandom(1000)})
    for cut in range(0, len(whole), 97):
        with pytest.raises(DataError, match="mine.zip"):
            read_upload("mine.zip", whole[:cut])


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        read_archive(tmp_path / "nothing.zip")
