from pathlib import Path

import pytest

from core.data.recipe import (
    MAX_BYTES,
    Fix,
    Recipe,
    Step,
    describe_effect,
    parse_recipe,
    read_recipe,
    read_recipe_file,
    recipe_path,
    save_recipe,
    to_bytes,
)
from core.errors import ArtifactDamaged, DataError
from core.settings import Settings

DATA = "0123456789ab"
DROP = Step(check="leakage", fix=Fix.DROP, rows=(1, 2))
REPAIR = Step(check="encoding debris", fix=Fix.REPAIR, rows=(2, 3))
RELABEL = Step(check="label suspects", fix=Fix.RELABEL, rows=(1, 4), labels=(0, 2))
WHOLE = Recipe(fingerprint=DATA, steps=(DROP, REPAIR, RELABEL))


def test_a_dropped_row_is_neither_repaired_nor_relabeled() -> None:
    effect = WHOLE.effect()

    assert (effect.dropped, effect.repaired, effect.relabeled) == ({1, 2}, {3}, {4: 2})
    assert describe_effect(WHOLE) == "2 training texts removed, 1 repaired, 1 relabeled"


def test_the_last_of_several_labels_counts() -> None:
    again = Step(check="label suspects", fix=Fix.RELABEL, rows=(4,), labels=(3,))

    assert WHOLE.with_step(again).effect().relabeled == {4: 3}


def test_recipes_that_come_to_the_same_have_one_fingerprint() -> None:
    turned = Recipe(fingerprint=DATA, steps=(RELABEL, DROP, REPAIR))

    assert turned.cleaned_fingerprint() == WHOLE.cleaned_fingerprint() != DATA
    assert WHOLE.without(0).cleaned_fingerprint() not in (WHOLE.cleaned_fingerprint(), DATA)


def test_a_recipe_without_steps_leaves_the_fingerprint() -> None:
    assert Recipe(fingerprint=DATA).cleaned_fingerprint() == DATA
    assert describe_effect(Recipe(fingerprint=DATA)) == "no change"


def test_a_step_is_taken_once_and_can_be_taken_back() -> None:
    assert WHOLE.with_step(DROP) == WHOLE
    assert WHOLE.without(1).steps == (DROP, RELABEL)


def test_a_kept_recipe_is_read_back_and_an_empty_one_leaves_no_file(settings: Settings) -> None:
    save_recipe(settings, WHOLE)
    assert read_recipe(settings, DATA) == WHOLE

    save_recipe(settings, Recipe(fingerprint=DATA))

    assert not recipe_path(settings, DATA).exists()
    assert read_recipe(settings, DATA) == Recipe(fingerprint=DATA)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", to_bytes(Recipe(fingerprint="f" * 12, steps=(DROP,)))]
)
def test_a_damaged_recipe_or_one_for_other_data_is_said(settings: Settings, content: bytes) -> None:
    path = recipe_path(settings, DATA)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(ArtifactDamaged, match="recipe"):
        read_recipe(settings, DATA)


def test_a_file_that_is_no_recipe_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(
        '{"fingerprint": "0123456789ab", "steps": [{"check": "x", "fix": "relabel", "rows": [1]}]}'
    )

    with pytest.raises(DataError, match=r"mine\.json is not a cleaning recipe: steps\.0"):
        read_recipe_file(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_recipe_file(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a cleaning recipe: the file"),
        (
            (
                b'{"fingerprint": "0123456789ab", "steps": [{"check": "x", "fix": "burn", "rows":'
                b" [1]}]}"
            ),
            r"steps\.0\.fix: Input should be 'drop'",
        ),
        (
            b'{"fingerprint": "0123456789ab", "steps": [], "run": "rm"}',
            "run: Extra inputs are not permitted",
        ),
        (b'{"format": 2, "fingerprint": "0123456789ab"}', "format: Input should be 1"),
        (b" " * (MAX_BYTES + 1), "is larger than 5 MB, the limit for a recipe"),
    ],
)
def test_what_someone_uploads_is_read_as_a_recipe_or_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "mine.json").write_bytes(content)

    with pytest.raises(DataError, match=message):
        parse_recipe("mine.json", content)
    with pytest.raises(DataError, match=message):
        read_recipe_file(tmp_path / "mine.json")


def test_a_written_file_is_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(to_bytes(WHOLE))

    assert read_recipe_file(tmp_path / "mine.json") == WHOLE
