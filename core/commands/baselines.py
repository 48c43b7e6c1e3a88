"""``python -m core baselines``: what a fine-tuned model has to beat on the data in use."""

import sys
from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.config import RunConfig
from core.data.prepared import find_prepared, prepare
from core.data.sources import find_source, named_source
from core.evaluation.baselines import EXPLAINED
from core.jobs import actions, waiting
from core.jobs.baselines import BaselineRequest, Fitted, missing, read_fitted
from core.jobs.rebuild import open_store
from core.settings import Settings
from core.store import Store


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(baselines)


def baselines(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    rows: Annotated[int, typer.Option(min=0, help="Training rows that TF-IDF learns from; 0 takes all.")] = 4000,
    model: Annotated[str, typer.Option(help="Base model of the linear probe.")] = "",
    as_json: Json = False,
) -> None:
    """Fit majority class, TF-IDF and linear probe, or read those that are kept, and print their test accuracy."""

    def found() -> Any:
        store = open_store(Settings())
        settings = store.settings
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(settings, source, waiting.PhasePrinter(), lambda: False)
        config = RunConfig(train_rows=rows, model=model or settings.model)
        request = BaselineRequest.of(dataset.fingerprint, config)
        if missing(settings, request, len(dataset.classes)):
            _fit(store, request, dataset.name)
        fitted = read_fitted(settings, request, len(dataset.classes))
        return {"data": dataset.name, "fingerprint": dataset.fingerprint, "baselines": [describe(one) for one in fitted]}

    print_result(found, as_json, _text)


def describe(one: Fitted) -> dict[str, Any]:
    """JSON values."""
    scores = one.predictions.scores
    return {
        "baseline": str(one.baseline),
        "what": EXPLAINED[one.baseline],
        "accuracy": scores.accuracy.value,
        "interval": list(scores.accuracy.interval),
        "macro_f1": scores.macro_f1,
        "test_rows": scores.accuracy.n,
        "train_rows": one.train_rows,
        "seconds": one.seconds,
    }


def _fit(store: Store, request: BaselineRequest, name: str) -> None:
    job = waiting.wait_for_work(store, actions.launch_baselines(store, request, name))
    if isinstance(left_out := job.result.get("left_out"), str):
        print(f"Without the linear probe. {left_out}", file=sys.stderr)


def _text(found: Any) -> str:
    lines = [f"{found['data']}, fingerprint {found['fingerprint']}"]
    for one in found["baselines"]:
        low, high = one["interval"]
        share = f"{one['accuracy']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(f"  {one['baseline']:<16}{share:<26} of {one['test_rows']:,} test texts, {one['train_rows']:,} training rows")
    return "\n".join(lines)
