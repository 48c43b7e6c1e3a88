"""Measure what a unit of work costs on this machine with one base model in one precision.

A few real steps on synthetic texts are timed, so that a run can be estimated before the first run.
They go through the session, loop and prediction of a training: what is timed is what a run does.

With precision auto the job first decides, once for each machine and model, what auto is: bf16 only
where a training step in bf16 was clearly faster than one in fp32.

Other programs lengthen a lap but hardly change the processor time that it takes. With another
program on one of two cores, a step of 213 ms took 318 ms, and its processor time was 391 instead of
361 ms. So free times are computed from processor times.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch

from core.config import ConfigFields, Precision, RunConfig
from core.data.hub import hub_reachable
from core.errors import Stopped
from core.estimate import machine_costs
from core.estimate.inputs import model_facts
from core.estimate.machine_costs import (
    TYPICAL_MB,
    TYPICAL_SECONDS,
    CostKey,
    CostProbe,
    MachineCosts,
    fit,
)
from core.estimate.workload import (
    CostUnit,
    MemoryUnit,
    count_microbatch_memory,
    evaluation_work,
    train_work,
    trained_mb,
)
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.models.catalog import ModelLocation, find_model
from core.models.model_shape import count_trainable
from core.progress import Phase, Progress
from core.runs.requests import CalibrateRequest, CalibrateResult
from core.settings import count_cores
from core.storage.machine_speed import StepSeconds, choose_auto_precision, decide_steps
from core.training.adapted_model import ALL_ON, Optimizations
from core.training.batches import Encoded, encode
from core.training.device import choose_device, measure_peak_memory_mb, release_memory
from core.training.events import Event, TrainMetric
from core.training.fast.matmul import machine_products
from core.training.loop import Loop
from core.training.microbatches import (
    MICROBATCH_TOKENS,
    Microbatches,
    simulate_evaluation_microbatches,
    simulate_train_microbatches,
)
from core.training.predict import predict
from core.training.session import TrainingData, TrainingSession

UNDISTURBED = 0.75  # quantile of the laps' processors in use
SERIAL = 0.2  # serial fraction of a step; 2 threads then keep 1.67 processors busy
BUSY = 0.15  # with this load or more, other programs may have disturbed every lap


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall time of a lap, and the processor time of all threads of this process in it."""

    seconds: float
    cpu_seconds: float


class Stopwatch:
    """Measures laps; the first lap starts when the object is created."""

    def __init__(self) -> None:
        self.laps: list[Timing] = []
        self._at = time.perf_counter(), time.process_time()

    def take(self) -> None:
        """End a lap and start the next."""
        now = time.perf_counter(), time.process_time()
        self.laps.append(Timing(now[0] - self._at[0], now[1] - self._at[1]))
        self._at = now


class OtherLoad:
    """Load of other programs since the object was created, as a proportion of the machine.

    It is 0 if this process is limited to some of the cores, because the load is then unknown.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._used = _read_used_seconds() - time.process_time()

    @property
    def share(self) -> float:
        """The load from 0 to 1."""
        if count_cores() != psutil.cpu_count():
            return 0.0
        used = _read_used_seconds() - time.process_time() - self._used
        return float(np.clip(used / count_cores() / (time.perf_counter() - self._began), 0.0, 1.0))


def estimate_free_seconds(
    groups: Sequence[Sequence[Timing]], threads: int, others: float
) -> list[float]:
    """Estimate the median seconds of each group of laps on an otherwise idle machine.

    The number of busy processors is taken from the laps that were disturbed least. If the load of
    ``others`` may have disturbed all of them, it is at least what Amdahl's law (1967) predicts for
    ``threads``.
    """
    working = float(
        np.quantile([lap.cpu_seconds / lap.seconds for laps in groups for lap in laps], UNDISTURBED)
    )
    if others > BUSY:
        working = max(working, 1 / (SERIAL + (1 - SERIAL) / threads))
    return [median(lap.cpu_seconds for lap in laps) / working for laps in groups]


def _read_used_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


MB = 2**20
CLASSES = ("a", "b", "c", "d")
TEXT = (
    "Shares of the company fell twelve percent on Tuesday after it warned that sales in New York"
    " would miss forecasts."
)
TEXTS = 400
WARM_UPS = 1  # the first step of a size takes up to twice as long
REPEATS, MOST_REPEATS = 2, 5
SECONDS_A_PROBE = 0.6  # no further step begins after this time
RESET_PEAK = Path("/proc/self/clear_refs")  # Linux: writing 5 forgets the peak so far


@dataclass(frozen=True, slots=True)
class Setting:
    """Steps to time: ``rows`` texts of ``tokens`` tokens in each, with these hyperparameters."""

    rows: int
    tokens: int
    changes: ConfigFields = field(default_factory=dict)


FULL = Setting(16, 64)  # computed in two micro-batches
SETTINGS = (  # grouped by changes, because each needs its own model
    Setting(6, 64),
    FULL,
    Setting(3, 32),  # shows the costs that do not grow with the micro-batch
    Setting(2, 224),  # shows the cost of attention
    Setting(6, 64, {"rank": 48}),
    Setting(6, 64, {"target_modules": ("all-linear",)}),
    Setting(6, 64, {"base_dropout": True}),
    Setting(2, 32, {"base_dropout": True}),
    Setting(6, 64, {"dora": True}),
    Setting(2, 32, {"dora": True}),
)
EVALUATED = (
    Setting(35, 64),  # five micro-batches: few would show mostly what a prediction costs once
    Setting(2, 224),
    Setting(4, 32),
)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Results of the probes.

    ``loaded_at`` is when the model was first loaded, in seconds since 1970; ``others`` is the load
    of other programs (0 to 1).
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
    """Probes one model in one precision. Raises Stopped and the errors of ``TrainingSession``."""

    def __init__(
        self,
        model: ModelLocation,
        precision: Precision,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        optimizations: Optimizations = ALL_ON,
        seconds_a_probe: float = SECONDS_A_PROBE,
    ) -> None:
        self.seconds_a_probe = seconds_a_probe
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

    def measure(self) -> ProbeResult:
        """Time every setting, then fit the costs."""
        for changes, settings in groupby(SETTINGS, key=lambda setting: setting.changes):
            session = self._open(changes)
            self._loaded_at = self._loaded_at or time.time()
            for setting in settings:
                self._probe_steps(session, _limit_tokens(setting, session))
            for setting in EVALUATED:
                if setting.changes == changes:
                    self._probe_evaluation(session, _limit_tokens(setting, session))
            self._tokens_per_second = self._tokens_per_second or _measure_tokenizer(session)
            precision, self._device = session.network.precision, session.network.device.type
            del session  # before the next model is loaded
            gc.collect()
        others = self._others.share
        megabytes = fit(self.sizes, TYPICAL_MB)
        return ProbeResult(
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
        """Return the seconds of the fastest of a few steps of the size ``FULL``."""
        session = self._open({})
        laps = self._run_steps(session, _limit_tokens(FULL, session), MOST_REPEATS)
        return min(lap.seconds for lap in laps[WARM_UPS:])

    def times(self, others: float) -> list[CostProbe[CostUnit]]:
        """Return the seconds of each probe on an otherwise idle machine.

        On a GPU, where the processor only waits, they are not corrected.
        """
        groups = [laps[WARM_UPS:] for _, laps in self.laps]
        if self._device == "cuda":
            seconds = [median(lap.seconds for lap in laps) for laps in groups]
        else:
            seconds = estimate_free_seconds(groups, torch.get_num_threads(), others)
        return [
            CostProbe(work, measured)
            for (work, _), measured in zip(self.laps, seconds, strict=True)
        ]

    def _open(self, changes: ConfigFields) -> TrainingSession:
        usual = {
            "model": self.model.id,
            "rank": 8,
            "alpha": 16,
            "max_tokens": 32,
            "precision": self.precision,
        }
        config = RunConfig.model_validate({**usual, **changes})
        frame = pd.DataFrame(
            {"row": range(len(CLASSES)), "text": CLASSES, "label": range(len(CLASSES))}
        )
        data = TrainingData(CLASSES, lambda _: frame)
        session = TrainingSession(
            config, self.model, data, lambda event: None, self.should_stop, self.optimizations
        )
        self._run_steps(session, Setting(1, 16), 1)  # loads the weights into memory
        return session

    def _probe_steps(self, session: TrainingSession, setting: Setting) -> None:
        release_memory()
        before_mb = psutil.Process().memory_info().rss / MB
        if RESET_PEAK.exists():
            RESET_PEAK.write_text("5")
        laps = self._run_steps(session, setting, MOST_REPEATS)
        config, parts = _make_config(session, setting), _split_rows(session, setting)
        work = train_work(
            config, session.base.shape, len(CLASSES), parts, 1, session.network.device.type
        )
        held = count_microbatch_memory(
            config, session.base.shape, parts, session.network.device.type
        )
        self._keep(work, laps)
        if measure_peak_memory_mb() > before_mb:
            self.sizes.append(CostProbe(held, measure_peak_memory_mb() - before_mb))
        if setting.rows == FULL.rows:
            trained = sum(
                count.parameters
                for count in count_trainable(session.base.shape, config, len(CLASSES))
            )
            self._full, self._full_mb = held, measure_peak_memory_mb() - trained_mb(trained)

    def _has_enough_laps(self, watch: Stopwatch) -> bool:
        """Return whether there are enough laps and they took long enough."""
        return (
            len(watch.laps) >= WARM_UPS + REPEATS
            and sum(lap.seconds for lap in watch.laps) > self.seconds_a_probe
        )

    def _run_steps(self, session: TrainingSession, setting: Setting, most: int) -> list[Timing]:
        """Run a warm-up and at least ``REPEATS`` steps; stop after ``seconds_a_probe``."""
        watch = Stopwatch()

        def record(event: Event) -> None:
            if isinstance(event, TrainMetric):
                watch.take()

        def enough() -> bool:
            return self.should_stop() or self._has_enough_laps(watch)

        texts = self._texts(session, setting.rows * (WARM_UPS + most), setting.tokens)
        loop = Loop(
            _make_config(session, setting),
            session.network,
            texts,
            self._texts(session, 1, 4),
            record,
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
        precision = session.network.validation_precision
        while not self._has_enough_laps(watch):
            predict(session.network, texts, self.should_stop, precision=precision)
            watch.take()
        device = session.network.device.type
        parts = simulate_evaluation_microbatches(
            texts.lengths, setting.rows, setting.tokens, MICROBATCH_TOKENS[device]
        )
        self._keep(evaluation_work(session.config, session.base.shape, parts, device), watch.laps)

    def _texts(self, session: TrainingSession, rows: int, tokens: int) -> Encoded:
        # the values do not affect the cost
        ids = self._random.integers(
            1, session.base.model.config.vocab_size, (rows, tokens), np.int32
        )
        return Encoded(list(ids), np.arange(rows), np.arange(rows) % len(CLASSES), 0)

    def _keep(self, work: dict[CostUnit, float], laps: list[Timing]) -> None:
        self.laps.append((work, laps))
        self.report(Progress(Phase.MEASURING, len(self.laps), len(SETTINGS) + len(EVALUATED)))


def _limit_tokens(setting: Setting, session: TrainingSession) -> Setting:
    """Limit the tokens of a setting to those that the model reads."""
    return replace(
        setting, tokens=min(setting.tokens, session.base.shape.max_positions or setting.tokens)
    )


def _make_config(session: TrainingSession, setting: Setting) -> RunConfig:
    return session.config.model_copy(update={"batch_size": setting.rows})


def _split_rows(session: TrainingSession, setting: Setting) -> Microbatches:
    lengths = np.full(setting.rows, setting.tokens)
    network = session.network
    return simulate_train_microbatches(
        lengths,
        setting.rows,
        setting.rows,
        setting.tokens,
        network.microbatch_tokens,
        network.parallel_microbatches,
    )


def _measure_tokenizer(session: TrainingSession) -> float:
    """Return the tokens per second of the tokenizer."""
    began = time.perf_counter()
    ids = encode(session.base.tokenizer, [TEXT] * TEXTS, session.config.max_tokens)
    return sum(map(len, ids)) / (time.perf_counter() - began)


def run(context: JobContext) -> None:
    """Measure and store the costs of the request's model and precision.

    Raises Stopped, ModelUnavailable and ConfigError.
    """
    request = read_request(context.job, CalibrateRequest)
    context.report(Progress(Phase.LOADING))
    model = find_model(request.model, context.settings, hub_reachable(context.settings))
    precision, optimizations = request.precision, _choose_optimizations(context)
    if precision == "auto":
        precision = _decide_auto(context, model, optimizations)
    measured = Prober(
        model, precision, context.report, context.should_stop, optimizations
    ).measure()
    costs = MachineCosts(
        key=CostKey(model_facts(model).name, measured.precision, context.settings.used_threads),
        device=measured.device,
        measured_at=context.store.clock(),
        others=measured.others,
        seconds=measured.seconds,
        start_seconds=measured.loaded_at - (context.job.started_at or measured.loaded_at),
        tokens_per_second=measured.tokens_per_second,
        base_mb=measured.base_mb,
        megabytes=measured.megabytes,
    )
    machine_costs.write(context.settings.home, costs)
    context.update_result(
        CalibrateResult(
            precision=measured.precision, device=measured.device, threads=costs.key.threads
        )
    )


def _choose_optimizations(context: JobContext) -> Optimizations:
    return replace(ALL_ON, onednn=machine_products(context.settings).onednn_is_faster)


def _decide_auto(
    context: JobContext, model: ModelLocation, optimizations: Optimizations
) -> Precision:
    device = choose_device().type
    if device == "cpu":
        decide_steps(
            context.settings, model.name, lambda: _time_steps(context, model, optimizations)
        )
    return choose_auto_precision(context.settings, model.name, device)


def _time_steps(
    context: JobContext, model: ModelLocation, optimizations: Optimizations
) -> StepSeconds:
    """Time steps in fp32, and in bf16 if its products alone are faster.

    They alternate, so that other programs delay both alike.
    """

    def seconds(precision: Precision) -> float:
        gc.collect()  # frees the previous model
        return Prober(
            model, precision, context.report, context.should_stop, optimizations
        ).step_seconds()

    products = machine_products(context.settings)
    if products.bf16 >= products.fastest_fp32:
        return StepSeconds(fp32=seconds("fp32"))
    first, *bf16, last = [seconds(precision) for precision in ("fp32", "bf16", "bf16", "fp32")]
    return StepSeconds(fp32=min(first, last), bf16=min(bf16))
