"""Files with values that no model has: each folder is accepted or refused with a reason."""

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelUnavailable
from core.models.base_check import require_supported
from tests.base_folders.changes import INDEX, WEIGHTS, shard, write_file
from tests.support.tiny_models import write_bert

VALUES: list[Any] = [
    *(None, True, 0, -1, 3, 10**9, 10**30, int("9" * 4300), -5.5, float("inf"), float("nan")),
    *("", "x", "1", [], [1], [None], [[]], {}, {"a": 1}, {"": ""}, {"1": {"content": []}}),
]
DEEP = "[" * 100_000 + "]" * 100_000


def list_places(content: Any) -> Iterator[tuple[Any, Any]]:
    """List each value as its container and its key or index."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from list_places(content[key])


def mutate(content: Any, draw: random.Random) -> str:
    """Replace or remove a value, with the same chance for one of the outermost ones."""
    container, key = draw.choice(
        [(content, draw.choice(list(content))), draw.choice(list(list_places(content)))]
    )
    if draw.random() < 0.2:
        del container[key]
    else:
        container[key] = draw.choice(VALUES)
    return json.dumps(content)


def change_file(path: Path, change: Callable[[Any], str]) -> None:
    """Change a JSON file, or the header of safetensors weights."""
    data = path.read_bytes()
    if path.suffix == ".json":
        path.write_text(change(json.loads(data)))
        return
    (length,) = struct.unpack("<Q", data[:8])
    header = change(json.loads(data[8 : 8 + length])).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def accept_or_refuse(folder: Path) -> bool:
    try:
        require_supported(folder)
    except ModelUnavailable:
        return False
    return True


@pytest.mark.parametrize("sharded", [False, True])
def test_changed_values_are_accepted_or_refused_with_a_reason(
    tmp_path: Path, sharded: bool
) -> None:
    folder = write_bert(tmp_path / "bert")
    if sharded:
        shard()(folder)
    names = sorted(
        path.name for path in folder.iterdir() if path.suffix in (".json", ".safetensors")
    )
    draw = random.Random(0)

    results = []
    for _ in range(250):
        path = folder / draw.choice(names)
        original = path.read_bytes()
        change_file(path, lambda content: mutate(content, draw))
        results.append(accept_or_refuse(folder))
        path.write_bytes(original)

    assert {True, False} == set(results)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "tokenizer.json", WEIGHTS, INDEX]
)
def test_values_nested_too_deeply_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_bert(tmp_path / "bert")
    if name == INDEX:
        shard()(folder)

    change_file(folder / name, lambda content: DEEP)

    assert not accept_or_refuse(folder)


@pytest.mark.parametrize("shape", [[float("inf")], [int("9" * 4300)], [2**62] * 300])
def test_a_shape_that_is_no_size_is_refused(tmp_path: Path, shape: list[object]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    folder = write_bert(tmp_path / "bert")
    write_file(WEIGHTS, struct.pack("<Q", len(header)) + header)(folder)

    with pytest.raises(ModelUnavailable, match="not a safetensors file"):
        require_supported(folder)


def test_a_damaged_table_of_the_normalizer_is_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert")
    normalizer = {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8A"}
    change_file(
        folder / "tokenizer.json",
        lambda content: json.dumps(content | {"normalizer": normalizer}),
    )

    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json is damaged"):
        require_supported(folder)
