"""The job that maps texts: hidden states of a sample by one model or several, then two dimensions
of them.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.data.preparation import open_dataset
from core.errors import ConfigError, Stopped
from core.evaluation.embedding_map import measure_separation, prepare_umap, project
from core.inference.tracer import Tracer
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.jobs.tasks.embed_texts import (
    KEPT_STATES,
    POOLINGS,
    MapPath,
    MapRequest,
    map_paths,
    sample,
    to_numbers,
)
from core.progress import Phase, Progress
from core.storage import files
from core.training.load_model import fetch

States = NDArray[np.float16]
Labels = NDArray[np.int64]


def run(context: JobContext) -> None:
    """Make each map that is missing. What was encoded once is kept, so another method or layer
    takes the projection only.

    Raises Stopped, ModelUnavailable, ArtifactDamaged, ConfigError and DataError.
    """
    request = read_request(context.job, MapRequest)
    context.report(Progress(Phase.LOADING))
    dataset = open_dataset(context.settings, request.fingerprint)
    rows = sample(dataset, request)
    wanted = [
        place for place in map_paths(context.store, request, dataset.classes) if not place.done
    ]
    context.set_running()
    ready = _prepare(context, request) if wanted else None
    states = _encode(
        context, request, wanted, rows["text"].tolist(), rows["label"].to_numpy(np.int64)
    )
    context.report(Progress(Phase.PROJECTING, 0, len(wanted)))
    if ready is not None:
        ready.result()
    for number, (place, encoded) in enumerate(zip(wanted, states, strict=True)):
        if context.should_stop():
            raise Stopped("The map was stopped.")
        if not -len(encoded) <= request.layer < len(encoded):
            raise ConfigError(
                f"{place.model.id} has no layer {request.layer}.",
                f"Choose one from 0 to {len(encoded) - 1}.",
            )
        points = project(
            encoded[request.layer, POOLINGS.index(request.pooling)], request.method, request.seed
        )
        frame = rows[["row", "label"]].assign(x=points[:, 0], y=points[:, 1])
        frame.attrs["flat"] = to_numbers(
            measure_separation(points, rows["label"].to_numpy(np.int64))
        )
        files.write_parquet(place.map, frame)
        context.report(Progress(Phase.PROJECTING, number + 1, len(wanted)))


def _prepare(context: JobContext, request: MapRequest) -> Future[None] | None:
    """UMAP is compiled on a thread of its own while texts are encoded: torch lets the interpreter
    go while it computes.
    """
    if request.method != "UMAP":
        return None
    return ThreadPoolExecutor(1).submit(prepare_umap, context.settings.home / "numba")


def _encode(
    context: JobContext,
    request: MapRequest,
    wanted: Sequence[MapPath],
    texts: list[str],
    labels: Labels,
) -> list[States]:
    """Hidden states (L + 1, 2, n, d) for each place, read where they were kept."""
    kept = [_read_states(place, len(texts)) for place in wanted]
    total, done = sum(states is None for states in kept) * len(texts), 0
    found: list[States] = []
    for place, states in zip(wanted, kept, strict=True):
        if states is None:
            states = _encode_one(context, request, place, texts, done, total)
            _write_states(place, states, labels)
            done += len(texts)
        found.append(states)
    return found


def _encode_one(
    context: JobContext,
    request: MapRequest,
    place: MapPath,
    texts: list[str],
    done: int,
    total: int,
) -> States:
    walker = Tracer(fetch(place.model), place.classes, attention="sdpa")
    run_id = place.subject.run or None
    if run_id and place.adapter:
        walker.load_adapter(run_id, place.adapter)
    context.report(Progress(Phase.ENCODING, done, total))
    return walker.hidden_states(
        run_id,
        texts,
        request.max_tokens,
        context.should_stop,
        lambda rows: context.report(Progress(Phase.ENCODING, done + rows, total)),
    )


def _read_states(place: MapPath, rows: int) -> States | None:
    """None where there are none, or they are damaged: then they are computed again."""
    if not (place.states.is_file() and place.scores.is_file()):
        return None
    try:
        states: States = load(place.states.read_bytes())["states"]
    except (OSError, SafetensorError, KeyError):
        return None
    return states if states.ndim == 4 and states.shape[2] == rows else None


def _write_states(place: MapPath, states: States, labels: Labels) -> None:
    """Keep them with the scores of every layer; of all that are kept, those written longest ago
    go.
    """
    scores = {
        pooling: [to_numbers(measure_separation(layer[number], labels)) for layer in states]
        for number, pooling in enumerate(POOLINGS)
    }
    files.write_bytes(place.states, save({"states": states}))
    files.write_json(place.scores, scores)
    by_age = sorted(
        place.states.parent.glob("*-states.safetensors"), key=lambda path: path.stat().st_mtime
    )
    for path in by_age[
        :-KEPT_STATES
    ]:  # their maps and scores stay: they are small, and still right
        path.unlink(missing_ok=True)
