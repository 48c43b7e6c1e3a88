from core.charts import draw_confidence_histogram, draw_predicted_classes

SEVENTY_SEVEN = [f"intent {number}" for number in range(77)]


def test_classes_are_ranked_by_their_texts() -> None:
    chart = draw_predicted_classes({"b": 3, "a": 1}, ["a", "b", "c"])

    assert chart.data["class"].tolist() == ["b", "a", "c"]
    assert chart.data["label"].tolist() == ["3 (75.0 %)", "1 (25.0 %)", "0 (0.0 %)"]
    assert chart.alt == "Texts per predicted class: b 3, a 1, c 0."


def test_of_many_classes_the_most_frequent_are_drawn_and_all_are_in_the_table() -> None:
    counts = dict.fromkeys(SEVENTY_SEVEN, 2) | {"intent 76": 9}

    chart = draw_predicted_classes(counts, SEVENTY_SEVEN)

    assert chart.title == "Texts per predicted class, the 20 most frequent of 77"
    assert chart.table["class"].tolist()[0] == "intent 76"
    assert chart.table["texts"].sum() == sum(counts.values())
    assert "datum.order < 20" in str(chart.spec)


def test_confidence_is_counted_in_bins_of_five_points() -> None:
    chart = draw_confidence_histogram([0.31, 0.52, 0.97, 1.0])

    filled = chart.data[chart.data["texts"] > 0]
    assert filled[["low", "texts"]].to_numpy().tolist() == [[0.3, 1], [0.5, 1], [0.95, 2]]
    assert chart.alt == "Texts by confidence: median 74.5 %, 1 of 4 below 50 %."
