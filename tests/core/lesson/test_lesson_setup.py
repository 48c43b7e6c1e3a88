from pathlib import Path

import pytest

from core.access import Role, Visitor
from core.data.preparation import prepare
from core.data.sources import Source, folder_source
from core.lesson.lesson_setup import find_minutes, list_preparations, prepare_lesson
from core.people.classroom import read_rules
from core.settings import Settings
from core.storage.job import JobKind
from core.storage.store import Store
from tests.support.small_news import write_small_news

TEACHER = Visitor("grace", "Grace", Role.TEACHER)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return folder_source(write_small_news(tmp_path / "news", train=200))


@pytest.fixture
def teacher(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    return Store(Settings(), visitor=TEACHER)


def test_data_are_prepared_first_and_the_rest_follows(teacher: Store, source: Source) -> None:
    assert not prepare_lesson(teacher, source)
    assert [job.kind for job in teacher.list_jobs()] == ["prepare"]
    assert find_minutes(teacher, source) is None

    prepare(teacher.settings, source, lambda progress: None, lambda: False)

    assert prepare_lesson(teacher, source)
    runs = teacher.list_jobs(JobKind.TRAIN)
    assert sorted(run.name for run in runs) == ["prepared quick", "prepared taste"]
    assert sum(job.kind == "quality" for job in teacher.list_jobs()) == 1
    minutes = find_minutes(teacher, source)
    assert minutes and read_rules(teacher).minutes == minutes


def test_a_second_click_launches_nothing_again(teacher: Store, source: Source) -> None:
    prepare(teacher.settings, source, lambda progress: None, lambda: False)
    prepare_lesson(teacher, source)
    before = [job.id for job in teacher.list_jobs()]

    prepare_lesson(teacher, source)

    assert [job.id for job in teacher.list_jobs()] == before
    parts = list_preparations(teacher, source)
    assert [(part.name, part.done) for part in parts] == [
        ("Data", True),
        ("Quality check", False),
        ("Taste run and baselines", False),
        ("Quick run and baselines", False),
    ]
    assert all(part.job is not None for part in parts[1:])
    assert all(part.seconds and part.seconds > 0 for part in parts[2:])
