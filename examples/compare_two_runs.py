"""Train with two ranks and print whether the difference in accuracy is more than chance.

Start with ``python -m examples.compare_two_runs`` in the root of the project. Takes about half a
minute on two cores.
"""

import argparse

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.preparation import prepare
from core.data.sources import demo_source
from core.evaluation.comparison import Result, compare, compare_classes
from core.evaluation.predictions import Predictions
from core.models.catalog import find_model
from core.presets import Preset, make_config
from core.settings import Settings
from core.training.events import Evaluation, Event
from core.training.session import TrainingData, TrainingSession


def evaluate(config: RunConfig, dataset: Dataset, settings: Settings) -> Result:
    """Train with ``config`` and return the predictions on the test split."""
    columns = ["row", "text", "label"]
    data = TrainingData(dataset.classes, lambda split: dataset.read(split, columns))
    events: list[Event] = []
    model = find_model(config.model, settings, hub=False)
    TrainingSession(config, model, data, events.append, should_stop=lambda: False).train()
    test = next(each for each in events if isinstance(each, Evaluation) and each.split == "test")
    predictions = Predictions.of(test.predictions, len(dataset.classes))
    name = f"rank {config.rank}"
    return Result(name, name, dataset.fingerprint, dataset.classes, predictions)


def main(rows: int, ranks: tuple[int, int]) -> None:
    """Train one adapter per rank on the same ``rows`` texts of the demo corpus."""
    settings = Settings(hub=False)
    dataset = prepare(settings, demo_source(), lambda progress: None, should_stop=lambda: False)
    results = []
    for rank in ranks:
        config = make_config(Preset.TASTE, {"train_rows": rows, "rank": rank})
        results.append(evaluate(config, dataset, settings))
        print(f"rank {rank}: test accuracy {results[-1].predictions.scores.accuracy.value:.3f}")

    (pair,) = compare(results)
    print(pair.verdict)  # McNemar's exact test on the texts that only one of the two has right
    print(compare_classes(pair).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=800, help="training rows (default: 800)")
    parser.add_argument("--ranks", type=int, nargs=2, default=(2, 32), help="default: 2 32")
    main(**vars(parser.parse_args()))
