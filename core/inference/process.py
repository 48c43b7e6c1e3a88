"""The process that classifies texts and traces models for the web server.

The server itself never imports torch: the functions that run in the process import it when they are
called. The process starts with the first request, ends when idle, and is started again after a
crash.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    ShutdownExecutorError,
    TerminatedWorkerError,
)
from numpy.typing import NDArray

from core.errors import LoraLabError, NotEnoughRoom
from core.inference.messages import (
    ClassifyRequest,
    Explanation,
    Half,
    Matrix,
    Prediction,
    Query,
    Trace,
)
from core.models.families import POOLER
from core.models.model_shape import weight_files
from core.settings import Settings, read_available_memory_mb
from core.training import lean_imports

P = ParamSpec("P")
T = TypeVar("T")

# an idle process frees a few hundred MB; the next request waits a few seconds for a new one
IDLE_SECONDS = 300
WARMING_TEXT = "The first text takes longer than those after it."
TEXTS_PER_TURN = 8  # of a long request; some tenths of a second
MOST_PAUSES = 20  # of an explanation that begins again after each short request
log = logging.getLogger(__name__)


class Turns:
    """Lets one request at a time use the process: short ones first, equal ones in their order.

    As long as a short request waits, the file ``signal`` exists: a long one in the process looks
    for it between its batches, and pauses. ``on_wait`` is called before each request.
    """

    def __init__(self, on_wait: Callable[[], object] = str) -> None:
        self.on_wait = on_wait
        descriptor, name = tempfile.mkstemp(prefix="lora-lab-turns-")
        os.close(descriptor)
        self.signal = Path(name)
        self.signal.unlink()
        self._change = threading.Condition()
        self._waiting: list[tuple[bool, int]] = []
        self._numbers = count()
        self._busy = False

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._waiting)

    @contextmanager
    def take(self, *, is_long: bool = False) -> Iterator[None]:
        """Wait for a turn and hold it."""
        self.on_wait()
        with self._change:
            ticket = (is_long, next(self._numbers))
            heappush(self._waiting, ticket)
            self._write_signal()
            self._change.wait_for(lambda: not self._busy and self._waiting[0] == ticket)
            heappop(self._waiting)
            self._busy = True
            self._write_signal()
        try:
            yield
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()

    def _write_signal(self) -> None:
        if self._waiting and not self._waiting[0][0]:
            self.signal.touch()
        else:
            self.signal.unlink(missing_ok=True)


class InferenceProcess:
    """Runs requests in a separate process; the server keeps a single instance.

    Methods may be called from several threads; requests are executed one after another, short ones
    first: a long one gives way between its texts, or begins again. A request whose process dies is
    repeated once in a new process; ``crashes`` counts the dead ones. A thread calls ``on_wait``
    before it waits for the process.
    """

    def __init__(
        self,
        settings: Settings,
        hub: bool = False,
        idle_seconds: float = IDLE_SECONDS,
        on_wait: Callable[[], object] = str,
    ) -> None:
        self.idle_seconds = idle_seconds
        threads = str(settings.used_threads)
        self._environment = {
            "LORALAB_HOME": str(settings.home.absolute()),  # has the machine's measurements
            "LORALAB_THREADS": threads,
            "LORALAB_STOPWATCH": settings.stopwatch,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # threads that spin longer slow down a training on the same machine
            "GOMP_SPINCOUNT": "1000",
            "TOKENIZERS_PARALLELISM": "false",
            # by default loky kills a worker that grew by 300 MB, as it does for the first model
            "LOKY_MAX_MEMORY_LEAK_SIZE": str(2**40),
        }
        if not hub:
            self._environment["HF_HUB_OFFLINE"] = "1"
        self._lock = threading.Lock()
        self._turns = Turns(on_wait)
        self._executor: Any = None
        self._warm = self._warming = False
        self.crashes = 0

    @property
    def warm(self) -> bool:
        """Whether the process is running and has imported its libraries."""
        executor = self._executor
        return self._warm and executor is not None and bool(executor._processes)

    def start(self) -> None:
        """Start the process and import its libraries, which takes a few seconds the first time.

        Raises NotEnoughRoom.
        """
        self.ask(load_libraries)
        self._warm = True

    def load(self, requests: Sequence[ClassifyRequest]) -> None:
        """Load the models of ``requests``. Raises the errors of ``classify``."""
        self.ask(load_models, list(requests))

    def warm_up(self, requests: Sequence[ClassifyRequest]) -> threading.Thread | None:
        """Start the process and load the models of ``requests`` in a thread, unless the process is
        warm, is being warmed up, or memory is short.

        A request meanwhile waits for the rest of it. Errors are left to the first request.
        """
        with self._lock:
            if self.warm or self._warming or read_available_memory_mb() < FREE_MB:
                return None
            self._warming = True
        thread = threading.Thread(target=self._warm_up, args=(list(requests),), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            log.warning("the inference process was not warmed up: %s", error)
            self._warming = False
            return None
        return thread

    def _warm_up(self, requests: list[ClassifyRequest]) -> None:
        try:
            self.start()
            self.predict(requests, WARMING_TEXT)
        except LoraLabError as error:
            log.warning("the inference process was not warmed up: %s", error.message)
        finally:
            self._warming = False

    def classify(
        self, requests: Sequence[ClassifyRequest], texts: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """Return the probabilities (n, C) of ``texts`` for each request.

        Raises ModelUnavailable, ArtifactDamaged, and NotEnoughRoom after two crashes.
        """
        parts = []
        for start in range(0, max(1, len(texts)), TEXTS_PER_TURN):
            part = list(texts[start : start + TEXTS_PER_TURN])
            with self._turns.take(is_long=len(texts) > TEXTS_PER_TURN):
                parts.append(self._call(classify, list(requests), part))
        return [np.concatenate(answers) for answers in zip(*parts, strict=True)]

    def predict(self, requests: Sequence[ClassifyRequest], text: str) -> list[Prediction]:
        """Predict one text for each request. Raises the errors of ``classify``."""
        return self.ask(predict, list(requests), text)

    def trace(self, request: ClassifyRequest, text: str) -> Trace:
        """Record every step of ``text`` through the model. Raises the errors of ``classify``."""
        return self.ask(trace, request, text)

    def explain(
        self, request: ClassifyRequest, text: str, target: int | None = None
    ) -> Explanation:
        """Attribute the logit of class ``target``, or of the predicted class, to the tokens.

        Raises the errors of ``classify``.
        """
        for pauses in range(MOST_PAUSES + 1):
            signal = self._turns.signal if pauses < MOST_PAUSES else None
            with self._turns.take(is_long=True):
                explanation = self._call(explain, request, text, target, signal)
            if explanation is not None:
                return explanation
        raise AssertionError("the last explanation does not pause")

    def compute_spectra(self, request: ClassifyRequest) -> list[Matrix]:
        """Describe the change of each adapted weight matrix. Raises the errors of ``classify``."""
        with self._turns.take(is_long=True):
            return self._call(compute_spectra, request)

    def embed(self, request: ClassifyRequest, texts: Sequence[str]) -> Half:
        """Return a vector (n, d) of each text: the mean of the last layer over its tokens.

        Raises the errors of ``classify``.
        """
        return self.ask(embed, request, list(texts))

    def stop(self) -> None:
        """Stop the process to free its memory; the next request starts it again."""
        self._end(self._executor)

    def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function``, which is short, in the process. Raises its errors, and NotEnoughRoom
        after two crashes.
        """
        with self._turns.take():
            return self._call(function, *args, **kwargs)

    def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(2):
            executor = self._get_executor()
            try:
                result: T = executor.submit(function, *args, **kwargs).result()
            except (TerminatedWorkerError, BrokenProcessPool, ShutdownExecutorError):
                self._end(executor, crashed=True)
            else:
                return result
        message = "The inference process was killed twice, most likely because memory ran out."
        raise NotEnoughRoom(
            message, "Wait until a run has finished, or close other programs, then try again."
        )

    def _get_executor(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    max_workers=1,
                    timeout=self.idle_seconds,
                    env=self._environment,
                    initializer=prepare_process,
                    initargs=(os.getpid(),),
                )
            return self._executor

    def _end(self, executor: ProcessPoolExecutor | None, crashed: bool = False) -> None:
        """Stop ``executor`` unless another thread already has and uses a new one."""
        with self._lock:
            if executor is None or executor is not self._executor:
                return
            self._executor, self._warm = None, False
            self.crashes += crashed
        executor.shutdown(wait=True, kill_workers=True)


if TYPE_CHECKING:
    from core.inference.classifier import Classifier
    from core.inference.messages import Trace

C = TypeVar("C", bound="Classifier")

MAX_MODELS = 2  # cached; runs that are compared rarely have more than two base models
FREE_MB = 1500  # with less free memory, cached models are dropped before another is loaded

Key = tuple[str, str, str, tuple[str, ...], bool]
_models: OrderedDict[Key, Classifier] = OrderedDict()


def prepare_process(server: int) -> None:
    """Prepare this process for its imports, and for the end of the process ``server``."""
    lean_imports.install()
    end_with(server)


def end_with(server: int, poll_seconds: float = 2.0) -> None:
    """End this process soon after the process ``server``, its parent, however that one ends."""

    def watch() -> None:
        while os.getppid() == server:
            time.sleep(poll_seconds)
        os._exit(0)  # a thread cannot end its process otherwise

    threading.Thread(target=watch, daemon=True).start()


def load_libraries() -> None:
    """Import the libraries for classifying, which takes most of the time of the first request."""
    from core.inference.classifier import Classifier  # noqa: F401, PLC0415 - imports torch


def load_models(requests: Sequence[ClassifyRequest]) -> None:
    """Load the models and adapters of ``requests``. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    for request in requests:
        _load_adapter(_load_model(Classifier, request), request)


def predict(requests: list[ClassifyRequest], text: str) -> list[Prediction]:
    """Predict one text for each request; requests of the same base model share a forward pass.

    Raises ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above
    from core.training.device import release_memory  # noqa: PLC0415 - as above

    predictions: dict[int, Prediction] = {}
    for positions in _group_by_base(requests):
        classifier = _load_model(Classifier, requests[positions[0]])
        queries = [_to_query(classifier, requests[position]) for position in positions]
        predictions |= zip(positions, classifier.predict_all(queries, text), strict=True)
        if len(positions) > 1:
            release_memory()  # 20 MB after ten adapters in one batch
    return [predictions[position] for position in range(len(requests))]


def classify(requests: list[ClassifyRequest], texts: list[str]) -> list[NDArray[np.float32]]:
    """Return the probabilities (n, C) of ``texts`` for each request.

    Raises ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    if len(texts) == 1:
        return [prediction.probabilities[None] for prediction in predict(requests, texts[0])]
    results = []
    for request in requests:
        classifier = _load_model(Classifier, request)
        query = _to_query(classifier, request)
        results.append(
            classifier.classify(query.run_id, texts, query.max_tokens, query.seed, query.variant)
        )
    return results


def compute_spectra(request: ClassifyRequest) -> list[Matrix]:
    """Describe the change of each adapted weight matrix by the adapter of ``request``.

    Raises ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _load_model(Classifier, request)
    return classifier.compute_spectra(_load_adapter(classifier, request) or "")


def explain(
    request: ClassifyRequest, text: str, target: int | None, signal: Path | None = None
) -> Explanation | None:
    """Attribute the logit of class ``target``, or of the predicted class, to the tokens.

    None if the file ``signal`` appears: a short request waits. Raises ModelUnavailable and
    ArtifactDamaged.
    """
    # as above; captum imports matplotlib
    from core.inference.attribution import Paused  #  noqa: PLC0415
    from core.inference.attribution import explain as attribute  # noqa: PLC0415
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _load_model(Classifier, request)
    run_id = _load_adapter(classifier, request)
    should_pause = signal.exists if signal else lambda: False
    try:
        return attribute(
            classifier, run_id, text, request.max_tokens, target, request.seed, should_pause
        )
    except Paused:
        return None


def trace(request: ClassifyRequest, text: str) -> Trace:
    """Record every step of ``text`` through the model. Raises ModelUnavailable, ArtifactDamaged."""
    from core.inference.tracer import Tracer  # noqa: PLC0415 - as above

    tracer = _load_model(Tracer, request)
    run_id = _load_adapter(tracer, request)
    return tracer.trace(run_id, text, request.max_tokens, request.seed)


def embed(request: ClassifyRequest, texts: list[str]) -> Half:
    """Compute the mean of the last layer over the tokens of each text, (n, d).

    Raises ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.tracer import Tracer  # noqa: PLC0415 - as above

    tracer = _load_model(Tracer, request)
    run_id = _load_adapter(tracer, request)
    states = tracer.hidden_states(run_id, texts, request.max_tokens)
    means: Half = states[-1, 1]
    return means


def _to_query(classifier: Classifier, request: ClassifyRequest) -> Query:
    return Query(
        _load_adapter(classifier, request), request.max_tokens, request.seed, request.variant
    )


def _load_adapter(classifier: Classifier, request: ClassifyRequest) -> str | None:
    if request.run_id is None or request.adapter is None:
        return None
    classifier.load_adapter(request.run_id, request.adapter)
    return request.run_id


def _group_by_base(requests: Sequence[ClassifyRequest]) -> Iterator[list[int]]:
    """Yield the positions of the requests that share a loaded base model."""
    groups: dict[Key, list[int]] = {}
    for position, request in enumerate(requests):
        groups.setdefault(_key("", request), []).append(position)
    yield from groups.values()


def _key(kind: str, request: ClassifyRequest) -> Key:
    """Return what a loaded model is found by; the fingerprint of a folder samples its weights."""
    folder = request.model.folder
    weights = weight_files(folder) if folder else []
    times = [path.stat().st_mtime_ns for path in weights if path.is_file()]
    return (
        kind,
        str(folder or request.model.id),
        f"{request.model.revision} {times}",
        request.classes,
        _adapts_pooler(request.adapter),
    )


def _adapts_pooler(adapter: Path | None) -> bool:
    """Whether the adapter has LoRA matrices in the pooler: PEFT cannot load it next to adapters
    that train the pooler in full.
    """
    try:
        content = json.loads((adapter / "adapter_config.json").read_bytes()) if adapter else {}
    except (OSError, ValueError):  # reported when the adapter is loaded
        return False
    targets = content.get("target_modules") if isinstance(content, dict) else None
    return isinstance(targets, list) and POOLER in targets


def _load_model(kind: type[C], request: ClassifyRequest) -> C:
    """Return the model of ``request`` from the cache of recently used ones, or load it."""
    from core.training.fast.matmul import machine_products  # noqa: PLC0415 - as above
    from core.training.load_model import fetch  # noqa: PLC0415 - as above

    key = _key(kind.__name__, request)
    model = _models.get(key)
    if not isinstance(model, kind):
        while _models and (len(_models) >= MAX_MODELS or read_available_memory_mb() < FREE_MB):
            _models.popitem(last=False)
        model = kind(
            fetch(request.model),
            request.classes,
            request.seed,
            machine_products(Settings()).onednn_is_faster,
        )
        _models[key] = model
    _models.move_to_end(key)
    return model
