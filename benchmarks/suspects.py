"""Precision of the label check on AG News with randomly flipped labels, with TF-IDF alone and with
the encoder.

    LORALAB_DATA=FOLDER python benchmarks/suspects.py [--seeds 10 11 12] [--rows 8000]
        [--share 0.05]

Prints for each seed the precision at the number of flipped labels and the average precision. The
seed determines the rows and the flips.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from core.data.load import load_rows
from core.data.quality.label_errors import Encode, LabeledTexts, judge, judge_labels, word_features
from core.data.sources import find_source
from core.inference.classifier import encode_sentences
from core.jobs.workers.check_quality import find_encoder
from core.settings import Settings
from core.training.load_model import fetch


def flip(
    labels: NDArray[np.int64], rows: int, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw ``rows`` positions, change a ``share`` of their labels, and return both and a mask."""
    draw = np.random.default_rng(seed)
    places = draw.choice(len(labels), rows, replace=False)
    flipped = np.zeros(rows, dtype=bool)
    flipped[draw.choice(rows, round(rows * share), replace=False)] = True
    classes = int(labels.max()) + 1
    given = labels[places]
    given[flipped] = (given[flipped] + draw.integers(1, classes, flipped.sum())) % classes
    return places, given, flipped


def score(
    texts: list[str], given: NDArray[np.int64], flipped: NDArray[np.bool_], encode: Encode | None
) -> tuple[float, float]:
    """Return precision at the number of flipped labels, and average precision."""
    features = word_features(texts)
    data = LabeledTexts(texts, given, int(given.max()) + 1, np.arange(len(given)))
    probabilities, _ = judge(data, features, encode)
    doubt = judge_labels(probabilities, given).score
    first = np.argsort(-doubt, kind="stable")[: flipped.sum()]
    return float(flipped[first].mean()), float(average_precision_score(flipped, doubt))


def main() -> None:
    """Print the precision of each seed and method, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--share", type=float, default=0.05)
    chosen = parser.parse_args()
    settings = Settings()
    model = find_encoder(settings)
    if model is None:
        sys.exit("The encoder is not on this machine.")
    folder = fetch(model)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return encode_sentences(folder, texts)

    train = load_rows(find_source(settings), settings.home / "cache").train
    for name, voice in (("words alone", None), ("words and encoder", encode)):
        result = []
        for seed in chosen.seeds:
            places, given, flipped = flip(
                train["label"].to_numpy(np.int64), chosen.rows, chosen.share, seed
            )
            began = time.perf_counter()
            result.append(score(train["text"].iloc[places].tolist(), given, flipped, voice))
            seconds = time.perf_counter() - began
            print(
                f"{name}, seed {seed}: precision {result[-1][0]:.3f}, average precision"
                f" {result[-1][1]:.3f}, {seconds:.1f} s",
                flush=True,
            )
        precision, average = np.mean(result, axis=0)
        print(f"{name}, mean: precision {precision:.3f}, average precision {average:.3f}")


if __name__ == "__main__":
    main()
