"""A base model whose files change after the training is noticed before its adapter is used."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import ModelUnavailable
from core.models.catalog import ModelLocation, find_model
from core.runs.artifacts import record_base_files
from core.runs.run import Run
from core.settings import Settings
from core.storage.job import Job, JobKind, JobState
from tests.support.tiny_models import write_bert


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "my base", hidden=128, layers=3)


def locate(base: Path) -> ModelLocation:
    return find_model(str(base), Settings(hub=False), hub=False)


def make_run(folder: Path, result: dict[str, object], revision: str = "") -> Run:
    (folder / "adapter").mkdir(parents=True)
    content = {"revision": revision} if revision else {}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(content))
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    job = Job(
        "1",
        JobKind.TRAIN,
        "mine",
        JobState.COMPLETED,
        1,
        "local",
        "{}",
        0.0,
        result_json=json.dumps(result),
    )
    return Run(job, folder)


def make_trained(tmp_path: Path, base: Path) -> Run:
    recorded = [file.model_dump() for file in record_base_files(locate(base))]
    return make_run(tmp_path / "run", {"base_files": recorded})


def change_weight(base: Path) -> None:
    """Change one weight in the middle of a large tensor, and keep the size of the file."""
    tensors = load_file(base / "model.safetensors")
    name = max(tensors, key=lambda key: tensors[key].size)
    values = tensors[name].copy()
    values.flat[values.size // 3] += np.float32(0.5)
    save_file({**tensors, name: values}, base / "model.safetensors", {"format": "pt"})


def test_an_unchanged_base_is_accepted_without_reading_it(tmp_path: Path, base: Path) -> None:
    recorded = [file.model_dump() for file in record_base_files(locate(base))]
    unread = [file | {"sha256": "of other content"} for file in recorded]

    make_run(tmp_path / "run", {"base_files": unread}).require_same_base(locate(base))


def test_a_change_that_keeps_size_and_time_is_noticed(tmp_path: Path, base: Path) -> None:
    run, weights = make_trained(tmp_path, base), base / "model.safetensors"
    times = weights.stat()
    change_weight(base)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.raises(ModelUnavailable, match="model.safetensors in"):
        run.require_same_base(locate(base))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt"])
def test_a_changed_file_is_named(name: str, tmp_path: Path, base: Path) -> None:
    run = make_trained(tmp_path, base)
    (base / name).write_text((base / name).read_text() + "\n")

    with pytest.raises(ModelUnavailable) as refused:
        run.require_same_base(locate(base))

    assert "local/my base has changed since mine was trained" in refused.value.message
    assert f"{name} in {base}" in refused.value.message
    assert "train the run again" in refused.value.fix


def test_a_single_changed_weight_is_noticed(tmp_path: Path, base: Path) -> None:
    run = make_trained(tmp_path, base)
    change_weight(base)

    with pytest.raises(ModelUnavailable, match="model.safetensors in"):
        run.require_same_base(locate(base))


def test_a_missing_file_is_noticed(tmp_path: Path, base: Path) -> None:
    run, model = make_trained(tmp_path, base), locate(base)
    (base / "vocab.txt").unlink()

    with pytest.raises(ModelUnavailable, match="vocab.txt in"):
        run.require_same_base(model)


def test_a_copy_with_other_times_is_the_same_base(tmp_path: Path, base: Path) -> None:
    run = make_trained(tmp_path, base)
    for path in base.iterdir():
        os.utime(path, ns=(1, 1))

    run.require_same_base(locate(base))


def test_a_run_without_a_record_is_compared_by_fingerprint(tmp_path: Path, base: Path) -> None:
    model = locate(base)

    make_run(tmp_path / "same", {}, model.revision).require_same_base(model)
    make_run(tmp_path / "unknown", {}).require_same_base(model)
    with pytest.raises(ModelUnavailable, match="the configuration or the weights"):
        make_run(tmp_path / "other", {}, "0123456789ab").require_same_base(model)
