import json
from pathlib import Path

import numpy as np
import pytest

from core.config import RunConfig
from core.estimate.workload import CostUnit, evaluation_work, is_fast, train_work
from core.models.model_shape import read_shape
from core.training.microbatches import Microbatches
from tests.support.model_facts import bert_shape
from tests.support.tiny_models import WRITERS

SHAPE = bert_shape(10, 2, 0)  # two layers of 12 d² = 1,200 weights
PART = Microbatches(np.array([2.0]), np.array([5.0]))  # 2 texts of 5 tokens
CONFIG = RunConfig(rank=3, target_modules=("query", "value"))


def work(**changes: object) -> dict[CostUnit, float]:
    return train_work(
        RunConfig.model_validate(CONFIG.model_dump() | changes), SHAPE, 4, PART, 1, "cpu"
    )


def test_only_first_tokens_pass_the_last_layer_and_nothing_flows_back_below_the_first_adapter() -> (
    None
):
    first = 10 * (
        3 * 100 * 1 + 900 * 2
    )  # 10 tokens; query, key and value need no gradient of their inputs, out and feed-forward do
    last = 2 * 1200 * 2  # 2 texts; the hand-written encoder computes neither keys nor values

    assert work()[CostUnit.PRODUCTS] == pytest.approx(2 * (first + last) / 1e9)


def test_the_plain_layers_form_keys_and_values_of_all_tokens_in_the_last_layer() -> None:
    first = 10 * (3 * 100 * 1 + 900 * 2)
    last = 10 * 200 * 2 + 2 * 1000 * 2

    plain = work(four_bit=True)

    assert plain[CostUnit.PRODUCTS] == pytest.approx(2 * (first + last) / 1e9)
    assert plain[CostUnit.PLAIN_VALUES] == pytest.approx(10 * 10 * 2 / 1e6)


def test_an_adapter_costs_by_the_values_it_reads_and_by_its_rank() -> None:
    read = (
        10 + 10 + 2 + 10
    )  # query and value of the first layer, query (first tokens) and value (all) of the last

    assert work()[CostUnit.ADAPTER] == pytest.approx(read * (10 + 10) / 1e6)
    assert work()[CostUnit.ADAPTER_PRODUCTS] == pytest.approx(6 * read * 3 * (10 + 10) / 1e9)
    assert work(rank=6)[CostUnit.ADAPTER_PRODUCTS] == pytest.approx(
        2 * work()[CostUnit.ADAPTER_PRODUCTS]
    )


def test_nothing_flows_back_through_the_layers_below_the_adapted_ones() -> None:
    first = 10 * 1200 * 1  # 10 tokens, forward only
    last = 2 * (300 * 1 + 900 * 2)  # first tokens of 2 texts

    counted = work(layers="last half")

    assert counted[CostUnit.PRODUCTS] == pytest.approx(2 * (first + last) / 1e9)
    assert counted[CostUnit.MODULE] == 2
    assert counted[CostUnit.ATTENTION] == pytest.approx(work()[CostUnit.ATTENTION] * 2 / 3)


def test_a_part_counts_its_modules_and_weights_and_a_step_what_it_trains() -> None:
    counted = work()

    assert (counted[CostUnit.STEP], counted[CostUnit.PART], counted[CostUnit.MODULE]) == (1, 1, 4)
    assert counted[CostUnit.WEIGHTS] == pytest.approx(2400 / 1e6)
    head = 4 * 10 + 4
    assert counted[CostUnit.TRAINED] == pytest.approx((4 * 3 * 20 + head) / 1e6)


def test_dora_measures_the_columns_of_each_adapted_weight_once_a_part() -> None:
    assert work(dora=True)[CostUnit.DORA] == pytest.approx(400 / 1e6)
    assert CostUnit.DORA not in work()


def test_work_that_stands_for_more_counts_so_often() -> None:
    once, thrice = (
        train_work(CONFIG, SHAPE, 4, Microbatches(PART.rows, PART.tokens, weight), 1, "cpu")
        for weight in (1.0, 3.0)
    )

    assert thrice[CostUnit.PRODUCTS] == pytest.approx(3 * once[CostUnit.PRODUCTS])
    assert thrice[CostUnit.PART] == 3


def test_evaluation_goes_forward_only() -> None:
    counted = evaluation_work(CONFIG, SHAPE, PART, "cpu")

    assert counted[CostUnit.EVALUATED_PRODUCTS] == pytest.approx(2 * (10 * 1200 + 2 * 1200) / 1e9)
    assert counted[CostUnit.EVALUATED_PLAIN_VALUES] == 0


@pytest.mark.parametrize(("rows", "weights"), [([2.0], 2400), ([2.0, 2.0, 2.0], 2400), ([], 0)])
def test_an_evaluation_prepares_its_weights_once_for_any_number_of_texts(
    rows: list[float], weights: int
) -> None:
    parts = Microbatches(np.array(rows), np.full(len(rows), 5.0), weight=3.0)

    counted = evaluation_work(CONFIG, SHAPE, parts, "cpu")

    assert counted[CostUnit.EVALUATION] == pytest.approx(weights / 1e6)


@pytest.mark.parametrize(
    ("changes", "device", "fast"),
    [
        ({}, "cpu", True),
        ({}, "cuda", False),
        ({"dora": True}, "cpu", True),
        ({"precision": "bf16"}, "cpu", True),
    ],
)
def test_layers_written_out_by_hand_serve_plain_adapters_on_a_cpu(
    changes: dict[str, object], device: str, fast: bool
) -> None:
    assert is_fast(RunConfig.model_validate(changes), SHAPE, device) is fast


@pytest.mark.parametrize("family", WRITERS)
def test_each_family_counts_as_hand_written_with_the_activation_it_computes(
    family: str, tmp_path: Path
) -> None:
    folder = WRITERS[family](tmp_path / "model")
    shape = read_shape(folder)
    counted = train_work(RunConfig(rank=3), shape, 4, PART, 1, "cpu")

    assert is_fast(RunConfig(), shape, "cpu")
    assert CostUnit.PLAIN_PART not in counted
    assert counted[CostUnit.MODULE] == 4  # query and value of two layers
    assert (shape.heads, shape.max_positions) == (4, 128)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"hidden_act": "relu", "activation": "relu"})
    )
    assert not is_fast(RunConfig(), read_shape(folder), "cpu")
