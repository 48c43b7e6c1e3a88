import numpy as np
import pandas as pd
import pytest

from core.evaluation.comparison import (
    Result,
    compare,
    compare_classes,
    compare_with,
    list_disagreements,
)
from core.evaluation.predictions import Predictions

CLASSES = ("World", "Sports")


def result(
    name: str,
    wrong: set[int],
    rows: range = range(400),
    fingerprint: str = "abcdef012345",
    classes: int = 2,
) -> Result:
    """Return a run that is correct on all rows except ``wrong``."""
    ids = np.array(rows)
    labels = ids % classes
    predicted = np.where(np.isin(ids, list(wrong)), (labels + 1) % classes, labels)
    shares = np.full((len(ids), classes), 0.1 / (classes - 1))
    shares[np.arange(len(ids)), predicted] = 0.9
    frame = pd.DataFrame(
        {
            "row": ids,
            "label": labels,
            **{f"p{index}": shares[:, index] for index in range(classes)},
            "loss": 0.1,
        }
    )
    frame["text"] = [f"text {row}" for row in ids]
    names = CLASSES if classes == 2 else tuple(f"class {index}" for index in range(classes))
    return Result(name, name, fingerprint, names, Predictions.of(frame, classes))


def test_a_significant_difference_is_described_with_interval_and_p() -> None:
    (pair,) = compare([result("A", set(range(40))), result("B", set(range(10)))])

    assert pair.decided
    assert (
        pair.verdict
        == "B is 7.5 points better than A on 400 texts (95 % interval 5.0 to 10.2, p < 0.001; one"
        " seed each)."
    )


def test_a_small_difference_states_how_many_texts_are_needed() -> None:
    (pair,) = compare([result("A", set(range(20))), result("B", set(range(12, 30)))])

    assert not pair.decided
    assert pair.paired and (pair.paired.only_second, pair.paired.only_first) == (12, 10)
    assert pair.verdict.startswith(
        "B is 0.5 points better than A on 400 texts (95 % interval −1.8 to 2.8, p = 0.832; one seed"
        " each)."
    )
    assert pair.verdict.endswith(
        "Too close to call: about 18,000 test texts would be needed to decide."
    )


def test_the_same_predictions_are_as_good_as_each_other() -> None:
    (pair,) = compare([result("A", {1}), result("B", {1})])

    assert pair.verdict.startswith(
        "B is as good as A on 400 texts (95 % interval 0.0 to 0.0, p = 1.000"
    )
    assert pair.verdict.endswith("Too close to call.")


def test_several_pairs_are_corrected_together() -> None:
    alone = compare([result("A", set(range(14))), result("B", set())])[0]
    three = compare([result("A", set(range(14))), result("B", set()), result("C", set())])

    assert alone.p_value == pytest.approx(2 * 0.5**14)
    assert three[0].p_value == pytest.approx(3 * alone.p_value)
    assert three[2].p_value == 1.0
    assert "corrected for 3 pairs" in three[0].verdict


def test_only_rows_that_both_were_scored_on_count_whatever_their_order() -> None:
    first, second = result("A", {1, 5}, range(100)), result("B", {5}, range(50, -1, -1))

    (pair,) = compare([first, second])

    assert pair.paired and (pair.paired.n, pair.paired.only_first, pair.paired.only_second) == (
        51,
        0,
        1,
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (
            result("B", set(), fingerprint="ffffff012345"),
            "their data differ (fingerprints abcdef and ffffff).",
        ),
        (result("B", set(), classes=50), "they have different classes."),
        (result("B", set(), range(400, 500)), "they were scored on different texts."),
    ],
)
def test_runs_that_cannot_be_compared_give_a_problem(other: Result, why: str) -> None:
    (pair,) = compare([result("A", {1}), other])

    assert pair.paired is None
    assert pair.verdict == f"B and A are not compared: {why}"


def test_one_text_decides_nothing() -> None:
    (pair,) = compare([result("A", {0}, range(1)), result("B", set(), range(1))])

    assert not pair.decided
    assert pair.paired and pair.paired.interval == (1.0, 1.0)


def test_disagreements_are_listed_with_both_predictions() -> None:
    (pair,) = compare([result("A", {0, 1, 2}), result("B", {2, 3})])

    table = list_disagreements(pair)

    assert table["row"].tolist() == [0, 1, 3]
    assert table["right"].tolist() == ["B", "B", "A"]
    assert table["text"].tolist() == ["text 0", "text 1", "text 3"]
    assert table[["true", "first", "second"]].iloc[0].tolist() == ["World", "Sports", "World"]


def test_f1_differences_use_the_texts_of_both_runs() -> None:
    (pair,) = compare([result("A", {0, 1, 2}, range(20)), result("B", set(), range(5, 25))])

    table = compare_classes(pair)

    assert table["support"].sum() == 15
    assert (
        table["second"].tolist() == table["first"].tolist()
    )  # B was not scored on the row where A is incorrect


def test_runs_are_compared_with_references_and_corrected_for_all_of_them() -> None:
    run, reference, other = (
        result("run", set()),
        result("reference", {1, 2}),
        result("other", set()),
    )

    pairs = compare_with([run], [reference, other])

    assert [(pair.first.name, pair.second.name, pair.pairs) for pair in pairs] == [
        ("reference", "run", 2),
        ("other", "run", 2),
    ]
