"""Requests to the inference process: classify a text with several runs and the base model."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.access import Action, is_allowed
from core.data.tables.table import clean
from core.errors import DataError, LoraLabError
from core.inference.messages import AS_TRAINED, ClassifyRequest, Half, Variant
from core.inference.process import InferenceProcess
from core.jobs.tasks.embed_texts import read_vectors, write_vectors
from core.models.catalog import find_model
from core.people.allowances import find_text_limits
from core.runs.run import Run
from core.settings import Settings
from core.storage import files
from core.storage.job import JobKind
from core.translation import mark, translate
from ui.session import cache
from ui.session.cache import BoundedCache
from ui.text import plain

UNTRAINED = mark("Untrained")
CRASHED = mark(
    "The inference process was killed or ran out of memory. It was restarted, and this answer is"
    " complete."
)

REPLACED = mark(
    "The text held characters that no file can store. Null characters were removed, and � replaces"
    " halves of characters."
)

EMBEDDED_TOKENS = 64  # AG News texts have 53 tokens on average
EMBEDDED_AT_ONCE = 32  # a fraction of a second, so that texts to classify are not kept waiting
known_vectors: BoundedCache[tuple[str, str], Half] = BoundedCache(8192)  # 6 MB for MiniLM
_embedding = Lock()
log = logging.getLogger("ui")


@dataclass(frozen=True)
class Answer:
    """Prediction of one model: its run, class probabilities, and the number of tokens read.

    ``known`` is False if the model's vocabulary covers nothing of the text; ``state`` (d,) is the
    head's input.
    """

    run_id: str
    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    tokens: int
    max_tokens: int
    known: bool = True
    state: NDArray[np.float16] | None = field(default=None, compare=False, repr=False)

    @property
    def ranked(self) -> list[tuple[float, str]]:
        """Pairs of probability and class, the most probable first."""
        return sorted(zip(self.probabilities, self.classes, strict=True), reverse=True)

    @property
    def label(self) -> str:
        """Most probable class."""
        return self.ranked[0][1]

    @property
    def margin(self) -> float:
        """Probability of the predicted class minus that of the next one, from 0 to 1."""
        return self.ranked[0][0] - self.ranked[1][0]

    @property
    def verdict(self) -> str:
        """Sentence about the margin."""
        _, next_label = self.ranked[1]
        return translate(
            "{run} ranks {label} {points:.1f} points above {next}.",
            run=plain(self.name),
            label=plain(self.label),
            points=self.margin * 100,
            next=plain(next_label),
        )


def check_text(text: str) -> str:
    """Return the cleaned text. Raises DataError if it is empty or too long."""
    if not clean(text).strip():
        raise DataError(
            mark("There is no text."), mark("Enter a text, or choose one of the examples.")
        )
    most = find_text_limits(cache.open_lab().visitor).classified
    if len(text) > most:
        raise DataError(
            mark("The text has {length:,} characters; the limit is {most:,}."),
            mark("Shorten it, or classify it as a file."),
            length=len(text),
            most=most,
        )
    return clean(text)


def ask_all(runs: Sequence[Run], text: str) -> list[Answer]:
    """Classify ``text`` with all runs and, last, with the first run's untrained base model.

    Raises LoraLabError.
    """
    requests = [build_request(run) for run in runs]
    base = requests[0]
    requests.append(
        ClassifyRequest(None, base.model, None, base.classes, base.max_tokens, base.seed)
    )
    readings = with_stages(requests).predict(requests, text)
    names = [*(run.job.name for run in runs), UNTRAINED]
    return [
        Answer(
            request.run_id or "",
            name,
            request.classes,
            tuple(map(float, reading.probabilities)),
            *_read_tokens(request, text),
            state=reading.state,
        )
        for name, request, reading in zip(names, requests, readings, strict=True)
    ]


def build_request(run: Run, variant: Variant = AS_TRAINED) -> ClassifyRequest:
    """Build the request for the adapter of ``run``. Raises ArtifactDamaged and ModelUnavailable."""
    settings = Settings()
    model = find_model(run.config.model, settings, cache.is_hub_reachable(settings))
    return run.build_classify_request(model, variant)


def warm_up(run: Run) -> None:
    """Start the process while a visitor who may use it writes a text for ``run``."""
    if not is_allowed(cache.open_lab().visitor, Action.WORK):
        return
    try:
        cache.warm_up([build_request(run)])
    except LoraLabError as error:  # the answer reports it
        log.info("%s", error.message)


def with_stages(requests: Sequence[ClassifyRequest]) -> InferenceProcess:
    """Return the process, ready for ``requests``; a progress bar shows its start, some seconds."""
    host = cache.get_host()
    if host.warm:
        return host
    stages = (
        translate("Starting the process and loading PyTorch (a few seconds, only the first time)"),
        translate("Loading the base model and the adapters"),
        translate("Reading the text"),
    )
    bar = st.progress(0.05, text=stages[0])
    try:
        host.start()
        bar.progress(0.6, text=stages[1])
        host.load(requests)
        bar.progress(0.95, text=stages[2])
    finally:
        bar.empty()
    return host


def embed_texts(
    model: str,
    classes: tuple[str, ...],
    texts: Sequence[str],
    on_share: Callable[[float], None] = lambda share: None,
    stored_in: Path | None = None,
) -> NDArray[np.float64]:
    """Return the base model's vector (n, d) of each text, computed once for all visitors.

    A text has the same vector for everyone who uses the data, so a class computes the vectors of
    a lesson once, and reads them after a restart of the server if they are ``stored_in`` a folder.
    ``on_share`` gets the share that is done, 0 before the first one. Raises LoraLabError.
    """
    settings = Settings()
    location = find_model(model, settings, cache.is_hub_reachable(settings))
    name = f"{location.folder or location.id} {location.revision}"
    request = ClassifyRequest(None, location, None, classes, EMBEDDED_TOKENS)
    vectors = {
        text: vector for text in texts if (vector := known_vectors.get((name, text))) is not None
    }
    missing = [text for text in dict.fromkeys(texts) if text not in vectors]
    identity = files.compute_fingerprint([name, EMBEDDED_TOKENS, list(texts)])
    path = stored_in / f"{identity}.parquet" if stored_in else None
    if missing and path and (stored := read_vectors(path, texts)):
        missing, vectors = [], stored
        for text, vector in stored.items():
            known_vectors.put((name, text), vector)
    if missing:
        on_share(0)
    for start in range(0, len(missing), EMBEDDED_AT_ONCE):
        chunk = missing[start : start + EMBEDDED_AT_ONCE]
        vectors |= _embed_chunk(name, request, chunk)
        on_share((start + len(chunk)) / len(missing))
    if path and (missing or not path.exists()):
        _store_vectors(path, [vectors[text] for text in texts])
    return np.stack([vectors[text] for text in texts]).astype(np.float64)


def _store_vectors(path: Path, vectors: Sequence[Half]) -> None:
    """Store vectors for the next start of the server; the visit continues if that fails."""
    try:
        write_vectors(path, vectors)
    except OSError as error:
        log.warning("the vectors %s cannot be stored: %s", path, error)
        st.warning(
            translate(
                "The vectors of the texts could not be stored ({reason}), so they are computed"
                " again after a restart of the server. Free some disk space.",
                reason=error.strerror or type(error).__name__,
            ),
            icon=":material/hard_drive:",
        )


def _embed_chunk(name: str, request: ClassifyRequest, texts: Sequence[str]) -> dict[str, Half]:
    """Compute the vectors of a few texts, unless another visitor has just done it."""
    with _embedding:
        vectors = {text: known_vectors.get((name, text)) for text in texts}
        missing = [text for text, vector in vectors.items() if vector is None]
        if missing:
            computed = cache.get_host().embed(request, missing)
            for text, vector in zip(missing, computed, strict=True):
                vectors[text] = known_vectors.put((name, text), vector)
    return {text: vector for text, vector in vectors.items() if vector is not None}


def list_comparable_runs(run: Run) -> list[Run]:
    """Return other runs with an adapter and the same classes."""
    store = cache.open_lab()
    runs = (Run.of(store, job) for job in store.list_jobs(JobKind.TRAIN))
    return [other for other in runs if other.id != run.id and _is_comparable(other, run.classes)]


def _is_comparable(run: Run, classes: tuple[str, ...]) -> bool:
    if run.job.state.is_active or not run.has_adapter:
        return False
    try:
        run.require_readable()
        return run.classes == classes
    except LoraLabError:  # the list of runs reports the damage
        return False


def _read_tokens(request: ClassifyRequest, text: str) -> tuple[int, int, bool]:
    """Return the number of tokens, the limit, and whether any token is in the vocabulary."""
    path = request.model.folder / "tokenizer.json" if request.model.folder else None
    if path is None or not path.is_file():
        return 0, request.max_tokens, True
    tokens = _open_tokenizer(path).encode(text)
    unknown = {"[UNK]", "<unk>"}
    known = any(
        not special and token not in unknown
        for special, token in zip(tokens.special_tokens_mask, tokens.tokens, strict=True)
    )
    return len(tokens.ids), request.max_tokens, known


@lru_cache(maxsize=2)  # a page compares runs of one base model, rarely of two; each takes a few MB
def _open_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
