"""No page and no file of a student has a text of the hidden final test before it is revealed."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.data.dataset import Dataset
from core.data.explore.index import ensure_index
from core.data.hidden_test import read_hidden_texts
from core.data.preparation import find_whole, prepare
from core.data.sources import Source, find_source
from core.errors import NotAllowed, StateConflict
from core.evaluation.scores import Proportion, compute_difference_interval
from core.jobs.tasks.backups import PackedRuns, write_backup
from core.people.classroom import Rules, change_rules, read_rules, reveal_hidden_test
from core.reports.run_report import write_report
from core.runs.leaderboard import read_final_scores, read_leaderboard
from core.runs.run import Run
from core.settings import Settings
from core.storage import files
from core.storage.accounts import add_person
from core.storage.job import Job
from core.storage.store import Store
from core.transfer.export.exporter import Exporter
from tests.support.app.page_app import Open
from tests.support.app.page_text import all_of, sound_page_text
from tests.support.app.visitors import join
from tests.support.stored_runs import make_finished
from ui import navigation

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
PERCENT = 20


@pytest.fixture
def hidden(classroom: None, store: Store, dataset: Dataset) -> list[str]:
    """Hide a fifth of the test texts, prepare the data without them, and return them."""
    change_rules(store, Rules(hidden_percent=PERCENT))
    visible = prepare(store.settings, find_source(Settings()), lambda progress: None, lambda: False)
    ensure_index(visible, lambda progress: None, lambda: False)
    texts = sorted(read_hidden_texts(store.settings))
    assert len(texts) == 8
    return texts


@pytest.fixture
def before(store: Store, source: Source) -> Job:
    """A run of a student from before, with predictions for the whole test split."""
    add_person(store, ADA, "key")
    return make_finished(store.for_visitor(ADA), source, "before")


def find_leaks(app: AppTest, hidden: list[str]) -> list[str]:
    return [text for shown in all_of(app) for text in hidden if text in shown]


@pytest.mark.parametrize("page", navigation.ENTRIES)
def test_no_page_shows_a_hidden_text_to_a_student(
    open_app: Open, hidden: list[str], before: Job, page: str
) -> None:
    app = join(open_app(page, run=before.id, page_size="100"), "Bob")

    sound_page_text(app)
    assert find_leaks(app, hidden) == []


def test_the_test_texts_of_explore_are_the_visible_ones(
    open_app: Open, hidden: list[str], store: Store
) -> None:
    app = join(open_app("pages/explore.py", split="test"), "Bob")

    (table,) = (each.value for each in app.dataframe if "text" in each.value)
    assert len(table) == 32 and not set(table["text"]) & set(hidden)
    assert find_leaks(app, hidden) == []


def test_the_pages_that_show_all_test_texts_show_the_visible_ones(
    open_app: Open, hidden: list[str], before: Job, store: Store
) -> None:
    app = join(open_app("pages/errors.py", run=before.id), "Bob")
    visible = set(Run.of(store, before).read_predictions().frame["text"])

    assert len(visible) == 32 and not visible & set(hidden)
    assert any(text in shown for shown in all_of(app) for text in visible)


def test_no_file_of_a_student_has_a_hidden_text(
    store: Store, hidden: list[str], before: Job, tmp_path: Path
) -> None:
    ada = store.for_visitor(ADA)
    backup = tmp_path / "backup.zip"
    write_backup(ada, [before], backup, False, lambda progress: None, lambda: False, PackedRuns())
    with zipfile.ZipFile(backup) as archive:
        archive.extractall(tmp_path / "backup")
    tables = sorted((tmp_path / "backup").rglob("*.parquet"))
    packed = {text for table in tables for text in files.read_parquet(table).get("text", [])}
    report = write_report(ada, [before]).decode()
    exporter = Exporter(ada, before, lambda progress: None, lambda: False)
    exported = set(exporter.predictions["text"])

    assert len(packed) == 32 and not packed & set(hidden)
    assert not exported & set(hidden)
    assert [text for text in hidden if text in report] == []


def test_the_teacher_reveals_the_scores_once_and_luck_has_an_interval(
    open_app: Open, hidden: list[str], before: Job, store: Store
) -> None:
    rows = find_hidden_rows(store)
    hits = Proportion(sum(row < 34 for row in rows), 8)  # of 40, the first 34 are correct
    visible = Proportion(34 - hits.hits, 32)
    student = join(open_app("pages/board.py"), "Bob")
    assert "hidden for a final test" in sound_page_text(student)
    assert [row.test for row in read_leaderboard(store, read_rules(store))] == [visible]
    assert find_final_table(student) is None

    teacher = join(open_app("pages/board.py"), "Grace", "oak")
    teacher.button(key="final-confirm").click().run()

    table = find_final_table(teacher)
    assert table is not None
    (line,) = table.to_dict("records")
    low, high = compute_difference_interval(visible, hits)
    assert (line["Who"], line["Visible"], line["Hidden"]) == ("Ada", str(visible), str(hits))
    points = 100 * (hits.value - visible.value)
    assert line["Chosen by luck"] == f"{points:+.1f} points".replace("-", "−")
    assert line["95 % interval"] == f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−")
    assert "final-confirm" not in {button.key for button in teacher.button}
    with pytest.raises(StateConflict):
        reveal_hidden_test(store)


def test_a_run_that_ended_after_the_reveal_is_not_counted(
    hidden: list[str], before: Job, store: Store, source: Source
) -> None:
    reveal_hidden_test(store)
    make_finished(store.for_visitor(BOB), source, "after", right=40)

    rules = read_rules(store)
    scores = read_final_scores(rules, read_leaderboard(store, rules))

    assert [score.row.run.name for score in scores] == ["before"]


def test_a_student_cannot_reveal(hidden: list[str], before: Job, store: Store) -> None:
    with pytest.raises(NotAllowed):
        reveal_hidden_test(store.for_visitor(ADA))


def find_final_table(app: AppTest) -> pd.DataFrame | None:
    return next((table.value for table in app.dataframe if "Hidden" in table.value), None)


def find_hidden_rows(store: Store) -> list[int]:
    whole = find_whole(store.settings, find_source(Settings()))
    assert whole is not None
    test = whole.read("test")
    hidden = test["text"].isin(read_hidden_texts(store.settings))
    return test.loc[hidden, "row"].tolist()
