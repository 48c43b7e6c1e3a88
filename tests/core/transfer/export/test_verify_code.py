"""Execute the code of exports of tiny models, for each family and for difficult names."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from core.errors import ArtifactDamaged
from core.models.catalog import find_model
from core.runs.run import Run
from core.settings import Settings
from core.storage.store import Store
from core.training.load_model import load_base
from core.transfer.export.formats import Format
from core.transfer.export.verify import PrintedCode, build_probes, verify_code
from core.transfer.export.write_files import ExportSource
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from tests.support.export_verifications import make_details, make_source, write_exports
from tests.support.peft_cases import BASES, CLASSES, identify, lora, zipped
from tests.support.tiny_models import WRITERS, write_bert

pytestmark = pytest.mark.slow

FORMATS = (Format.ADAPTER, Format.MERGED, Format.ONNX, Format.ONNX_INT8)
TEXTS = [
    "the team won the final game of the season",
    "stocks fell as oil prices rose",
    "the minister said the vote would be held next week after talks with the party " * 3,
    "a new chip for phones",
    "police",
]
OTHER_PYTHON = os.environ.get("LORALAB_OTHER_PYTHON")  # tests run without such variables
CARDS_ONLY = PrintedCode("data", scripts=False)
NASTY = (
    'it\'s "quoted"',
    "two\nlines",
    "emoji 😀 and ```",
    "{{ x }} ${BASE} $BASE | *b* <i>",
    "back\\slash \x85 #1: - yes",
    "no",
)


def pair(texts: list[str], classes: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(text, classes[number % len(classes)]) for number, text in enumerate(texts)]


@pytest.mark.parametrize("family", WRITERS)
def test_the_cards_of_each_family_predict_as_the_run(family: str, tmp_path: Path) -> None:
    base = WRITERS[family](tmp_path / "my bäse")
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    models = write_exports(source, FORMATS, tmp_path / "out", make_details())

    executed = verify_code(
        source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY
    )

    assert [each.name for each in executed] == [
        f"{target}/README.md, block 1" for target in sorted(FORMATS)
    ]
    assert all(len(rows) == 7 for each in executed for rows in each.probabilities.values())


@pytest.mark.parametrize("family", ["bert", "camembert", "electra", "mpnet"])
def test_the_exports_of_an_imported_adapter_predict_as_it(family: str, tmp_path: Path) -> None:
    """The adapter reaches each linear module, also the pooler, with several ranks and scales."""
    base = BASES[family](tmp_path / family)
    make = lora(
        target_modules="all-linear",
        rank_pattern={"pooler.dense": 2, "embeddings_project": 3, "layer.0.*(query|q)": 6},
        alpha_pattern={"intermediate.dense": 3, "pooler.dense": 5},
    )
    store = Store(Settings(home=tmp_path / "home"))
    upload = read_upload("mine.zip", zipped(identify(make(base), base)))
    run = Run.of(store, import_run(store, upload, classes=CLASSES, base=str(base)))
    model = find_model(str(base), store.settings, hub=False)
    source = ExportSource(
        base, model.identity, model.revision, run.adapter, run.classes, run.config.max_tokens, 1
    )
    models = write_exports(source, FORMATS[:3], tmp_path / "out", make_details())

    executed = verify_code(
        source,
        models,
        tmp_path / "out",
        pair(TEXTS, source.classes),
        CARDS_ONLY,
    )

    assert len(executed) == 3


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def store_in_bf16(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    halves = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    save_file(halves, base / "model.safetensors", {"format": "pt"})
    edit_json(base / "config.json", dtype="bfloat16")


def add_multi_label_head(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    named = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    head = {"classifier.weight": torch.ones(5, 32), "classifier.bias": torch.ones(5)}
    save_file(named | head, base / "model.safetensors", {"format": "pt"})
    names = {str(index): f"old {index}" for index in range(5)}
    edit_json(
        base / "config.json",
        architectures=["BertForSequenceClassification"],
        problem_type="multi_label_classification",
        id2label=names,
        label2id={name: int(index) for index, name in names.items()},
    )


def pad_on_the_left(base: Path) -> None:
    edit_json(base / "tokenizer_config.json", padding_side="left")


def pad_to_128(base: Path) -> None:
    padding = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None}
    token = {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    edit_json(base / "tokenizer.json", padding=padding | token)


@pytest.mark.parametrize(
    "change", [store_in_bf16, add_multi_label_head, pad_on_the_left, pad_to_128]
)
def test_what_the_base_stores_does_not_change_an_export(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    base = write_bert(tmp_path / "base")
    change(base)
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    targets = (Format.ADAPTER, Format.MERGED, Format.ONNX)
    models = write_exports(source, targets, tmp_path / "out", make_details())

    executed = verify_code(
        source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY
    )

    assert len(executed) == len(targets)
    config = json.loads((tmp_path / "out" / "merged" / "config.json").read_text())
    assert (config["problem_type"], len(config["id2label"])) == ("single_label_classification", 3)
    tokenizer = json.loads((tmp_path / "out" / "onnx" / "tokenizer.json").read_text())
    assert (tokenizer["padding"], tokenizer["truncation"]["max_length"]) == (None, 64)


@pytest.mark.parametrize("identity", ["org/tiny", "local/my base ü"])
def test_names_with_any_characters_stay_names(identity: str, tmp_path: Path) -> None:
    base = write_bert(tmp_path / "base")
    source = make_source(base, tmp_path / "adapter", NASTY, identity)
    details = make_details('100 %(prog)s """ \\N{no} 😀 {{x}}', "my $BASE: {data} #1")
    models = write_exports(source, (Format.ADAPTER, Format.ONNX), tmp_path / "out", details)

    executed = verify_code(
        source,
        models,
        tmp_path / "out",
        pair(TEXTS * 2, NASTY),
        PrintedCode("data", scripts=True),
    )

    assert [each.name for each in executed][2:] == ["python train.py", "train.ipynb"]
    assert "(the run: 0.9000)" in executed[-1].output
    card = (tmp_path / "out" / "adapter" / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["model-index"][0]["name"] == details.name
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "my $BASE: {data} #1"
    assert metadata.get("base_model") == (None if source.is_local else identity)


@pytest.mark.parametrize("python", dict.fromkeys((sys.executable, OTHER_PYTHON or sys.executable)))
def test_the_script_reads_a_tokenizer_that_transformers_5_saved(
    python: str, tmp_path: Path
) -> None:
    base = write_bert(tmp_path / "base")
    edit_json(
        base / "tokenizer_config.json",
        tokenizer_class="TokenizersBackend",
        model_input_names=["input_ids"],
    )
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    models = write_exports(source, [Format.ADAPTER], tmp_path / "out", make_details())

    executed = verify_code(
        source,
        models,
        tmp_path / "out",
        pair(TEXTS, source.classes),
        PrintedCode("data", python=python),
    )

    assert [each.name for each in executed][1:] == ["python train.py", "train.ipynb"]


def test_a_card_that_predicts_differently_is_refused(tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.ONNX], tmp_path / "out", make_details())
    card = tmp_path / "out" / "onnx" / "README.md"
    code = card.read_text().replace("text.attention_mask for", "[1] * len(text.ids) for")
    card.write_text(code)

    with pytest.raises(ArtifactDamaged, match="onnx/README.md, block 1 does not predict"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY)


@pytest.mark.parametrize("code", ["classify =", "```python"])
def test_a_card_whose_code_does_not_classify_is_refused(code: str, tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.MERGED], tmp_path / "out", make_details())
    card = tmp_path / "out" / "merged" / "README.md"
    other = card.read_text().replace('classify("', 'other("')
    card.write_text(other.replace(code, {"classify =": "other ="}.get(code, "```text")))

    with pytest.raises(ArtifactDamaged, match="nothing was compared with the run: folder merged"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY)


def test_code_that_takes_too_long_is_not_reported_as_wrong(tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.ONNX], tmp_path / "out", make_details())
    printed = dataclasses.replace(CARDS_ONLY, most_seconds=0)

    with pytest.raises(ArtifactDamaged, match="longer than the limit of 0 minutes"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), printed)


def test_code_that_fails_is_refused(tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.MERGED], tmp_path / "out", make_details())
    (tmp_path / "out" / "merged" / "tokenizer.json").unlink()

    with pytest.raises(ArtifactDamaged, match="merged/README.md, block 1"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY)


def test_probes_have_few_and_many_tokens(tmp_path: Path) -> None:
    tokenizer = load_base(write_bert(tmp_path / "base"), ("a", "b"), 1).tokenizer

    probes = build_probes(TEXTS, tokenizer)

    lengths = [len(tokenizer(text, truncation=False)["input_ids"]) for text in probes]
    assert lengths[:3] == [3, 60, 220]
    assert probes[3:] == TEXTS[:4]


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.skipif(OTHER_PYTHON is None, reason="see Export in docs/pages.md")
def test_other_versions_of_the_libraries_read_an_export(family: str, tmp_path: Path) -> None:
    """``LORALAB_OTHER_PYTHON`` is a Python with older versions of transformers and PEFT."""
    base = WRITERS[family](tmp_path / "base")
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    models = write_exports(source, FORMATS, tmp_path / "out", make_details())
    other = dataclasses.replace(PrintedCode("data", scripts=True), python=str(OTHER_PYTHON))

    executed = verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), other)

    assert len(executed) == len(FORMATS) + 2
