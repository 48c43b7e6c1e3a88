from pathlib import Path

import pandas as pd
import pytest

from core.data.cleaning import clean, require_fitting
from core.data.dataset import Dataset
from core.data.preparation import prepare
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import folder_source
from core.errors import DataError
from core.settings import Settings


@pytest.fixture
def dataset(settings: Settings, tmp_path: Path) -> Dataset:
    """36 training texts, 4 validation texts and 4 test texts in two classes."""
    for split, rows in (("train", 40), ("test", 4)):
        lines = [
            {"text": f"{split} text {row} it&#39;s", "label": "ab"[row % 2]} for row in range(rows)
        ]
        (tmp_path / "news").mkdir(exist_ok=True)
        pd.DataFrame(lines).to_csv(tmp_path / "news" / f"{split}.csv", index=False)
    return prepare(settings, folder_source(tmp_path / "news"), lambda progress: None, lambda: False)


def step(fix: Fix, rows: list[int], labels: tuple[int, ...] = ()) -> Step:
    return Step(check="leakage", fix=fix, rows=tuple(rows), labels=labels)


def test_each_fix_changes_its_training_rows_and_no_others(dataset: Dataset) -> None:
    before = dataset.read("train")
    first, second, third, *others = before["row"]
    label = 1 - int(before["label"][2])
    steps = (
        step(Fix.DROP, [first]),
        step(Fix.REPAIR, [second]),
        step(Fix.RELABEL, [third], (label,)),
    )

    after = (
        clean(dataset, Recipe(fingerprint=dataset.fingerprint, steps=steps))
        .read("train")
        .set_index("row")
    )

    assert list(after.index) == [second, third, *others]
    assert after.loc[second, "text"] == f"train text {second} it's"
    assert after.loc[second, "tokens"] == before["tokens"][1] - 3  # &, # and ; are separate tokens
    assert after.loc[third, "label"] == label
    pd.testing.assert_frame_equal(after.loc[others], before.set_index("row").loc[others])


def test_validation_and_test_stay_as_they_are(dataset: Dataset) -> None:
    rows = dataset.read("train")["row"].tolist()[:10]

    cleaned = clean(dataset, Recipe(fingerprint=dataset.fingerprint, steps=(step(Fix.DROP, rows),)))

    for split in ("validation", "test"):
        pd.testing.assert_frame_equal(cleaned.read(split), dataset.read(split))
    assert (cleaned.rows("train"), cleaned.train_rows) == (26, 30)


def test_cleaned_data_have_a_fingerprint_of_their_own_and_say_what_was_done(
    dataset: Dataset,
) -> None:
    recipe = Recipe(
        fingerprint=dataset.fingerprint,
        steps=(step(Fix.DROP, [int(dataset.read("train")["row"][0])]),),
    )

    cleaned, again = clean(dataset, recipe), clean(dataset, recipe)

    assert (
        cleaned.fingerprint
        == again.fingerprint
        == recipe.cleaned_fingerprint()
        != dataset.fingerprint
    )
    assert cleaned.name == f"{dataset.name}, cleaned"
    assert cleaned.notes[-1] == "Cleaned: 1 training text removed."


def test_no_recipe_or_an_empty_one_gives_the_data_themselves(dataset: Dataset) -> None:
    assert clean(dataset, None) is dataset
    assert clean(dataset, Recipe(fingerprint=dataset.fingerprint)) is dataset


def test_a_damaged_copy_is_made_again(dataset: Dataset) -> None:
    recipe = Recipe(
        fingerprint=dataset.fingerprint,
        steps=(step(Fix.DROP, [int(dataset.read("train")["row"][0])]),),
    )
    path = clean(dataset, recipe).folder / "train.parquet"
    path.write_bytes(b"x" * path.stat().st_size)

    assert len(clean(dataset, recipe).read("train")) == 35


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (step(Fix.DROP, [9999]), "names 1 texts that are not in the training split"),
        (step(Fix.RELABEL, [0], (7,)), "assigns an unknown class id: 7"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    dataset: Dataset, chosen: Step, message: str
) -> None:
    row = int(dataset.read("train")["row"][0])
    fitting = chosen.model_copy(
        update={"rows": tuple(row if number == 0 else number for number in chosen.rows)}
    )

    with pytest.raises(DataError, match=message):
        clean(dataset, Recipe(fingerprint=dataset.fingerprint, steps=(fitting,)))


def test_a_recipe_for_other_data_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="is for data ffffffffffff"):
        clean(dataset, Recipe(fingerprint="f" * 12))


def test_a_recipe_is_known_to_fit_before_it_is_used(dataset: Dataset) -> None:
    row = int(dataset.read("train")["row"][0])
    require_fitting(
        dataset, Recipe(fingerprint=dataset.fingerprint, steps=(step(Fix.REPAIR, [row]),))
    )

    for steps, message in [
        ((), "has no steps"),
        ((step(Fix.DROP, [999]),), "names 1 texts"),
        ((step(Fix.RELABEL, [row], (7,)),), "an unknown class id"),
    ]:
        with pytest.raises(DataError, match=message):
            require_fitting(dataset, Recipe(fingerprint=dataset.fingerprint, steps=steps))
    with pytest.raises(DataError, match="is for data ffffffffffff, not"):
        require_fitting(dataset, Recipe(fingerprint="f" * 12, steps=(step(Fix.DROP, [row]),)))


def test_a_class_is_not_left_without_texts(dataset: Dataset) -> None:
    train = dataset.read("train")
    rows = train.loc[train["label"] == 0, "row"].tolist()

    with pytest.raises(DataError, match="leaves no training text of a"):
        clean(dataset, Recipe(fingerprint=dataset.fingerprint, steps=(step(Fix.DROP, rows),)))
