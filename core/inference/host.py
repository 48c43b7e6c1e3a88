"""The one process that classifies and looks inside models for the web server, so that the server itself never imports torch.

It starts with the first request, ends when idle, and is started anew after a crash.
"""

import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import numpy as np
from loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError
from numpy.typing import NDArray

from core.errors import NotEnoughRoom
from core.inference.serve import ClassifyRequest as ClassifyRequest  # what callers build
from core.inference.serve import classify, walk
from core.inference.walk import Walk
from core.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 300  # then its few hundred MB go back; the next request waits some seconds for a new one


class InferenceHost:
    """Keep one for the whole server. Safe to call from many threads: requests wait for each other."""

    def __init__(self, settings: Settings, hub: bool = False, idle_seconds: float = IDLE_SECONDS) -> None:
        self.idle_seconds = idle_seconds
        threads = str(settings.used_threads)
        self._environment = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "GOMP_SPINCOUNT": "1000",  # threads that spin longer starve each other where a training runs beside them
            "TOKENIZERS_PARALLELISM": "false",
            "LOKY_MAX_MEMORY_LEAK_SIZE": str(2**40),  # the first model is no leak; by default a worker that grew 300 MB is killed
        }
        if not hub:
            self._environment["HF_HUB_OFFLINE"] = "1"
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None

    def classify(self, requests: Sequence[ClassifyRequest], texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Probabilities (n, C) for each request. Raises ModelUnavailable, ArtifactDamaged, and NotEnoughRoom after two crashes."""
        return self._ask(classify, list(requests), list(texts))

    def walk(self, request: ClassifyRequest, text: str) -> Walk:
        """``text`` on its way through the model of ``request``. Raises as ``classify``."""
        return self._ask(walk, request, text)

    def stop(self) -> None:
        """End the process and give its memory back; the next request starts it again."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._submit(function, *args, **kwargs)
        except TerminatedWorkerError:
            self.stop()
        try:
            return self._submit(function, *args, **kwargs)
        except TerminatedWorkerError as error:
            self.stop()
            message = "The process that classifies was ended twice, most likely because memory is short."
            raise NotEnoughRoom(message, "Wait until a run has finished, or close other programs, then try again.") from error

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if self._executor is None:
                self._executor = ProcessPoolExecutor(max_workers=1, timeout=self.idle_seconds, env=self._environment)
            future = self._executor.submit(function, *args, **kwargs)
        answer: T = future.result()
        return answer
