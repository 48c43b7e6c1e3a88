import pandas as pd
import pytest

from core import charts
from core.charts.model_internals import Shown
from core.models.model_shape import OUTSIDE

TABLE = pd.DataFrame(
    {
        "layer": [0, OUTSIDE],
        "module": ["query", "pooler.dense"],
        "change": [0.02, 0.04],
        "effective_rank": [2.0, 6.0],
    }
)


@pytest.mark.parametrize(
    ("shown", "labels", "shades"),
    [
        ("relative change", ["2.0 %", "4.0 %"], [0.5, 1.0]),
        ("effective rank", ["2.0", "6.0"], [0.25, 0.75]),
    ],
)
def test_tiles_are_shaded_up_to_the_largest_change_or_the_rank(
    shown: Shown, labels: list[str], shades: list[float]
) -> None:
    chart = charts.draw_adapter_map(TABLE, shown, 8)

    assert chart.data["layer"].tolist() == ["layer 1", "outside the layers"]
    assert chart.data["label"].tolist() == labels
    assert chart.data["shade"].tolist() == pytest.approx(shades)


def test_singular_values_are_drawn_in_their_order() -> None:
    chart = charts.draw_singular_values([0.5, 0.25], "layer 1 · query")

    assert chart.table.to_dict("list") == {"direction": [1, 2], "singular value": [0.5, 0.25]}
