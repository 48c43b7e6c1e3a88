from core.charts import draw_confidence_histogram, draw_predicted_classes

SEVENTY_SEVEN = [f"intent {number}" for number in range(77)]


def test_classes_are_ranked_by_their_texts() -> None:
    chart = draw_predicted_classes({"b": 3, "a": 1}, ["a", "b", "c"])

    assert chart.data["class"].tolist() == ["b", "a", "c"]
    assert chart.data["label"].tolist() == ["3 (75.0 %)", "1 (25.0 %)", "0 (0.0 %)"]
    assert chart.alt == "Texts per predicted class: b 3, a 1, c 0."


def test_many_classes_share_the_last_bar() -> None:
    counts = dict.fromkeys(SEVENTY_SEVEN, 2) | {"intent 76": 9}

    chart = draw_predicted_classes(counts, SEVENTY_SEVEN)

    assert len(chart.data) == 20
    assert chart.data["class"].tolist()[0] == "intent 76"
    assert chart.data.iloc[-1][["class", "texts"]].tolist() == ["58 other classes", 116]
    assert chart.data["texts"].sum() == sum(counts.values())


def test_confidence_is_counted_in_bins_of_five_points() -> None:
    chart = draw_confidence_histogram([0.31, 0.52, 0.97, 1.0])

    filled = chart.data[chart.data["texts"] > 0]
    assert filled[["low", "texts"]].to_numpy().tolist() == [[0.3, 1], [0.5, 1], [0.95, 2]]
    assert chart.alt == "Texts by confidence: median 74.5 %, 1 of 4 below 50 %."
