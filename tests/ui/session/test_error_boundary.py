"""Values that a script needs often: read once within its outermost boundary, again in the next."""

from itertools import count

import pytest

from ui.session.error_boundary import boundary, read_once


def test_a_value_is_read_once_within_the_outermost_boundary() -> None:
    numbers = count()

    with boundary():
        first = read_once("number", lambda: next(numbers))
        with boundary():
            inner = read_once("number", lambda: next(numbers))
        last = read_once("number", lambda: next(numbers))

    assert (first, inner, last) == (0, 0, 0)


def test_the_next_script_reads_again() -> None:
    numbers = count()

    for expected in range(3):
        with boundary():
            assert read_once("number", lambda: next(numbers)) == expected


def test_a_script_that_ends_early_leaves_no_value() -> None:
    class Ending(BaseException):
        """Ends a script, as Streamlit's exceptions do."""

    with pytest.raises(Ending), boundary():
        read_once("number", lambda: 1)
        raise Ending

    assert read_once("number", lambda: 2) == 2


def test_without_a_boundary_each_call_reads() -> None:
    numbers = count()

    assert [read_once("number", lambda: next(numbers)) for _ in range(3)] == [0, 1, 2]


def test_an_error_is_not_stored() -> None:
    def fail() -> int:
        raise ValueError

    with boundary():
        with pytest.raises(ValueError, match=""):
            read_once("number", fail)
        assert read_once("number", lambda: 1) == 1
