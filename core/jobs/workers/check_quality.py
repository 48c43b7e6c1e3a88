"""The job that checks the quality of a dataset."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.data.preparation import open_dataset
from core.data.quality.findings import save_report
from core.data.quality.inspection import inspect
from core.data.quality.label_errors import Encode
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.models.catalog import ModelLocation, find_model
from core.progress import Phase, Progress
from core.runs.requests import QualityRequest, QualityResult
from core.settings import Settings

# small, and trained for sentences: its mean represents a text better than that of a larger model
ENCODER = "minilm"


def find_encoder(settings: Settings) -> ModelLocation | None:
    """Return the encoder of the label judges; None if it is not on this machine."""
    model = find_model(ENCODER, settings, False)
    return model if model.folder is not None else None


def run(
    context: JobContext,
    find_judge: Callable[[Settings], ModelLocation | None] = find_encoder,
) -> None:
    """Check the prepared data of the request and store the report with it.

    ``find_judge`` returns the encoder whose vectors label judges use, if there is one. Raises
    Stopped, ArtifactDamaged and ModelUnavailable.
    """
    dataset = open_dataset(context.settings, read_request(context.job, QualityRequest).fingerprint)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    encode = _make_encoder(context, find_judge(context.settings))
    report, findings, neighbors = inspect(dataset, context.report, context.should_stop, encode)
    save_report(dataset, report, findings, neighbors)
    context.update_result(
        QualityResult(
            seconds=report.seconds,
            found={finding.check.value: finding.texts for finding in report.findings},
        )
    )


def _make_encoder(context: JobContext, model: ModelLocation | None) -> Encode | None:
    if model is None:
        return None

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        # Late: torch is only needed after the checks of words.
        from core.inference.classifier import encode_sentences  # noqa: PLC0415
        from core.training.fast.matmul import machine_products  # noqa: PLC0415
        from core.training.load_model import fetch  # noqa: PLC0415

        def report(done: int) -> None:
            context.report(Progress(Phase.ENCODING, done, len(texts)))

        report(0)
        in_bf16 = machine_products(context.settings).bf16_suits_vectors
        return encode_sentences(fetch(model), texts, context.should_stop, report, in_bf16)

    return encode
