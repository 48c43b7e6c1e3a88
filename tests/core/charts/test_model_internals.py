import altair as alt
import numpy as np
import pandas as pd
import pytest

from core import charts
from core.charts.text_map import _cell
from core.inference.messages import AdaptedModule
from tests.support.chart_specs import list_fields

CLASSES = ("World", "Sports")
GENERATOR = np.random.default_rng(0)
TOKENS = pd.DataFrame(
    {
        "position": [0, 1, 2, 3],
        "token": ["[CLS]", "kazakh", "##i", "[SEP]"],
        "id": [101, 5, 6, 102],
        "kind": ["special", "word", "continued", "special"],
        "kept": [True, True, False, True],
    }
)
POINTS = pd.DataFrame(
    {
        "row": range(50),
        "class": ["World", "Sports"] * 25,
        "text": "a",
        "x": GENERATOR.normal(size=50),
        "y": GENERATOR.normal(size=50),
        "ringed": False,
    }
)
WHERE = charts.find_common_range(POINTS)
MODULES = [
    AdaptedModule(layer, name, 8, 8, rank, rank / 100)
    for layer in range(2)
    for name, rank in (("query", 4), ("key", 0))
]
ALL = {
    "token_tiles": charts.draw_token_tiles(TOKENS, "Tokens"),
    "ratio": charts.draw_tokens_per_word(
        pd.DataFrame(
            {"class": CLASSES, "ratio": [1.2, 1.4], "low": [1.0, 1.1], "high": [1.5, 1.9]}
        ),
        CLASSES,
    ),
    "strips": charts.draw_strips(
        GENERATOR.normal(size=(3, 16)), ["word", "sum", "layer 1"], "[CLS]"
    ),
    "attention": charts.draw_attention(
        np.full((4, 4), 0.25), TOKENS["token"].tolist(), "Attention"
    ),
    "movement": charts.draw_movement(np.full((2, 4), 0.5), TOKENS["token"].tolist(), dark=True),
    "adapters": charts.draw_adapters(MODULES),
    "map": charts.draw_text_map(POINTS, CLASSES, WHERE, "Untrained"),
    "map of a class": charts.draw_text_map(POINTS, CLASSES, WHERE, "Untrained", "Sports"),
    "map of many classes": charts.draw_text_map(
        POINTS, [*CLASSES, "c", "d", "e", "f"], WHERE, "Untrained"
    ),
    "layers": charts.draw_layer_scores(
        pd.DataFrame(
            {
                "model": ["a"] * 3,
                "layer": [0, 1, 2],
                "knn": [0.2, 0.5, 0.9],
                "silhouette": [0.0, 0.1, 0.2],
            }
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", ALL)
def test_a_spec_is_valid_and_reads_only_what_its_data_has(name: str) -> None:
    chart = ALL[name]

    alt.Chart.from_dict({**chart.spec, "data": {"values": []}})

    assert list_fields(chart.spec) <= set(chart.data.columns)
    assert "'data'" not in str(chart.spec)
    assert chart.alt


def test_tokens_wrap_and_say_what_is_read() -> None:
    many = pd.DataFrame(
        {"position": range(30), "token": "market", "id": 5, "kind": "word", "kept": True}
    )

    data = charts.draw_token_tiles(many, "Tokens").data

    assert data["line"].max() == 3  # seven of eight and a half characters in 64
    assert (data["end"] <= 64).all()
    assert ALL["token_tiles"].alt == "Tokens: [CLS] kazakh [SEP]"


def test_hexagons_count_every_text_once() -> None:
    data = ALL["map"].data
    hexagons = data[data["kind"] == "hexagon"].drop_duplicates("hexagon")

    assert hexagons["texts"].sum() == 50
    assert (data[data["kind"] == "hexagon"].groupby("hexagon").size() == 7).all()


def test_hexagons_of_a_class_count_it_alone() -> None:
    data = ALL["map of a class"].data

    assert set(data.loc[data["kind"] == "hexagon", "class"]) == {"Sports"}
    assert data[data["kind"] == "hexagon"].drop_duplicates("hexagon")["texts"].sum() == 25


def test_a_point_belongs_to_the_nearest_center() -> None:
    centers = [(column, line) for column in range(-2, 8) for line in range(-2, 8)]
    for x, line in GENERATOR.uniform(0, 5, (200, 2)):
        distances = [((c + 0.5 * (r % 2)) - x) ** 2 + 0.75 * (r - line) ** 2 for c, r in centers]
        assert _cell(x, line) == centers[int(np.argmin(distances))]


def test_axes_hold_every_map() -> None:
    left, right, low, high = charts.find_common_range(POINTS, POINTS.assign(x=POINTS["x"] + 10))

    assert left < POINTS["x"].min() and right > POINTS["x"].max() + 10
    assert low < POINTS["y"].min() and high > POINTS["y"].max()


def test_strips_scale_each_row_by_itself() -> None:
    data = charts.draw_strips(
        np.array([[0.01, -0.01], [5.0, -5.0]]), ["small", "large"], "[CLS]"
    ).data

    assert data["shade"].abs().tolist() == [1.0] * 4


def test_only_adapted_modules_name_their_matrices() -> None:
    data = ALL["adapters"].data

    assert data["A"].tolist() == ["4 × 8", "none"] * 2
    assert data["label"].tolist() == ["r 4", "frozen"] * 2
