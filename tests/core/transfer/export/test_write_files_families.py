"""Train and export each family that the hand-written encoder supports."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.config import RunConfig
from core.models.catalog import find_model
from core.settings import Settings
from core.training.adapted_model import quiet_peft
from core.training.session import TrainingData
from core.transfer.export.formats import Format
from core.transfer.export.write_files import ONNX_FILE, ExportSource, write_model
from tests.core.training.conftest import news
from tests.support.tiny_models import WRITERS
from tests.support.training_lab import Heard, Lab

CLASSES = ("Sports", "Business", "World")
CONFIG = RunConfig(
    train_rows=48,
    batch_size=8,
    max_tokens=24,
    rank=4,
    alpha=8,
    epochs=4,
    learning_rate=1e-2,
    evaluation_interval=3,
    validation_rows=12,
    seed=3,
    precision="fp32",
)
Scores = NDArray[np.float64]


@pytest.fixture
def texts() -> list[str]:
    return news(30, 3)["text"].tolist()


@pytest.mark.parametrize("family", WRITERS)
def test_each_format_predicts_as_the_run_after_training(
    family: str, tmp_path: Path, settings: Settings, texts: list[str]
) -> None:
    base = WRITERS[family](tmp_path / "base", layers=3)
    frames = {"train": news(60, 1), "validation": news(24, 2), "test": news(30, 3)}
    lab = Lab(find_model(str(base), settings, hub=False), TrainingData(CLASSES, frames.__getitem__))
    heard = Heard()
    session = lab.session(CONFIG, heard)
    assert session.network.fast is not None
    session.train()
    trained = predicted(heard, "test")
    assert np.ptp(trained, axis=0).max() > 0.01  # 100 times the tolerance below
    adapter = tmp_path / "run"
    adapter.mkdir()
    for name, content in heard.adapters[-1].files.items():
        (adapter / name).write_bytes(content)
    source = ExportSource(base, "org/tiny", "abc", adapter, CLASSES, CONFIG.max_tokens, CONFIG.seed)

    for target in (Format.ADAPTER, Format.MERGED, Format.ONNX):
        folder = tmp_path / target
        folder.mkdir()
        write_model(source, target, folder)

        assert classify(target, folder, base, texts) == pytest.approx(trained, abs=1e-4), target


def predicted(heard: Heard, split: str) -> Scores:
    """Return the probabilities (n, C) of a split in the order of its rows."""
    (event,) = [event for event in heard.evaluations if event.split == split]
    frame = event.predictions.sort_values("row")
    return frame[[f"p{index}" for index in range(len(CLASSES))]].to_numpy()


def classify(target: Format, folder: Path, base: Path, texts: list[str]) -> Scores:
    """Predict probabilities (n, C) with transformers, PEFT or onnxruntime only."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    if target is Format.ONNX:
        session = onnxruntime.InferenceSession(
            folder / ONNX_FILE, providers=["CPUExecutionProvider"]
        )
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        return softmax(torch.from_numpy(session.run(["logits"], arrays)[0]))
    where = base if target is Format.ADAPTER else folder
    model = AutoModelForSequenceClassification.from_pretrained(where, num_labels=len(CLASSES))
    if target is Format.ADAPTER:
        with quiet_peft():
            model = PeftModel.from_pretrained(model, folder)
    with torch.inference_mode():
        return softmax(model.eval()(**inputs).logits)


def softmax(logits: torch.Tensor) -> Scores:
    shares: Scores = torch.softmax(logits.double(), -1).numpy()
    return shares
