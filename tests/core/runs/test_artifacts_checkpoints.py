import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError, ModelUnavailable
from core.runs import artifacts
from core.runs.artifacts import TrainingIdentity

IDENTITY = TrainingIdentity("config", "data", "model", {"torch": "2"})
CONTENT = {"position.json": b"{}", "state.safetensors": b"tensors" * 100}


def save(folder: Path, *steps: int, best: int = 0) -> None:
    for step in steps:
        artifacts.save_checkpoint(folder, step, CONTENT, IDENTITY, best)


def test_the_newest_is_found_as_it_was_saved(tmp_path: Path) -> None:
    save(tmp_path, 5, 10, best=5)

    result = artifacts.find_checkpoint(tmp_path, IDENTITY)

    assert (result.step, result.best_step, result.files, result.skipped) == (10, 5, CONTENT, ())


def test_the_newest_two_and_the_best_are_kept_by_step(tmp_path: Path) -> None:
    save(tmp_path, 2, 4, best=2)
    save(tmp_path, 6, 8, 10, best=4)

    assert artifacts.list_checkpoints(tmp_path) == [4, 8, 10]


def test_a_new_run_has_none(tmp_path: Path) -> None:
    assert artifacts.find_checkpoint(tmp_path, IDENTITY).files == {}


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_to_the_newest_the_one_before_is_taken(seed: int, tmp_path: Path) -> None:
    save(tmp_path, 5, 10)
    draw = random.Random(seed)
    path = draw.choice(sorted((tmp_path / "checkpoints" / "00000010").iterdir()))
    content = bytearray(path.read_bytes())
    match draw.randrange(3):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(content[: draw.randrange(len(content))])
        case 2:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)

    result = artifacts.find_checkpoint(tmp_path, IDENTITY)

    assert (result.step, result.files, len(result.skipped)) == (5, CONTENT, 1)
    assert artifacts.list_checkpoints(tmp_path) == [5], (
        "a damaged one would be taken for the newest when old ones are dropped"
    )


def test_with_none_that_verifies_the_run_begins_again_and_says_why(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "checkpoints" / "00000005" / "position.json").write_bytes(b"")

    result = artifacts.find_checkpoint(tmp_path, IDENTITY)

    assert (result.step, result.files) == (0, {})
    assert "position.json" in result.skipped[0]


def test_a_folder_under_another_steps_name_is_not_taken(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "checkpoints" / "00000005").rename(tmp_path / "checkpoints" / "00000009")

    assert artifacts.find_checkpoint(tmp_path, IDENTITY).step == 0


def test_foreign_files_are_not_looked_at(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    (tmp_path / "checkpoints" / "00000005" / "more.bin").write_bytes(b"?")

    assert artifacts.find_checkpoint(tmp_path, IDENTITY).files == CONTENT


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"data": "other"}, DataError, "other data: fingerprint data then, other now"),
        ({"config": "other"}, ConfigError, "a configuration that differs"),
        ({"model": "other"}, ModelUnavailable, "another base model: model then, other now"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_kept(
    changed: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    save(tmp_path, 5, 10)

    with pytest.raises(error, match=words):
        artifacts.find_checkpoint(tmp_path, replace(IDENTITY, **changed))
    assert artifacts.list_checkpoints(tmp_path) == [5, 10]


def test_other_versions_go_on(tmp_path: Path) -> None:
    save(tmp_path, 5)

    assert artifacts.find_checkpoint(tmp_path, replace(IDENTITY, versions={"torch": "3"})).step == 5
