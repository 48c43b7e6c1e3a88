from collections import Counter

from core.storage.job import Job, JobState, sort_fairly


def waiting(owner: str, at: float) -> Job:
    return Job(f"{owner}{at:g}", "train", "", JobState.QUEUED, 1, owner, "{}", at)


def order(*jobs: Job, started: dict[str, int] | None = None) -> list[str]:
    return [job.id for job in sort_fairly(jobs, Counter(started or {}))]


def test_one_owner_is_served_in_order() -> None:
    assert order(waiting("a", 2), waiting("a", 1), waiting("a", 3)) == ["a1", "a2", "a3"]


def test_no_one_has_a_second_run_before_everybody_had_a_first() -> None:
    assert order(waiting("a", 1), waiting("a", 2), waiting("b", 3), waiting("c", 4)) == [
        "a1",
        "b3",
        "c4",
        "a2",
    ]


def test_runs_that_were_started_count() -> None:
    assert order(waiting("a", 1), waiting("b", 2), started={"a": 1}) == ["b2", "a1"]


def test_all_guests_together_have_the_turns_of_one() -> None:
    queue = (waiting("guest-1", 1), waiting("guest-2", 2), waiting("teacher", 3))

    assert order(*queue) == ["guest-11", "teacher3", "guest-22"]
    assert order(*queue, started={"guest-0": 4, "teacher": 3}) == [
        "teacher3",
        "guest-11",
        "guest-22",
    ]


def test_thirty_students_with_three_runs_each_take_turns() -> None:
    requests = [
        waiting(f"s{student:02d}-", 3 * student + number)
        for student in range(30)
        for number in range(3)
    ]

    owners = [job.owner for job in sort_fairly(requests, Counter())]

    assert [len(set(owners[turn : turn + 30])) for turn in (0, 30, 60)] == [30, 30, 30]
