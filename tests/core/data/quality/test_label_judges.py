import numpy as np
import pytest

from core.data.quality import label_judges
from core.data.quality.label_judges import EncoderSample, choose_texts, join_voices, judge, vote
from core.errors import Stopped

EVERYONE = np.ones(4, dtype=bool)


def nothing(done: int, total: int) -> None:
    """No progress is told."""


def test_the_nearest_teachers_vote_with_their_cosine() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)

    found = vote(vectors, np.array([0, 0, 1, 1]), 2, np.arange(4), EVERYONE, lambda: False)

    assert found[0] == pytest.approx(
        np.array([1 + 0.8, 1 + 0.6]) / 3.4
    )  # one vote each is spread; itself and a right angle give none


def test_a_copy_has_no_vote() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)

    found = vote(
        vectors, np.array([0, 0, 1, 1]), 2, np.array([5, 5, 6, 7]), EVERYONE, lambda: False
    )

    assert found[0] == pytest.approx(np.array([1, 1 + 1.2]) / 3.2)


def test_only_teachers_vote() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], dtype=np.float32)

    found = vote(
        vectors, np.array([0, 0, 1]), 2, np.arange(3), np.array([False, False, True]), lambda: False
    )

    assert found[0] == pytest.approx([1 / 3, 2 / 3])


def test_few_texts_all_get_a_vector() -> None:
    found = choose_texts(np.zeros(7))

    assert found.places.tolist() == list(range(7)) and found.teacher.all()


def test_of_many_texts_the_doubted_and_some_teachers_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label_judges, "MOST_DOUBTED", 3)
    monkeypatch.setattr(label_judges, "TEACHERS", 5)
    doubt = np.zeros(100)
    doubt[[10, 50, 90]] = 0.9

    found = choose_texts(doubt)

    assert {10, 50, 90} <= set(found.places)
    assert found.teacher.sum() == 5 and 5 <= len(found.places) <= 8


def test_the_voices_are_joined_by_their_geometric_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_judges, "cross_validate", lambda *_: np.array([[0.5, 0.5]]))
    monkeypatch.setattr(label_judges, "vote", lambda *_: np.array([[0.8, 0.2]]))
    words, hearing = (
        np.array([[0.3, 0.7], [0.8, 0.2]]),
        EncoderSample(np.array([1]), np.array([True])),
    )
    none = np.zeros(2, dtype=np.int64)

    found = join_voices(
        words, hearing, np.zeros((1, 2), np.float32), none, none, none, nothing, lambda: False
    )

    assert found[0].tolist() == [0.3, 0.7]
    first, second = 0.32 ** (1 / 3), 0.02 ** (1 / 3)  # 0.8 · 0.5 · 0.8 and 0.2 · 0.5 · 0.2
    assert found[1] == pytest.approx([first / (first + second), second / (first + second)])


def test_words_alone_say_so() -> None:
    found, judges = judge(["a", "b"], None, np.array([0, 1]), 2, np.arange(2), None)

    assert found.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert "by words alone" in judges


def test_a_vote_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        vote(np.eye(4, dtype=np.float32), np.arange(4), 4, np.arange(4), EVERYONE, lambda: True)
