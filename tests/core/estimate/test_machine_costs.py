from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.estimate.machine_costs import (
    TYPICAL_SECONDS,
    CostKey,
    CostProbe,
    MachineCosts,
    fit,
    path,
    read,
    typical,
    write,
)
from core.estimate.workload import CostUnit

KEY = CostKey("minilm@1", "fp32", 2)
USUAL = {"token": 2.0, "part": 10.0, "rank": 1.0}


def calibration(key: CostKey = KEY, **changes: Any) -> MachineCosts:
    return replace(typical(), key=key, measured_at=1.0, **changes)


def test_a_fit_finds_the_costs_that_explain_the_probes() -> None:
    costs = {"token": 3.0, "part": 12.0, "rank": 1.5}
    amounts = (
        {"token": 100, "part": 1},
        {"token": 10, "part": 1},
        {"token": 50, "part": 1, "rank": 40},
        {"token": 200, "part": 3},
    )

    result = fit(
        [CostProbe(units, sum(costs[unit] * n for unit, n in units.items())) for units in amounts],
        USUAL,
    )

    assert result == pytest.approx(costs, rel=0.03)


def test_a_unit_that_no_probe_shows_costs_the_usual_at_this_machines_pace() -> None:
    result = fit([CostProbe({"token": 10}, 40.0), CostProbe({"token": 20}, 80.0)], USUAL)

    assert result["rank"] == pytest.approx(2.0)  # twice as slow as usual
    assert result["token"] == pytest.approx(4.0)


def test_without_a_probe_all_costs_are_the_usual_ones() -> None:
    assert fit([], USUAL) == USUAL


@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.integers(0, 9), st.floats(0.01, 100)),
        min_size=1,
        max_size=8,
    )
)
def test_no_cost_is_negative(rows: list[tuple[int, int, float]]) -> None:
    result = fit(
        [CostProbe({"token": tokens, "part": parts}, seconds) for tokens, parts, seconds in rows],
        USUAL,
    )

    assert all(cost >= 0 for cost in result.values())


def test_work_costs_by_its_units() -> None:
    result = calibration(seconds={CostUnit.STEP: 2.0, CostUnit.PART: 0.5})

    assert result.cost({CostUnit.STEP: 3, CostUnit.PART: 4}) == 8.0


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path, calibration())

    assert read(tmp_path, KEY) == calibration()


@pytest.mark.parametrize(
    "other",
    [replace(KEY, model="other@1"), replace(KEY, precision="bf16"), replace(KEY, threads=4)],
)
def test_another_model_precision_or_number_of_threads_has_its_own(
    tmp_path: Path, other: CostKey
) -> None:
    write(tmp_path, calibration())

    assert read(tmp_path, other) is None


def test_one_from_before_costs_changed_counts_as_none(tmp_path: Path) -> None:
    write(tmp_path, calibration())
    path(tmp_path, KEY).rename(path(tmp_path, KEY, version="1"))

    assert read(tmp_path, KEY) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}'])
def test_a_damaged_calibration_counts_as_none(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, calibration())
    path(tmp_path, KEY).write_bytes(content)

    assert read(tmp_path, KEY) is None


def test_a_gpu_is_typically_quicker() -> None:
    assert typical("cuda").seconds[CostUnit.PRODUCTS] < TYPICAL_SECONDS[CostUnit.PRODUCTS] / 10
