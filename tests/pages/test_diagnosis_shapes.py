"""Pages that explain a result, with results of every shape and only predictions on disk."""

import shutil
from typing import Any

import pytest

from core.data.sources import Source
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.stored_runs import make_finished

PAGES = ("evaluate", "calibration", "errors", "through_time", "compare", "runs")
SHAPES: dict[str, dict[str, Any]] = {
    "two classes": {"classes": ("bad", "good")},
    "77 classes": {
        "classes": tuple(f"class {number}" for number in range(77)),
        "rows": 231,
        "right": 150,
    },
    "200 classes": {
        "classes": tuple(f"class {number}" for number in range(200)),
        "rows": 190,  # the last classes have no texts
        "right": 150,
    },
    "one row": {"rows": 1, "right": 1},
    "one row, wrong": {"rows": 1, "right": 1, "absent": True, "classes": ("bad", "good")},
    "a class absent": {"absent": True},
    "all right": {"right": 40},
}


@pytest.fixture(params=SHAPES)
def pair(request: pytest.FixtureRequest, store: Store, source: Source) -> list[Job]:
    """Create two runs of this shape without adapters."""
    runs = [
        make_finished(store, source, name, **SHAPES[request.param]) for name in ("first", "second")
    ]
    for job in runs:
        shutil.rmtree(store.get_folder(job) / "adapter")
    return runs


@pytest.mark.parametrize("file", PAGES)
def test_each_page_draws_each_shape(open_app: Open, pair: list[Job], file: str) -> None:
    run, other = pair

    app = open_app(f"pages/{file}.py", run=run.id, compared=f"{run.id},{other.id}")

    assert not app.exception
    assert not app.error
    assert (
        app.get("vega_lite_chart") or file == "errors"
    )  # which draws slices, and one text has none


@pytest.mark.parametrize("view", ["before and after training", "difference to another run"])
def test_evaluate_looks_closer_at_each_shape(open_app: Open, pair: list[Job], view: str) -> None:
    app = open_app("pages/evaluate.py", run=pair[0].id, view=view)

    assert not app.exception
    assert not app.error
