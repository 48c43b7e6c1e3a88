"""Time a few real steps on synthetic texts, so that the cost of a unit of work on this machine is known before the first run.

Everything goes through the training's own session, loop and prediction: what is timed is what a run does.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch

from core.calibration import TYPICAL_MB, TYPICAL_SECONDS, Probe, fit
from core.catalog import Availability
from core.config import Precision, RunConfig
from core.errors import Stopped
from core.memory import Held, part_memory, trained_mb
from core.model_shape import count_trainable
from core.packing import PART_TOKENS, Parts, evaluation_parts, train_parts
from core.training.adapter import merged
from core.training.batches import Encoded, encode
from core.training.device import choose_precision, peak_memory_mb, release_memory
from core.training.events import Event, Phase, Progress, TrainMetric
from core.training.loop import Loop
from core.training.predict import predict
from core.training.session import TrainingData, TrainingSession
from core.work import Unit, evaluation_work, train_work

MB = 2**20
CLASSES = ("a", "b", "c", "d")
TEXT = "Shares of the company fell twelve percent on Tuesday after it warned that sales in New York would miss forecasts."
TEXTS = 400
WARM_UPS = 1  # the first step of a size takes up to twice as long
REPEATS, MOST_REPEATS, SECONDS_A_PROBE = 2, 5, 0.6  # at least, at most, and no further one after so long
UNDISTURBED = 0.75  # quantile of the processors in use
RESET_PEAK = Path("/proc/self/clear_refs")  # Linux: writing 5 forgets the peak so far


@dataclass(frozen=True, slots=True)
class Setting:
    """Steps to time: ``rows`` texts of ``tokens`` tokens in each, with these hyperparameters."""

    rows: int
    tokens: int
    base_dropout: bool = False
    adapter: dict[str, object] = field(default_factory=dict)


FULL = Setting(16, 64)  # computed in two parts
SETTINGS = (  # by adapter, because each needs a model of its own
    Setting(6, 64),
    FULL,
    Setting(3, 32),  # shows the costs that do not grow with the part
    Setting(2, 224),  # and attention
    Setting(6, 64, base_dropout=True),
    Setting(6, 64, adapter={"rank": 48}),
    Setting(6, 64, adapter={"target_modules": ("all-linear",)}),
    Setting(6, 32, adapter={"dora": True}),
    Setting(2, 32, adapter={"dora": True}),
)
EVALUATED = ((12, 64), (2, 224), (4, 32))  # rows, tokens


@dataclass(frozen=True, slots=True)
class Measured:
    """What the probes came to. ``loaded_at`` is when the model was first loaded, in seconds since 1970."""

    precision: Precision
    is_auto: bool
    device: str
    loaded_at: float
    seconds: dict[Unit, float]
    tokens_per_second: float
    base_mb: float
    megabytes: dict[Held, float]


@dataclass(frozen=True, slots=True)
class Lap:
    """A timed piece of work; ``cpu_seconds`` are those of all threads of this process together."""

    seconds: float
    cpu_seconds: float


class Watch:
    """Takes laps from when it is made."""

    def __init__(self) -> None:
        self.laps: list[Lap] = []
        self._at = time.perf_counter(), time.process_time()

    def take(self) -> None:
        """End a lap and begin the next."""
        now = time.perf_counter(), time.process_time()
        self.laps.append(Lap(now[0] - self._at[0], now[1] - self._at[1]))
        self._at = now

    @property
    def enough(self) -> bool:
        """Whether there are the fewest laps and they took their time."""
        return len(self.laps) >= WARM_UPS + REPEATS and sum(lap.seconds for lap in self.laps) > SECONDS_A_PROBE


class Prober:
    """Probes one model in one precision. Raises Stopped, and what ``TrainingSession`` raises."""

    def __init__(
        self, model: Availability, precision: Precision, report: Callable[[Progress], None], should_stop: Callable[[], bool]
    ) -> None:
        self.model, self.precision, self.report, self.should_stop = model, precision, report, should_stop
        self.laps: list[tuple[dict[Unit, float], list[Lap]]] = []
        self.sizes: list[Probe[Held]] = []
        self._loaded_at = self._tokens_per_second = self._full_mb = 0.0
        self._device = ""
        self._full: dict[Held, float] = {}
        self._random = np.random.default_rng(0)

    def measure(self) -> Measured:
        """Time every setting, then fit the costs."""
        for adapter, settings in groupby(SETTINGS, key=lambda setting: setting.adapter):
            session = self._open(adapter)
            self._loaded_at = self._loaded_at or time.time()
            for setting in settings:
                self._probe_steps(session, setting)
            if not adapter:
                self._probe_evaluation(session)
            precision, self._device = session.precision, session.device.type
            del session  # before the next model is loaded
            gc.collect()
        megabytes = fit(self.sizes, TYPICAL_MB)
        return Measured(
            precision,
            precision == choose_precision("auto", torch.device(self._device)),
            self._device,
            self._loaded_at,
            fit(self.times(), TYPICAL_SECONDS),
            self._tokens_per_second,
            self._full_mb - sum(amount * megabytes[unit] for unit, amount in self._full.items()),
            megabytes,
        )

    def times(self) -> list[Probe[Unit]]:
        """Seconds of each probe as if it had the machine to itself.

        Others lengthen a lap but hardly change the processor time that it takes; how many seconds of that go into one second is
        known from the laps that were disturbed least. On a GPU the processor only waits, so there the plain seconds count.
        """
        counted = [(work, laps[WARM_UPS:]) for work, laps in self.laps]
        if self._device == "cuda":
            return [Probe(work, median(lap.seconds for lap in laps)) for work, laps in counted]
        threads = float(np.quantile([lap.cpu_seconds / lap.seconds for _, laps in counted for lap in laps], UNDISTURBED))
        return [Probe(work, median(lap.cpu_seconds for lap in laps) / threads) for work, laps in counted]

    def _open(self, adapter: dict[str, object]) -> TrainingSession:
        config = RunConfig.model_validate({"model": self.model.id, "rank": 8, "alpha": 16, "precision": self.precision} | adapter)
        frame = pd.DataFrame({"row": range(len(CLASSES)), "text": CLASSES, "label": range(len(CLASSES))})
        session = TrainingSession(config, self.model, TrainingData(CLASSES, frame, frame, frame), lambda event: None, self.should_stop)
        self._run_steps(session, Setting(1, 16), 1)  # brings the weights into memory
        return session

    def _probe_steps(self, session: TrainingSession, setting: Setting) -> None:
        release_memory()
        before_mb = psutil.Process().memory_info().rss / MB
        if RESET_PEAK.exists():
            RESET_PEAK.write_text("5")
        laps = self._run_steps(session, setting, MOST_REPEATS)
        config, parts = self._config(session, setting), self._parts(session, setting)
        work = train_work(config, session.base.shape, len(CLASSES), parts, 1)
        held = part_memory(config, session.base.shape, parts)
        self._keep(work, laps)
        if peak_memory_mb() > before_mb:
            self.sizes.append(Probe(held, peak_memory_mb() - before_mb))
        if setting == FULL:
            trained = sum(count.parameters for count in count_trainable(session.base.shape, config, len(CLASSES)))
            self._full, self._full_mb = held, peak_memory_mb() - trained_mb(trained)

    def _run_steps(self, session: TrainingSession, setting: Setting, most: int) -> list[Lap]:
        """Each step, the warm-up first; at least ``REPEATS`` more, and none begun after ``SECONDS_A_PROBE``."""
        watch = Watch()

        def hear(event: Event) -> None:
            if isinstance(event, TrainMetric):
                watch.take()

        def enough() -> bool:
            return self.should_stop() or watch.enough

        texts = self._texts(setting.rows * (WARM_UPS + most), setting.tokens)
        loop = Loop(self._config(session, setting), session.peft, texts, self._texts(1, 4), session.precision, hear, enough)
        try:
            loop.run()
        except Stopped:
            if self.should_stop():
                raise
        return watch.laps

    def _probe_evaluation(self, session: TrainingSession) -> None:
        part_tokens = PART_TOKENS[session.device.type]
        for rows, tokens in EVALUATED:
            texts = self._texts(rows, tokens)
            with merged(session.peft):
                watch = Watch()
                while not watch.enough:
                    predict(session.peft, texts, session.precision, self.should_stop)
                    watch.take()
            parts = evaluation_parts(texts.lengths, rows, tokens, part_tokens)
            self._keep(evaluation_work(session.base.shape, parts), watch.laps)
        began = time.perf_counter()
        ids = encode(session.base.tokenizer, [TEXT] * TEXTS, session.config.max_tokens)
        self._tokens_per_second = sum(map(len, ids)) / (time.perf_counter() - began)

    def _config(self, session: TrainingSession, setting: Setting) -> RunConfig:
        return session.config.model_copy(update={"batch_size": setting.rows, "base_dropout": setting.base_dropout})

    def _parts(self, session: TrainingSession, setting: Setting) -> Parts:
        lengths = np.full(setting.rows, setting.tokens)
        return train_parts(lengths, setting.rows, setting.rows, setting.tokens, PART_TOKENS[session.device.type])

    def _texts(self, rows: int, tokens: int) -> Encoded:
        ids = self._random.integers(1, 1000, (rows, tokens)).astype(np.int32)  # which tokens does not matter
        return Encoded(list(ids), np.arange(rows), np.arange(rows) % len(CLASSES), 0)

    def _keep(self, work: dict[Unit, float], laps: list[Lap]) -> None:
        self.laps.append((work, laps))
        self.report(Progress(Phase.MEASURING, len(self.laps), len(SETTINGS) + len(EVALUATED)))
