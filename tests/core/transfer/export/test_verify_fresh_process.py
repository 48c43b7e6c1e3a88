"""Load an exported adapter in a process that uses only transformers and PEFT, in two usual ways."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.inference.classifier import Classifier
from core.training.adapted_model import add_adapter, serialize_adapter
from core.training.load_model import load_base
from core.transfer.export.formats import Format
from core.transfer.export.write_files import ExportSource, write_model
from tests.support.tiny_models import write_bert

CLASSES = ("World", "Sports", "Business")
COMMIT = "c" * 40
TEXT = "the team won the final"
BY_NAME = "AutoPeftModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=3)"
BY_FOLDER = (
    "PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(sys.argv[2],"
    " num_labels=3), sys.argv[1])"
)
PROGRAM = """
import json, sys
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = MODEL.eval()
batch = AutoTokenizer.from_pretrained(sys.argv[1])(sys.argv[3], return_tensors="pt")
print(json.dumps(model(**batch).logits.softmax(-1)[0].tolist()))
"""


@pytest.mark.parametrize(
    "model", [BY_NAME, BY_FOLDER], ids=["from the cache of the Hub", "over a base from a folder"]
)
def test_an_exported_adapter_predicts_the_same_in_a_fresh_process(
    tmp_path: Path, model: str
) -> None:
    trained = add_adapter(
        load_base(write_bert(tmp_path / "base"), CLASSES, 1), RunConfig(rank=4), "org/tiny", COMMIT
    )
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) if parameter.requires_grad else 0.0)
    (tmp_path / "adapter").mkdir()
    for name, content in serialize_adapter(trained).items():
        (tmp_path / "adapter" / name).write_bytes(content)
    (tmp_path / "made").mkdir()
    write_model(
        ExportSource(tmp_path / "base", "org/tiny", COMMIT, tmp_path / "adapter", CLASSES, 64, 1),
        Format.ADAPTER,
        tmp_path / "made",
    )
    cached = (
        tmp_path / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    )  # as a download leaves it
    shutil.copytree(tmp_path / "base", cached)
    here = Classifier(tmp_path / "base", CLASSES)
    here.load_adapter("run", tmp_path / "adapter")

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM.replace("MODEL", model, 1),
            str(tmp_path / "made"),
            str(tmp_path / "base"),
            TEXT,
        ],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(
        here.classify("run", [TEXT], 64)[0], abs=1e-5
    )
    assert np.abs(here.classify("run", [TEXT], 64) - here.classify(None, [TEXT], 64)).max() > 1e-3
