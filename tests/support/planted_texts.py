"""Texts from an invented vocabulary with planted defects."""

import random

import numpy as np
import pandas as pd


def draw_texts(number: int, seed: int = 0, words: int = 30) -> list[str]:
    """Return unrelated texts of 20 to ``words`` invented words."""
    draw = random.Random(seed)
    vocabulary = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9)))
        for _ in range(3000)
    ]
    return [" ".join(draw.choices(vocabulary, k=draw.randint(20, words))) for _ in range(number)]


def edit(text: str, how: int, draw: random.Random) -> str:
    """Change case, punctuation, or one word."""
    words = text.split()
    place = draw.randrange(len(words))
    if how == 0:
        return text.upper()
    if how == 1:
        return " ".join([*words[:place], words[place] + ",", *words[place + 1 :]]) + "!"
    return " ".join([*words[:place], "replaced", *words[place + 1 :]])


def frame(
    texts: list[str], labels: list[int] | None = None, splits: list[str] | None = None
) -> pd.DataFrame:
    """Return the texts as a table for the checks."""
    return pd.DataFrame(
        {
            "split": splits or ["train"] * len(texts),
            "row": range(len(texts)),
            "text": texts,
            "label": np.array(labels or [0] * len(texts), dtype=np.int64),
        }
    )
