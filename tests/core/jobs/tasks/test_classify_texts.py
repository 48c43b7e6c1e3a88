from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.tables.exported_cells import to_csv
from core.data.tables.whole_table import read_whole
from core.jobs.tasks.classify_texts import (
    Classified,
    ClassifyResult,
    assemble_table,
    find_batch,
    list_batches,
    read_classified,
    write_classified,
)
from core.jobs.tasks.text_batch import build_batch
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.text_batches import make_batch

CLASSES = ("World", "Sci/Tech")
BOTH = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)


def answered(data: str, label: str = "") -> Classified:
    return assemble_table(
        build_batch(read_whole("a.csv", data.encode()), "text", label), BOTH, CLASSES
    )


def test_answers_stand_in_their_rows_next_to_all_columns() -> None:
    result = answered("id,text,day\n007,one,2024-01-01\n008,,x\n009,a,b,c\n010,two,1.0\n")

    assert result.frame.columns.tolist() == [
        *("id", "text", "day", "class", "probability", "p(World)", "p(Sci/Tech)"),
        *("problem", "original line"),
    ]
    assert result.frame["id"].tolist() == ["007", "008", "009", "010"]
    assert result.frame["day"].tolist() == ["2024-01-01", "x", "b", "1.0"]
    assert result.frame["class"].fillna("").tolist() == ["World", "", "", "Sci/Tech"]
    assert result.frame["problem"].fillna("").tolist() == [
        *("", "no text", "unreadable: 4 cells instead of 3", ""),
    ]
    assert result.frame["original line"].dropna().tolist() == ["009,a,b,c"]
    assert (result.answered, result.blank, result.unreadable, result.renamed) == (2, 1, 1, {})


def test_a_file_without_problems_gets_no_columns_for_them() -> None:
    assert answered("text\none\ntwo\n").frame.columns.tolist() == [
        *("text", "class", "probability", "p(World)", "p(Sci/Tech)"),
    ]


def test_new_columns_leave_those_of_the_file_alone() -> None:
    result = answered("class,text,class (2),p(World)\na,one,b,c\nd,two,e,f\n")

    assert result.renamed == {"class": "class (3)", "p(World)": "p(World) (2)"}
    assert result.frame["class"].tolist() == ["a", "d"]
    assert result.frame["class (3)"].tolist() == ["World", "Sci/Tech"]
    assert result.answers["class"].tolist() == ["World", "Sci/Tech"]


def test_labels_are_compared_as_they_are_written() -> None:
    batch = make_batch(["one", " ", "two", "three"], ["World", "World", "sci/tech", "Cooking"])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], dtype=np.float32)

    result = assemble_table(batch, probabilities, CLASSES)

    assert result.counts is not None
    assert result.counts.tolist() == [[1, 0], [0, 0]]
    assert result.unknown == {"sci/tech": 1, "Cooking": 1}
    assert result.scores is not None
    assert result.scores.accuracy.value == 1.0


def test_without_labels_there_are_no_scores() -> None:
    result = answered("text\none\ntwo\n")

    assert (result.scores, result.counts, result.unknown) == (None, None, {})


def test_a_stored_result_is_read_back(store: Store, tmp_path: Path) -> None:
    result = answered("class,text\na,one\nb,\nc,two\n")
    stored = write_classified(tmp_path, result)
    job = make_job(store, stored)

    again = read_classified(tmp_path, job)

    assert to_csv(again.plain) == to_csv(result.plain)
    assert (again.columns, again.blank) == (result.columns, 1)


def test_a_result_of_the_first_release_is_read(store: Store, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a"], "class": ["World"], "probability": [0.5]})
    frame.to_parquet(tmp_path / "classified.parquet", index=False)
    job = make_job(store, ClassifyResult(rows=1, counts=None, unknown={}, blank=0))

    again = read_classified(tmp_path, job)

    assert again.answers.to_dict("list") == {"class": ["World"], "probability": [0.5]}
    assert again.plain.columns.tolist() == ["text", "class", "probability"]


def make_job(store: Store, result: ClassifyResult, run: str = "run") -> Job:
    request = {"run": run, "key": "", "name": "a.csv"}
    job = store.create(JobKind.CLASSIFY, "Classify a.csv", request, f"{run}{result.rows}")
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    store.update(job, result_json=result.model_dump_json())
    store.transition(job, JobState.COMPLETED, ended_at=store.clock())
    return store.read_job(job.id)


@pytest.mark.parametrize("run", ["mine", "another"])
def test_files_of_a_run_are_listed(store: Store, run: str) -> None:
    job = make_job(store, ClassifyResult(rows=1, counts=None, unknown={}, blank=0), run)
    of_run = Job("mine", "train", "x", JobState.COMPLETED, 1, "", "{}", 0.0)

    assert list_batches(store, of_run) == ([job] if run == "mine" else [])
    assert find_batch(store, of_run, job.id) == (job if run == "mine" else None)
