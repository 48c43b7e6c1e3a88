"""Export a run and classify a text with plain transformers and PEFT.

Start with ``python -m examples.export_and_load`` in the root of the project. Takes about 15 seconds
on two cores.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.jobs.tasks.export_run import export
from core.models.catalog import find_model
from core.runs.run import find_run
from core.settings import Settings
from core.storage.recovery import open_store
from core.transfer.export.formats import Format


def classify(base: Path, adapter: Path, text: str) -> dict[str, float]:
    """Return the probability of each class. Uses nothing of ``core``: it works anywhere."""
    labels = json.loads((adapter / "labels.json").read_text(encoding="utf-8"))
    names = {int(index): name for index, name in labels["id2label"].items()}
    model = AutoModelForSequenceClassification.from_pretrained(base, id2label=names)
    model = PeftModel.from_pretrained(model, adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    inputs = tokenizer(text, truncation=True, max_length=labels["max_tokens"], return_tensors="pt")
    with torch.inference_mode():
        probabilities = model(**inputs).logits.softmax(dim=-1)[0]  # (C,)
    return {names[index]: value for index, value in enumerate(probabilities.tolist())}


def main(run: str, text: str) -> None:
    """Export the adapter of ``run``, check it on test texts, and load it."""
    settings = Settings(hub=False)
    store = open_store(settings)  # a new home folder starts with the run "example"
    base = find_model("minilm", settings, hub=False).folder
    assert base is not None
    with tempfile.TemporaryDirectory() as place:
        job, folder = find_run(store, run), Path(place)
        verification = export(
            store, job, Format.ADAPTER, folder, lambda progress: None, lambda: False
        )
        assert verification is not None
        equal, texts = verification.labels_equal, verification.texts
        print(f"{equal} of {texts} test texts get the same label")
        for name, probability in classify(base, folder, text).items():
            print(f"{name:10s} {probability:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="example", help="id or name of a run on minilm")
    parser.add_argument("--text", default="Shares fell after the chip maker's warning.")
    main(**vars(parser.parse_args()))
