import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings
from core.storage import machine_speed
from core.storage.machine_speed import (
    ProductSeconds,
    StepSeconds,
    choose_auto_precision,
    decide_products,
    decide_steps,
    identify_machine,
    read_stopwatch,
)

MODEL = "tiny@1"
PLAIN = ProductSeconds(fp32=1, bf16=4, onednn=1)
RACERS = 4


@pytest.fixture
def unforced(settings: Settings) -> Settings:
    return replace(settings, stopwatch="")


def never() -> ProductSeconds:
    raise AssertionError("it was measured")


def race(arguments: tuple[Path, str]) -> ProductSeconds:
    home, stopwatch = arguments
    return decide_products(Settings(home=home, stopwatch=stopwatch), never)


@pytest.mark.parametrize(
    ("onednn", "faster"), [(0.5, True), (0.85, False), (2.0, False), (None, False)]
)
def test_onednn_computes_where_it_was_clearly_faster(onednn: float | None, faster: bool) -> None:
    assert ProductSeconds(fp32=1, bf16=1, onednn=onednn).onednn_is_faster is faster


@pytest.mark.parametrize(
    ("bf16", "precision"), [(0.5, "bf16"), (0.85, "fp32"), (2.0, "fp32"), (None, "fp32")]
)
def test_auto_is_bf16_where_a_step_was_clearly_faster(bf16: float | None, precision: str) -> None:
    assert StepSeconds(fp32=1, bf16=bf16).precision == precision


def test_what_was_measured_once_is_never_measured_again(unforced: Settings) -> None:
    first = decide_products(unforced, lambda: PLAIN)

    assert first == decide_products(unforced, never) == PLAIN


def test_a_disk_that_stores_no_measurement_still_allows_it(unforced: Settings) -> None:
    decide_products(unforced, lambda: PLAIN)
    (record,) = (unforced.home / "machines").glob("*.json")
    record.unlink()
    record.mkdir()  # no file can get this name

    assert decide_products(unforced, lambda: PLAIN) == PLAIN


def test_processes_that_decide_at_the_same_moment_get_one_result(settings: Settings) -> None:
    rivals = [(settings.home, f"fp32=1,bf16={1 + number},onednn=1") for number in range(RACERS)]

    with ProcessPoolExecutor(RACERS, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(race, rivals))

    assert len(set(results)) == 1
    assert results[0].bf16 in range(1, 1 + RACERS)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"machine": 1}', b"[]"])
def test_a_damaged_record_counts_as_none(unforced: Settings, damage: bytes) -> None:
    decide_products(unforced, lambda: PLAIN)
    (path,) = (unforced.home / "machines").glob("*.json")
    path.write_bytes(damage)
    other = PLAIN.model_copy(update={"bf16": 0.5})

    assert decide_products(unforced, lambda: other) == other
    assert decide_products(unforced, never) == other


def test_a_home_on_another_machine_measures_again(unforced: Settings) -> None:
    decide_products(unforced, lambda: PLAIN)
    other = PLAIN.model_copy(update={"bf16": 0.5})
    moved = replace(unforced, threads=identify_machine(unforced).threads + 1)

    assert decide_products(moved, lambda: other) == other
    assert decide_products(unforced, never) == PLAIN


def test_auto_is_fp32_until_a_step_was_timed(unforced: Settings) -> None:
    decide_products(unforced, lambda: PLAIN.model_copy(update={"bf16": 0.1}))
    assert choose_auto_precision(unforced, MODEL, "cpu") == "fp32"

    decide_steps(unforced, MODEL, lambda: StepSeconds(fp32=1, bf16=0.5))

    assert choose_auto_precision(unforced, MODEL, "cpu") == "bf16"
    assert choose_auto_precision(unforced, "other@1", "cpu") == "fp32"
    assert choose_auto_precision(unforced, MODEL, "cuda") == "fp32"


def test_a_given_stopwatch_stands_for_both_measurements(settings: Settings) -> None:
    forced = replace(settings, stopwatch="fp32=1,bf16=0.2,onednn=0.5")

    assert decide_products(forced, never) == ProductSeconds(fp32=1, bf16=0.2, onednn=0.5)
    measure: Callable[[], StepSeconds] = never  # type: ignore[assignment]
    assert decide_steps(forced, MODEL, measure) == StepSeconds(fp32=0.5, bf16=0.2)


@pytest.mark.parametrize("text", ["fast", "fp32=1", "fp32=1,bf16=0", "fp32=1,bf16=x", "a=1,b=2"])
def test_a_wrong_stopwatch_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="LORALAB_STOPWATCH"):
        read_stopwatch(text)


def test_the_processor_has_a_name() -> None:
    assert machine_speed.read_cpu_model()
