from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ModelUnavailable
from core.models.catalog import find_known_model, find_model
from core.settings import Settings
from core.training.load_model import fetch, load_base
from tests.base_folders.case import BaseCase
from tests.base_folders.cases import ACCEPTED, AT_CHOOSING, REFUSED
from tests.base_folders.configurations import DAMAGED_NUMBERS
from tests.base_folders.reference import CLASSES, SEED, list_differences, list_leaks


def by_name(cases: list[BaseCase]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def test_the_cases_are_many_and_have_different_names() -> None:
    names = [case.name for case in AT_CHOOSING]

    assert len(names) >= 200
    assert [name for name, count in Counter(names).items() if count > 1] == []


@by_name(REFUSED)
def test_a_folder_is_refused_when_it_is_chosen(
    case: BaseCase, tmp_path: Path, settings: Settings
) -> None:
    model = find_model(str(case.write(tmp_path)), settings, hub=False)

    assert not model.available
    assert [words for words in case.refused if words not in model.reason] == [], model.reason
    assert len(model.reason) < 500 + 2 * len(str(tmp_path))
    assert "rror" not in model.reason


@by_name(REFUSED[:5])
def test_a_plan_with_a_refused_folder_says_each_sentence_once(
    case: BaseCase, tmp_path: Path, settings: Settings
) -> None:
    folder = str(case.write(tmp_path))

    with pytest.raises(ModelUnavailable) as caught:
        find_known_model(folder, settings, hub=False)

    reason = find_model(folder, settings, hub=False).reason
    assert str(caught.value) == f"{folder} is not available: {reason}"


@by_name(ACCEPTED)
def test_an_accepted_folder_computes_what_transformers_and_peft_compute(
    case: BaseCase, tmp_path: Path, settings: Settings
) -> None:
    model = find_model(str(case.write(tmp_path)), settings, hub=False)

    assert model.available, model.reason
    assert case.mention in model.reason
    base = load_base(fetch(model), CLASSES, SEED)
    assert list_leaks(base) == []
    assert list_differences(base, fetch(model), tmp_path / "adapter") == {}


@by_name(DAMAGED_NUMBERS)
def test_numbers_that_are_not_finite_are_refused_when_the_model_is_loaded(
    case: BaseCase, tmp_path: Path, settings: Settings
) -> None:
    model = find_model(str(case.write(tmp_path)), settings, hub=False)

    with pytest.raises(ModelUnavailable) as caught:
        load_base(fetch(model), CLASSES, 0)

    assert [words for words in case.refused if words not in str(caught.value)] == []
