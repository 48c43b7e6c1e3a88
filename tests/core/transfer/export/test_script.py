import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from transformers import AutoModelForSequenceClassification

from core.config import RunConfig
from core.data.sources import Source, SourceKind
from core.runs.descriptions import RunDetails
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.transfer.export.script import SavedLora, build_notebook, build_script
from core.transfer.export.write_files import ExportSource
from tests.support.tiny_models import write_bert

ADAPTER = SavedLora(
    r=8,
    lora_alpha=16,
    target_modules=("value", "query"),
    modules_to_save=("classifier", "score", "classifier"),
)
OF_PEFT = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
NASTY = 'mine""" \\N{no} $BASE\nimport os'


def details(name: str = "mine", data: str = "AG News", four_bit: bool = False) -> RunDetails:
    config = RunConfig(train_rows=1000, learning_rate=0.001, four_bit=four_bit)
    request = TrainRequest(config=config, source=Source(SourceKind.HUB, data))
    result = RunResult(test=SplitScores(accuracy=0.8765))
    return RunDetails(name, request, "fp32", "864aa3ea1857", result)


def source(*classes: str, identity: str = "org/tiny") -> ExportSource:
    return ExportSource(
        Path("base"), identity, "abc", Path("adapter"), classes or ("a", "b"), 64, 1
    )


def values(script: str) -> dict[str, object]:
    """Return the constants that the script assigns at module level."""
    result: dict[str, object] = {}
    for node in ast.parse(script).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Attribute):
                continue
            names = (
                [item.id for item in target.elts if isinstance(item, ast.Name)]
                if isinstance(target, ast.Tuple)
                else [ast.unparse(target)]
            )
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            result |= (
                dict(zip(names, value, strict=True))
                if isinstance(target, ast.Tuple)
                else {names[0]: value}
            )
    return result


def shape(script: str) -> list[type[ast.AST]]:
    """Return the types of all syntax nodes of the script."""
    return [type(node) for node in ast.walk(ast.parse(script))]


def test_the_script_uses_the_configuration_of_the_run() -> None:
    script = build_script(details(), source("World", "Sci/Tech"), ADAPTER)

    assert values(script) == {
        "BASE": "org/tiny",
        "DATA": "fancyzhx/ag_news",
        "REVISION": "abc",
        "CLASSES": ["World", "Sci/Tech"],
        "FINGERPRINT": "864aa3ea1857",
        "TARGET_MODULES": ["query", "value"],
        "HEAD": ["classifier", "score"],
        "ROWS": 1000,
        "MAX_TOKENS": 64,
        "SEED": 42,
        "EPOCHS": 1,
        "BATCH_SIZE": 16,
        "WARMUP": 0.05,
    }
    assert all(
        part in script
        for part in (
            "r=8,",
            "lora_alpha=16,",
            "learning_rate=0.001,",
            "(the run: 0.8765)",
        )
    )


def test_data_that_is_not_on_the_hub_is_read_from_a_folder() -> None:
    assert values(build_script(details(data="my news"), source(), ADAPTER))["DATA"] == "data"


@pytest.mark.parametrize("name", [NASTY, "😀", "{{ x }}", '"', "\\", "''' + open('x')"])
def test_user_text_does_not_become_code(name: str) -> None:
    script = build_script(details(name, data=name), source(name, "b"), ADAPTER)

    assert values(script)["CLASSES"] == [name, "b"]
    assert shape(script) == shape(build_script(details(), source("a", "b"), ADAPTER))


def test_a_base_model_from_a_folder_has_no_revision() -> None:
    assert (
        values(build_script(details(), source(identity="local/tiny"), ADAPTER))["REVISION"] is None
    )


def test_the_notebook_contains_the_script_in_cells() -> None:
    script = build_script(details(), source(), ADAPTER)

    notebook = json.loads(build_notebook(script))

    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds == ["code", *["markdown", "code"] * 4]
    code = "\n".join(
        "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"
    )
    assert "parse_args([])" in code
    ast.parse(code)


def test_the_script_of_a_4_bit_run_loads_a_4_bit_base_model() -> None:
    plain = build_script(details(), source(), ADAPTER)
    in_four_bits = build_script(details(four_bit=True), source(), ADAPTER)

    ast.parse(in_four_bits)
    assert "quantization_config=BitsAndBytesConfig(" in in_four_bits
    assert 'load_in_4bit=True, bnb_4bit_quant_type="nf4"' in in_four_bits
    assert "prepare_model_for_kbit_training(model" in in_four_bits
    assert "BitsAndBytes" not in plain


def run_model_part(script: str, base: Path) -> Any:
    """Execute what the script imports and its part "Model", and return the model."""
    imports = script[script.index("import argparse") : script.index("BASE, REVISION")]
    part = script[script.index("# 3. Model") : script.index("# 4. Training")]
    names: dict[str, Any] = values(script) | {
        "options": SimpleNamespace(base=str(base), adapter=None)
    }
    exec(imports + part, names)
    return names["model"]


def run_data_part(script: str, train: Dataset) -> list[int]:
    """Execute the part "Data" of the script on ``train`` and return its class ids."""
    part = script[script.index("label = train.features") : script.index("digest =")]
    names: dict[str, Any] = values(script) | {"train": train, "test": train}
    exec("from datasets import ClassLabel, Features, Value\n" + part, names)
    return list(names["test"]["label"])


@pytest.mark.parametrize(
    ("labels", "feature", "ids"),
    [
        ([0, 1, 0], ClassLabel(names=["c", "a"]), [2, 0, 2]),
        ([0, 1, 2], ClassLabel(names=["A", "B", "C"]), [0, 1, 2]),
        (["c", "a", "1"], Value("string"), [2, 0, 1]),
        ([2, 0, 1], Value("int64"), [2, 0, 1]),
    ],
)
def test_the_script_finds_the_class_by_its_name(
    labels: list[object], feature: ClassLabel | Value, ids: list[int]
) -> None:
    features = Features({"text": Value("string"), "label": feature})
    data = Dataset.from_dict({"text": ["x", "y", "z"], "label": labels}, features=features)

    assert run_data_part(build_script(details(), source("a", "b", "c"), ADAPTER), data) == ids


@OF_PEFT
def test_the_script_draws_a_new_head_for_a_base_with_one(tmp_path: Path) -> None:
    base = AutoModelForSequenceClassification.from_pretrained(
        write_bert(tmp_path / "base"), num_labels=2
    )
    base.classifier.weight.data.fill_(7.0)
    base.classifier.bias.data.fill_(7.0)
    base.save_pretrained(tmp_path / "with-head")
    script = build_script(details(), source(identity="local/tiny"), ADAPTER)

    model = run_model_part(script, tmp_path / "with-head")

    head = model.base_model.model.classifier.modules_to_save["default"]
    assert 0 < head.weight.abs().max() < 1
    assert head.bias.abs().max() == 0


@OF_PEFT
def test_the_script_adapts_the_layers_of_the_run(tmp_path: Path) -> None:
    lora = SavedLora(
        r=4,
        lora_alpha=8,
        target_modules=("query", "value"),
        modules_to_save=("classifier",),
        layers_to_transform=(1,),
    )
    script = build_script(details(), source(identity="local/tiny"), lora)

    model = run_model_part(script, write_bert(tmp_path / "base"))

    layers = model.base_model.model.bert.encoder.layer
    assert not hasattr(layers[0].attention.self.query, "lora_A")
    assert hasattr(layers[1].attention.self.query, "lora_A")


@OF_PEFT
def test_the_script_repeats_ranks_and_scales_of_single_modules(tmp_path: Path) -> None:
    lora = SavedLora(
        r=4,
        lora_alpha=8,
        target_modules=("query", "value"),
        modules_to_save=("classifier",),
        rank_pattern={"bert.encoder.layer.0.attention.self.query": 2},
        alpha_pattern={"bert.encoder.layer.1.attention.self.value": 3},
    )
    script = build_script(details(), source(identity="local/tiny"), lora)

    model = run_model_part(script, write_bert(tmp_path / "base"))

    layers = model.base_model.model.bert.encoder.layer
    assert layers[0].attention.self.query.r["default"] == 2
    assert layers[1].attention.self.query.r["default"] == 4
    assert layers[1].attention.self.value.scaling["default"] == 0.75
