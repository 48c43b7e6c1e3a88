from pathlib import Path

import pytest

from core.config import RunConfig
from core.errors import Stopped
from core.estimate.machine_costs import TYPICAL_SECONDS
from core.estimate.workload import is_fast
from core.jobs.workers.calibrate import EVALUATED, SETTINGS, Prober
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.settings import Settings
from core.training.adapted_model import ALL_ON, build_model
from core.training.load_model import load_base


@pytest.mark.parametrize("kind", ["bert_folder", "distilbert_folder"])
def test_probing_a_model_gives_a_cost_for_each_unit(
    kind: str, request: pytest.FixtureRequest, settings: Settings
) -> None:
    model, heard = (
        find_model(str(request.getfixturevalue(kind)), settings, hub=False),
        list[Progress](),
    )

    prober = Prober(model, "auto", heard.append, lambda: False, seconds_a_probe=0.0)
    result = prober.measure()

    assert (result.precision, result.device) == ("fp32", "cpu")
    assert result.seconds.keys() == TYPICAL_SECONDS.keys()
    assert all(cost >= 0 for cost in result.seconds.values())
    assert any(cost > 0 for cost in result.seconds.values())  # one may be lost in the noise
    assert result.base_mb > 0
    assert result.tokens_per_second > 0
    probes = len(SETTINGS) + len(EVALUATED)
    assert heard == [Progress(Phase.MEASURING, done, probes) for done in range(1, probes + 1)]


def test_probing_stops_when_it_is_asked_to(bert_folder: Path, settings: Settings) -> None:
    heard = list[Progress]()
    prober = Prober(
        find_model(str(bert_folder), settings, hub=False),
        "auto",
        heard.append,
        lambda: len(heard) == 2,
        seconds_a_probe=0.0,
    )

    with pytest.raises(Stopped):
        prober.measure()

    assert len(heard) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dora": True},
        {"base_dropout": True},
        {"target_modules": ("all-linear",)},
        {"precision": "bf16"},
    ],
)
def test_the_estimate_knows_when_layers_are_written_out_by_hand(
    changes: dict[str, object], bert_folder: Path
) -> None:
    config, base = (
        RunConfig.model_validate({"max_tokens": 32, **changes}),
        load_base(bert_folder, ("a", "b"), 1),
    )

    network = build_model(base, config, "tiny", None, ALL_ON)

    assert is_fast(config, base.shape, "cpu") is (network.fast is not None)
