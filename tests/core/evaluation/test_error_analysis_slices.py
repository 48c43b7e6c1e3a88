import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.evaluation.error_analysis import find_slices, search_slice
from core.evaluation.predictions import Predictions
from core.evaluation.significance import correct_p_values


def predictions(
    right: list[bool],
    texts: list[str],
    labels: list[int] | None = None,
    classes: int = 2,
    **more: list[int],
) -> Predictions:
    true = np.array(labels or [0] * len(right))
    shares = np.zeros((len(right), classes))
    shares[np.arange(len(right)), np.where(right, true, (true + 1) % classes)] = 1
    columns = {f"p{index}": shares[:, index] for index in range(classes)}
    return Predictions.of(
        pd.DataFrame(
            {"row": range(len(right)), "label": true, **columns, "loss": 1.0, "text": texts, **more}
        ),
        classes,
    )


def test_a_slice_is_compared_with_the_rest_with_holm_correction() -> None:
    right = [False] * 12 + [True] * 28 + [True] * 38 + [False] * 2
    result = find_slices(predictions(right, ["7 wins"] * 40 + ["no wins"] * 40), ["a", "b"])

    digits = next(item for item in result if item.name == "with digits")
    assert (digits.inside.hits, digits.inside.n, digits.rest.hits, digits.rest.n) == (
        28,
        40,
        38,
        40,
    )
    assert digits.difference == pytest.approx(-0.25)
    alone = [
        stats.fisher_exact(
            [
                [item.inside.hits, item.inside.n - item.inside.hits],
                [item.rest.hits, item.rest.n - item.rest.hits],
            ]
        ).pvalue
        for item in result
    ]
    assert [item.p_value for item in result] == pytest.approx(correct_p_values(alone), rel=1e-12)
    assert result[0].difference == min(item.difference for item in result)


def test_texts_are_sliced_by_class_length_source_digits_and_rare_words() -> None:
    texts = (
        [f"Shares rose {'very ' * index}(Reuters) today" for index in range(20)]
        + ["Unique zebras graze quietly"]
        + ["Shares rose 5"] * 19
    )
    result = find_slices(predictions([True] * 40, texts, [0, 1] * 20), ["World", "Sports"])

    assert {item.kind for item in result} == {"class", "length", "source", "content"}
    sizes = {item.name: item.inside.n for item in result}
    assert sizes["World"] == 20
    assert sizes["(Reuters)"] == 20
    assert sizes["with digits"] == 19
    assert sizes["3 or more words no other text has"] == 1
    assert sum(item.inside.n for item in result if item.kind == "length") == 40


def test_truncated_texts_are_a_slice_if_tokens_were_counted() -> None:
    counted = predictions([True, False], ["a", "b"], tokens=[20, 300])

    assert [
        item.inside.n for item in find_slices(counted, ["a", "b"], 128) if item.kind == "cut off"
    ] == [1]
    assert not [
        item
        for item in find_slices(predictions([True, False], ["a", "b"]), ["a", "b"], 128)
        if item.kind == "cut off"
    ]


def test_a_search_is_literal_and_ignores_case() -> None:
    some = predictions([True, False, True], ["The C.E.O. left", "ceo stays", "rain"])

    dotted, plain = search_slice(some, "c.e.o."), search_slice(some, "CEO")
    assert dotted is not None and dotted.mask.tolist() == [True, False, False]
    assert plain is not None and plain.inside.hits == 0
    assert search_slice(some, "nowhere") is None
    assert search_slice(some, "  ") is None


@pytest.mark.parametrize("classes", [2, 4, 50])
def test_one_text_or_none_gives_no_slices(classes: int) -> None:
    names = [str(index) for index in range(classes)]
    item = predictions([True], ["a"], [1], classes)

    assert find_slices(item, names) == []
    assert find_slices(item.select_rows(np.array([], dtype=int)), names) == []


def test_predictions_without_texts_are_sliced_by_class() -> None:
    bare = predictions([True, False], ["a", "b"], [0, 1])

    result = find_slices(Predictions.of(bare.frame.drop(columns="text"), 2), ["a", "b"])

    assert {item.kind for item in result} == {"class"}
