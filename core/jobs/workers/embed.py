"""Compute hidden states of texts: for embedding maps, and for the index of nearest texts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.data.cleaning import clean
from core.data.hub import hub_reachable
from core.data.preparation import open_dataset, prepare
from core.data.rows import stratified_sample
from core.errors import ConfigError, DataError, Stopped
from core.evaluation.embedding_map import measure_separation, prepare_umap, project
from core.inference.classifier import load_classifier
from core.inference.tracer import Tracer
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.embed_texts import (
    KEPT_STATES,
    MISSING_TEXTS,
    POOLINGS,
    SAMPLE_SEED,
    MapPath,
    MapRequest,
    NearestRequest,
    draw_sample,
    find_data,
    find_index_folder,
    find_map_paths,
    to_numbers,
    write_index,
)
from core.jobs.workers.classify import build_classify_request
from core.progress import Phase, Progress
from core.runs.requests import read_train_request
from core.storage import files
from core.storage.job import Job
from core.training.fast.matmul import machine_products
from core.training.load_model import fetch

States = NDArray[np.float16]
Labels = NDArray[np.int64]


def run_map(context: JobContext, compile_umap: Callable[[Path], None] = prepare_umap) -> None:
    """Compute each missing map. Hidden states are stored, so other methods or layers reuse them.

    ``compile_umap`` does so into a folder. Raises Stopped, ModelUnavailable, ArtifactDamaged,
    ConfigError and DataError.
    """
    request = read_request(context.job, MapRequest)
    context.report(Progress(Phase.LOADING))
    dataset = open_dataset(context.settings, request.fingerprint)
    rows = draw_sample(dataset, request)
    missing = [
        path for path in find_map_paths(context.store, request, dataset.classes) if not path.done
    ]
    ready = None
    if missing and request.method == "UMAP":
        # on another thread while texts are encoded: torch releases the GIL meanwhile
        ready = ThreadPoolExecutor(1).submit(compile_umap, context.settings.home / "numba")
    states = _encode(
        context, request, missing, rows["text"].tolist(), rows["label"].to_numpy(np.int64)
    )
    context.report(Progress(Phase.PROJECTING, 0, len(missing)))
    if ready is not None:
        ready.result()
    for number, (path, encoded) in enumerate(zip(missing, states, strict=True)):
        if context.should_stop():
            raise Stopped("The map was stopped.")
        if not -len(encoded) <= request.layer < len(encoded):
            raise ConfigError(
                f"{path.model.id} has no layer {request.layer}.",
                f"Choose one from 0 to {len(encoded) - 1}.",
            )
        points = project(
            encoded[request.layer, POOLINGS.index(request.pooling)], request.method, request.seed
        )
        frame = rows[["row", "label"]].assign(x=points[:, 0], y=points[:, 1])
        frame.attrs["flat"] = to_numbers(
            measure_separation(points, rows["label"].to_numpy(np.int64))
        )
        files.write_parquet(path.map, frame)
        context.report(Progress(Phase.PROJECTING, number + 1, len(missing)))


def _encode(
    context: JobContext,
    request: MapRequest,
    missing: Sequence[MapPath],
    texts: list[str],
    labels: Labels,
) -> list[States]:
    """Return hidden states (L + 1, 2, n, d) for each path; stored ones are read."""
    stored = [_read_states(path, len(texts)) for path in missing]
    total, done = sum(states is None for states in stored) * len(texts), 0
    all_states: list[States] = []
    for path, states in zip(missing, stored, strict=True):
        if states is None:
            states = _encode_one(context, request, path, texts, done, total)
            _write_states(path, states, labels)
            done += len(texts)
        all_states.append(states)
    return all_states


def _encode_one(
    context: JobContext,
    request: MapRequest,
    path: MapPath,
    texts: list[str],
    done: int,
    total: int,
) -> States:
    tracer = Tracer(fetch(path.model), path.classes, attention="sdpa")
    run_id = path.subject.run or None
    if run_id and path.adapter:
        tracer.load_adapter(run_id, path.adapter)
    context.report(Progress(Phase.ENCODING, done, total))
    return tracer.hidden_states(
        run_id,
        texts,
        request.max_tokens,
        context.should_stop,
        lambda rows: context.report(Progress(Phase.ENCODING, done + rows, total)),
    )


def _read_states(path: MapPath, rows: int) -> States | None:
    """Read hidden states; None if they are missing or damaged and must be computed."""
    if not (path.states.is_file() and path.scores.is_file()):
        return None
    try:
        states: States = load(path.states.read_bytes())["states"]
    except (OSError, SafetensorError, KeyError):
        return None
    return states if states.ndim == 4 and states.shape[2] == rows else None


def _write_states(path: MapPath, states: States, labels: Labels) -> None:
    """Write the states with the scores of each layer, and remove the oldest stored states.

    Maps and scores of removed states stay: they are small and remain valid.
    """
    scores = {
        pooling: [to_numbers(measure_separation(layer[number], labels)) for layer in states]
        for number, pooling in enumerate(POOLINGS)
    }
    files.write_bytes(path.states, save({"states": states}))
    files.write_json(path.scores, scores)
    by_age = sorted(
        path.states.parent.glob("*-states.safetensors"), key=lambda other: other.stat().st_mtime
    )
    for old in by_age[:-KEPT_STATES]:
        old.unlink(missing_ok=True)


def run_index(context: JobContext) -> None:
    """Encode training texts of a run into the index for nearest texts.

    Raises Stopped, DataError, ArtifactDamaged and ModelUnavailable.
    """
    request = read_request(context.job, NearestRequest)
    job = context.store.read_job(request.run)
    texts = _draw_training_texts(context, job, request.rows)
    context.report(Progress(Phase.LOADING))
    classifying = build_classify_request(context.store, job, hub_reachable(context.settings))
    onednn = machine_products(context.settings).onednn_is_faster
    classifier = load_classifier(classifying, onednn)

    def report(done: int) -> None:
        context.report(Progress(Phase.ENCODING, done, len(texts)))

    report(0)
    states = classifier.compute_states(
        job.id, texts["text"].tolist(), classifying.max_tokens, context.should_stop, report
    )
    write_index(find_index_folder(context.store, job), states, texts)


def _draw_training_texts(context: JobContext, job: Job, rows: int) -> pd.DataFrame:
    """Draw ``rows`` of the cleaned rows on which the run was trained."""
    request = read_train_request(job)
    dataset = find_data(context.settings, job) or prepare(
        context.settings, request.source, context.report, context.should_stop
    )
    dataset = clean(dataset, request.recipe)
    if dataset.fingerprint != job.fingerprint:
        message = (
            f"{MISSING_TEXTS}: the data changed from fingerprint {job.fingerprint} to"
            f" {dataset.fingerprint}."
        )
        raise DataError(message, "Restore the earlier data, or choose another run.")
    trained = stratified_sample(
        dataset.read_labels("train"), request.config.train_rows, request.config.seed
    )
    return dataset.add_texts("train", stratified_sample(trained, rows, SAMPLE_SEED))
