import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.charts.word_cloud import LINE, measure_text_width, place_words

WORD = st.text(st.characters(codec="utf-8", categories=("L", "M", "N")), min_size=1, max_size=14)


@given(st.lists(WORD, max_size=40), st.floats(14, 44))
def test_placed_words_stay_inside_and_never_overlap(words: list[str], size: float) -> None:
    places = place_words(words, [size] * len(words), 400, 250)

    boxes = [
        (x, y, measure_text_width(word) * size, size * LINE)
        for (x, y), word in zip(places, words, strict=True)
        if not np.isnan(x)
    ]
    for number, (x, y, width, height) in enumerate(boxes):
        assert width / 2 <= x <= 400 - width / 2 + 1e-6
        assert height / 2 <= y <= 250 - height / 2 + 1e-6
        for other_x, other_y, other_width, other_height in boxes[:number]:
            assert (
                abs(x - other_x) >= (width + other_width) / 2
                or abs(y - other_y) >= (height + other_height) / 2
            )


def test_the_first_word_stands_in_the_middle_and_the_places_are_always_the_same() -> None:
    places = place_words(["oil", "market", "shares"], [40, 30, 20], 400, 250)

    assert places[0].tolist() == [200, 125]
    assert np.array_equal(places, place_words(["oil", "market", "shares"], [40, 30, 20], 400, 250))


def test_a_word_too_wide_for_the_picture_has_no_place() -> None:
    assert np.isnan(place_words(["x" * 60], [40], 400, 250)).all()


def test_thirty_words_of_a_newspaper_find_room() -> None:
    words = [
        f"{stem}{end}"
        for stem in ("oil", "market", "share", "bank", "price", "profit")
        for end in ("", "s", "ing", "ed", "er")
    ]

    sizes = np.maximum(44 / np.sqrt(np.arange(1, 31)), 15)  # scores fall about so

    assert not np.isnan(place_words(words, sizes.tolist(), 400, 250)).any()
