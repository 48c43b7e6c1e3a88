from pathlib import Path

import pytest

from core.errors import NotEnoughRoom
from core.settings import Settings, read_available_memory_mb
from core.storage import resources


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/a/b\n", "a/b/memory.events", "low 0\noom 2\noom_kill 5\noom_group_kill 0\n"),
        ("0::/outside\n", "memory.events", "oom_kill 5\n"),
        (
            "9:cpu:/x\n4:memory:/jail\n0::/\n",
            "memory/jail/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
        ),
    ],
)
def test_the_control_groups_count_is_read(
    cgroup: str, file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))

    assert resources.count_oom_kills(tmp_path) == 5


def test_without_a_control_group_the_machines_count_is_read(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 7\n")

    assert resources.count_oom_kills(tmp_path) == 7


def test_where_nothing_counts_it_is_zero(tmp_path: Path) -> None:
    assert resources.count_oom_kills(tmp_path) == 0


def test_too_little_disk_and_too_little_memory_are_distinguished(settings: Settings) -> None:
    settings.home.mkdir()
    resources.require_resources(settings, disk_mb=1, memory_mb=1)

    with pytest.raises(NotEnoughRoom, match="MB of disk are free; a run needs 1,000,000,000"):
        resources.require_resources(settings, disk_mb=10**9)
    with pytest.raises(NotEnoughRoom, match="MB of memory are free; a run needs 1,000,000,000"):
        resources.require_resources(settings, disk_mb=1, memory_mb=10**9)


def test_memory_that_holds_files_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mb = 2**20
    for name, text in (
        ("max", 100 * mb),
        ("current", 90 * mb),
        ("stat", f"anon 1\ninactive_file {20 * mb}\nactive_file {10 * mb}"),
    ):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))

    assert read_available_memory_mb() == 100 - (90 - 30)
