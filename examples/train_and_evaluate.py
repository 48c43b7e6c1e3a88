"""Train a LoRA adapter in this process and print its scores on the test split.

Start with ``python -m examples.train_and_evaluate`` in the root of the project. Takes about 15
seconds on two cores.
"""

import argparse

from core.data.preparation import prepare
from core.data.sources import demo_source
from core.evaluation.predictions import Predictions
from core.models.catalog import find_model
from core.presets import Preset, make_config
from core.settings import Settings
from core.training.events import Evaluation, Event, ValidationMetric
from core.training.session import TrainingData, TrainingSession


def main(rows: int, rank: int) -> None:
    """Train on ``rows`` texts of the demo corpus."""
    settings = Settings(hub=False)
    dataset = prepare(settings, demo_source(), lambda progress: None, should_stop=lambda: False)
    columns = ["row", "text", "label"]
    data = TrainingData(dataset.classes, lambda split: dataset.read(split, columns))
    config = make_config(Preset.TASTE, {"train_rows": rows, "rank": rank})
    predictions: dict[str, Predictions] = {}

    def report(event: Event) -> None:
        if isinstance(event, ValidationMetric):
            print(f"step {event.step:4d}: loss {event.loss:.3f}, accuracy {event.accuracy:.3f}")
        elif isinstance(event, Evaluation):
            predictions[event.split] = Predictions.of(event.predictions, len(dataset.classes))

    model = find_model(config.model, settings, hub=False)
    result = TrainingSession(config, model, data, report, should_stop=lambda: False).train()

    scores = predictions["test"].scores
    low, high = scores.accuracy.interval
    print(f"{result.steps} steps at {result.rows_per_second:.0f} rows/s")
    print(f"test accuracy {scores.accuracy.value:.3f} (95 % interval {low:.3f} to {high:.3f})")
    print(scores.tabulate_classes(dataset.classes).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=800, help="training rows (default: 800)")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapter (default: 8)")
    main(**vars(parser.parse_args()))
