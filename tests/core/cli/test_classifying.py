import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from core.cli.app import app
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
