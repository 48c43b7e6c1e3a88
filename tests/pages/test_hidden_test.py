"""No page and no file of a student has a text of the hidden final test before it is revealed."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.data.dataset import Dataset
from core.data.explore.index import ensure_index
from core.data.hidden_test import RULES, read_hidden_texts
from core.data.preparation import find_whole, prepare
from core.data.sources import Source, find_source
from core.errors import ArtifactDamaged, NotAllowed, StateConflict
from core.evaluation.baselines import Baseline
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion, compute_difference_interval
from core.jobs.tasks.backups import (
    PackedRuns,
    RestoredRuns,
    find_parts,
    launch_backup,
    restore,
    write_backup,
)
from core.jobs.tasks.classify_texts import OF_FINAL_TEST, assemble_table, leave_out_hidden
from core.people.classroom import Rules, change_rules, read_rules, reveal_hidden_test
from core.reports.pinned_charts import list_visible_pins
from core.reports.run_report import write_report
from core.runs import artifacts, run_baselines
from core.runs.descriptions import read_run_details
from core.runs.leaderboard import read_final_scores, read_leaderboard
from core.runs.run import Run, SplitScores, read_result
from core.runs.run_baselines import BaselineRequest, Fitted
from core.settings import Settings
from core.storage import files, lesson_records
from core.storage.accounts import add_person, read_options, write_options
from core.storage.job import Job, JobState
from core.storage.recovery import open_store
from core.storage.store import Store
from core.transfer.export.exporter import Exporter
from core.transfer.export.formats import Format, exports_folder, read_ready, write_record
from core.transfer.imports.backup_zip import open_backup
from tests.support.app.page_app import Open
from tests.support.app.page_text import all_of, sound_page_text
from tests.support.app.visitors import join
from tests.support.command_line import run as run_command
from tests.support.led_lessons import lead_lesson, place_of
from tests.support.stored_runs import make_finished, predictions, start
from tests.support.text_batches import make_batch
from ui import navigation
from ui.session import cache

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
PERCENT = 20
NOTE = "The scores leave out 8 hidden test rows of the final test."


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
    (record,) = (tmp_path / "backup").rglob("job.json")
    assert json.loads(json.loads(record.read_bytes())["result_json"])["test"]["rows"] == 32
    assert not exported & set(hidden)
    assert [text for text in hidden if text in report] == []


@pytest.mark.parametrize("name", ["test", "untrained"])
def test_a_backup_of_a_student_has_nothing_of_a_run_whose_visible_part_is_unknown(
    store: Store, hidden: list[str], before: Job, tmp_path: Path, name: str
) -> None:
    path = store.get_folder(before) / f"predictions-{name}.parquet"
    files.write_parquet(path, files.read_parquet(path).drop(columns="text"))
    ada, backup, packed = store.for_visitor(ADA), tmp_path / "backup.zip", PackedRuns()

    write_backup(ada, [before], backup, False, lambda progress: None, lambda: False, packed)

    with zipfile.ZipFile(backup) as archive:
        assert [entry for entry in archive.namelist() if before.id in entry] == []
    assert packed.runs == 0 and "cannot be left out" in packed.left_out[before.id]


def test_scores_from_before_are_those_of_the_visible_texts(
    open_app: Open, hidden: list[str], before: Job, store: Store
) -> None:
    hits = 34 - sum(row < 34 for row in find_hidden_rows(store))  # the first 34 are correct
    run = Run.of(store, store.read_job(before.id))
    share = f"{100 * hits / 32:.1f} %"

    assert run.test == Proportion(hits, 32)
    assert run.untrained is not None and run.untrained.n == 32
    assert run.hidden_note == NOTE
    for name in ("home", "runs", "evaluate", "board", "classify"):
        app = join(open_app(f"pages/{name}.py", run=before.id), f"Visitor of {name}")
        shown = sound_page_text(app)
        assert "85.0 %" not in shown and "40 test texts" not in shown
        assert (NOTE in shown) == (name != "home")
        assert share in shown or name not in ("runs", "evaluate")


def test_a_score_whose_visible_part_is_unknown_is_not_shown(
    hidden: list[str], before: Job, store: Store
) -> None:
    """Predictions of early versions have no texts."""
    path = store.get_folder(before) / "predictions-test.parquet"
    files.write_parquet(path, files.read_parquet(path).drop(columns="text"))

    run = Run.of(store, store.read_job(before.id))

    assert run.test is None and "not shown yet" in run.hidden_note
    with pytest.raises(ArtifactDamaged, match="cannot be left out"):
        run.read_predictions()


def test_an_imported_score_without_predictions_is_not_shown_before_the_reveal(
    hidden: list[str], before: Job, store: Store
) -> None:
    """It was measured elsewhere, on all test texts."""
    result = read_result(before).model_copy(update={"imported": "a.zip"}).model_dump_json()
    store.replace_scores(before, result, before.request_json, before.fingerprint)
    for path in store.get_folder(before).glob("predictions-*.parquet"):
        path.unlink()
    run = Run.of(store, store.read_job(before.id))

    assert run.test is None and "not shown yet" in run.hidden_note
    reveal_hidden_test(store)
    assert Run.of(store, store.read_job(before.id)).test == Proportion(34, 40)


def test_a_file_with_the_test_split_shows_no_scores_of_the_hidden_texts(
    hidden: list[str], store: Store
) -> None:
    batch = make_batch([*hidden, "A text of their own"], ["Sports"] * (len(hidden) + 1))

    left = leave_out_hidden(store.settings, batch)
    table = assemble_table(left, np.array([[0.9, 0.1]], np.float32), ["Sports", "World"])

    assert left.filled == ["A text of their own"]
    assert table.outputs["class"].notna().sum() == 1
    assert table.outputs["problem"].tolist()[:-1] == [OF_FINAL_TEST] * len(hidden)
    assert table.counts is not None and table.counts.tolist() == [[1, 0], [0, 0]]
    reveal_hidden_test(store)
    assert leave_out_hidden(store.settings, batch) is batch


def test_the_whole_score_is_back_after_the_reveal(
    hidden: list[str], before: Job, store: Store
) -> None:
    reveal_hidden_test(store)

    run = Run.of(store, store.read_job(before.id))

    assert run.test == Proportion(34, 40) and not run.hidden_note


def test_baselines_from_before_are_those_of_the_visible_texts(
    hidden: list[str], before: Job, store: Store
) -> None:
    config = Run.of(store, before).config
    request = BaselineRequest.of(before.fingerprint, config)
    frame = predictions(40, 20)
    fitted = Fitted(Baseline.TFIDF, Predictions.of(frame, 4), 200, 1.0)
    run_baselines.save(store.settings, request, fitted)

    (_, tfidf) = run_baselines.read_baselines(store, before, config, 4)

    assert not set(tfidf.predictions.rows) & set(find_hidden_rows(store))
    assert len(tfidf.predictions) == 32


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
    german = find_final_table(student.selectbox(key="language-picker").set_value("de").run())
    assert german is not None
    assert list(german["Visible"]) == [str(visible).replace(".", ",")]
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


def test_rules_that_cannot_be_read_are_saved_with_the_hidden_test(
    open_app: Open, hidden: list[str], store: Store
) -> None:
    seed = read_rules(store).hidden_seed
    damage_rules(store, minutes="many")
    teacher = join(open_app("pages/board.py"), "Grace", "oak")
    assert teacher.number_input(key="rule-hidden_percent").value == PERCENT
    assert not any("hidden final test cannot be read" in each.value for each in teacher.warning)

    teacher.button(key="rules-save").click().run()

    assert read_rules(store).hidden_seed == seed


def test_the_teacher_learns_that_the_hidden_test_cannot_be_read(
    open_app: Open, hidden: list[str], store: Store
) -> None:
    damage_rules(store, hidden_seed="?")

    teacher = join(open_app("pages/board.py"), "Grace", "oak")

    assert any("hidden final test cannot be read" in each.value for each in teacher.warning)


def damage_rules(store: Store, **fields: object) -> None:
    rules = json.loads(read_options(store)[RULES])
    write_options(store, {RULES: json.dumps(rules | fields)})


def test_what_visitors_share_changes_with_the_rules(
    classroom: None, store: Store, dataset: Dataset
) -> None:
    settings = Settings()
    changed_at = os.stat(settings.prepared).st_mtime_ns
    before = cache.read_data_status(settings)
    assert before.dataset is not None

    change_rules(store, Rules(hidden_percent=PERCENT))
    after = cache.read_data_status(settings)

    assert os.stat(settings.prepared).st_mtime_ns == changed_at
    assert after.dataset is None  # not prepared yet without the hidden texts


@pytest.mark.parametrize("mode", ["local", "classroom"])
def test_the_command_line_says_that_scores_leave_out_the_hidden_texts(
    hidden: list[str], before: Job, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("LORALAB_MODE", mode)

    for command in (["show", before.id], ["runs"]):
        shown = run_command(*command).stdout
        assert NOTE in shown
        assert "accuracy 85.0%" not in shown and " 85.0%  before" not in shown
        assert NOTE in run_command(*command, "--json").stdout


def test_a_comparison_and_a_model_card_say_what_their_scores_leave_out(
    open_app: Open, hidden: list[str], before: Job, store: Store, source: Source
) -> None:
    other = make_finished(store.for_visitor(ADA), source, "other", right=30)
    compared = f"{before.id},{other.id}"

    app = join(open_app("pages/compare.py", compared=compared), "Bob")
    report = write_report(store, [before, other]).decode()
    shown = run_command("compare", before.id, other.id).stdout
    details = read_run_details(store, before)

    assert NOTE in sound_page_text(app)
    assert NOTE in report and NOTE in shown
    assert details.hidden_note == NOTE
    assert details.result.test is not None and details.result.test.rows == 32


def test_a_run_from_after_the_switch_says_the_same(
    hidden: list[str], before: Job, store: Store
) -> None:
    """Write results as a worker does: scores without the hidden texts, and a file of those."""
    folder = store.get_folder(before)
    test = files.read_parquet(folder / "predictions-test.parquet")
    is_hidden = test["text"].isin(hidden)
    rules = read_rules(store)
    files.write_parquet(folder / "predictions-test.parquet", test[~is_hidden])
    files.write_parquet(artifacts.hidden_path(folder, rules), test[is_hidden])
    visible = Predictions.of(test[~is_hidden], 4).scores.accuracy
    result = {
        **before.result,
        "test": SplitScores.of(Predictions.of(test[~is_hidden], 4)).to_dict(),
    }
    store.replace_scores(before, json.dumps(result), before.request_json, before.fingerprint)

    run = Run.of(store, store.read_job(before.id))
    assert (run.test, run.hidden_note) == (visible, NOTE)

    change_rules(store, Rules(hidden_percent=0))
    change_rules(store, Rules(hidden_percent=PERCENT))  # other texts are hidden
    prepare(store.settings, find_source(Settings()), lambda progress: None, lambda: False)
    again = Run.of(store, store.read_job(before.id))
    texts = read_hidden_texts(store.settings)
    assert texts != set(hidden)
    assert again.test is not None
    assert again.test.n == 32 - len(texts - set(hidden))


def test_no_score_is_shown_between_the_switch_and_the_preparation(
    classroom: None, dataset: Dataset, before: Job, store: Store
) -> None:
    change_rules(store, Rules(hidden_percent=PERCENT))

    run = Run.of(store, store.read_job(before.id))

    assert run.test is None and "not shown yet" in run.hidden_note
    with pytest.raises(ArtifactDamaged, match="have not been prepared without it"):
        run.read_predictions()


def test_an_export_from_before_waits_for_the_reveal(
    open_app: Open, classroom: None, dataset: Dataset, before: Job, store: Store
) -> None:
    folder = exports_folder(store, before)
    files.make_folder(folder)
    files.write_bytes(folder / "script.zip", b"accuracy 0.85")
    write_record(folder / "script.json", None, store.clock() - 1)
    assert read_ready(store, before, Format.SCRIPT) is not None

    change_rules(store, Rules(hidden_percent=PERCENT))
    assert read_ready(store, before, Format.SCRIPT) is None
    app = join(open_app("pages/export.py", run=before.id), "Bob")
    assert "download-script" not in [button.key for button in app.get("download_button")]
    assert "from before the final test was hidden" in sound_page_text(app)
    reveal_hidden_test(store)

    assert read_ready(store, before, Format.SCRIPT) is not None


def test_a_backup_from_before_waits_for_the_reveal(
    classroom: None, dataset: Dataset, before: Job, store: Store
) -> None:
    ada = store.for_visitor(ADA)
    job = start(ada, launch_backup(ada))
    files.write_bytes(store.get_folder(job) / "runs-1.zip", b"all test texts")
    store.update(job, result_json='{"runs": 1, "parts": 1}')
    store.transition(job, JobState.COMPLETED, ended_at=store.clock())
    change_rules(store, Rules(hidden_percent=PERCENT))
    job = store.read_job(job.id)

    assert find_parts(ada, job) == [] and len(find_parts(store, job)) == 1
    reveal_hidden_test(store)

    assert len(find_parts(ada, job)) == 1


def test_charts_pinned_before_are_back_after_the_reveal(
    classroom: None, dataset: Dataset, before: Job, store: Store
) -> None:
    place = place_of(
        lead_lesson("title: A lesson\nsteps:\n- title: First\n  minutes: 5\n  text: Look.\n")
    )
    ada = store.for_visitor(ADA)
    lesson_records.add_pin(ada, place, "Accuracy 85 %", "", "", "<svg/>")
    change_rules(store, Rules(hidden_percent=PERCENT))

    assert list_visible_pins(store, place.id, "ada") == ([], 1)
    reveal_hidden_test(store)

    assert len(list_visible_pins(store, place.id, "ada")[0]) == 1


def test_a_restored_class_can_reveal(
    hidden: list[str], before: Job, store: Store, tmp_path: Path, source: Source
) -> None:
    folder, rules = store.get_folder(before), read_rules(store)
    test = files.read_parquet(folder / "predictions-test.parquet")
    is_hidden = test["text"].isin(hidden)
    files.write_parquet(folder / "predictions-test.parquet", test[~is_hidden])
    files.write_parquet(artifacts.hidden_path(folder, rules), test[is_hidden])
    backup, fresh = tmp_path / "backup.zip", open_store(Settings(home=tmp_path / "fresh"))
    shutil.rmtree(folder / "adapter")

    write_backup(store, [before], backup, True, lambda progress: None, lambda: False, PackedRuns())
    outcome = RestoredRuns()
    with open_backup(backup) as opened:
        restore(fresh, opened, lambda progress: None, lambda: False, outcome)

    assert outcome.left_out == {} and outcome.final_test
    assert read_rules(fresh).hidden_seed == rules.hidden_seed
    reveal_hidden_test(fresh)
    revealed = read_rules(fresh)
    (score,) = read_final_scores(revealed, read_leaderboard(fresh, revealed))
    assert score.hidden == Predictions.of(test[is_hidden], 4).scores.accuracy
    assert score.row.test == Predictions.of(test[~is_hidden], 4).scores.accuracy


def test_a_student_restores_no_scores_of_the_final_test(
    hidden: list[str], before: Job, store: Store, tmp_path: Path
) -> None:
    """With such a file a run would count as scored without the hidden texts."""
    folder, rules = store.get_folder(before), read_rules(store)
    test = files.read_parquet(folder / "predictions-test.parquet")
    files.write_parquet(artifacts.hidden_path(folder, rules), test.head(8))
    shutil.rmtree(folder / "adapter")
    backup = tmp_path / "backup.zip"
    write_backup(store, [before], backup, True, lambda progress: None, lambda: False, PackedRuns())
    add_person(store, BOB, "key of Bob")
    fresh = open_store(Settings(home=tmp_path / "fresh"))

    with open_backup(backup) as opened:
        restore(
            fresh.for_visitor(BOB), opened, lambda progress: None, lambda: False, RestoredRuns()
        )

    assert list((fresh.settings.jobs / before.id).glob("hidden*")) == []
    assert not read_rules(fresh).is_on
