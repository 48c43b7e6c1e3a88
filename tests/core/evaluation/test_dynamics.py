import numpy as np
import pandas as pd
import pytest

from core.errors import ArtifactDamaged
from core.evaluation.dynamics import Dynamics, choose_steps
from core.evaluation.predictions import Predictions

STEPS = [10, 20, 30]


def validation(of_true: list[float], labels: list[int]) -> Predictions:
    """Two classes; ``of_true`` is each text's probability of its true class."""
    p1 = np.where(np.array(labels) == 1, of_true, 1 - np.array(of_true))
    return Predictions.of(
        pd.DataFrame(
            {"row": range(7, 7 + len(labels)), "label": labels, "p0": 1 - p1, "p1": p1, "loss": 1.0}
        ),
        2,
    )


def four() -> Dynamics:
    """Learned at once, learned at 20, forgotten at 20 and learned again, never learned."""
    courses = [[0.9, 0.9, 0.9], [0.2, 0.8, 0.9], [0.7, 0.1, 0.9], [0.1, 0.2, 0.1]]
    return Dynamics.of(
        STEPS, [validation([course[at] for course in courses], [0, 1, 0, 1]) for at in range(3)]
    )


def test_when_a_text_was_learned_and_how_often_forgotten() -> None:
    table = four().summarize_texts()

    assert table["learned"].tolist()[:3] == [10, 20, 30]
    assert np.isnan(table["learned"][3])
    assert table["forgotten"].tolist() == [0, 0, 1, 0]


def test_mean_and_deviation_are_of_the_true_class() -> None:
    table = four().summarize_texts()

    assert table["mean"].tolist() == pytest.approx([0.9, 1.9 / 3, 1.7 / 3, 0.4 / 3], abs=1e-12)
    assert table["deviation"][1] == pytest.approx(np.std([0.2, 0.8, 0.9]), abs=1e-12)
    assert table["group"].tolist() == ["easy", "ambiguous", "ambiguous", "hard"]


def test_scores_and_probabilities_follow_the_step() -> None:
    dynamics = four()

    assert dynamics.compute_scores(0).counts.tolist() == [[2, 0], [2, 0]]
    assert dynamics.compute_scores(2).counts.tolist() == [[2, 0], [1, 1]]
    course = dynamics.tabulate_f1(["a", "b"])
    assert course[course["class"] == "b"]["f1"].tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert dynamics.list_probabilities(8, ["a", "b"]).query("`class` == 'b'")[
        "probability"
    ].tolist() == [
        0.2,
        0.8,
        0.9,
    ]
    with pytest.raises(KeyError):
        dynamics.list_probabilities(0, ["a", "b"])


def test_validations_of_different_texts_or_none_are_rejected() -> None:
    with pytest.raises(ArtifactDamaged, match="different texts"):
        Dynamics.of([1, 2], [validation([0.9], [0]), validation([0.9], [1])])
    with pytest.raises(ArtifactDamaged, match="not been validated"):
        Dynamics.of([], [])


def test_one_validation_of_one_text_is_enough() -> None:
    table = Dynamics.of([5], [validation([0.9], [0])]).summarize_texts()

    assert table[["deviation", "learned", "forgotten"]].values.tolist() == [[0, 5, 0]]


def test_many_steps_are_sampled_evenly_with_both_ends() -> None:
    stored = choose_steps(range(1000, 0, -1)[::-1], 100)

    assert (stored[0], stored[-1], len(stored)) == (1, 1000, 100)
    assert choose_steps([1, 2]) == [1, 2]
