import json
from collections.abc import Iterator

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

from core import charts
from core.charts import bars, distributions
from core.charts.base import CONFIG, FADED, HUE, TEXT_COLORS, finish
from core.charts.matrix import choose_text_color, mix_tile_color
from core.data.explore.statistics import CutCount, length_bins
from tests.support.chart_specs import list_fields
from tests.support.json_values import value_at

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
COUNTS = np.array([[90, 0, 10], [5, 80, 15], [20, 30, 50]])
THREE = ("a", "b", "c")
BALANCE = pd.DataFrame(
    {
        "class": ["World", "Sports"] * 2,
        "split": ["train"] * 2 + ["test"] * 2,
        "texts": [1000, 500, 100, 50],
    }
)
LENGTHS = length_bins(
    np.arange(1, 101, dtype=np.int32), np.repeat(np.array([0, 1], np.int16), 50), 2
)
WORDS = pd.DataFrame(
    {"word": ["oil", "market", "shares"], "z": [25.0, 9.0, 4.0], "count": [400, 90, 40]}
)
BOXES = pd.DataFrame(
    {
        "class": ["World"],
        "texts": [9],
        "low": [5],
        "lower": [7],
        "median": [9],
        "upper": [11],
        "high": [20],
        "longest": [99],
        "kept": [True],
    }
)
CUTS = pd.DataFrame(
    {
        "max_tokens": [8, 64, 8, 64],
        "class": ["World", "World", "all selected", "all selected"],
        "share": [1, 0.2, 1, 0.3],
    }
)
PATTERNS = pd.DataFrame(
    {
        "pattern": ["(AP)", "\\"],
        "texts": [40, 10],
        "top": [1, 0],
        "ratio": [3.21, 410.4],
        "class 0": [10, 10],
        "class 1": [30, 0],
    }
)
METRICS = pd.DataFrame(
    {
        "step": [1, 2, 2, 3, 4, 4],
        "split": ["train", "train", "validation"] * 2,
        "loss": [1.4, 1.0, 0.9, 0.8, 0.6, 0.7],
        "accuracy": [None, None, 0.5, None, None, 0.75],
        "macro_f1": [None, None, 0.4, None, None, 0.7],
        "best": [False, False, True, False, False, True],
    }
)
ALL = {
    "class_balance": charts.draw_class_balance(BALANCE, CLASSES[:2]),
    "length_histogram": charts.draw_length_histogram(LENGTHS, CLASSES[:2], "tokens", (10, 20)),
    "length_boxes": charts.draw_length_boxes(BOXES, CLASSES[:2], "tokens"),
    "cut_curve": charts.draw_cut_curve(CUTS, CLASSES[:2], 64, CutCount(30, 100, 0.1)),
    "cut_curve, many": charts.draw_cut_curve(
        CUTS[2:], [f"class {n}" for n in range(50)], 64, CutCount(0, 100, 0)
    ),
    "word_cloud": charts.draw_word_cloud(WORDS, "Business", "#0060A0", "oil"),
    "word_bars": charts.draw_word_bars(WORDS, "Business", "#0060A0"),
    "pattern_bars": charts.draw_pattern_bars(PATTERNS, CLASSES[:2], "(AP)"),
    "loss": charts.draw_loss_curves(METRICS),
    "loss, log": charts.draw_loss_curves(METRICS, log=True),
    "scores": charts.draw_score_curves(METRICS, 100, {"untrained": 0.25}),
    "sparkline": charts.draw_sparkline([0.5, 0.75]),
    "counts": charts.draw_confusion_matrix(COUNTS, THREE, "counts"),
    "per cent": charts.draw_confusion_matrix(COUNTS, THREE, "per cent of row", dark=True),
    "errors": charts.draw_confusion_matrix(COUNTS, THREE, "errors only"),
    "probabilities": charts.draw_probabilities([0.1, 0.7, 0.15, 0.05], CLASSES, "quick-01"),
    "trainable_bar": charts.draw_trainable_bar(150_000, 22_850_000),
    "trainable_modules": charts.draw_trainable_modules(
        pd.DataFrame({"module": ["query", "classifier"], "parameters": [24_576, 1_540]})
    ),
}


def marks(value: object) -> Iterator[dict[str, object]]:
    """List the marks of a spec."""
    if isinstance(value, dict):
        if isinstance(value.get("mark"), dict) and "type" in value["mark"]:
            yield value["mark"]
        for item in value.values():
            yield from marks(item)
    elif isinstance(value, list):
        for item in value:
            yield from marks(item)


def luminance(color: tuple[int, ...]) -> float:
    linear = [
        c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(entry: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted([luminance(entry), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ALL)
def test_a_spec_is_valid_vega_lite_without_data(name: str) -> None:
    spec = ALL[name].spec

    alt.Chart.from_dict({**spec, "data": {"values": []}})

    assert "'data'" not in str(spec)
    assert "datasets" not in spec


@pytest.mark.parametrize("name", ALL)
def test_a_spec_reads_only_columns_that_its_data_has(name: str) -> None:
    chart = ALL[name]

    assert list_fields(chart.spec) - {"room", "end"} <= set(chart.data.columns)


@pytest.mark.parametrize("name", ALL)
def test_a_chart_says_what_it_shows(name: str) -> None:
    chart = ALL[name]

    assert len(chart.alt) > 20
    assert chart.alt.endswith(".")
    assert chart.spec.get("title", {"text": chart.title}) == {"text": chart.title}


@pytest.mark.parametrize("name", ALL)
def test_text_is_large_enough_for_a_wall(name: str) -> None:
    sizes = [mark["fontSize"] for mark in marks(ALL[name].spec) if mark["type"] == "text"]

    assert all(isinstance(size, int) and size >= 13 for size in sizes)
    assert ALL[name].spec["config"] == CONFIG


def test_a_spec_is_built_once_and_its_data_each_time() -> None:
    first, second = charts.draw_loss_curves(METRICS), charts.draw_loss_curves(METRICS.iloc[:2])

    assert first.spec is second.spec
    assert len(first.data) > len(second.data)


def test_class_bars_carry_their_number_and_split() -> None:
    assert ALL["class_balance"].data["label"].tolist() == [
        "1,000 train",
        "500 train",
        "100 test",
        "50 test",
    ]
    assert ALL["class_balance"].alt == "Texts per class, 1,650 in all: World 1,100, Sports 550."


def test_a_class_without_texts_has_no_line_along_zero() -> None:
    only = length_bins(np.arange(50, dtype=np.int32), np.ones(50, np.int16), 2)

    assert set(
        charts.draw_length_histogram(only, CLASSES[:2], "tokens").data.query("kind == 'bin'")[
            "class"
        ]
    ) == {"Sports"}


def test_up_to_four_classes_have_a_color_each_and_more_share_one_hue() -> None:
    assert charts.choose_class_colors(CLASSES) == list(charts.CLASS_COLORS)
    assert charts.choose_class_colors([*CLASSES, "Local"], chosen="Sports") == [
        FADED,
        HUE,
        FADED,
        FADED,
        FADED,
    ]
    assert charts.choose_class_colors([*CLASSES, "Local"]) == [HUE] * 5


def test_lengths_are_shares_of_each_class() -> None:
    bins = ALL["length_histogram"].data.query("kind == 'bin'")

    assert bins.groupby("class")["texts"].sum().to_dict() == {"World": 50, "Sports": 50}
    assert bins.groupby("class")["share"].sum().tolist() == pytest.approx([1, 1])


def test_many_classes_share_one_line_of_lengths() -> None:
    result = length_bins(np.arange(50, dtype=np.int32), np.arange(50, dtype=np.int16), 50)

    data = charts.draw_length_histogram(
        result, [f"class {number}" for number in range(50)], "words"
    ).data

    assert set(data["class"]) == {"all selected"}
    assert data.query("kind == 'bin'")["share"].sum() == pytest.approx(1)


def test_bins_of_the_chosen_range_are_shaded() -> None:
    shaded = ALL["length_histogram"].data.query("kind == 'hit' and kept == True")

    assert (shaded["from"].min(), shaded["to"].max()) == (9, 20)  # bins are three wide


def test_texts_beyond_the_picture_are_counted() -> None:
    lengths = np.array([*range(100)] * 10 + [100_000], np.int32)

    chart = charts.draw_length_histogram(
        length_bins(lengths, np.zeros(1001, np.int16), 2), CLASSES[:2], "characters"
    )

    assert chart.note == "1 text longer than 101 characters is not shown."


def test_no_texts_give_an_empty_histogram() -> None:
    chart = charts.draw_length_histogram(
        length_bins(np.zeros(0, np.int32), np.zeros(0, np.int16), 2), CLASSES[:2], "words"
    )

    assert chart.data["texts"].sum() == 0
    assert "No texts" in chart.alt


def test_the_limit_of_tokens_says_how_many_texts_are_cut() -> None:
    assert ALL["cut_curve"].data.query("kind == 'limit'")["label"].tolist() == [
        "64 tokens: 30.0 % truncated"
    ]
    assert ALL["cut_curve, many"].data.query("kind == 'limit'")["label"].tolist() == [
        "64 tokens: none truncated"
    ]


def test_a_surer_word_is_larger_and_the_others_stand_back_when_it_is_chosen() -> None:
    data = ALL["word_cloud"].data

    assert data["size"].tolist() == [44, 15 + 29 * (3 - 2) / (5 - 2), 15]
    assert data["kept"].tolist() == [True, False, False]


def test_no_word_gives_an_empty_cloud() -> None:
    chart = charts.draw_word_cloud(WORDS.iloc[:0], "Business", "#0060A0")

    assert (
        chart.alt
        == "Distinctive words of Business, most distinctive first, with their count: none."
    )


def test_words_in_class_colors_can_be_read_on_either_page() -> None:
    for dark, page in ((False, (255, 255, 255)), (True, (10, 15, 20))):
        for color in TEXT_COLORS[dark]:
            ink = tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))
            assert contrast(ink, page) >= 4.5, (color, dark)


def test_a_pattern_says_how_many_texts_have_it_and_which_class_it_points_at() -> None:
    labels = ALL["pattern_bars"].data.drop_duplicates("pattern")["label"].tolist()

    assert labels == ["40 · Sports × 3.2", "10 · World × 410"]


def test_beyond_four_classes_a_pattern_shows_its_likeliest_class_against_the_rest() -> None:
    wide = PATTERNS.assign(**{f"class {number}": 0 for number in range(2, 6)})

    data = charts.draw_pattern_bars(wide, [f"c{number}" for number in range(6)]).data

    assert data[["class", "texts"]].values.tolist() == [
        ["likeliest class", 30],
        ["other classes", 10],
        ["likeliest class", 10],
        ["other classes", 0],
    ]


def test_loss_has_raw_and_smoothed_training_and_the_newest_best() -> None:
    data = ALL["loss"].data

    assert data.groupby("series")["value"].apply(list).to_dict() == {
        "each step": [1.4, 1.0, 0.8, 0.6],
        "train": [1.4, 1.0, 0.8, 0.6],  # four steps are too few to smooth
        "validation": [0.9, 0.7],
        "best": [0.7],
    }
    assert data.query("series == 'best'")["label"].item() == "best 0.700"


def test_a_long_curve_is_thinned_after_it_is_smoothed() -> None:
    steps = pd.DataFrame(
        {"step": range(1, 5001), "split": "train", "loss": [1.0, 0.0] * 2500, "best": False}
    )

    smoothed = charts.draw_loss_curves(steps).data.query("series == 'train'")

    assert len(smoothed) == 1000
    assert smoothed["value"].iloc[100:].between(0.49, 0.51).all()


def test_a_loss_of_zero_can_be_drawn_on_a_logarithm() -> None:
    chart = charts.draw_loss_curves(METRICS.assign(loss=0.0), log=True)

    assert (chart.data["value"] > 0).all()


def test_no_metrics_give_an_empty_chart() -> None:
    assert (
        charts.draw_loss_curves(METRICS.iloc[:0]).alt
        == "Loss (nats per text): no training step yet; not validated yet."
    )
    assert len(charts.draw_score_curves(METRICS.iloc[:0]).data) == 0


def test_accuracy_has_its_interval_and_baselines_are_named() -> None:
    data = ALL["scores"].data

    low, high = data.query("series == 'accuracy'")[["low", "high"]].iloc[1]
    assert (round(low, 3), round(high, 3)) == (0.657, 0.825)  # Wilson, 75 of 100
    assert data.query("series == 'baseline'")[["value", "label"]].values.tolist() == [
        [0.25, "untrained 25.0 %"]
    ]


def test_a_best_checkpoint_is_marked_on_the_accuracy() -> None:
    assert ALL["scores"].data.query("series == 'best'")[
        ["step", "value", "label"]
    ].values.tolist() == [[4, 0.75, "best 75.0 %"]]


def test_matrix_lists_cells_row_by_row_with_names() -> None:
    first_row = ALL["counts"].data.iloc[:3]

    assert first_row["true"].tolist() == ["a", "a", "a"]
    assert first_row["predicted"].tolist() == ["a", "b", "c"]
    assert first_row["label"].tolist() == ["90", "0", "10"]


def test_the_table_behind_a_chart_leaves_out_what_only_steers_the_drawing() -> None:
    assert list(ALL["counts"].table.columns) == ["true", "predicted", "texts", "share"]
    assert list(ALL["class_balance"].table.columns) == ["class", "split", "texts"]


def test_shares_of_a_row_are_shaded_from_zero_to_one() -> None:
    data = ALL["per cent"].data

    assert data["shade"].tolist() == data["share"].tolist() == (COUNTS / 100).ravel().tolist()
    assert data["label"].iloc[0] == "90.0 %"


def test_errors_only_is_shaded_by_the_largest_error_and_blank_on_the_diagonal() -> None:
    data = ALL["errors"].data

    assert data["shade"].tolist() == pytest.approx([0, 0, 1 / 3, 1 / 6, 0, 1 / 2, 2 / 3, 1, 0])
    assert data["label"].tolist() == ["", "0", "10", "5", "", "15", "20", "30", ""]


def test_matrix_alternative_names_the_most_frequent_confusion() -> None:
    assert ALL["counts"].alt.endswith("Most frequent error: c predicted as b, 30 texts.")


def test_a_perfect_matrix_names_no_confusion() -> None:
    assert "taken for" not in charts.draw_confusion_matrix(np.diag([5, 5]), ["a", "b"]).alt


def test_a_click_on_the_matrix_gives_true_and_predicted_class() -> None:
    (parameter,) = value_at(ALL["counts"].spec, "params")

    assert parameter["name"] == "cell"
    assert parameter["select"] == {"type": "point", "fields": ["true", "predicted"]}


def test_the_chosen_cell_alone_is_framed() -> None:
    matrix = charts.draw_confusion_matrix(COUNTS, THREE, chosen=("b", "c"))

    framed = matrix.data[matrix.data["chosen"]]
    assert list(zip(framed["true"], framed["predicted"], strict=True)) == [("b", "c")]
    assert not ALL["counts"].data["chosen"].any()


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_stand_out_from_every_shade(dark: bool) -> None:
    def text(shade: float) -> tuple[int, ...]:
        return (255,) * 3 if choose_text_color(shade, dark) == "#FFFFFF" else (0,) * 3

    assert (
        min(contrast(text(shade), mix_tile_color(shade, dark)) for shade in np.linspace(0, 1, 101))
        >= 4.5
    )


def test_twenty_one_classes_leave_their_numbers_to_the_table() -> None:
    spec = charts.draw_confusion_matrix(
        np.ones((21, 21), dtype=int), [f"class {i}" for i in range(21)], drawn=range(21)
    ).spec

    assert [mark["type"] for mark in marks(spec)] == ["rect"]


def test_probabilities_mark_the_predicted_class() -> None:
    data = ALL["probabilities"].data

    assert data.query("predicted")["class"].tolist() == ["Sports"]
    assert data["label"].tolist() == ["10.0 %", "70.0 %", "15.0 %", "5.0 %"]


def test_a_probability_of_almost_nothing_is_not_written_as_nothing() -> None:
    assert charts.draw_probabilities([0.9999, 0.0001], ["a", "b"], "x").data["label"].tolist() == [
        "100.0 %",
        "under 0.1 %",
    ]


def test_trainable_share_stands_in_the_title() -> None:
    assert ALL["trainable_bar"].title == "0.7 % of 22,850,000 parameters are trained"


def test_a_run_without_validations_has_an_empty_sparkline() -> None:
    chart = charts.draw_sparkline([])

    assert (len(chart.data), chart.alt) == (0, "No accuracy yet.")


def test_baselines_that_lie_close_together_share_a_label() -> None:
    levels = {"majority": 0.25, "untrained": 0.295, "TF-IDF": 0.868}

    data = charts.draw_score_curves(METRICS, 100, levels).data.query("series == 'baseline'")

    assert data["label"].tolist() == ["TF-IDF 86.8 %", "untrained 29.5 % · majority 25.0 %", ""]
    assert data["value"].tolist() == [0.868, 0.295, 0.25]


def test_no_spec_is_built_again_for_another_selection() -> None:
    built = distributions._cut_spec.cache_info().misses, bars._pattern_spec.cache_info().misses

    alone = charts.draw_cut_curve(
        CUTS.assign(**{"class": "World"}), CLASSES[:2], 64, CutCount(30, 100, 0.1)
    )
    fewer = charts.draw_pattern_bars(PATTERNS.head(1), CLASSES[:2])

    legends = [
        value_at(chart.spec, "layer", 0, "encoding", "color", "legend", "values")
        for chart in (ALL["cut_curve"], alone)
    ]
    assert legends == [["World", "all selected"], ["World"]]
    assert (ALL["pattern_bars"].spec["height"], fewer.spec["height"]) == (142, 116)
    assert (
        distributions._cut_spec.cache_info().misses,
        bars._pattern_spec.cache_info().misses,
    ) == built


def test_symbols_of_a_legend_are_not_as_pale_as_the_first_marks() -> None:
    base = alt.Chart(BALANCE).encode(x="texts:Q", y="class:N", color="split:N")
    spec = finish(base.mark_rect(opacity=0.1) + base.mark_point())

    legends = vl_convert.vegalite_to_vega(spec)["legends"]

    assert [legend for legend in legends if "opacity" in json.dumps(legend)] == []
