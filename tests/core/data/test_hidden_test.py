from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from core.data.cleaning import clean
from core.data.explore.index import ensure_index
from core.data.hidden_test import (
    HiddenTest,
    choose_rows,
    hide_rows,
    read_hidden_rows,
    read_hidden_texts,
)
from core.data.preparation import find_prepared, find_whole, open_dataset, prepare
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import Source
from core.errors import ArtifactDamaged
from core.people.classroom import Rules, change_rules, clear_class, reveal_hidden_test
from core.settings import Settings
from core.storage.store import Store
from tests.support.pet_rows import Make, items

REPEATED = pd.DataFrame({"text": ["a cat of the training split"], "label": ["cat"]})
TEST = pd.concat([items(40).assign(text=lambda rows: "test " + rows["text"]), REPEATED])


@pytest.fixture
def source(make_source: Make) -> Source:
    return make_source(train=pd.concat([items(100), REPEATED]), test=TEST)


def ready(settings: Settings, source: Source) -> set[str]:
    dataset = prepare(settings, source, lambda _: None, lambda: False)
    return set(dataset.read("test")["text"])


def hide(store: Store, percent: int) -> None:
    change_rules(store, Rules(hidden_percent=percent))


def test_the_same_part_of_each_class_is_left_out_of_the_test_split(
    store: Store, source: Source
) -> None:
    hide(store, 20)

    visible = ready(store.settings, source)
    dataset = find_prepared(store.settings, source)

    assert dataset is not None
    hidden = read_hidden_rows(dataset)
    assert hidden is not None
    assert dataset.test_rows == len(visible) == len(TEST) - len(hidden)
    assert Counter(hidden["label"]) == {0: 4, 1: 4}
    assert not visible & set(hidden["text"])
    assert set(hidden["text"]) == read_hidden_texts(store.settings)
    assert dataset.notes[-1] == "8 test rows are the hidden final test of the class."


def test_a_text_that_occurs_twice_is_never_hidden(settings: Settings, source: Source) -> None:
    whole = prepare(settings, source, lambda _: None, lambda: False)
    test = whole.read("test")

    chosen: set[int] = set()
    for seed in range(20):  # each draws other rows
        chosen.update(choose_rows(whole, HiddenTest(hidden_percent=50, hidden_seed=seed)))

    assert set(test.loc[~test["row"].isin(chosen), "text"]) == set(REPEATED["text"])


def test_no_table_of_the_dataset_in_use_has_a_hidden_text(store: Store, source: Source) -> None:
    hide(store, 20)
    dataset = prepare(store.settings, source, lambda _: None, lambda: False)

    index = ensure_index(dataset, lambda _: None, lambda: False)
    recipe = Recipe(
        fingerprint=dataset.fingerprint, steps=(Step(check="leakage", fix=Fix.DROP, rows=(0,)),)
    )
    cleaned = clean(dataset, recipe)

    hidden = read_hidden_texts(store.settings)
    assert not hidden & set(index.texts.to_pylist())
    assert not hidden & set(cleaned.read("test")["text"])
    assert read_hidden_rows(cleaned) is not None  # a run on cleaned texts is scored, too


def test_the_dataset_with_the_hidden_part_cannot_be_opened_until_it_is_revealed(
    store: Store, source: Source
) -> None:
    whole = prepare(store.settings, source, lambda _: None, lambda: False)
    hide(store, 20)
    assert find_prepared(store.settings, source) is None  # it has to be prepared without the part
    visible = prepare(store.settings, source, lambda _: None, lambda: False)

    with pytest.raises(ArtifactDamaged, match="include the hidden final test"):
        open_dataset(store.settings, whole.fingerprint)
    reveal_hidden_test(store)

    assert open_dataset(store.settings, whole.fingerprint).test_rows == len(TEST)
    assert find_prepared(store.settings, source) == visible


def test_the_end_of_the_class_opens_all_texts_and_forgets_the_seed(
    store: Store, source: Source
) -> None:
    hide(store, 20)
    ready(store.settings, source)

    clear_class(store)

    dataset = find_prepared(store.settings, source)
    assert dataset == find_whole(store.settings, source)
    assert read_hidden_texts(store.settings) == frozenset()


def test_each_class_hides_other_texts_and_saving_the_rules_again_the_same(
    store: Store, source: Source
) -> None:
    hide(store, 20)
    first = ready(store.settings, source)
    hide(store, 20)
    assert ready(store.settings, source) == first

    hide(store, 0)
    hide(store, 20)

    assert ready(store.settings, source) != first


def test_predictions_from_before_are_read_without_the_hidden_texts(
    store: Store, source: Source
) -> None:
    hide(store, 20)
    ready(store.settings, source)
    table = pd.DataFrame({"row": range(len(TEST)), "text": TEST["text"]})
    hidden = read_hidden_texts(store.settings)

    shown = hide_rows(store.settings, table)
    assert set(shown["text"]) == set(table["text"]) - hidden
    reveal_hidden_test(store)

    assert hide_rows(store.settings, table) is table


def test_a_damaged_copy_without_the_part_is_built_again(store: Store, source: Source) -> None:
    hide(store, 20)
    visible = ready(store.settings, source)
    dataset = find_prepared(store.settings, source)
    assert dataset is not None
    Path(dataset.folder / "test.parquet").write_bytes(b"")

    assert find_prepared(store.settings, source) is None
    assert ready(store.settings, source) == visible
