import numpy as np
import pytest

from core.config import RunConfig
from core.estimate.machine_costs import TYPICAL_SECONDS, CostProbe, fit
from core.estimate.workload import CostUnit, evaluation_work, train_work
from core.jobs.workers.calibrate import (
    BUSY,
    EVALUATED,
    SETTINGS,
    OtherLoad,
    Stopwatch,
    Timing,
    estimate_free_seconds,
)
from core.models.model_shape import MINILM
from core.training.microbatches import (
    MICROBATCH_TOKENS,
    simulate_evaluation_microbatches,
    simulate_train_microbatches,
)


def test_a_lap_that_others_lengthened_counts_with_its_processor_time() -> None:
    quiet = [Timing(1.0, 1.6), Timing(1.0, 1.6), Timing(1.0, 1.6)]
    disturbed = [Timing(2.0, 1.6), Timing(2.0, 1.6)]

    assert estimate_free_seconds([quiet, disturbed], threads=2, others=0.0) == pytest.approx(
        [1.0, 1.0]
    )


def test_two_threads_use_five_thirds_of_a_processor_if_every_lap_was_disturbed() -> None:
    disturbed = [Timing(2.0, 2.0), Timing(2.0, 2.0)]

    # 1 / (0.2 + 0.8 / 2) = 1.67
    assert estimate_free_seconds([disturbed], threads=2, others=BUSY + 0.1) == pytest.approx([1.2])
    assert estimate_free_seconds([disturbed], threads=2, others=0.0) == pytest.approx([2.0])
    assert estimate_free_seconds([disturbed], threads=1, others=BUSY + 0.1) == pytest.approx([2.0])


def test_a_watch_takes_one_lap_after_the_other() -> None:
    watch = Stopwatch()
    for _ in range(2):
        sum(range(200_000))
        watch.take()

    assert len(watch.laps) == 2
    assert all(lap.seconds > 0 and lap.cpu_seconds > 0 for lap in watch.laps)


def test_the_share_of_others_is_a_share() -> None:
    assert 0 <= OtherLoad().share <= 1


def work_of_texts(rows: int, tokens: int) -> dict[CostUnit, float]:
    parts = simulate_evaluation_microbatches(
        np.full(rows, tokens), rows, tokens, MICROBATCH_TOKENS["cpu"]
    )
    return evaluation_work(RunConfig(), MINILM, parts, "cpu")


def work_of_a_step(rows: int, tokens: int) -> dict[CostUnit, float]:
    parts = simulate_train_microbatches(
        np.full(rows, tokens), rows, rows, tokens, MICROBATCH_TOKENS["cpu"], 2
    )
    return train_work(RunConfig(), MINILM, 4, parts, 1, "cpu")


@pytest.mark.parametrize("once", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("each", [0.5, 1.0])
def test_the_probes_distinguish_what_a_prediction_costs_once_from_each_text(
    once: float, each: float
) -> None:
    costs = {
        unit: cost
        * (each if unit.startswith("evaluated") else once if unit == CostUnit.EVALUATION else 1.0)
        for unit, cost in TYPICAL_SECONDS.items()
    }

    def seconds(work: dict[CostUnit, float], costs: dict[CostUnit, float]) -> float:
        return sum(amount * costs[unit] for unit, amount in work.items())

    evaluated = [work_of_texts(setting.rows, setting.tokens) for setting in EVALUATED]
    steps = [work_of_a_step(setting.rows, setting.tokens) for setting in SETTINGS]

    fitted = fit(
        [CostProbe(work, seconds(work, costs)) for work in (*evaluated, *steps)], TYPICAL_SECONDS
    )

    validation = work_of_texts(500, 53)
    assert seconds(validation, fitted) == pytest.approx(seconds(validation, costs), rel=0.1)
