"""Limits of a student's run, by the estimate on prepared data."""

from pathlib import Path

import pytest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.preparation import prepare
from core.data.sources import demo_source
from core.errors import NotAllowed
from core.jobs import actions
from core.people.classroom import Rules, change_rules, fit_rules, read_rules
from core.presets import DataSize, Preset, make_config
from core.runs.limits import describe_limits, limit_size, require_request_allowed
from core.runs.local_estimate import estimate_request
from core.runs.requests import TrainRequest
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

ADA = Visitor("ada", "Ada", Role.STUDENT)
SMALL = TrainRequest(config=RunConfig(train_rows=200), source=demo_source())


@pytest.fixture
def lab(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    prepare(store.settings, demo_source(), lambda progress: None, lambda: False)
    return store


def set_rules(store: Store, **rules: int) -> None:
    change_rules(
        store, Rules(**{"minutes": 1440, "memory_mb": 100_000, "disk_mb": 100_000, **rules})
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"minutes": 1}, "about [0-9]+ minutes; this class allows 1"),
        ({"memory_mb": 700}, "MB of memory; this class allows 700"),
        ({"disk_mb": 10}, "MB of disk; this class allows 10"),
    ],
)
def test_a_run_that_should_take_more_is_refused_with_what_is_allowed(
    lab: Store, rules: dict[str, int], message: str
) -> None:
    large = SMALL.model_copy(
        update={
            "config": RunConfig(train_rows=800, epochs=8, rank=64, target_modules=("all-linear",))
        }
    )
    set_rules(lab)
    student = lab.for_visitor(ADA)
    require_request_allowed(student, large)
    set_rules(lab, **rules)

    with pytest.raises(NotAllowed, match=message):
        actions.launch_training(student, large)
    assert lab.list_jobs(JobKind.TRAIN) == []
    require_request_allowed(lab.for_visitor(Visitor("grace", "Grace", Role.TEACHER)), large)


def test_each_run_of_a_set_needs_a_place(lab: Store) -> None:
    set_rules(lab, waiting=1)
    lab = lab.for_visitor(ADA)
    before = Job("", JobKind.TRAIN, "", JobState.QUEUED, 1, ADA.id, "{}", 0.0)

    require_request_allowed(lab, SMALL, [before])
    with pytest.raises(NotAllowed, match="You have 2 runs"):
        require_request_allowed(lab, SMALL, [before, before])


def test_resuming_takes_a_place_like_launching(lab: Store) -> None:
    set_rules(lab, waiting=0)
    lab = lab.for_visitor(ADA)
    stopped = actions.stop(lab, actions.launch_training(lab, SMALL))
    actions.launch_training(lab, SMALL)

    with pytest.raises(NotAllowed, match="You have 1 runs"):
        actions.resume(lab, stopped)
    assert lab.read_job(stopped.id).state is JobState.CANCELLED


def test_rules_that_no_one_set_fit_the_machine(
    lab: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(str(2700 * 2**20))
    monkeypatch.setenv("LORALAB_CGROUP", str(tmp_path))

    assert read_rules(lab).memory_mb == 1700
    assert (fit_rules(16_000).memory_mb, fit_rules(690).memory_mb) == (3000, 700)


def test_a_taste_run_fits_into_what_no_one_set(lab: Store) -> None:
    taste = SMALL.model_copy(update={"config": RunConfig(train_rows=1000)})
    expected = estimate_request(lab, taste)
    rules = fit_rules(2700)

    assert expected is not None
    assert (
        expected.memory_mb <= rules.memory_mb,
        expected.disk_mb <= rules.disk_mb,
        expected.likely_seconds / 60 <= rules.minutes,
    ) == (*(True, True, True),)


def test_a_preset_stays_within_the_rules_of_the_class(lab: Store) -> None:
    set_rules(lab, rows=1000, max_tokens=16, batch_size=8)
    student, size = lab.for_visitor(ADA), DataSize(816, 91, 300, 4, 40)

    config = make_config(Preset.QUICK, None, limit_size(lab, size, ADA))

    assert (config.max_tokens, config.batch_size, config.epochs) == (16, 8, 1)
    require_request_allowed(student, TrainRequest(config=config, source=demo_source()))
    assert limit_size(lab, size, Visitor("grace", "Grace", Role.TEACHER)) == size


def test_limits_are_said_with_their_units() -> None:
    message = describe_limits(Rules())

    assert (
        "30 minutes, 12,000 rows × epochs, 256 tokens a text, batches of 32, 3,000 MB of memory and"
        " 300 MB of disk" in message
    )
    assert "1 run running and 2 waiting" in message
