"""Estimated starts in simulated queues on machines of unknown speed.

    python benchmarks/queue_forecast.py --queues 40 --people 12

In each queue all students launch a Taste run on a new home without a calibration. The machine
takes 0.5 to 2 times the typical seconds (log-uniform), another factor of this range for the start,
and each run 8 % (standard deviation) more or less. Time, jobs, metrics and results are simulated;
the estimates are those of the app, read every ten seconds. Printed: how many starts lay in the
stated range while no run, fewer than ``FEW_RUNS`` runs and more runs had finished.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.access import Role, Visitor
from core.data.preparation import prepare
from core.data.sources import demo_source
from core.estimate.estimate import Estimate, run_cost
from core.estimate.inputs import data_facts, model_facts
from core.models.catalog import find_model
from core.presets import Preset, make_config
from core.progress import Phase
from core.runs.local_estimate import FEW_RUNS, estimate_run
from core.runs.requests import TrainRequest
from core.runs.waiting_times import Wait, read_queue
from core.settings import Settings
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.recovery import open_store
from core.storage.store import Store

SLOWEST, FASTEST = 2.0, 0.5
SPREAD = 0.08  # standard deviation of the logarithm, from run to run
EVERY_SECONDS = 10.0


@dataclass
class Queue:
    """A simulated machine: its store, the time, and the estimates that were read."""

    store: Store
    expected: Estimate  # on a typical machine
    result: dict[str, object]  # what each run reports, except its times
    draw: random.Random
    now: float = 1_000_000.0
    finished: int = 0
    known: list[tuple[str, int, float, Wait | None]] = field(default_factory=list)
    starts: dict[str, float] = field(default_factory=dict)

    def run_all(self) -> None:
        """Train all queued runs one after another."""
        slowness = FASTEST * (SLOWEST / FASTEST) ** self.draw.random()
        start_slowness = slowness * FASTEST * (SLOWEST / FASTEST) ** self.draw.random()
        while turns := read_queue(self.store):
            self._train(turns[0].job, slowness, start_slowness)
            self.finished += 1

    def _train(self, job: Job, slowness: float, start_slowness: float) -> None:
        self.starts[job.id] = self.now
        self.store.transition(job, JobState.STARTING, started_at=self.now)
        self.store.transition(job, JobState.RUNNING)
        took = slowness * self.draw.lognormvariate(0, SPREAD)
        expected, first = self.expected, self.finished == 0
        start = start_slowness * expected.speed.calibration.start_seconds
        start *= self.draw.lognormvariate(0, SPREAD)
        # launch and tokenizing are no part of the start that a run reports
        others = expected.start_seconds - expected.speed.calibration.start_seconds
        self._pass(job, Phase.LOADING, start + others)
        if first:
            self._pass(job, Phase.UNTRAINED, took * expected.untrained_seconds)
        self._step(job, took)
        self._pass(job, Phase.EVALUATING, took * expected.evaluation_seconds)
        times = {"step_seconds": took * expected.step_seconds, "start_seconds": start}
        self.store.update(job, result_json=json.dumps({**self.result, **times}))
        self.store.transition(job, JobState.COMPLETED, ended_at=self.now)

    def _step(self, job: Job, took: float) -> None:
        """Pass the time of steps and validations, with a metric for each."""
        expected = self.expected
        each = took * expected.step_seconds / expected.steps
        interval = -(-expected.steps // expected.validations)
        validation = took * expected.validation_seconds / expected.validations
        for step in range(1, expected.steps + 1):
            self._pass(job, Phase.TRAINING, each)
            self.store.add_metrics(job, [Metric(step, "train", 0.1, 1.0, self.now)])
            if step % interval == 0 or step == expected.steps:
                self._pass(job, Phase.VALIDATING, validation)
                self.store.add_metrics(job, [Metric(step, "validation", 0.1, 1.0, self.now)])

    def _pass(self, job: Job, phase: Phase, seconds: float) -> None:
        """Let time pass in a phase, and read the queue every ten seconds of it."""
        end, began = self.now + seconds, self.now
        while self.now < end:
            following = min(end, (self.now // EVERY_SECONDS + 1) * EVERY_SECONDS)
            self.now = following
            if following == end:
                break
            share = (self.now - began) / seconds
            self.store.update(job, phase=phase, done=round(100 * share), total=100)
            for turn in read_queue(self.store):
                self.known.append((turn.job.id, self.finished, self.now, turn.wait))


def simulate(people: int, seed: int) -> Queue:
    """Return a queue after all of its runs have finished."""
    with tempfile.TemporaryDirectory(prefix="queue-") as home:
        store = open_store(Settings(home=Path(home), hub=False))
        source, config = demo_source(), make_config(Preset.TASTE, {})
        dataset = prepare(store.settings, source, lambda progress: None, lambda: False)
        model = model_facts(find_model(config.model, store.settings, hub=False))
        cost = run_cost(config, data_facts(dataset), model)
        expected = estimate_run(store, config, dataset)
        result: dict[str, object] = {
            "base_model": model.name,
            "precision": expected.precision,
            "threads": store.settings.used_threads,
            "peak_memory_mb": expected.memory_mb,
            "cost": asdict(cost),
            "test": {"accuracy": 0.87},
        }
        queue = Queue(store, expected, result, random.Random(seed))
        store.clock = lambda: queue.now
        request = TrainRequest(config=config, source=source, preset=Preset.TASTE)
        for number in range(people):
            student = store.for_visitor(Visitor(f"s{number}", f"S {number}", Role.STUDENT))
            student.create(JobKind.TRAIN, "run", request.model_dump(mode="json"), f"run {number}")
        queue.run_all()
        return queue


def main() -> None:
    """Print a line for each number of finished runs; return 1 if fewer than nine in ten hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queues", type=int, default=40)
    parser.add_argument("--people", type=int, default=12)
    arguments = parser.parse_args()
    counts: dict[str, list[bool | None]] = defaultdict(list)
    for seed in range(arguments.queues):
        queue = simulate(arguments.people, seed)
        for job, finished, at, wait in queue.known:
            actual = queue.starts[job] - at
            group = "no run" if not finished else "1 or 2 runs" if finished < FEW_RUNS else "more"
            counts[group].append(None if wait is None else wait.low <= actual <= wait.high)
    missed = False
    for group, inside in sorted(counts.items()):
        known = [hit for hit in inside if hit is not None]
        share = sum(known) / len(known) if known else float("nan")
        missed |= share < 0.9
        print(
            f"{group} finished: {sum(known):,} of {len(known):,} starts in the stated range"
            f" ({share:.1%}), {len(inside) - len(known):,} without an estimate"
        )
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
