"""Server time of the pages that explain results: ``python benchmarks/diagnosis.py``.

Uses ten synthetic finished runs of 7,600 test texts and 20 validations each, and 490 more in the
list. Each page is run in one process with Streamlit's test driver, once to fill the caches and
seven times for the measurement, which includes the driver's own time.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core.data.sources import demo_source
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.store import Store
from tests.support.app.page_app import after_first_visit
from tests.support.stored_runs import make_finished, make_run, start

ROOT = Path(__file__).parents[1]

ROUNDS = 7
TEST_ROWS, RUNS, LISTED = 7_600, 10, 500
LIMITS = {
    "evaluate": 200,
    "calibration": 200,
    "errors": 200,
    "through_time": 200,
    "compare": 400,
    "runs": 200,
}


def main() -> None:
    """Print for each page the median and maximum in ms, and the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"LORALAB_HOME": home, "LORALAB_HUB": "false"}
        store = Store(Settings(home=Path(home)))
        runs = [
            make_finished(store, demo_source(), f"run-{number}", TEST_ROWS, 6_800 + number)
            for number in range(RUNS)
        ]
        compared = ",".join(run.id for run in runs)
        figures = {}
        for page in LIMITS:
            if page == "runs":
                fill_list(store)
            query = {} if page == "runs" else {"run": runs[0].id, "compared": compared}
            figures[page] = time_page(page, query)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for page, (median, largest) in figures.items():
            print(
                f"{page:<14}{median:>7.0f} ms, at most {largest:>5.0f} ms   (≤ {LIMITS[page]} ms)"
            )


def fill_list(store: Store) -> list[Job]:
    """Add finished runs without files until the list has 500."""
    jobs = []
    for number in range(RUNS, LISTED):
        job = start(store, make_run(store, demo_source(), f"run-{number}"))
        store.update(
            job,
            result_json=json.dumps(
                {"test": {"accuracy": 0.9, "macro_f1": 0.9, "rows": TEST_ROWS, "hits": 6_840}}
            ),
        )
        store.transition(job, JobState.COMPLETED, ended_at=store.clock())
        jobs.append(job)
    return jobs


def time_page(page: str, query: dict[str, str]) -> tuple[float, float]:
    """Return the median and maximum of seven warm reruns, in ms."""
    st.cache_data.clear()
    mock.patch.object(PagesManager, "__init__", after_first_visit).start()
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    app.switch_page(f"pages/{page}.py").run()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        app.run()
        times.append(1000 * (time.perf_counter() - began))
        if app.exception or app.error or not app.title:
            raise SystemExit(
                f"{page}: {[element.value for element in (*app.exception, *app.error)]}"
            )
    return statistics.median(times), max(times)


if __name__ == "__main__":
    main()
