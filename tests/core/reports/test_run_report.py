import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.cli.app import app
from core.data.sources import demo_source
from core.errors import LoraLabError, StateConflict
from core.reports.run_report import write_in_process, write_report
from core.runs import artifacts
from core.storage import files
from core.storage.database import Metric
from core.storage.job import Job
from core.storage.store import Store
from tests.core.runs.test_compared_runs import dispute, finished
from tests.support.stored_runs import make_finished

EVIL = "<script>alert(1)</script> & **bold**"


class Reader(HTMLParser):
    """Parser that collects tags, addresses and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def pair(store: Store) -> list[Job]:
    jobs = [finished(store, EVIL, 30), finished(store, "better", 10)]
    for job in jobs:
        path = artifacts.predictions_path(store.get_folder(job), "test")
        files.write_parquet(path, files.read_parquet(path).assign(text=EVIL))
        rows = [
            Metric(step, split, step / 2, 1.0 / step, float(step), 0.8, 0.8, True)
            for step in (1, 2)
            for split in ("train", "validation")
        ]
        store.add_metrics(
            job,
            [
                Metric(m.step, m.split, m.epoch, m.loss, m.at) if m.split == "train" else m
                for m in rows
            ],
        )
    return jobs


@pytest.mark.slow
def test_a_run_is_one_file_without_script_or_address(store: Store, pair: list[Job]) -> None:
    page = write_report(store, pair[:1]).decode()
    read = Reader(page)

    assert "script" not in read.tags
    assert read.addresses == []
    assert read.tags.count("svg") == 3  # loss, scores, matrix
    assert "70.0 % (60.4 % to 78.1 %) of 100 test texts correct" in read.text
    assert f"{EVIL}" in read.text  # name and errors, unchanged
    assert not re.search(r"url\(\s*['\"]?http", page)


@pytest.mark.slow
def test_a_comparison_has_the_verdicts_and_what_differs(store: Store, pair: list[Job]) -> None:
    read = Reader(write_report(store, pair).decode())

    assert f"better is 20.0 points better than {EVIL} on 100 texts" in read.text
    assert "The configurations are the same." in read.text
    assert "script" not in read.tags


@pytest.mark.slow
def test_a_process_of_its_own_makes_the_same_or_says_why_not(store: Store, pair: list[Job]) -> None:
    assert "better is 20.0 points better" in write_in_process(store, pair).decode()

    artifacts.predictions_path(store.get_folder(pair[1]), "test").unlink()
    with pytest.raises(LoraLabError, match="has not been scored"):
        write_in_process(store, pair)


def test_a_run_that_was_not_scored_is_refused(store: Store, pair: list[Job]) -> None:
    artifacts.predictions_path(store.get_folder(pair[1]), "test").unlink()

    with pytest.raises(StateConflict, match="has not been scored"):
        write_report(store, pair[1:])


@pytest.mark.slow
def test_the_command_writes_the_file(
    home: Path, store: Store, pair: list[Job], tmp_path: Path
) -> None:
    to = tmp_path / "report.html"

    done = CliRunner().invoke(app, ["report", "better", "--to", str(to), "--json"])
    refused = CliRunner().invoke(
        app, ["report", "better", "--to", str(tmp_path / "nowhere" / "report.html")]
    )

    assert json.loads(done.stdout) == {
        "file": str(to),
        "bytes": to.stat().st_size,
        "runs": [pair[1].id],
    }
    assert refused.exit_code == 1
    assert "Name a file in an existing folder." in refused.output


def test_a_report_of_many_classes_lists_the_most_frequent_errors(store: Store) -> None:
    classes = tuple(f"class {number}" for number in range(30))
    job = make_finished(store, demo_source(), "many", rows=60, right=58, classes=classes)

    page = Reader(write_report(store, [job]).decode())

    assert "Most frequent errors" in page.text
    assert "The 20 of 30 classes with the most errors." in page.text
    assert "over 30 classes" in page.text


def test_scores_are_reported_with_and_without_disputed_labels(
    store: Store, pair: list[Job]
) -> None:
    dispute(store, *range(20, 30))

    of_run = Reader(write_report(store, [pair[0]]).decode()).text
    of_both = Reader(write_report(store, pair).decode()).text

    assert "of 100 test texts correct" in of_run
    assert "Without the 10 test texts whose labels are disputed: 77.8 %" in of_run
    assert "Without disputed labels" in of_both
    assert "better is 11.1 points better than" in of_both
