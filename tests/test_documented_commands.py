"""The commands in the README and in the documents are those that the command line has."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer import TyperException
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from core.cli.app import app
from core.presets import make_config, parse_assignments

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
COMMAND = re.compile(r"python -m core +([a-z][^`\n]*)|lora-lab +([a-z][^`\n]*)")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def documented_commands() -> list[str]:
    """Arguments of every documented command, as written after ``python -m core``."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    text = re.sub(r"(`[^`\n]*)\n([^`\n]*`)", r"\1 \2", text)  # a command that a line break divides
    written = [first or second for first, second in COMMAND.findall(text)]
    return sorted({" ".join(shlex.split(each, comments=True)) for each in written})


def readme_commands() -> list[list[str]]:
    """Arguments of each command in the tour of the README, which another test runs."""
    lines = re.findall(r"^\$ \.venv/bin/python -m core (.*)$", README, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def find_command(arguments: list[str]) -> tuple[TyperCommand, list[str]]:
    """Command that ``arguments`` name, also one in a group, and what follows its name."""
    command: Any = get_command(app)
    words = list(arguments)
    while isinstance(command, TyperGroup):
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    return command, words


def parse(arguments: list[str]) -> dict[str, Any]:
    """Values of a command's parameters, without running it. Raises TyperException."""
    command, values = find_command(arguments)
    return command.make_context("test", values).params


NAMED_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.py)`")
PLACEHOLDER = "NAME"  # as in pages/NAME.py


def named_files() -> list[tuple[str, str]]:
    """Document and path of every Python file that a document names with its folder."""
    return sorted(
        {
            (document.name, path)
            for document in DOCUMENTS
            for path in NAMED_FILE.findall(document.read_text(encoding="utf-8"))
            if PLACEHOLDER not in path
        }
    )


@pytest.mark.parametrize(("document", "path"), named_files())
def test_a_file_that_a_document_names_exists(document: str, path: str) -> None:
    assert any((ROOT / folder / path).is_file() for folder in ("", "core"))


def test_the_readme_lists_commands() -> None:
    assert len(readme_commands()) >= 5


@pytest.mark.parametrize("arguments", readme_commands(), ids=" ".join)
def test_a_command_of_the_readme_has_the_options_it_shows(arguments: list[str]) -> None:
    values = parse(arguments)

    make_config(None, parse_assignments(values.get("assignments") or []))


@pytest.mark.parametrize("arguments", documented_commands())
def test_a_command_that_any_document_names_exists(arguments: str) -> None:
    command, words = find_command(arguments.split())
    options = {name for parameter in command.params for name in parameter.opts}

    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("arguments", [["train", "--present", "quick"], ["export"]])
def test_wrong_options_are_noticed(arguments: list[str]) -> None:
    with pytest.raises(TyperException):
        parse(arguments)


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command 'trian'"):
        parse(["trian"])


def test_each_set_up_command_uses_any_python_and_lets_pip_report() -> None:
    commands = [line for line in README.splitlines() if "-m venv" in line]

    assert [line.split(" && ")[0] for line in commands] == ["python3 -m venv .venv"] * 2
    assert all(re.search(r" && \.venv/bin/pip install -r \S+\.txt && ", line) for line in commands)
    assert [line.split(" && ")[2] for line in commands] == [
        ".venv/bin/streamlit run Home.py",
        ".venv/bin/python -m pytest",
    ]
    files = re.findall(r"install -r (\S+)", "\n".join(commands))
    assert all((ROOT / name).is_file() for name in files)


def test_the_check_before_a_change_finds_the_test_command_in_the_readme() -> None:
    first = next(line for line in README.splitlines() if "requirements-dev.txt" in line)

    assert first.startswith("python3 -m venv .venv && ")
    assert first.endswith(" && .venv/bin/python -m pytest")
