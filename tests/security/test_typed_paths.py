"""Paths that a visitor types: only files below the folders that the owner allows are read."""

import os
from pathlib import Path

import pytest

from core.access import LOCAL_BROWSER, Role, Visitor
from core.errors import ConfigError, LoraLabError, NotAllowed
from core.runs.limits import find_allowed_model, require_model
from core.settings import Settings, find_readable
from core.storage.store import Store

TEACHER = Visitor("ada", "Ada", Role.TEACHER)
OUTSIDE = (
    "/etc/passwd",
    "/etc/../etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/proc/self/cwd/../../../../etc/passwd",
    "/dev/stdin",
    "/",
    "",
    "~root/.bashrc",
    "~/../../../../../../etc/passwd",
    "data/../../../../../../../../etc/passwd",
    "~/.ssh/id_rsa",
    "~/.bash_history",
    "~/lab/.streamlit/secrets.toml",
    "~/link",
    "~/folder-link/passwd",
    "~/../person-2/private.csv",
)


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the owner, in which links lead to other folders."""
    folder = tmp_path / "person"
    (folder / "lab").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.chdir(folder / "lab")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to("/etc")
    (tmp_path / "person-2").mkdir()
    (tmp_path / "person-2" / "private.csv").write_text("text,label\n")
    return folder


@pytest.mark.parametrize("mode", ["local", "classroom", "public"])
def test_no_mode_reads_other_files_by_default(
    person: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("LORALAB_MODE", mode)
    # the last is the start folder, which local mode allows
    outside = [path for path in OUTSIDE if path or mode != "local"]

    for path in outside:
        with pytest.raises(NotAllowed, match="LORALAB_PATHS"):
            find_readable(Settings(), path)


def test_account_without_a_home_folder_does_not_allow_every_file(
    person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("LORALAB_HOME", str(person / "home"))
    monkeypatch.chdir("/")

    with pytest.raises(NotAllowed):
        find_readable(Settings(), "/etc/passwd")


def test_local_mode_reads_below_home_start_folder_data_and_hub_cache(
    person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORALAB_DATA", str(tmp_path / ".news"))
    allowed = {
        "~/reviews.csv": person / "reviews.csv",
        "mine/a.csv": person / "lab" / "mine" / "a.csv",
        str(tmp_path / ".news" / "train.csv"): tmp_path / ".news" / "train.csv",
        "~/.cache/huggingface/hub/models--a": person / ".cache/huggingface/hub/models--a",
    }

    read = {path: find_readable(Settings(), path) for path in allowed}

    assert read == allowed


def test_owner_replaces_the_folders(
    person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    monkeypatch.setenv("LORALAB_PATHS", f"{tmp_path / 'person-2'}{os.pathsep}~/lab")

    assert find_readable(Settings(), tmp_path / "person-2" / "private.csv").exists()
    assert find_readable(Settings(), "~/lab/a.csv") == person / "lab" / "a.csv"
    with pytest.raises(NotAllowed):
        find_readable(Settings(), "~/reviews.csv")
    monkeypatch.setenv("LORALAB_PATHS", "false")
    assert Settings().readable_folders == ()


@pytest.mark.parametrize("value", ["true", "data", "/srv/data:data"])
def test_setting_that_names_no_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LORALAB_PATHS", value)

    with pytest.raises(ConfigError, match="absolute folders"):
        Settings()


@pytest.mark.parametrize("visitor", [LOCAL_BROWSER, TEACHER])
def test_base_model_is_not_read_elsewhere_through_a_browser(
    person: Path, store: Store, tmp_path: Path, visitor: Visitor
) -> None:
    for path in (str(tmp_path / "person-2"), "/etc", "~/folder-link", "/etc\0"):
        with pytest.raises(LoraLabError):
            require_model(store.for_visitor(visitor), path)
        assert "config.json" not in find_allowed_model(store.for_visitor(visitor), path).reason


def test_command_line_and_configured_model_are_not_limited(
    person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(tmp_path / "person-2")
    assert "config.json" in find_allowed_model(Store(Settings()), other).reason

    monkeypatch.setenv("LORALAB_MODEL", other)
    configured = Store(Settings(), visitor=LOCAL_BROWSER)

    assert "config.json" in find_allowed_model(configured, other).reason
