import os
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings, count_cores, read_memory_mb


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_DATA", "/data/news")
    monkeypatch.setenv("LORALAB_HUB", "0")
    monkeypatch.setenv("LORALAB_THREADS", "3")

    settings = Settings()

    assert (settings.data, settings.hub, settings.used_threads) == (Path("/data/news"), False, 3)


def test_everything_durable_lies_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_HOME", "/somewhere")
    settings = Settings()

    assert [settings.database, settings.jobs, settings.prepared] == [
        Path("/somewhere/loralab.db"),
        Path("/somewhere/jobs"),
        Path("/somewhere/data"),
    ]


def test_a_tilde_is_the_persons_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_HOME", "~/lab")

    assert Settings().home == Path.home() / "lab"


def test_an_empty_data_folder_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_DATA", "")

    assert Settings().data is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THREADS", "-1"),
        ("THREADS", "257"),
        ("THREADS", "two"),
        ("HUB", "perhaps"),
        ("PAGES", "0"),
        ("PAGES_OF_ADDRESS", "many"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LORALAB_{name}", value)

    with pytest.raises(ConfigError, match=f"LORALAB_{name} is '{value}'"):
        Settings()


def test_no_threads_asked_for_means_all_cores() -> None:
    assert Settings().used_threads == count_cores()


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("100000 100000", 1), ("50000 100000", 1), ("10000000 100000", None), ("max 100000", None)],
)
def test_cores_are_those_of_the_control_group(
    quota: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))

    assert count_cores() == (expected or len(os.sched_getaffinity(0)))


def test_memory_is_what_the_control_group_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{100 * 2**20}\n")
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))

    assert read_memory_mb() == 100


def test_without_a_control_group_memory_is_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path / "none"))

    assert read_memory_mb() > 100
