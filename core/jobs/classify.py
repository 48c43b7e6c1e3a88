"""Classify texts with a run, in this process: for the command line. Pages go through the inference host."""

from collections.abc import Sequence

from core.catalog import find_model
from core.errors import DataError
from core.inference.request import ClassifyRequest
from core.inference.serve import classify
from core.jobs import artifacts
from core.jobs.describe import read_classes
from core.jobs.requests import read_train_request
from core.states import Job
from core.store import Store


def classify_request(store: Store, job: Job, hub: bool) -> ClassifyRequest:
    """What asks a run's adapter. Raises ArtifactDamaged if the run has none."""
    config = read_train_request(job).config
    model = find_model(config.model, store.settings, hub)
    return ClassifyRequest(job.id, model, artifacts.adapter_folder(store.folder(job)), read_classes(job), config.max_tokens, config.seed)


def classify_texts(store: Store, job: Job, texts: Sequence[str], hub: bool) -> list[dict[str, object]]:
    """Text, label and probability per class of each text. Raises DataError on an empty one, ModelUnavailable, ArtifactDamaged."""
    if not all(text.strip() for text in texts):
        raise DataError("One of the texts is empty.", "Give at least one word.")
    request = classify_request(store, job, hub)
    (probabilities,) = classify([request], list(texts))
    return [
        {
            "text": text,
            "label": request.classes[int(row.argmax())],
            "probabilities": {name: float(p) for name, p in zip(request.classes, row, strict=True)},
        }
        for text, row in zip(texts, probabilities, strict=True)
    ]
