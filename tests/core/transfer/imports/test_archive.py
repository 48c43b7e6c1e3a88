import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from core.errors import DataError
from core.transfer.imports.archive import (
    END_MARK,
    ENTRY_BYTES,
    JSON_BYTES,
    MOST_FILES,
    MOST_UNPACKED,
    ZIP64_MARK,
    check_entries,
    read_archive,
    read_upload,
)
from tests.support.peft_files import zipped

GOOD = {"mine/adapter_config.json": b"{}", "mine/adapter_model.safetensors": b"weights"}


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def entry(name: str, **fields: int) -> bytes:
    """Return a valid zip with an additional entry."""
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


def test_files_about_the_run_may_be_in_the_parent_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "run.json").write_bytes(b"run")
    (tmp_path / "config.json").write_bytes(b"of another model")

    assert read_archive(tmp_path).files == {"adapter_config.json": b"{}", "run.json": b"run"}


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "deep/er/training_args.bin", "optimizer.pt", "x.PKL"]
)
def test_a_pickle_is_rejected_and_never_opened(name: str, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))

    with pytest.raises(DataError, match="a pickle file. Opening one can run code"):
        read_upload("mine.zip", zipped({**GOOD, name: trap}))

    assert not (tmp_path / "sprung").exists()


def test_a_pickle_in_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")

    with pytest.raises(DataError, match=r"adapter_model\.bin.*a pickle file"):
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
def test_a_path_outside_the_zip_is_rejected(name: str) -> None:
    with pytest.raises(DataError, match="a path outside the zip's own folder"):
        read_upload("mine.zip", entry(name))


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_a_link_or_device_is_rejected(mode: int) -> None:
    with pytest.raises(DataError, match="a link or a device"):
        read_upload("mine.zip", entry("mine/run.json", external_attr=mode << 16))


def test_an_encrypted_file_is_rejected() -> None:
    data = bytearray(entry("mine/run.json"))
    at = data.rindex(b"PK\x01\x02")  # its entry in the directory
    data[at + 8] |= 1

    with pytest.raises(DataError, match="encrypted"):
        read_upload("mine.zip", bytes(data))


def test_an_unknown_compression_method_is_rejected() -> None:
    data = bytearray(entry("mine/run.json"))
    for at in range(len(data) - 12):
        for mark, method in (
            (b"PK\x03\x04", 8),
            (b"PK\x01\x02", 10),
        ):  # the local header of a file, and its entry in the directory
            if data[at : at + 4] == mark:
                data[at + method] = 99

    with pytest.raises(DataError, match="not a readable zip file"):
        read_upload("mine.zip", bytes(data))


def test_two_files_of_one_name_are_rejected() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = entry("mine/adapter_config.json")

    with pytest.raises(DataError, match="two files with the same name"):
        read_upload("mine.zip", data)


def test_a_bomb_is_rejected() -> None:
    with pytest.raises(DataError, match="would unpack from .* to 50 MB"):
        read_upload("mine.zip", zipped({**GOOD, "mine/zeros": bytes(50_000_000)}))


def test_a_bomb_hidden_behind_what_does_not_shrink_is_rejected() -> None:
    with pytest.raises(DataError, match="would unpack from"):
        read_upload(
            "mine.zip",
            zipped({**GOOD, "mine/zeros": bytes(5_000_000), "mine/random": os.urandom(1_000_000)}),
        )


def test_a_long_directory_is_rejected_before_an_object_is_made_of_each_entry() -> None:
    # few entries whose names are as long as those of very many
    entries = MOST_FILES * ENTRY_BYTES // 60_000 + 1
    long_directory = zipped({f"{'x' * 60_000}{number}": b"" for number in range(entries)})
    with_zip64_sizes = zipped({"a": b""}).replace(END_MARK, ZIP64_MARK + b"0" * 16 + END_MARK)

    for data in (long_directory, with_zip64_sizes):
        with pytest.raises(DataError, match="contains more than 2,000 files"):
            read_upload("mine.zip", data)


def test_a_zip_of_very_many_files_is_rejected() -> None:
    with pytest.raises(DataError, match="contains 2,001 files"):
        read_upload("mine.zip", zipped({str(number): b"" for number in range(MOST_FILES + 1)}))


def test_a_zip_that_unpacks_to_too_much_in_all_is_rejected() -> None:
    entries = [zipfile.ZipInfo(name) for name in ("a", "b")]
    for item in entries:
        item.file_size = item.compress_size = MOST_UNPACKED // 2 + 1

    with pytest.raises(DataError, match="would unpack from"):
        check_entries("mine.zip", entries, MOST_FILES)


def test_the_size_of_a_file_is_limited() -> None:
    with pytest.raises(DataError, match="adapter_config"):
        read_upload("mine.zip", zipped({"adapter_config.json": os.urandom(JSON_BYTES + 1)}))


def test_several_adapters_are_rejected() -> None:
    with pytest.raises(DataError, match="contains 2 adapters"):
        read_upload("mine.zip", zipped({**GOOD, "other/adapter_config.json": b"{}"}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip at all", "not a readable zip file"),
        (zipped({"config.json": b"{}"}), "contains no adapter"),
    ],
)
def test_an_upload_without_an_adapter_is_rejected(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_upload("mine.zip", data)


def test_a_truncated_zip_is_rejected() -> None:
    whole = zipped({**GOOD, "mine/run.json": os.urandom(1000)})
    for cut in range(0, len(whole), 97):
        with pytest.raises(DataError, match="mine.zip"):
            read_upload("mine.zip", whole[:cut])


def test_a_missing_path_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        read_archive(tmp_path / "nothing.zip")
