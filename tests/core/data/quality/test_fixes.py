import pandas as pd
import pytest

from core.data.quality.findings import COLUMNS, Check
from core.data.quality.fixes import drop, relabel, repair, suggest_step
from core.data.recipe import Fix, Step

TEXTS = pd.DataFrame(
    [
        ("train", 0, "same", 0),
        ("train", 1, "same", 0),
        ("train", 2, "nearly", 0),
        ("train", 3, "own", 1),
        ("test", 0, "same", 0),
    ],
    columns=["split", "row", "text", "label"],
)


def findings(*rows: tuple[Check, str, int, int, int]) -> pd.DataFrame:
    lines = [
        (check.value, split, row, group, 1.0, "", rival) for check, split, row, group, rival in rows
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def test_leakage_drops_equal_and_near_texts_of_training_alone() -> None:
    result = findings(
        (Check.LEAKAGE, "test", 0, 7, -1),
        (Check.NEAR, "train", 2, 7, -1),
        (Check.NEAR, "train", 3, 8, -1),
        (Check.NEAR, "test", 0, 7, -1),
    )

    assert suggest_step(Check.LEAKAGE, result, TEXTS) == Step(
        check="leakage", fix=Fix.DROP, rows=(0, 1, 2)
    )


def test_one_of_each_group_is_kept_and_a_copy_in_test_counts_for_nothing() -> None:
    result = findings(
        (Check.EXACT, "train", 1, 5, -1),
        (Check.EXACT, "test", 0, 5, -1),
        (Check.EXACT, "train", 0, 5, -1),
    )

    assert suggest_step(Check.EXACT, result, TEXTS) == Step(
        check="exact duplicates", fix=Fix.KEEP_ONE, rows=(1,)
    )


@pytest.mark.parametrize("check", [Check.SUSPECT, Check.IMBALANCE, Check.EMPTY])
def test_what_a_person_must_read_or_is_not_there_offers_nothing(check: Check) -> None:
    assert (
        suggest_step(
            check,
            findings((Check.SUSPECT, "train", 0, -1, 1), (Check.EMPTY, "test", 0, -1, -1)),
            TEXTS,
        )
        is None
    )


def test_only_chosen_training_rows_get_the_competing_class() -> None:
    chosen = findings(
        (Check.SUSPECT, "train", 3, -1, 0),
        (Check.SUSPECT, "train", 1, -1, 2),
        (Check.SUSPECT, "test", 0, -1, 1),
    )

    assert relabel(chosen) == Step(
        check="label suspects", fix=Fix.RELABEL, rows=(1, 3), labels=(2, 0)
    )
    assert drop(Check.SUSPECT, chosen) == Step(check="label suspects", fix=Fix.DROP, rows=(1, 3))
    assert relabel(chosen.tail(1)) is None and drop(Check.SUSPECT, chosen.tail(1)) is None


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("it#39;s", "it's"),
        ("a &lt;b&gt;bold&lt;/b&gt; move", "a bold move"),
        ("AT&amp;amp;T quot;no way quot;", 'AT&T "no way "'),
        ("one\\two", "one two"),
        ("cafÃ© au lait", "café au lait"),
        ("tab\x00le", "table"),
        ("C:\\temp stays", "C:\\temp stays"),
        ("1 < 2 and #1 stay", "1 < 2 and #1 stay"),
        ("<b></b>", "<b></b>"),
    ],
)
def test_debris_is_repaired(text: str, fixed: str) -> None:
    assert repair(text) == fixed
