"""The one process that classifies and looks inside models for the web server, so that the server
itself never imports torch.

It starts with the first request, ends when idle, and is started anew after a crash.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

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
from core.inference.messages import Prediction as Reading
from core.inference.messages import Variant as Variant
from core.inference.server import (
    classify,
    explain,
    load_libraries,
    load_models,
    read,
    spectra,
    walk,
)
from core.inference.trace import Trace
from core.settings import Settings

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
