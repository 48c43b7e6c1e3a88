import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.data.preparation import prepare
from core.data.quality.findings import save_report
from core.data.quality.inspection import inspect
from core.data.recipe import read_recipe_file
from core.data.sources import folder_source
from core.runs.requests import read_train_request
from core.settings import Settings
from core.storage.job import JobChanges, JobKind, JobState
from core.storage.store import Store
from tests.support.command_line import run
from tests.support.small_news import write_small_news

pytestmark = pytest.mark.slow


def call(*arguments: str) -> tuple[int, str, str]:
    result = run(*arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def news(tmp_path: Path) -> Path:
    """A small dataset whose first ten training texts occur twice."""
    folder = write_small_news(tmp_path / "news")
    path = folder / "train.csv"
    rows = pd.read_csv(path)
    pd.concat([rows, rows.head(10)]).to_csv(path, index=False)
    return folder


@pytest.fixture
def checked(news: Path) -> Path:
    """Return the dataset with its report."""
    dataset = prepare(Settings(), folder_source(news), lambda progress: None, lambda: False)
    save_report(dataset, *inspect(dataset, lambda progress: None, lambda: False))
    return news


def test_a_kept_report_is_printed_without_a_new_check(checked: Path, store: Store) -> None:
    code, out, _ = call("quality", "--data", str(checked), "--json")
    outcome = {finding["check"]: finding for finding in json.loads(out)["findings"]}

    assert code == 0
    assert outcome["exact duplicates"]["texts"] >= 20
    assert store.list_jobs(JobKind.QUALITY) == []


def test_the_whole_report_is_written_as_one_page(checked: Path, tmp_path: Path) -> None:
    code, out, _ = call(
        "quality", "--data", str(checked), "--report-out", str(tmp_path / "report.html")
    )

    page = (tmp_path / "report.html").read_text("utf-8")
    assert code == 0, out
    assert out.splitlines()[-1] == f"Report in {tmp_path / 'report.html'}."
    titles = (
        "Texts per class",
        "Distinctive words of each class",
        "Exact duplicates",
        "Held-out texts that also appear in training",
    )
    assert [title for title in titles if f"<h2>{title}" not in page] == []
    assert "http" not in page.partition("<body>")[0]


def test_the_report_as_lines_says_each_check(checked: Path) -> None:
    _, out, _ = call("quality", "--data", str(checked))

    assert out.startswith("news, ")
    assert [line[:20].strip() for line in out.splitlines()[1:4]] == [
        "leakage",
        "conflicting labels",
        "label suspects",
    ]


def test_a_recipe_is_written_and_a_run_takes_it(
    checked: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.json"
    code, out, _ = call(
        "quality",
        "--data",
        str(checked),
        "--recipe-out",
        str(path),
        "--fix",
        "exact duplicates",
        "--json",
    )
    recipe = read_recipe_file(path)
    assert (code, json.loads(out)["recipe"]["effect"]) == (
        0,
        f"{len(recipe.effect().dropped)} training texts removed",
    )

    code, _, error = call(
        "train", "--preset", "taste", "--data", str(checked), "--recipe", str(path)
    )

    assert code == 0, error
    assert read_train_request(store.list_jobs(JobKind.TRAIN)[0]).recipe == recipe


@pytest.mark.parametrize(
    ("arguments", "page_text"),
    [
        (
            ("--fix", "label suspects", "--recipe-out", "r.json"),
            "Choose single texts on the Quality page.",
        ),
        (("--fix", "exact duplicates"), "Name the file with --recipe-out."),
    ],
)
def test_a_fix_that_cannot_be_written_is_refused(
    news: Path, arguments: tuple[str, ...], page_text: str
) -> None:
    code, _, error = call("quality", "--data", str(news), *arguments)

    assert (code, page_text in error, "Traceback" in error) == (1, True, False)


def test_a_file_that_is_no_recipe_launches_nothing(
    news: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text("[]")

    code, _, error = call("train", "--data", str(news), "--recipe", str(tmp_path / "broken.json"))

    assert code == 1
    assert "broken.json is not a cleaning recipe" in error
    assert store.list_jobs(JobKind.TRAIN) == []


@pytest.fixture
def failing(store: Store) -> Iterator[None]:
    """A supervisor that ends each check as failed, on a thread of this process."""
    over = threading.Event()

    def fail() -> None:
        while not over.wait(0.01):
            for job in store.list_jobs("quality", states=[JobState.QUEUED]):
                store.transition(job, JobState.STARTING, started_at=store.clock())
                ended: JobChanges = {
                    "ended_at": store.clock(),
                    "message": "The disk is full.",
                    "fix": "Make room.",
                }
                store.transition(job, JobState.FAILED, **ended)

    thread = threading.Thread(target=fail)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_check_that_fails_says_why_and_what_to_do(news: Path, failing: None) -> None:
    code, _, error = call("quality", "--data", str(news))

    assert code == 1
    assert "The disk is full." in error and "Make room." in error


def test_disputed_labels_are_added_listed_and_removed(news: Path) -> None:
    add = ("disputed", "add", "3", "5", "--data", str(news), "--suggest", "Sports", "--json")
    code, out, _ = call(*add)
    added = json.loads(out)["disputed"]

    assert code == 0
    assert [(label["row"], label["label"], label["suggested"]) for label in added] == [
        (3, "World", "Sports"),
        (5, "World", "Sports"),
    ]
    code, out, _ = call("disputed", "remove", "3", "--data", str(news))
    assert code == 0
    assert "5  World -> Sports" in out
    _, out, _ = call("disputed", "list", "--data", str(news), "--json")
    assert [label["row"] for label in json.loads(out)["disputed"]] == [5]


def test_marks_stay_with_the_version_of_the_data(news: Path) -> None:
    call("disputed", "add", "3", "--data", str(news))
    rows = pd.read_csv(news / "test.csv")
    rows.iloc[:-1].to_csv(news / "test.csv", index=False)

    _, out, _ = call("disputed", "list", "--data", str(news), "--json")
    listed = json.loads(out)

    assert (listed["disputed"], listed["of_other_versions"]) == ([], 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "9999"), "has no row 9,999"),
        (("add", "3", "--suggest", "Weather"), "has no class 'Weather'"),
        (("remove", "3"), "is not disputed"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(
    news: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = call("disputed", *arguments, "--data", str(news))

    assert code == 1
    assert message in err
