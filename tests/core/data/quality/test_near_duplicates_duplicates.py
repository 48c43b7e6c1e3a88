import random

from core.data.quality.near_duplicates import find_duplicates, has_company, has_several
from tests.support.planted_texts import draw_texts, edit, frame


def test_copies_edits_and_unrelated_texts_are_distinguished() -> None:
    item, two, three = draw_texts(3)
    texts = [item, two, item, two.upper(), three]

    result = find_duplicates(frame(texts))

    assert has_company(result.exact).tolist() == [True, False, True, False, False]
    assert has_company(result.group).tolist() == [True, True, True, True, False]
    assert result.similarity.tolist() == [1, 1, 1, 1, 0]


def test_edits_of_case_punctuation_and_one_word_are_grouped_with_their_text() -> None:
    draw = random.Random(2)
    texts = draw_texts(600, seed=3)
    edits = [edit(text, place % 3, draw) for place, text in enumerate(texts[:300])]

    group = find_duplicates(frame(texts + edits)).group

    together = [group[place] == group[600 + place] for place in range(300)]
    assert sum(together) / 300 >= 0.95
    assert not has_company(group)[300:600].any()


def test_labels_that_differ_within_a_group_are_found() -> None:
    item, two = draw_texts(2)
    every = frame([item, item.upper(), two, two], [0, 1, 2, 2])

    result = find_duplicates(every)

    assert has_several(result.group, every["label"].to_numpy()).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_a_held_out_text_leaks_where_training_has_it_or_an_edit_of_it() -> None:
    item, two, three = draw_texts(3)
    draw = random.Random(0)
    texts = [item, two, item, edit(two, 2, draw), three, three]
    splits = ["train", "train", "test", "validation", "validation", "test"]

    assert find_duplicates(frame(texts, splits=splits)).leak.tolist() == [-1, -1, 0, 1, -1, -1]
