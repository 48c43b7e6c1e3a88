import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config import RunConfig
from core.data.sources import Source, SourceKind
from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.runs.descriptions import RunDetails, ScoreDetails
from core.runs.requests import Numerics, TrainRequest
from core.runs.run import RunResult, SplitScores
from core.training.adapted_model import add_adapter, serialize_adapter
from core.training.load_model import load_base
from core.transfer.export import verify
from core.transfer.export.formats import MODELS, Format
from core.transfer.export.model_card import build_card
from core.transfer.export.verify import verify_export
from core.transfer.export.write_files import SLOW_FUSION, ExportSource, read_labels, write_model
from tests.support.export_verifications import make_verification
from tests.support.tiny_models import write_bert

AG_NEWS = Source(SourceKind.HUB, "AG News")
CLASSES = ("World", "Sports", "Business", "Sci/Tech")
TEXTS = [
    f"the {word} team said it will play {number} games"
    for number, word in enumerate(("first", "last", "new", "state", "oil") * 8)
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ExportSource:
    """A tiny run whose adapter changes the predictions."""
    place = tmp_path_factory.mktemp("run")
    model = add_adapter(
        load_base(write_bert(place / "base"), CLASSES, 1), RunConfig(rank=4), "org/tiny", "abc"
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    (place / "adapter").mkdir()
    for name, content in serialize_adapter(model).items():
        (place / "adapter" / name).write_bytes(content)
    return ExportSource(place / "base", "org/tiny", "abc", place / "adapter", CLASSES, 64, 1)


@pytest.fixture(scope="module", params=MODELS, ids=str)
def created(
    request: pytest.FixtureRequest, source: ExportSource, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Format, Path]:
    folder = tmp_path_factory.mktemp("made")
    write_model(source, request.param, folder)
    return request.param, folder


def test_each_format_predicts_as_the_run_does(
    source: ExportSource, created: tuple[Format, Path]
) -> None:
    target, folder = created

    verification = verify_export(source, target, folder, TEXTS)

    assert verification.differs_from_base > 0.01
    if target is not Format.ONNX_INT8:  # 8 bits are too few for the margins of random weights
        assert (
            verification.labels_equal,
            verification.max_probability_difference < 1e-4,
            verification.holds,
        ) == (
            len(TEXTS),
            True,
            True,
        )


def test_eight_bit_weights_take_less_space(source: ExportSource, tmp_path: Path) -> None:
    sizes = {}
    for target in (Format.ONNX, Format.ONNX_INT8):
        (tmp_path / target).mkdir()
        write_model(source, target, tmp_path / target)
        sizes[target] = (tmp_path / target / "model.onnx").stat().st_size

    assert (
        sizes[Format.ONNX_INT8] < 0.8 * sizes[Format.ONNX]
    )  # names and shapes take a large part of a tiny model


def test_onnx_computes_the_last_layer_for_the_first_token_only(
    source: ExportSource, tmp_path: Path
) -> None:
    write_model(source, Format.ONNX, tmp_path)
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx")).graph
    tokens = {
        value.name: value.type.tensor_type.shape.dim[1]
        for value in graph.value_info
        if len(value.type.tensor_type.shape.dim) == 3
    }

    *_, before, attended, last = (
        tokens[node.output[0]] for node in graph.node if node.op_type == "LayerNormalization"
    )

    assert (before.dim_param, attended.dim_value, last.dim_value) == ("tokens", 1, 1)


def test_onnx_predictions_do_not_depend_on_padding(source: ExportSource, tmp_path: Path) -> None:
    write_model(source, Format.ONNX, tmp_path)
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", disabled_optimizers=[SLOW_FUSION]
    )
    ids = np.random.default_rng(0).integers(5, 90, (3, 21))
    mask = np.ones_like(ids)
    mask[1, 4:] = 0

    together = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    alone = session.run(["logits"], {"input_ids": ids[1:2, :4], "attention_mask": mask[1:2, :4]})[0]

    assert np.abs(together[1] - alone[0]).max() < 1e-5
    assert together.shape == (3, len(CLASSES))


def test_each_format_has_classes_max_tokens_and_tokenizer(created: tuple[Format, Path]) -> None:
    _, folder = created

    assert read_labels(folder) == (CLASSES, 64)
    assert (folder / "tokenizer.json").is_file()


def test_no_file_contains_a_path_of_this_machine(
    source: ExportSource, created: tuple[Format, Path]
) -> None:
    _, folder = created
    packages, project = Path(torch.__file__).parents[1], Path(verify.__file__).parents[3]

    for path in folder.rglob("*"):
        content = path.read_bytes()
        for local in (source.base.parent, packages, project, "site-packages", "stack_trace"):
            assert str(local).encode() not in content, f"{path.name} contains {local}"


def test_the_adapter_names_its_base_by_identity(source: ExportSource, tmp_path: Path) -> None:
    write_model(source, Format.ADAPTER, tmp_path)

    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", "abc")


def test_a_merged_model_contains_its_class_names(source: ExportSource, tmp_path: Path) -> None:
    write_model(source, Format.MERGED, tmp_path)

    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {
        str(number): name for number, name in enumerate(CLASSES)
    }


def test_a_model_with_other_predictions_fails_verification(
    source: ExportSource, tmp_path: Path
) -> None:
    write_model(source, Format.MERGED, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: -tensor if "classifier" in name else tensor for name, tensor in weights.items()},
        tmp_path / "model.safetensors",
    )

    assert not verify_export(source, Format.MERGED, tmp_path, TEXTS).holds


def test_an_export_without_the_adapter_fails_verification(
    source: ExportSource, tmp_path: Path
) -> None:
    write_model(source, Format.ADAPTER, tmp_path)
    weights = {
        name: torch.zeros_like(tensor)
        for name, tensor in load_file(tmp_path / "adapter_model.safetensors").items()
    }
    save_file(weights, tmp_path / "adapter_model.safetensors")

    assert not verify_export(source, Format.ADAPTER, tmp_path, TEXTS).holds


def test_verification_needs_texts(source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(ArtifactDamaged, match="no test texts"):
        verify_export(source, Format.MERGED, tmp_path, [])


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"labels_equal": 199}, False),
        ({"max_probability_difference": 2e-4}, False),
        ({"differs_from_base": 1e-5}, False),
        ({"texts": 0, "labels_equal": 0}, False),
        (
            {"format": Format.ONNX_INT8, "labels_equal": 196, "max_probability_difference": 0.2},
            True,
        ),
        (
            {"format": Format.ONNX_INT8, "labels_equal": 195, "max_probability_difference": 0.2},
            False,
        ),
    ],
)
def test_conditions_of_a_verification(changes: dict[str, object], holds: bool) -> None:
    assert make_verification(**changes).holds is holds


def test_the_card_has_scores_with_intervals_and_escapes_user_text(
    source: ExportSource,
) -> None:
    numerics = Numerics(asked="auto", precision="bf16", onednn=True)
    request = TrainRequest(config=RunConfig(rank=4), source=AG_NEWS, numerics=numerics)
    result = RunResult(test=SplitScores(hits=90, rows=100, macro_f1=0.9, accuracy=0.9))
    true, predicted = np.array([0] * 50 + [1] * 50), np.array([0] * 25 + [1] * 75)
    frame = build_prediction_frame(np.arange(100), true, np.eye(2, dtype=np.float32)[predicted])
    scores = ScoreDetails.of(Predictions.of(frame, 2), ("a|b", "c"))
    details = RunDetails("<b>mine</b> | *x*", request, "auto → bf16", "1234", result, scores=scores)

    card = build_card(details, source, make_verification())

    assert (
        "Accuracy 0.9000 (95 % interval 0.8256 to 0.9448) on 100 test texts" in card
    )  # Wilson, by hand
    assert "# \\<b\\>mine" in card
    assert "| a\\|b | 1.000 (0.867 to 1.000) | 0.500 (0.366 to 0.634) | 0.667 | 50 |" in card
    assert "200 of 200 test texts" in card
    assert "Precision: auto → bf16; matrix products by oneDNN." in card
    assert "type: fancyzhx/ag_news" in card


def test_the_card_names_a_base_from_a_folder_by_identity(source: ExportSource) -> None:
    request = TrainRequest(config=RunConfig(model=str(source.base)), source=AG_NEWS)
    details = RunDetails("mine", request, "fp32", "1234", RunResult())

    card = build_card(details, source, make_verification())

    assert "| `model` | org/tiny |" in card
    assert str(source.base.parent) not in card
