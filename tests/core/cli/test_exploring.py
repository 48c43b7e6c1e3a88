from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.cli.app import app
from tests.support.command_line import read_json
from tests.support.small_news import WORDS, write_small_news


@pytest.fixture
def news(tmp_path: Path) -> str:
    return str(write_small_news(tmp_path / "news"))


def counted(news: str, *arguments: str) -> Any:
    return read_json("explore", "--data", news, *arguments)


def test_classes_lengths_and_words_are_counted(news: str) -> None:
    outcome = counted(news)

    assert {(line["split"], line["class"], line["texts"]) for line in outcome["balance"]} >= {
        ("train", "Sports", 54),
        ("test", "World", 20),
    }
    assert outcome["texts"] == 216
    assert [line["median"] for line in outcome["lengths"]["words"]] == [9, 9, 9, 9]
    for name, words in outcome["words"].items():
        assert words and {word["word"] for word in words} <= set(WORDS[name].split())


def test_filters_narrow_what_is_counted(news: str) -> None:
    outcome = counted(news, "--split", "test", "--class", "Sports")

    assert (outcome["texts"], list(outcome["words"])) == (20, ["Sports"])
    assert [line["class"] for line in outcome["lengths"]["tokens"]] == ["Sports"]
    assert counted(news, "--search", "no text holds this")["texts"] == 0
    assert counted(news, "--longest", "3")["texts"] == 0


def test_a_limit_says_what_it_cuts_off(news: str) -> None:
    assert counted(news, "--max-tokens", "4")["cut"]["share"] == 1
    assert counted(news)["cut"]["texts"] == 0


def test_lines_for_a_terminal_name_the_classes(news: str) -> None:
    result = CliRunner().invoke(app, ["explore", "--data", news])

    assert result.stdout.startswith("news, 216 texts in train")
    assert all(name in result.stdout for name in WORDS)


@pytest.mark.parametrize("wrong", [("--split", "no"), ("--class", "Gardening")])
def test_a_class_or_split_that_there_is_not_is_refused_with_those_there_are(
    news: str, wrong: tuple[str, str]
) -> None:
    result = CliRunner().invoke(app, ["explore", "--data", news, *wrong])

    assert result.exit_code == 1
    assert "Choose from: " in result.stderr and "Traceback" not in result.output
