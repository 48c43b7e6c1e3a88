"""Every case of delimited text, JSON and Parquet through ``core.data.tables``.

``LEFT_TO_LABELS`` lists what a reader of rows cannot know: which labels mean several labels or
none, which look alike, and which classes are too small. Building the splits decides that.
"""

import pytest

from tests.corpus.case import Case
from tests.corpus.cases import CASES
from tests.corpus.json_tables_reader import is_json, read_json_tables
from tests.corpus.judge import Verdict, judge
from tests.corpus.parquet_tables_reader import is_parquet, read_parquet_tables
from tests.corpus.tables_reader import is_delimited, read_tables

LEFT_TO_LABELS = frozenset(
    {
        "hidden-minus-one-float-parquet",
        "hidden-minus-one-jsonl",
        "hidden-minus-one-parquet",
        "json-text-is-nested",
        "label-unicode-forms-jsonl",
        "label-unicode-forms-csv",
        "label-full-width-digits-csv",
        "label-zero-width-space-csv",
        "ragged-footer",
        "header-numbers-as-names",
        "header-two-lines",
        "export-doccano-hash",
        "export-bar-joined",
        "export-list-as-text",
        "export-json-list-as-text",
        "export-list-as-text-several",
        "export-label-studio-csv-choices",
        "export-columns-of-zero-and-one",
        "export-emotions-joined-by-comma",
        "hidden-split-column-unsupervised",
        "hidden-minus-one-csv",
        "hidden-words",
        "shape-sentence-pairs",
        "shape-title-and-body",
        "shape-split-column-with-a-typo",
    }
)
PARQUET = [case for case in CASES if is_parquet(case)]
JSON = [case for case in CASES if is_json(case)]
DELIMITED = [case for case in CASES if is_delimited(case)]


@pytest.mark.parametrize("case", DELIMITED, ids=lambda case: case.id)
def test_rows_are_read_exactly_or_refused_with_the_reason(case: Case) -> None:
    answer = read_tables(case)

    verdict = judge(case, answer, lambda options: read_tables(case, options))
    assert (verdict is Verdict.RIGHT) == (case.id not in LEFT_TO_LABELS), (
        f"{verdict}: {answer.error or answer.report}\nexpected: {case.outcomes}"
    )


@pytest.mark.parametrize("case", JSON, ids=lambda case: case.id)
def test_objects_are_read_exactly_or_refused_with_the_reason(case: Case) -> None:
    answer = read_json_tables(case)

    verdict = judge(case, answer, lambda options: read_json_tables(case, options))
    assert (verdict is Verdict.RIGHT) == (case.id not in LEFT_TO_LABELS), (
        f"{verdict}: {answer.error or answer.report}\nexpected: {case.outcomes}"
    )


@pytest.mark.parametrize("case", PARQUET, ids=lambda case: case.id)
def test_columns_are_read_exactly_or_refused_with_the_reason(case: Case) -> None:
    answer = read_parquet_tables(case)

    verdict = judge(case, answer, lambda options: answer)
    assert (verdict is Verdict.RIGHT) == (case.id not in LEFT_TO_LABELS), (
        f"{verdict}: {answer.error or answer.report}\nexpected: {case.outcomes}"
    )


def test_what_is_left_to_the_labels_is_in_the_corpus() -> None:
    assert sorted(LEFT_TO_LABELS - {case.id for case in (*DELIMITED, *JSON, *PARQUET)}) == []
