import pytest

from core.jobs.workers.calibrate import BUSY, OtherLoad, Stopwatch, Timing, estimate_free_seconds


def test_a_lap_that_others_lengthened_counts_with_its_processor_time() -> None:
    quiet = [Timing(1.0, 1.6), Timing(1.0, 1.6), Timing(1.0, 1.6)]
    disturbed = [Timing(2.0, 1.6), Timing(2.0, 1.6)]

    assert estimate_free_seconds([quiet, disturbed], threads=2, others=0.0) == pytest.approx(
        [1.0, 1.0]
    )


def test_two_threads_use_five_thirds_of_a_processor_if_every_lap_was_disturbed() -> None:
    disturbed = [Timing(2.0, 2.0), Timing(2.0, 2.0)]

    # 1 / (0.2 + 0.8 / 2) = 1.67
    assert estimate_free_seconds([disturbed], threads=2, others=BUSY + 0.1) == pytest.approx([1.2])
    assert estimate_free_seconds([disturbed], threads=2, others=0.0) == pytest.approx([2.0])
    assert estimate_free_seconds([disturbed], threads=1, others=BUSY + 0.1) == pytest.approx([2.0])


def test_a_watch_takes_one_lap_after_the_other() -> None:
    watch = Stopwatch()
    for _ in range(2):
        sum(range(200_000))
        watch.take()

    assert len(watch.laps) == 2
    assert all(lap.seconds > 0 and lap.cpu_seconds > 0 for lap in watch.laps)


def test_the_share_of_others_is_a_share() -> None:
    assert 0 <= OtherLoad().share <= 1
