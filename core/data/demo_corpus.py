"""The embedded demo corpus: short news items written for this project, so that everything works on a machine without a network."""

import pandas as pd

from core.data.rows import RawData
from core.data.sources import AG_NEWS_CLASSES, DEMO_FOLDER

FILES = dict(zip(AG_NEWS_CLASSES, ("world.txt", "sports.txt", "business.txt", "scitech.txt"), strict=True))
EVERY_FOURTH = 4  # of a file's lines goes to the test split


def read_demo_corpus() -> RawData:
    """All items in the order World, Sports, Business, Sci/Tech; every fourth of each file is test."""
    frames = [_read_class(label, name) for label, name in enumerate(FILES.values())]
    items = pd.concat(frames, ignore_index=True)
    train, test = (items[items["test"] == part] for part in (False, True))
    return RawData(_numbered(train), _numbered(test), tuple(FILES))


def _read_class(label: int, name: str) -> pd.DataFrame:
    texts = [line for line in (DEMO_FOLDER / name).read_text(encoding="utf-8").splitlines() if line.strip()]
    in_test = [number % EVERY_FOURTH == 0 for number in range(1, len(texts) + 1)]
    return pd.DataFrame({"text": texts, "label": label, "test": in_test})


def _numbered(items: pd.DataFrame) -> pd.DataFrame:
    return items.reset_index(drop=True).assign(row=range(len(items)))[["row", "text", "label"]]
