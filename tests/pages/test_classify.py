import json
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.data.sources import Source
from core.inference.process import InferenceProcess
from core.jobs import actions
from core.jobs.tasks.classify_texts import assemble_table, write_classified
from core.jobs.tasks.embed_texts import find_index_folder, write_index
from core.people import allowances
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.json_values import value_at
from tests.support.stored_runs import ADAPTER, CLASSES, make_finished, start
from tests.support.text_batches import make_batch
from ui.classify import answers, file_form

PAGE = "pages/classify.py"

# loky says so whenever a process ends by itself just as work arrives; it starts another one
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning")


def classify(app: AppTest, text: str) -> AppTest:
    app.text_area(key="text").set_value(text)
    return app.button(key="classify").click().run()


def titles(app: AppTest) -> list[str]:
    """Return the headline above the bars."""
    return [
        chart.proto.alt.partition(" by ")[2].partition(":")[0]
        for chart in app.get("vega_lite_chart")
    ]


def test_a_run_without_an_adapter_says_so(open_app: Open, failed: Job) -> None:
    assert "failed-run has no adapter. The run is failed, and its adapter is missing." in page_text(
        open_app(PAGE, run=failed.id)
    )


def test_a_stopped_run_with_an_adapter_can_be_asked(
    open_app: Open, running: Job, store: Store
) -> None:
    shutil.copytree(ADAPTER, store.get_folder(running) / "adapter")
    store.transition(running, JobState.STOPPING)
    store.transition(running, JobState.CANCELLED, ended_at=store.clock())

    app = open_app(PAGE, run=running.id)

    assert app.button(key="classify").label == "Classify"


def test_nothing_to_classify_says_what_to_do(open_app: Open, finished: Job) -> None:
    app = classify(open_app(PAGE), "  \n ")

    assert "Enter a text, or choose one of the examples." in page_text(app)


@pytest.mark.parametrize("name", list(answers.EXAMPLES))
def test_an_example_is_one_click_away(open_app: Open, finished: Job, name: str) -> None:
    app = open_app(PAGE)

    app.button(key=f"example-{name}").click().run()

    assert app.text_area(key="text").value == answers.EXAMPLES[name]


@pytest.mark.usefixtures("with_example")
def test_the_bundled_run_recognizes_each_example(open_app: Open, host: InferenceProcess) -> None:
    app = open_app(PAGE)

    outcome = [
        classify(app, text).subheader[0].value.partition(" (")[0]
        for text in answers.EXAMPLES.values()
    ]

    assert not app.error
    assert outcome == ["World", "Sports", "Business", "Sci/Tech"]
    assert titles(app) == ["example-minilm", "Untrained"]
    assert "example-minilm ranks Sci/Tech " in page_text(app)


def test_the_texts_of_a_visit_are_kept_newest_first(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = open_app(PAGE)

    for number in range(answers.KEPT + 1):
        classify(app, f"The coach praised player {number}.")

    table = app.dataframe[0].value
    assert table["text"].tolist()[:2] == ["The coach praised player 10."] * 2
    assert table["model"].tolist()[:2] == ["finished-run", "Untrained"]
    assert len(table) == 2 * answers.KEPT


def test_runs_stand_side_by_side_with_the_untrained_base_last(
    open_app: Open, usable: Job, store: Store, source: Source, host: InferenceProcess
) -> None:
    other = make_finished(store, source, "other")
    store.rename(other, usable.name)  # a name, not an id
    shutil.copytree(ADAPTER, store.get_folder(other) / "adapter", dirs_exist_ok=True)
    app = open_app(PAGE, run=usable.id)

    app.multiselect(key="others").set_value([other.id]).run()
    classify(app, "The striker scored twice.")

    assert titles(app) == ["finished-run", "finished-run", "Untrained"]


def test_only_runs_with_the_same_classes_are_offered_next_to(
    open_app: Open, finished: Job, store: Store, source: Source
) -> None:
    same, others, broken = (
        make_finished(store, source, name) for name in ("same", "others", "broken")
    )
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET result_json = ? WHERE id = ?",
            (json.dumps({"classes": ["a", "b"]}), others.id),
        )
        db.execute("UPDATE jobs SET request_json = '{' WHERE id = ?", (broken.id,))

    app = open_app(PAGE, run=finished.id)

    assert app.multiselect(key="others").options == [same.name]


def test_a_text_that_is_cut_is_said(open_app: Open, usable: Job, host: InferenceProcess) -> None:
    app = classify(open_app(PAGE), "goal " * 200)

    assert (
        app.warning[0].value.replace("\\", "")
        == "The text has 202 tokens; finished-run reads only the first 128."
    )


def test_what_a_person_typed_is_shown_as_it_is(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = classify(open_app(PAGE), "**bold** <b>tags</b> :red[news]")

    assert "**bold** <b>tags</b> :red[news]" in [text.value for text in app.text]
    assert "tags" not in page_text(app), "a text went through Markdown"


def test_a_damaged_adapter_is_said_and_can_be_tried_again(
    open_app: Open, finished: Job, store: Store, host: InferenceProcess
) -> None:
    app = classify(open_app(PAGE), "The striker scored twice.")
    assert f"The adapter of {finished.id} is damaged" in page_text(app)

    shutil.copytree(ADAPTER, store.get_folder(finished) / "adapter", dirs_exist_ok=True)
    app.button(key="try-again").click().run()

    assert not app.error
    assert titles(app) == ["finished-run", "Untrained"]


def test_a_model_that_is_unavailable_is_said(
    open_app: Open, usable: Job, store: Store, host: InferenceProcess
) -> None:
    request = usable.request | {
        "config": {**value_at(usable.request, "config"), "model": "distilbert"}
    }
    with store.transaction() as db:
        db.execute(
            "UPDATE jobs SET request_json = ? WHERE id = ?", (json.dumps(request), usable.id)
        )

    app = classify(open_app(PAGE), "The striker scored twice.")

    assert "The Hub cannot be reached" in page_text(app)
    assert app.button(key="try-again").label == "Try again"


def test_a_process_that_was_killed_is_started_again(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = classify(open_app(PAGE), "The striker scored twice.")
    executor = host._executor
    assert executor is not None
    for process in executor._processes.values():
        os.kill(process.pid, signal.SIGKILL)

    classify(app, "Oil prices fell.")

    assert not app.error
    assert "It was restarted, and this answer is complete." in app.info[0].value
    assert "Oil prices fell." in [text.value for text in app.text]


def test_another_run_leaves_no_answer_of_the_first_behind(
    open_app: Open, usable: Job, store: Store, source: Source, host: InferenceProcess
) -> None:
    other = make_finished(store, source, "other")
    app = classify(open_app(PAGE, run=usable.id), "The striker scored twice.")

    app.selectbox(key="run-picker").set_value(other.id).run()

    assert not app.subheader
    assert "The class probabilities appear here" in page_text(app)


def test_the_record_of_a_run_is_checked_before_anything_is_asked(
    open_app: Open, damaged: Job, store: Store
) -> None:
    files.write_folder(store.get_folder(damaged) / "adapter", {"adapter_model.safetensors": b"x"})

    assert "The record of damaged-run is damaged." in page_text(open_app(PAGE, run=damaged.id))


def test_an_answer_is_explained_for_the_predicted_class_and_any_other(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = classify(open_app(PAGE), "The <b>striker</b> scored **twice**.")

    app.toggle(key="explain").set_value(True).run()
    assert "Evidence for Sports" in page_text(app)
    assert "Convergence error: 0.0" in page_text(app)

    next(box for box in app.selectbox if box.label == "Class").set_value("Business").run()
    assert "Evidence for Business" in page_text(app)


def test_a_guest_explains_short_texts_until_nothing_is_left(
    open_app: Open,
    usable: Job,
    host: InferenceProcess,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    app = explained(open_app, usable)
    assert "59 of 60 explanations are left" in page_text(app)
    app.run()
    assert "59 of 60" in page_text(app)

    assert "up to 1,000 characters can be explained" in page_text(
        explained(open_app, usable, "a " * 600)
    )
    assert "6,000 characters; the limit is 5,000" in page_text(classify(app, "a " * 3000))
    for _ in range(59):
        allowances.spend(store, (allowances.EXPLANATIONS_OF_GUESTS, ""))
    app = explained(open_app, usable, "Another striker scored.")
    assert "60 explanations an hour are allowed" in page_text(app)
    assert "Evidence for" not in page_text(app)


def explained(open_app: Open, usable: Job, text: str = "The striker scored twice.") -> AppTest:
    app = classify(open_app(PAGE, run=usable.id), text)
    return app.toggle(key="explain").set_value(True).run()


def trained_on(store: Store, job: Job, dataset: Dataset) -> None:
    """Name ``dataset`` as the data in the record of the run."""
    with store.transaction() as db:
        db.execute("UPDATE jobs SET fingerprint = ? WHERE id = ?", (dataset.fingerprint, job.id))


def test_the_nearest_training_texts_are_offered_then_shown_with_what_they_agree_on(
    open_app: Open, usable: Job, store: Store, dataset: Dataset, host: InferenceProcess
) -> None:
    trained_on(store, usable, dataset)
    app = explained(open_app, usable)
    assert "The training texts of this run are not indexed yet." in page_text(app)

    app.button(key="make-nearest").click().run()
    (job,) = store.list_jobs(JobKind.NEAREST)
    assert "Waiting in the queue." in page_text(app)

    rows = pd.DataFrame({"row": [1, 2, 3], "text": ["<b>a</b>", "b", "c"], "label": [1, 2, 1]})
    write_index(
        find_index_folder(store, store.read_job(usable.id)), np.eye(3, 384, dtype=np.float32), rows
    )
    actions.stop(store, job)
    app.run()

    assert "2 of the 3 nearest texts have the predicted label Sports." in page_text(app)
    assert "among 3 training texts." in page_text(app)
    table = next(item.value for item in app.dataframe if "similarity" in item.value)
    assert sorted(zip(table["text"], table["label"], strict=True)) == [
        ("<b>a</b>", "Sports"),
        ("b", "Business (differs)"),
        ("c", "Sports"),
    ]


def test_a_run_whose_data_have_gone_says_so(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = explained(open_app, usable)

    said_so = " ".join(item.value for item in app.info).replace("\\", "")
    assert "The texts that this run was trained on are no longer on this machine." in said_so
    assert not [button for button in app.button if button.key == "make-nearest"]


def test_a_text_that_is_too_long_or_unknown_is_said(
    open_app: Open, usable: Job, host: InferenceProcess
) -> None:
    app = classify(open_app(PAGE), "a" * 1_000_000)
    assert "The text has 1,000,000 characters; the limit is 100,000." in page_text(app)

    classify(app, "\x07😀")
    assert "vocabulary does not cover this text" in page_text(app)


def test_a_file_is_offered_and_another_runs_file_is_not_shown(
    open_app: Open, usable: Job, store: Store
) -> None:
    other = store.create(
        JobKind.CLASSIFY, "Classify a.csv", {"run": "another", "key": "0", "name": "a.csv"}, "key"
    )

    app = open_app(PAGE, run=usable.id, way="A file", batch=other.id)

    assert "Each row gets a predicted class and the probability of every class" in page_text(app)


def test_the_answers_for_a_file_are_shown_with_scores(
    open_app: Open, usable: Job, store: Store
) -> None:
    job = start(
        store,
        store.create(
            JobKind.CLASSIFY,
            "Classify a.csv",
            {"run": usable.id, "key": "0", "name": "a.csv"},
            "key",
        ),
    )
    batch = make_batch(["<b>one</b>", ""], ["World", "World"])
    outcome = assemble_table(batch, np.array([[0.7, 0.1, 0.1, 0.1]], dtype=np.float32), CLASSES)
    result = write_classified(store.get_folder(job), outcome)
    store.update(job, result_json=result.model_dump_json())
    store.transition(job, JobState.COMPLETED, ended_at=store.clock())

    app = open_app(PAGE, run=usable.id, way="A file", batch=job.id)

    assert "accuracy on 1 labeled text" in app.subheader[0].value
    assert "Rows without text, not classified: 1" in page_text(app)
    assert app.dataframe[0].value["class"].tolist()[0] == "World"


def offer(app: AppTest, name: str, content: bytes) -> AppTest:
    app.file_uploader(key="batch-file").set_value((name, content, "text/plain"))
    return app.run()


def test_a_short_file_is_classified_at_once_listed_and_deleted(
    open_app: Open, usable: Job, store: Store, host: InferenceProcess
) -> None:
    app = offer(
        open_app(PAGE, run=usable.id, way="A file"),
        "mine.csv",
        b"id,text,class\n007,The striker scored twice.,Sports\n008,,x\n009,a,b,c\n",
    )
    assert "The first line is read as names of the columns" in page_text(app)
    app.button(key="start-batch").click().run()

    assert not app.error
    (job,) = store.list_jobs("classify")
    assert (job.state, job.owner) == (JobState.COMPLETED, store.visitor.id)
    assert "mine.csv · 3 rows, 1 text by finished-run" in page_text(app)
    assert "The file has a column class; the new one is class (2)." in page_text(app)
    assert app.dataframe[0].value["class"].tolist()[0] == "Sports"
    assert len(app.get("vega_lite_chart")) >= 2

    again = open_app(PAGE, run=usable.id)
    assert "Files classified with this run" in page_text(again)
    again.button(key=f"open-{job.id}").click().run()
    assert again.dataframe[0].value["problem"].tolist()[1] == "no text"

    again.button(key=f"delete-{job.id}").click().run()
    assert not again.exception
    assert store.list_jobs("classify") == []


def test_pasted_texts_keep_their_first_line(
    open_app: Open, usable: Job, store: Store, host: InferenceProcess
) -> None:
    app = open_app(PAGE, run=usable.id, way="Several texts")

    app.text_area(key="pasted-texts").set_value("text\nThe striker scored twice.\n\nOil, fell")
    app.button(key="start-pasted").click().run()

    assert not app.error
    assert app.dataframe[0].value["text"].tolist() == [
        *("text", "The striker scored twice.", "", "Oil, fell"),
    ]


def test_a_longer_file_waits_in_the_queue(open_app: Open, usable: Job, store: Store) -> None:
    texts = "\n".join(f"text {number}" for number in range(file_form.MOST_AT_ONCE + 1))

    app = offer(open_app(PAGE, run=usable.id, way="A file"), "long.txt", texts.encode())
    app.button(key="start-batch").click().run()

    (job,) = store.list_jobs("classify")
    assert not job.state.is_finished
    assert "Files classified with this run" in page_text(app)
    actions.stop(store, job)


def test_a_file_is_read_again_as_its_reader_chooses(open_app: Open, usable: Job) -> None:
    app = offer(open_app(PAGE, run=usable.id, way="A file"), "a.csv", b"good\nbad\nfine\n")
    assert "3 rows, 1 column" in page_text(app)

    box = next(item for item in app.selectbox if item.label == "First line")
    box.set_value("names of the columns").run()

    assert "2 rows, 1 column" in page_text(app)


def test_a_file_that_cannot_be_read_says_why(open_app: Open, usable: Job) -> None:
    app = offer(open_app(PAGE, run=usable.id, way="A file"), "a.csv", b"id,text\n")

    assert "a.csv has a header and no rows." in page_text(app)
    assert [item.label for item in app.selectbox if item.label == "First line"]
