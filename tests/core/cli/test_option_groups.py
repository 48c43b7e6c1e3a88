from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from core.cli.option_groups import FileReading, expand_options
from core.data.tables.read_report import ReadOptions
from core.errors import DataError


@dataclass(frozen=True)
class Size:
    wide: Annotated[int, typer.Option("--width", min=1, help="In meters.")]
    names: Annotated[list[str] | None, typer.Option("--called")] = None
    round: Annotated[bool | None, typer.Option()] = None


@dataclass(frozen=True)
class Color:
    red: Annotated[float, typer.Option()] = 0.5


@pytest.fixture
def invoke() -> Callable[..., str]:
    app = typer.Typer()

    @app.command()
    @expand_options
    def draw(
        place: Annotated[str, typer.Argument(metavar="PLACE")],
        size: Size,
        color: Color,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        """Draw a shape."""
        typer.echo(f"{place} {size} {color} {loud}")

    return lambda *arguments: CliRunner().invoke(app, arguments, env={"COLUMNS": "120"}).output


def test_a_command_gets_each_group_as_one_value(invoke: Callable[..., str]) -> None:
    output = invoke("here", "--width", "2", "--called", "a", "--called", "b", "--no-round")

    size, color = Size(wide=2, names=["a", "b"], round=False), Color()
    assert output.strip() == f"here {size} {color} False"


def test_options_without_a_value_have_the_defaults_of_the_fields(
    invoke: Callable[..., str],
) -> None:
    output = invoke("here", "--width", "2", "--loud", "--red", "1")

    assert output.strip() == f"here {Size(wide=2)} {Color(red=1.0)} True"


def test_a_field_without_a_default_is_required(invoke: Callable[..., str]) -> None:
    assert "Missing option '--width'" in invoke("here")


def test_the_limits_of_a_field_are_checked(invoke: Callable[..., str]) -> None:
    assert "Input should be greater than or equal to 1" in invoke("here", "--width", "0")


def test_the_help_lists_the_options_at_the_place_of_their_group(
    invoke: Callable[..., str],
) -> None:
    output = invoke("--help")

    places = [output.index(f"--{name}") for name in ("width", "called", "round", "red", "loud")]
    assert places == sorted(places)
    assert "Draw a shape." in output and "In meters." in output
    assert "--size" not in output and "--color" not in output


def test_two_fields_of_one_name_are_refused() -> None:
    def draw(first: Color, second: Color) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="duplicate parameter name: 'red'"):
        expand_options(draw)


@pytest.mark.parametrize(
    ("separator", "character"),
    [("", ""), ("tab", "\t"), ("Comma", ","), ("semicolon", ";"), ("~", "~"), (" | ", " | ")],
)
def test_a_separator_is_a_name_or_a_character(separator: str, character: str) -> None:
    reading = FileReading(encoding="cp1252", separator=separator, header=False, quotes=True)

    assert reading.to_read_options() == ReadOptions("cp1252", character, False, True)


@pytest.mark.parametrize("separator", ["ab", '"', "\n", "tabs", '","'])
def test_other_separators_are_refused(separator: str) -> None:
    with pytest.raises(DataError, match="is no separator"):
        FileReading(separator=separator).to_read_options()
