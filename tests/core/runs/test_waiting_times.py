"""The waiting runs and when each should start, on prepared data with a speed that finished runs
have reported.
"""

import json
import time
from dataclasses import replace
from typing import Unpack

import pytest

from core.access import Role, Visitor
from core.cli import output
from core.config import RunConfig
from core.data.preparation import prepare
from core.data.sources import SourceKind, demo_source
from core.runs import descriptions
from core.runs.local_estimate import estimate_request
from core.runs.requests import TrainRequest
from core.runs.waiting_times import Turn, estimate_queued, find_next_turn, find_turn, read_queue
from core.storage.database import Metric
from core.storage.job import Job, JobChanges, JobKind, JobState
from core.storage.store import Store

ADA, BOB, CLEO = (Visitor(name.lower(), name, Role.STUDENT) for name in ("Ada", "Bob", "Cleo"))
SMALL = RunConfig(train_rows=200, max_tokens=64)
REQUEST = TrainRequest(config=SMALL, source=demo_source())
NOW = 10_000.0


@pytest.fixture
def lab(store: Store) -> Store:
    """On prepared demo data, at ten thousand seconds since 1970."""
    prepare(store.settings, demo_source(), lambda progress: None, lambda: False)
    store.clock = lambda: NOW
    return store


def launch(store: Store, who: Visitor, at: float = 0.0, request: TrainRequest = REQUEST) -> Job:
    store = store.for_visitor(who)
    job = store.create(
        JobKind.TRAIN,
        who.name,
        request.model_dump(mode="json"),
        f"{who.id}-{at}-{len(store.list_jobs())}",
    )
    with store.transaction() as db:
        db.execute("UPDATE jobs SET created_at = ? WHERE id = ?", (at, job.id))
    return store.read_job(job.id)


def begin(store: Store, job: Job, **progress: Unpack[JobChanges]) -> Job:
    """The run running since a minute, evaluating from its first second on unless ``progress``
    reports other things.
    """
    store.transition(job, JobState.STARTING, started_at=NOW - 60)
    store.transition(job, JobState.RUNNING)
    for step in range(1, 11):  # that many steps seen make a pace, also without a calibration
        store.add_metrics(job, [Metric(step, "train", 0.1, 1.0, NOW - 60 + step)])
    changes: JobChanges = {"phase": "training", "done": 10, "total": 13, **progress}
    store.update(job, **changes)
    return store.read_job(job.id)


def waits(store: Store) -> list[tuple[str, int]]:
    return [(turn.job.owner, turn.ahead) for turn in read_queue(store)]


def test_no_one_waits_in_an_empty_queue(lab: Store) -> None:
    begin(lab, launch(lab, ADA))

    assert read_queue(lab) == []


def test_turns_are_those_in_which_runs_start_and_count_the_one_running(lab: Store) -> None:
    begin(lab, launch(lab, ADA, at=1))
    launch(lab, ADA, at=2)
    launch(lab, BOB, at=3)
    launch(lab, CLEO, at=4)

    assert waits(lab) == [("bob", 1), ("cleo", 2), ("ada", 3)]


def test_a_run_starts_when_what_is_before_it_is_over(lab: Store) -> None:
    running = begin(lab, launch(lab, ADA, at=1))
    launch(lab, BOB, at=2)
    launch(lab, CLEO, at=3)
    expected = estimate_request(lab, REQUEST)
    assert expected is not None

    first, second = (turn.wait for turn in read_queue(lab))

    assert first is not None and second is not None
    assert first.low < first.likely < first.high
    likely = (
        expected.likely_seconds - expected.untrained_seconds
    )  # which the first run scores for all
    assert second.likely - first.likely == pytest.approx(likely)
    assert second.low - first.low == pytest.approx(likely * expected.speed.low)
    assert second.high - first.high == pytest.approx(likely * expected.speed.high)
    lab.update(running, phase="evaluating", done=99, total=100)
    (later, _) = (turn.wait for turn in read_queue(lab))
    assert later is not None and later.likely < first.likely, "the running run has progressed"


def test_a_run_that_is_being_stopped_is_nearly_over(lab: Store) -> None:
    running = begin(lab, launch(lab, ADA, at=1))
    launch(lab, BOB, at=2)
    lab.transition(running, JobState.STOPPING, stop_at=NOW)

    (turn,) = read_queue(lab)

    assert turn.wait is not None and (turn.wait.low, turn.wait.high) == (0.0, 30.0)


def test_where_the_run_running_reports_nothing_yet_no_one_knows(lab: Store) -> None:
    job = launch(lab, ADA, at=1)
    lab.transition(job, JobState.STARTING, started_at=NOW)
    launch(lab, BOB, at=2)

    assert [turn.wait for turn in read_queue(lab)] == [None]


def test_behind_a_run_whose_data_is_not_prepared_no_one_knows(lab: Store) -> None:
    elsewhere = REQUEST.model_copy(
        update={"source": replace(demo_source(), name="elsewhere", kind=SourceKind.HUB)}
    )
    launch(lab, ADA, at=1, request=elsewhere)
    launch(lab, BOB, at=2)

    assert [turn.wait is None for turn in read_queue(lab)] == [False, True]


def test_a_run_held_for_want_of_room_says_nothing_of_its_start(lab: Store) -> None:
    lab.explain_wait(launch(lab, ADA, at=1), "Waiting for room.", "Free some.")
    launch(lab, BOB, at=2)

    assert [turn.wait for turn in read_queue(lab)] == [None, None]


def test_steps_taken_before_a_resumption_are_not_waited_for_again(lab: Store) -> None:
    resumed = begin(lab, launch(lab, ADA, at=1))
    lab.transition(resumed, JobState.FAILED, ended_at=NOW)
    lab.requeue(lab.read_job(resumed.id))
    launch(lab, ADA, at=2)
    expected = estimate_request(lab, REQUEST)
    assert expected is not None

    _, after = read_queue(lab)

    used = 10 / expected.steps
    assert after.wait is not None and after.wait.likely == pytest.approx(
        expected.likely_seconds - used * expected.train_seconds
    )


def test_an_estimate_is_cached_until_another_run_has_ended(lab: Store) -> None:
    earlier = estimate_queued.cache_info().misses
    launch(lab, ADA, at=1)
    other_seed = SMALL.model_copy(update={"seed": 7})  # the estimate does not depend on it
    launch(lab, BOB, at=2, request=REQUEST.model_copy(update={"config": other_seed, "guess": 0.9}))
    read_queue(lab)
    read_queue(lab)
    assert estimate_queued.cache_info().misses - earlier == 1

    done = begin(lab, launch(lab, CLEO, at=0))
    lab.transition(done, JobState.COMPLETED, ended_at=NOW)
    read_queue(lab)
    assert estimate_queued.cache_info().misses - earlier == 2


def test_each_visitor_finds_their_own_turn(lab: Store) -> None:
    hers, his = launch(lab, ADA, at=1), launch(lab, BOB, at=2)
    turns = read_queue(lab)

    assert (find_turn(turns, his), find_next_turn(turns, ADA)) == (turns[1], turns[0])
    assert find_next_turn(turns, CLEO) is None
    assert find_turn(turns, replace(hers, id="gone")) is None


def test_the_command_line_reports_place_and_start(lab: Store) -> None:
    begin(lab, launch(lab, ADA, at=1))
    job = launch(lab, BOB, at=2)

    reported = json.loads(json.dumps(descriptions.describe_run(lab, job)))

    assert reported["queue"]["ahead"] == 1
    wait = reported["queue"]["starts_in_seconds"]
    assert wait["low"] <= wait["likely"] <= wait["high"]
    assert "1 before it; starts in about" in output.format_run(reported)
    assert time.strftime("%H:", time.localtime(time.time() + wait["likely"])) in output.format_runs(
        [reported]
    )
    unknown = {**reported, "queue": {"ahead": 2, "starts_in_seconds": None}}
    assert "cannot be estimated yet" in output.format_run(unknown)


@pytest.mark.slow
def test_a_class_of_thirty_reads_its_queue_quickly(lab: Store) -> None:
    begin(lab, launch(lab, Visitor("s", "s", Role.STUDENT), at=0))
    for number in range(90):
        launch(lab, Visitor(f"s{number % 30}", "s", Role.STUDENT), at=number + 1)
    read_queue(lab)

    began = time.process_time()  # whatever else the machine does
    turns = read_queue(lab)

    assert len(turns) == 90 and all(isinstance(turn, Turn) and turn.wait for turn in turns)
    assert time.process_time() - began < 0.25
