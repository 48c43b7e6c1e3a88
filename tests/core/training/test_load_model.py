from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import ModelUnavailable
from core.training.load_model import load_base
from tests.support.tiny_models import write_bert, write_distilbert

QUERY = "encoder.layer.1.attention.self.query.weight"


def change_weight(folder: Path, name: str, value: float, rename: str = "") -> None:
    """Replace one number of a tensor; ``rename`` puts a first part before each tensor's name."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors[name].flat[3] = value
    save_file({rename + key: tensor for key, tensor in tensors.items()}, path, {"format": "pt"})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rename", ["", "bert."])
def test_a_weight_that_is_not_finite_is_named_with_its_file(
    tmp_path: Path, value: float, rename: str
) -> None:
    folder = write_bert(tmp_path / "damaged-base")
    change_weight(folder, QUERY, value, rename)

    with pytest.raises(ModelUnavailable) as caught:
        load_base(folder, ("a", "b"), 0)

    assert "damaged-base" in caught.value.message
    assert f"{rename}{QUERY} in model.safetensors" in caught.value.message
    assert "more tensors" not in caught.value.message
    assert "base model" in caught.value.fix


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_a_stored_head_changes_nothing(tmp_path: Path, rows: int) -> None:
    """The head is drawn as if the file had none, also for as many classes."""
    folder = write_distilbert(tmp_path / "base")
    expected = load_base(folder, ("a", "b", "c"), 5).model.state_dict()
    path = folder / "model.safetensors"
    shapes: dict[str, tuple[int, ...]] = {
        "pre_classifier.weight": (32, 32),
        "pre_classifier.bias": (32,),
        "classifier.weight": (rows, 32),
        "classifier.bias": (rows,),
    }
    head = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    save_file({**load_file(path), **head}, path, {"format": "pt"})

    weights = load_base(folder, ("a", "b", "c"), 5).model.state_dict()

    assert all(bool((weights[name] == tensor).all()) for name, tensor in expected.items())


def test_a_head_that_is_replaced_may_be_damaged(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "base")
    path = folder / "model.safetensors"
    head = {"classifier.weight": np.full((7, 32), np.nan, np.float32)}  # of seven classes
    save_file({**load_file(path), **head}, path, {"format": "pt"})

    assert load_base(folder, ("a", "b"), 0).head[-1] == "classifier"
