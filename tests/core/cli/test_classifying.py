import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from core.cli.app import app
from core.data.tables.whole_table import read_whole
from core.settings import Settings
from core.storage.recovery import open_store

pytestmark = pytest.mark.slow

Call = Callable[..., Result]
ROWS = (
    'title,text,label\n1,"=HYPERLINK(1) oil prices fell",Business\n2,The striker'
    " scores.,Sports\n3,,World\n4,Troops go.,Cooking\n"
)


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Classify ``rows.csv`` with the bundled run."""
    open_store(Settings())
    (tmp_path / "rows.csv").write_text(ROWS)
    return lambda *given: CliRunner().invoke(
        app, ["classify", "example", "--file", str(tmp_path / "rows.csv"), *given]
    )


def test_a_file_gives_a_file_and_its_scores(call: Call, tmp_path: Path) -> None:
    done = call(
        "--column", "text", "--label", "label", "--out", str(tmp_path / "out.csv"), "--json"
    )

    result = json.loads(done.stdout)
    written = pd.read_csv(tmp_path / "out.csv")
    assert (result["rows"], result["blank"], result["unknown_labels"]) == (4, 1, {"Cooking": 1})
    assert result["accuracy"] == 1.0
    assert written["class"].tolist()[:2] == ["Business", "Sports"]
    assert written["text"][0].startswith("'=HYPERLINK"), "a spreadsheet would run it"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--column", "text"), "A file for the results is missing."),
        (("--column", "body", "--out", "out.csv"), "rows.csv has no column 'body'."),
        (("--out", "nowhere/out.csv"), "There is no folder nowhere."),
        (("--out", "out.txt"), "out.txt has another ending."),
        (("a text", "--out", "out.csv"), "Texts and a file cannot be classified at once."),
    ],
)
def test_a_wrong_call_says_what_to_do(call: Call, given: tuple[str, ...], message: str) -> None:
    done = call(*given)

    assert done.exit_code == 1
    assert message in done.stderr


def test_results_never_replace_the_file_they_come_from(call: Call, tmp_path: Path) -> None:
    done = call("--out", str(tmp_path / "." / "rows.csv"))

    assert done.exit_code == 1
    assert "The results would replace" in done.stderr
    assert (tmp_path / "rows.csv").read_text() == ROWS


def test_options_of_a_file_are_refused_without_one() -> None:
    done = CliRunner().invoke(app, ["classify", "example", "hi", "--label", "label"])

    assert done.exit_code == 1
    assert "need a file" in done.stderr


def run(*given: str) -> Result:
    open_store(Settings())
    return CliRunner().invoke(app, ["classify", "example", *given])


def test_rows_and_columns_stay_and_the_summary_counts_what_has_no_answer(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "id,text,class\n007,=Oil prices fell,a\n008,b,c,d\n\n009,,e\n010,Goal!,f\n"
    )

    done = run("--file", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv"), "--json")

    result = json.loads(done.stdout)
    written = read_whole("out.csv", (tmp_path / "out.csv").read_bytes()).frame
    assert (result["rows"], result["classified"], result["blank"], result["unreadable"]) == (
        *(5, 2, 2, 1),
    )
    assert (result["renamed"], result["escaped_cells"]) == ({"class": "class (2)"}, 1)
    assert written["id"].tolist() == ["007", "008", "", "009", "010"]
    assert written["text"].tolist() == ["=Oil prices fell", "b", "", "", "Goal!"]
    assert written["class (2)"].tolist() == ["Business", "", "", "", "Sports"]


@pytest.mark.parametrize(
    ("options", "rows", "first"),
    [((), 2, "The team won."), (("--no-header",), 2, "The team won."), (("--header",), 1, "Goal!")],
)
def test_a_list_of_texts_keeps_its_first_unless_it_is_named_a_header(
    tmp_path: Path, options: tuple[str, ...], rows: int, first: str
) -> None:
    (tmp_path / "in.txt").write_text("The team won.\nGoal!\n")

    done = run(
        "--file", str(tmp_path / "in.txt"), "--out", str(tmp_path / "out.jsonl"), "--json", *options
    )

    result = json.loads(done.stdout)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert result["rows"] == rows
    assert bool(result["notes"]) == (not options)
    assert next(iter(json.loads(lines[0]).values())) == first


@pytest.mark.parametrize("command", ["classify", "tokens"])
def test_a_byte_that_is_no_character_is_replaced_and_said(command: str) -> None:
    open_store(Settings())
    run_name = [] if command == "tokens" else ["example"]

    done = CliRunner().invoke(app, [command, *run_name, "Goal \udcff!"])

    assert "is not valid Unicode: � replaces 1 of its bytes." in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_an_unknown_column_with_such_a_byte_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,a\n")
    files = ("--file", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv"))

    done = run(*files, "--column", "\udcff", "--json")

    assert "no column" in json.loads(done.stdout)["error"]
