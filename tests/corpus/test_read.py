"""Every case of the corpus through the reader of this project, as the command line reads it."""

from collections import Counter
from pathlib import Path

import pytest

from core.settings import Settings
from tests.corpus.case import Case
from tests.corpus.cases import CASES
from tests.corpus.judge import Verdict, judge
from tests.corpus.reader import read_case, read_case_as_page, write_files

PARAMETERS = [
    pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.folder else [])
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_file_is_read_exactly_or_refused_with_the_reason(
    case: Case, tmp_path: Path, settings: Settings
) -> None:
    folder = tmp_path / "files"
    paths = write_files(case, folder)

    answer = read_case(case, paths, settings)

    verdict = judge(case, answer, lambda options: read_case(case, paths, settings, options))
    assert verdict is Verdict.RIGHT, f"{answer.error or answer.report}\nexpected: {case.outcomes}"


@pytest.mark.parametrize("case", [case for case in CASES if not case.folder], ids=lambda c: c.id)
def test_the_page_reads_it_as_well(case: Case, tmp_path: Path, settings: Settings) -> None:
    paths = write_files(case, tmp_path / "files")

    answer = read_case_as_page(case, paths, settings)

    verdict = judge(case, answer, lambda other: read_case_as_page(case, paths, settings, other))
    assert verdict is Verdict.RIGHT, f"{answer.error or answer.report}\nexpected: {case.outcomes}"


def test_the_corpus_is_large_and_every_name_is_used_once() -> None:
    names = Counter(case.id for case in CASES)

    assert len(CASES) >= 160
    assert [name for name, count in names.items() if count > 1] == []
