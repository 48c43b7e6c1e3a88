import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.access import GUEST, Role, Visitor
from core.charts.base import Chart
from core.config import RunConfig
from core.data.sources import demo_source
from core.data.tables.exported_cells import to_csv
from core.errors import ConfigError, NotAllowed, StateConflict
from core.lesson import open_lesson
from core.lesson.open_lesson import OpenLesson
from core.reports.notebook import tabulate_runs, write_class_notebook, write_notebook
from core.reports.pinned_charts import MOST_PINS, pin_chart, remove_pin
from core.runs.requests import TrainRequest
from core.storage import lesson_records
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from core.translation import use
from tests.support.led_lessons import lead_lesson, place_of

ADA, BOB = Visitor("ada", "Ada <b>", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)
LESSON = """\
title: Small
steps:
  - title: Guess
    minutes: 3
    question: How many?
    guess: {kind: number, unit: "%"}
    reveal: The secret answer.
    prompt: Why?
  - title: Look
    minutes: 2
    text: Look.
"""


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a class in which Ada has guessed, written a note and finished a run."""
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    store = lead_lesson(LESSON, (ADA, BOB))
    ada = store.for_visitor(ADA)
    place = place_of(ada)
    open_lesson.give_guess(ada, place, ["12.5"])
    open_lesson.write_note(ada, place.id, 0, "<script>alert(1)</script> because")
    request = TrainRequest(config=RunConfig(seed=7), source=demo_source(), guess=0.875)
    job = ada.create(JobKind.TRAIN, "=hers", request.model_dump(mode="json"), "hers")
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    store.update(job, result_json=json.dumps({"test": {"hits": 889, "rows": 1000}}))
    store.transition(job, JobState.COMPLETED)
    return store


def lesson_of(store: Store) -> OpenLesson:
    lesson = open_lesson.read_open(store)
    assert lesson is not None
    return lesson


def test_a_notebook_has_guess_note_and_run_and_escapes_them(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)

    page = write_notebook(ada, lesson_of(ada)).decode()

    assert "12.5 %" in page and "&lt;script&gt;alert(1)&lt;/script&gt; because" in page
    assert "<script>" not in page and "Ada &lt;b&gt;" in page
    assert "88.9" in page and "87.5" in page and "Why?" in page


def test_an_answer_is_in_the_notebook_once_it_was_shown(teacher: Store) -> None:
    ada = teacher.for_visitor(ADA)
    assert "The secret answer." not in write_notebook(ada, lesson_of(ada)).decode()

    open_lesson.go_to(teacher, lesson_of(teacher).place, 1)

    assert "The secret answer." in write_notebook(ada, lesson_of(ada)).decode()


def test_a_notebook_shows_nothing_of_another_student(teacher: Store) -> None:
    bob = teacher.for_visitor(BOB)

    page = write_notebook(bob, lesson_of(bob)).decode()

    assert "12.5" not in page and "because" not in page and "hers" not in page


def test_the_notebook_of_the_class_has_everyone(teacher: Store) -> None:
    page = write_class_notebook(teacher, lesson_of(teacher)).decode()

    assert "Ada &lt;b&gt;: Guesses and notes" in page
    assert "1 guess: 12.5 %." in page


def test_the_table_of_the_class_has_run_id_configuration_and_one_decimal(teacher: Store) -> None:
    table = tabulate_runs(teacher)

    row = table.iloc[0]
    assert (row["Who"], row["Accuracy (%)"], row["Guess (%)"]) == ("Ada <b>", 88.9, 87.5)
    assert row["Run id"] == teacher.list_jobs(JobKind.TRAIN)[0].id
    assert row["seed"] == 7 and set(RunConfig.model_fields) <= set(table.columns)
    content = to_csv(table)
    assert content.startswith(b"\xef\xbb\xbf") and b"'=hers" in content


def test_a_notebook_is_in_the_language_of_its_reader_but_the_teachers_words_stay(
    teacher: Store,
) -> None:
    ada = teacher.for_visitor(ADA)

    with use("de"):
        own = write_notebook(ada, lesson_of(ada)).decode()
        everyone = write_class_notebook(teacher, lesson_of(teacher)).decode()
        columns = list(tabulate_runs(teacher))

    assert '<html lang="de">' in own and "Heft von Ada &lt;b&gt;" in own
    assert "Tipps und Notizen" in own and "Why?" in own
    assert "12,5 %" in own and "88,9" in own and "fertig" in own
    assert "Ada &lt;b&gt;: Tipps und Notizen" in everyone
    assert columns[:5] == ["Wer", "Lauf-ID", "Lauf", "Zustand", "Genauigkeit (%)"]


def test_a_run_without_a_score_has_dashes_in_the_notebook(teacher: Store) -> None:
    bob = teacher.for_visitor(BOB)
    request = TrainRequest(config=RunConfig(), source=demo_source())
    bob.create(JobKind.TRAIN, "waits", request.model_dump(mode="json"), "his")

    page = write_notebook(bob, lesson_of(bob)).decode()

    assert "queued" in page and "<td>–</td>" in page
    assert "None" not in page and "nan" not in page


@pytest.mark.parametrize("visitor", [ADA, GUEST])
def test_only_the_teacher_reads_the_notebooks_of_the_class(
    teacher: Store, visitor: Visitor
) -> None:
    store, lesson = teacher.for_visitor(visitor), lesson_of(teacher)

    with pytest.raises(NotAllowed):
        write_class_notebook(store, lesson)
    with pytest.raises(NotAllowed):
        tabulate_runs(store)


def test_a_guest_has_no_notebook(teacher: Store) -> None:
    with pytest.raises(NotAllowed):
        write_notebook(teacher.for_visitor(GUEST), lesson_of(teacher))


def chart_of(title: str = "Loss <b>", rows: int = 2) -> Chart:
    data = pd.DataFrame({"x": np.arange(rows), "y": np.linspace(0, 1, rows)})
    encoding = {axis: {"field": axis, "type": "quantitative"} for axis in data}
    return Chart({"mark": "line", "encoding": encoding}, data, title, "A falling line")


def test_a_pinned_chart_is_a_picture_in_the_notebook_of_its_author_and_of_the_class(
    teacher: Store,
) -> None:
    ada, bob = teacher.for_visitor(ADA), teacher.for_visitor(BOB)

    pin_chart(ada, chart_of(), "Evaluate · =hers")
    pin_chart(ada, chart_of(), "Evaluate · =hers")  # a second click on the same chart

    own = write_notebook(ada, lesson_of(ada)).decode()
    assert own.count("<svg") == 1 and 'aria-label="A falling line"' in own
    assert "Loss &lt;b&gt;" in own and "Pinned in step 1 Guess · Evaluate · =hers" in own
    assert "<script" not in own and 'src="' not in own and "http://" not in strip_namespace(own)
    assert "<svg" not in write_notebook(bob, lesson_of(bob)).decode()
    everyone = write_class_notebook(teacher, lesson_of(teacher)).decode()
    assert "Ada &lt;b&gt;: Loss &lt;b&gt;" in everyone and everyone.count("<svg") == 1


def strip_namespace(page: str) -> str:
    return page.replace("http://www.w3.org/2000/svg", "").replace(
        "http://www.w3.org/1999/xlink", ""
    )


def test_a_pinned_chart_can_be_removed_by_its_author_only(teacher: Store) -> None:
    ada, place = teacher.for_visitor(ADA), lesson_of(teacher).place
    pin_chart(ada, chart_of(), "")
    (pin,) = lesson_records.list_pins(ada, place.id, ADA.id)

    remove_pin(teacher.for_visitor(BOB), pin.id)
    assert lesson_records.list_pins(ada, place.id, ADA.id) == [pin]
    remove_pin(ada, pin.id)

    assert lesson_records.list_pins(ada, place.id, ADA.id) == []


def test_pins_are_limited_in_number_and_size(teacher: Store) -> None:
    ada, place = teacher.for_visitor(ADA), lesson_of(teacher).place
    with pytest.raises(ConfigError, match="the notebook allows 400 KB"):
        pin_chart(ada, replace_mark(chart_of(rows=5000), "point"), "")
    for number in range(MOST_PINS):
        lesson_records.add_pin(ada, place, f"Chart {number}", "", "", "<svg></svg>")

    with pytest.raises(ConfigError, match="12 charts are pinned"):
        pin_chart(ada, chart_of(), "")


def replace_mark(chart: Chart, mark: str) -> Chart:
    return replace(chart, spec={**chart.spec, "mark": mark})


def test_no_chart_is_pinned_without_a_lesson_or_by_a_guest(teacher: Store) -> None:
    with pytest.raises(NotAllowed):
        pin_chart(teacher.for_visitor(GUEST), chart_of(), "")
    open_lesson.end_lesson(teacher)

    with pytest.raises(StateConflict):
        pin_chart(teacher.for_visitor(ADA), chart_of(), "")
