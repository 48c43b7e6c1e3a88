"""A folder of short labeled texts that a tiny model can learn, for tests that train."""

import random
from pathlib import Path

import pandas as pd

from core.data.dataset import Dataset
from core.data.preparation import prepare
from core.data.sources import folder_source
from core.settings import Settings

WORDS = {
    "World": "president minister election war peace government police court troops talks",
    "Sports": "game team season cup goal coach match club league score",
    "Business": "market stock shares price oil bank profit sales trade economy",
    "Sci/Tech": "software computer internet web phone science space data network chip",
}


def write_small_news(folder: Path, train: int = 240, test: int = 80) -> Path:
    """Write ``train.csv`` and ``test.csv`` with equally many texts per class, each of eight words
    of its class.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for split, rows in (("train", train), ("test", test)):
        classes = [name for name in WORDS for _ in range(rows // len(WORDS))]
        texts = [
            " ".join(draw.choices(WORDS[name].split(), k=8)) + f" {number}"
            for number, name in enumerate(classes)
        ]
        pd.DataFrame({"text": texts, "label": classes}).to_csv(folder / f"{split}.csv", index=False)
    return folder


def prepare_small_news(settings: Settings, folder: Path) -> Dataset:
    """Write the texts into ``folder`` and prepare them."""
    source = folder_source(write_small_news(folder))
    return prepare(settings, source, lambda progress: None, lambda: False)
