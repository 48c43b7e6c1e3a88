import pytest

from core.evaluation.scores import Proportion, compare_guess, is_inside

TEST = Proportion(450, 500)  # 90 %, Wilson's interval 87.1 to 92.3


@pytest.mark.parametrize(
    ("guess", "inside"),
    [(0.9, True), (0.875, True), (0.92, True), (0.869, False), (0.925, False), (1.0, False)],
)
def test_a_guess_is_correct_anywhere_in_the_interval(guess: float, inside: bool) -> None:
    assert is_inside(guess, TEST) is inside


def test_the_comparison_states_size_and_direction() -> None:
    assert (
        compare_guess(0.8, TEST)
        == "You guessed 80.0 %: 10.0 points too low. It is outside the 95 % interval, 87.1 to"
        " 92.3 %."
    )
    assert "7.5 points too high" in compare_guess(0.975, TEST)
    assert "is within the 95 % interval, 87.1 to 92.3 %" in compare_guess(0.88, TEST)
