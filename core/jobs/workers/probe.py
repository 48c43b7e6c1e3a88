"""Time a few real steps on synthetic texts, so that the cost of a unit of work on this machine is
known before the first run.

Everything goes through the training's own session, loop and prediction: what is timed is what a run
does.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch

from core.config import Precision, RunConfig
from core.errors import Stopped
from core.estimate.machine_costs import TYPICAL_MB, TYPICAL_SECONDS, CostProbe, fit
from core.estimate.workload import (
    CostUnit,
    MemoryUnit,
    evaluation_work,
    part_memory,
    train_work,
    trained_mb,
)
from core.jobs.workers.timing import OtherLoad, Stopwatch, Timing, free_seconds
from core.models.architecture import count_trainable
from core.models.catalog import ModelLocation
from core.progress import Phase, Progress
from core.training.batches import Encoded, encode
from core.training.device import peak_memory_mb, release_memory
from core.training.events import Event, TrainMetric
from core.training.loop import Loop
from core.training.microbatches import (
    MICROBATCH_TOKENS,
    Microbatches,
    evaluation_microbatches,
    train_microbatches,
)
from core.training.model import ALL_ON, Optimizations
from core.training.predict import predict
from core.training.session import TrainingData, TrainingSession

MB = 2**20
CLASSES = ("a", "b", "c", "d")
TEXT = (
    "Shares of the company fell twelve percent on Tuesday after it warned that sales in New York"
    " would miss forecasts."
)
TEXTS = 400
WARM_UPS = 1  # the first step of a size takes up to twice as long
REPEATS, MOST_REPEATS, SECONDS_A_PROBE = (
    2,
    5,
    0.6,
)  # at least, at most, and no further one after so long
RESET_PEAK = Path("/proc/self/clear_refs")  # Linux: writing 5 forgets the peak so far


@dataclass(frozen=True, slots=True)
class Setting:
    """Steps to time: ``rows`` texts of ``tokens`` tokens in each, with these hyperparameters."""

    rows: int
    tokens: int
    changes: dict[str, object] = field(default_factory=dict)


FULL = Setting(16, 64)  # computed in two parts
SETTINGS = (  # those with the same changes side by side: each change needs a model of its own
    Setting(6, 64),
    FULL,
    Setting(3, 32),  # shows the costs that do not grow with the part
    Setting(2, 224),  # and attention
    Setting(6, 64, {"rank": 48}),
    Setting(6, 64, {"target_modules": ("all-linear",)}),
    Setting(6, 64, {"base_dropout": True}),
    Setting(2, 32, {"base_dropout": True}),
    Setting(6, 64, {"dora": True}),
    Setting(2, 32, {"dora": True}),
)
EVALUATED = (Setting(12, 64), Setting(2, 224), Setting(4, 32), Setting(6, 64, {"dora": True}))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the probes came to. ``loaded_at`` is when the model was first loaded, in seconds since
    1970; ``others`` the share of the machine that other programs used meanwhile.
    """

    precision: Precision
    device: str
    loaded_at: float
    others: float
    seconds: dict[CostUnit, float]
    tokens_per_second: float
    base_mb: float
    megabytes: dict[MemoryUnit, float]


class Prober:
    """Probes one model in one precision. Raises Stopped, and what ``TrainingSession`` raises."""

    def __init__(
        self,
        model: ModelLocation,
        precision: Precision,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        optimizations: Optimizations = ALL_ON,
    ) -> None:
        self.model, self.precision, self.report, self.should_stop = (
            model,
            precision,
            report,
            should_stop,
        )
        self.optimizations = optimizations
        self.laps: list[tuple[dict[CostUnit, float], list[Timing]]] = []
        self.sizes: list[CostProbe[MemoryUnit]] = []
        self._loaded_at = self._tokens_per_second = self._full_mb = 0.0
        self._device = ""
        self._others = OtherLoad()
        self._full: dict[MemoryUnit, float] = {}
        self._random = np.random.default_rng(0)

    def measure(self) -> Measured:
        """Time every setting, then fit the costs."""
        for changes, settings in groupby(SETTINGS, key=lambda setting: setting.changes):
            session = self._open(changes)
            self._loaded_at = self._loaded_at or time.time()
            for setting in settings:
                self._probe_steps(session, _readable(setting, session))
            for setting in EVALUATED:
                if setting.changes == changes:
                    self._probe_evaluation(session, _readable(setting, session))
            self._tokens_per_second = self._tokens_per_second or _tokenise(session)
            precision, self._device = session.network.precision, session.network.device.type
            del session  # before the next model is loaded
            gc.collect()
        others = self._others.share
        megabytes = fit(self.sizes, TYPICAL_MB)
        return Measured(
            precision,
            self._device,
            self._loaded_at,
            others,
            fit(self.times(others), TYPICAL_SECONDS),
            self._tokens_per_second,
            self._full_mb - sum(amount * megabytes[unit] for unit, amount in self._full.items()),
            megabytes,
        )

    def step_seconds(self) -> float:
        """Seconds of the fastest of a few steps of the size ``FULL``."""
        session = self._open({})
        laps = self._run_steps(session, _readable(FULL, session), MOST_REPEATS)
        return min(lap.seconds for lap in laps[WARM_UPS:])

    def times(self, others: float) -> list[CostProbe[CostUnit]]:
        """Seconds of each probe as if it had the machine to itself; on a GPU, where the processor
        only waits, as they were.
        """
        groups = [laps[WARM_UPS:] for _, laps in self.laps]
        if self._device == "cuda":
            seconds = [median(lap.seconds for lap in laps) for laps in groups]
        else:
            seconds = free_seconds(groups, torch.get_num_threads(), others)
        return [CostProbe(work, taken) for (work, _), taken in zip(self.laps, seconds, strict=True)]

    def _open(self, changes: dict[str, object]) -> TrainingSession:
        usual = {
            "model": self.model.id,
            "rank": 8,
            "alpha": 16,
            "max_tokens": 32,
            "precision": self.precision,
        }
        config = RunConfig.model_validate(usual | changes)
        frame = pd.DataFrame(
            {"row": range(len(CLASSES)), "text": CLASSES, "label": range(len(CLASSES))}
        )
        data = TrainingData(CLASSES, lambda _: frame)
        session = TrainingSession(
            config, self.model, data, lambda event: None, self.should_stop, self.optimizations
        )
        self._run_steps(session, Setting(1, 16), 1)  # brings the weights into memory
        return session

    def _probe_steps(self, session: TrainingSession, setting: Setting) -> None:
        release_memory()
        before_mb = psutil.Process().memory_info().rss / MB
        if RESET_PEAK.exists():
            RESET_PEAK.write_text("5")
        laps = self._run_steps(session, setting, MOST_REPEATS)
        config, parts = _config(session, setting), _parts(session, setting)
        work = train_work(
            config, session.base.shape, len(CLASSES), parts, 1, session.network.device.type
        )
        held = part_memory(config, session.base.shape, parts, session.network.device.type)
        self._keep(work, laps)
        if peak_memory_mb() > before_mb:
            self.sizes.append(CostProbe(held, peak_memory_mb() - before_mb))
        if setting.rows == FULL.rows:
            trained = sum(
                count.parameters
                for count in count_trainable(session.base.shape, config, len(CLASSES))
            )
            self._full, self._full_mb = held, peak_memory_mb() - trained_mb(trained)

    def _run_steps(self, session: TrainingSession, setting: Setting, most: int) -> list[Timing]:
        """Each step, the warm-up first; at least ``REPEATS`` more, and none begun after
        ``SECONDS_A_PROBE``.
        """
        watch = Stopwatch()

        def hear(event: Event) -> None:
            if isinstance(event, TrainMetric):
                watch.take()

        def enough() -> bool:
            return self.should_stop() or _enough(watch)

        texts = self._texts(session, setting.rows * (WARM_UPS + most), setting.tokens)
        loop = Loop(
            _config(session, setting),
            session.network,
            texts,
            self._texts(session, 1, 4),
            hear,
            enough,
        )
        try:
            loop.run()
        except Stopped:
            if self.should_stop():
                raise
        return watch.laps

    def _probe_evaluation(self, session: TrainingSession, setting: Setting) -> None:
        texts, watch = self._texts(session, setting.rows, setting.tokens), Stopwatch()
        while not _enough(watch):
            predict(session.network, texts, self.should_stop)
            watch.take()
        device = session.network.device.type
        parts = evaluation_microbatches(
            texts.lengths, setting.rows, setting.tokens, MICROBATCH_TOKENS[device]
        )
        self._keep(evaluation_work(session.config, session.base.shape, parts, device), watch.laps)

    def _texts(self, session: TrainingSession, rows: int, tokens: int) -> Encoded:
        ids = self._random.integers(
            1, session.base.model.config.vocab_size, (rows, tokens), np.int32
        )  # which does not matter
        return Encoded(list(ids), np.arange(rows), np.arange(rows) % len(CLASSES), 0)

    def _keep(self, work: dict[CostUnit, float], laps: list[Timing]) -> None:
        self.laps.append((work, laps))
        self.report(Progress(Phase.MEASURING, len(self.laps), len(SETTINGS) + len(EVALUATED)))


def _enough(watch: Stopwatch) -> bool:
    """Whether there are the fewest laps and they took their time."""
    return (
        len(watch.laps) >= WARM_UPS + REPEATS
        and sum(lap.seconds for lap in watch.laps) > SECONDS_A_PROBE
    )


def _readable(setting: Setting, session: TrainingSession) -> Setting:
    """With no more tokens than the model reads."""
    return replace(
        setting, tokens=min(setting.tokens, session.base.shape.max_positions or setting.tokens)
    )


def _config(session: TrainingSession, setting: Setting) -> RunConfig:
    return session.config.model_copy(update={"batch_size": setting.rows})


def _parts(session: TrainingSession, setting: Setting) -> Microbatches:
    lengths = np.full(setting.rows, setting.tokens)
    network = session.network
    return train_microbatches(
        lengths,
        setting.rows,
        setting.rows,
        setting.tokens,
        MICROBATCH_TOKENS[network.device.type],
        network.parallel_microbatches,
    )


def _tokenise(session: TrainingSession) -> float:
    """Tokens a second."""
    began = time.perf_counter()
    ids = encode(session.base.tokenizer, [TEXT] * TEXTS, session.config.max_tokens)
    return sum(map(len, ids)) / (time.perf_counter() - began)
