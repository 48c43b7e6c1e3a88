from collections.abc import Iterator

import pytest

from core.progress import Phase, PhaseClock


def make_clock(*times: float, began_at: float = 0.0) -> PhaseClock:
    now: Iterator[float] = iter(times)
    return PhaseClock(lambda: next(now), Phase.IMPORTING, began_at)


def test_each_second_belongs_to_one_phase() -> None:
    clock = make_clock(13.0, 20.0, 21.0, 30.0, began_at=10.0)

    clock.switch(Phase.TRAINING)
    clock.switch(Phase.VALIDATING)
    clock.switch(Phase.TRAINING)

    assert clock.read() == {
        Phase.IMPORTING: 3.0,
        Phase.TRAINING: 7.0 + 9.0,
        Phase.VALIDATING: 1.0,
    }


def test_a_part_within_a_phase_is_taken_from_it_also_if_it_fails() -> None:
    clock = make_clock(4.0, 5.0, 8.0)

    with pytest.raises(OSError), clock.within(Phase.SAVING):
        raise OSError

    assert clock.read() == {Phase.IMPORTING: 4.0 + 3.0, Phase.SAVING: 1.0}


def test_a_clock_that_is_set_back_takes_no_seconds_away() -> None:
    clock = make_clock(100.0, 60.0, 61.0)

    clock.switch(Phase.LOADING)
    clock.switch(Phase.TRAINING)

    assert clock.read() == {Phase.IMPORTING: 100.0, Phase.LOADING: 0.0, Phase.TRAINING: 1.0}
