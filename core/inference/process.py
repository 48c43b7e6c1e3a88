"""The process that classifies texts and traces models for the web server.

The server itself never imports torch: the functions that run in the process import it when they are
called. The process starts with the first request, ends when idle, and is started again after a
crash.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    ShutdownExecutorError,
    TerminatedWorkerError,
)
from numpy.typing import NDArray

from core.errors import NotEnoughRoom
from core.inference.messages import AS_TRAINED as AS_TRAINED  # what callers build
from core.inference.messages import ClassifyRequest as ClassifyRequest
from core.inference.messages import Explanation as Explanation
from core.inference.messages import Matrix as Matrix
from core.inference.messages import Prediction, Query, Trace
from core.inference.messages import Prediction as Reading
from core.inference.messages import Variant as Variant
from core.settings import Settings, available_memory_mb

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = (
    300  # then its few hundred MB go back; the next request waits some seconds for a new one
)


class InferenceProcess:
    """Keep one for the whole server. Safe to call from many threads: requests wait for each other.

    A request whose process dies is asked once more, in a new one; ``crashes`` counts how often that
    was.
    """

    def __init__(
        self, settings: Settings, hub: bool = False, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.idle_seconds = idle_seconds
        threads = str(settings.used_threads)
        self._environment = {
            "LORALAB_HOME": str(settings.home.absolute()),  # where this machine's measurements are
            "LORALAB_THREADS": threads,
            "LORALAB_STOPWATCH": settings.stopwatch,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # threads that spin longer starve each other where a training runs beside them
            "GOMP_SPINCOUNT": "1000",
            "TOKENIZERS_PARALLELISM": "false",
            "LOKY_MAX_MEMORY_LEAK_SIZE": str(
                2**40
            ),  # the first model is no leak; by default a worker that grew 300 MB is killed
        }
        if not hub:
            self._environment["HF_HUB_OFFLINE"] = "1"
        self._lock = threading.Lock()
        self._executor: Any = None
        self._warm = False
        self.crashes = 0

    @property
    def warm(self) -> bool:
        """Whether the process is there and has its libraries."""
        executor = self._executor
        return self._warm and executor is not None and bool(executor._processes)

    def start(self) -> None:
        """Have the process and its libraries ready; some seconds the first time. Raises
        NotEnoughRoom.
        """
        self._ask(load_libraries)
        self._warm = True

    def load(self, requests: Sequence[ClassifyRequest]) -> None:
        """Have the models of ``requests`` in memory. Raises as ``classify``."""
        self._ask(load_models, list(requests))

    def classify(
        self, requests: Sequence[ClassifyRequest], texts: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """Probabilities (n, C) for each request. Raises ModelUnavailable, ArtifactDamaged, and
        NotEnoughRoom after two crashes.
        """
        return self._ask(classify, list(requests), list(texts))

    def read(self, requests: Sequence[ClassifyRequest], text: str) -> list[Reading]:
        """What each request's model makes of one text, all of one base in one forward pass. Raises
        as ``classify``.
        """
        return self._ask(read, list(requests), text)

    def walk(self, request: ClassifyRequest, text: str) -> Trace:
        """``text`` on its way through the model of ``request``. Raises as ``classify``."""
        return self._ask(walk, request, text)

    def explain(
        self, request: ClassifyRequest, text: str, target: int | None = None
    ) -> Explanation:
        """What each token of ``text`` adds to the logit of class ``target``, or of the predicted
        one. Raises as ``classify``.
        """
        return self._ask(explain, request, text, target)

    def spectra(self, request: ClassifyRequest) -> list[Matrix]:
        """What the adapter of ``request`` changes, a line per adapted module. Raises as
        ``classify``.
        """
        return self._ask(spectra, request)

    def stop(self) -> None:
        """End the process and give its memory back; the next request starts it again."""
        self._end(self._executor)

    def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(2):
            executor = self._running()
            try:
                answer: T = executor.submit(function, *args, **kwargs).result()
            except (TerminatedWorkerError, BrokenProcessPool, ShutdownExecutorError):
                self._end(executor, crashed=True)
            else:
                return answer
        message = (
            "The process that classifies was ended twice, most likely because memory is short."
        )
        raise NotEnoughRoom(
            message, "Wait until a run has finished, or close other programs, then try again."
        )

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    max_workers=1, timeout=self.idle_seconds, env=self._environment
                )
            return self._executor

    def _end(self, executor: ProcessPoolExecutor | None, crashed: bool = False) -> None:
        """End ``executor``, unless somebody else has done so: others may already be using its
        successor.
        """
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

KEPT_MODELS = 2  # a page compares runs on one base, seldom on two; another page may look inside one
FREE_MB = 1500  # below this the models that are kept go before another is loaded

Key = tuple[str, str, str, tuple[str, ...]]
_kept_models: OrderedDict[Key, Classifier] = OrderedDict()


def load_libraries() -> None:
    """Import what classifying needs, which takes most of the first answer's time."""
    from core.inference.classifier import Classifier  # noqa: F401, PLC0415 - brings torch, for this process only


def load_models(requests: Sequence[ClassifyRequest]) -> None:
    """Have the models and adapters of ``requests`` in memory. Raises ModelUnavailable and
    ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    for request in requests:
        _load_adapter(_kept(Classifier, request), request)


def read(requests: list[ClassifyRequest], text: str) -> list[Prediction]:
    """What each request's model makes of one text, read by all adapters of a base at once. Raises
    ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above
    from core.training.device import release_memory  # noqa: PLC0415 - as above

    found: dict[int, Prediction] = {}
    for places in _by_base(requests):
        classifier = _kept(Classifier, requests[places[0]])
        found |= zip(
            places,
            classifier.predict_all([_asked(classifier, requests[place]) for place in places], text),
            strict=True,
        )
        if len(places) > 1:
            release_memory()  # what ten rows took and gave back: 20 MB
    return [found[place] for place in range(len(requests))]


def classify(requests: list[ClassifyRequest], texts: list[str]) -> list[NDArray[np.float32]]:
    """Probabilities (n, C) for each request. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    if len(texts) == 1:
        return [reading.probabilities[None] for reading in read(requests, texts[0])]
    answers = []
    for request in requests:
        classifier = _kept(Classifier, request)
        one = _asked(classifier, request)
        answers.append(
            classifier.classify(one.run_id, texts, one.max_tokens, one.seed, one.variant)
        )
    return answers


def spectra(request: ClassifyRequest) -> list[Matrix]:
    """What the adapter of ``request`` changes, a line per adapted module. Raises ModelUnavailable
    and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _kept(Classifier, request)
    return classifier.spectra(_load_adapter(classifier, request) or "")


def explain(request: ClassifyRequest, text: str, target: int | None) -> Explanation:
    """What each token adds to the logit of class ``target``, or of the predicted one. Raises
    ModelUnavailable and ArtifactDamaged.
    """
    # As above; captum brings matplotlib.
    from core.inference.attribution import explain as ask  # noqa: PLC0415
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _kept(Classifier, request)
    return ask(
        classifier,
        _load_adapter(classifier, request),
        text,
        request.max_tokens,
        target,
        request.seed,
    )


def walk(request: ClassifyRequest, text: str) -> Trace:
    """Every step of ``text`` through the model. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.tracer import Tracer  # noqa: PLC0415 - as above

    walker = _kept(Tracer, request)
    return walker.walk(_load_adapter(walker, request), text, request.max_tokens, request.seed)


def _asked(classifier: Classifier, request: ClassifyRequest) -> Query:
    return Query(
        _load_adapter(classifier, request), request.max_tokens, request.seed, request.variant
    )


def _load_adapter(classifier: Classifier, request: ClassifyRequest) -> str | None:
    if request.run_id is None or request.adapter is None:
        return None
    classifier.load_adapter(request.run_id, request.adapter)
    return request.run_id


def _by_base(requests: Sequence[ClassifyRequest]) -> Iterator[list[int]]:
    """Positions of the requests that one model in memory answers."""
    groups: dict[Key, list[int]] = {}
    for position, request in enumerate(requests):
        groups.setdefault(_key("", request), []).append(position)
    yield from groups.values()


def _key(kind: str, request: ClassifyRequest) -> Key:
    return (
        kind,
        str(request.model.folder or request.model.id),
        request.model.revision,
        request.classes,
    )


def _kept(kind: type[C], request: ClassifyRequest) -> C:
    """The model of ``request``, loaded unless it is among those used last; more than one is kept
    only where memory allows.
    """
    from core.training.fast.matmul import machine_products  # noqa: PLC0415 - as above
    from core.training.load_model import fetch  # noqa: PLC0415 - as above

    key = _key(kind.__name__, request)
    found = _kept_models.get(key)
    if not isinstance(found, kind):
        while _kept_models and (
            len(_kept_models) >= KEPT_MODELS or available_memory_mb() < FREE_MB
        ):
            _kept_models.popitem(last=False)
        found = kind(
            fetch(request.model),
            request.classes,
            request.seed,
            machine_products(Settings()).onednn_is_faster,
        )
        _kept_models[key] = found
    _kept_models.move_to_end(key)
    return found
