"""Groups of options: a command takes a frozen dataclass, and each of its fields is an option."""

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_type_hints

import typer

from core.data.tables.dialect import NAMES
from core.data.tables.read_report import ReadOptions
from core.errors import DataError


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of ``command`` that is a dataclass with the fields of the dataclass.

    Typer reads the options from the signature, so a group of options stands where its parameter
    stands. Two fields of the same name raise ValueError.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        parameters += (
            _list_options(groups[name])
            if name in groups
            else [parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])]
        )

    @wraps(command)
    def build_groups(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    expanded: Any = build_groups
    expanded.__signature__ = Signature(parameters)
    expanded.__annotations__ = {each.name: each.annotation for each in parameters}
    return build_groups


def _list_options(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,  # a required option may follow an optional one
            default=_find_default(field),
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]


def _find_default(field: Field[Any]) -> Any:
    return Parameter.empty if field.default is MISSING else field.default


@dataclass(frozen=True)
class FileReading:
    """How a file is read, where the detected way is wrong."""

    encoding: Annotated[str, typer.Option(help="Encoding, if the detected one is wrong.")] = ""
    separator: Annotated[
        str,
        typer.Option(
            help="Separator: one character or several, such as ||; or tab, comma, semicolon."
        ),
    ] = ""
    header: Annotated[
        bool | None, typer.Option(help="Whether the first row names the columns.")
    ] = None
    quotes: Annotated[bool | None, typer.Option(help="Whether double quotes enclose texts.")] = None

    def to_read_options(self) -> ReadOptions:
        """Return the options of the reader; raises DataError if the separator is none."""
        return ReadOptions(self.encoding, _read_separator(self.separator), self.header, self.quotes)


def _read_separator(name: str) -> str:
    """Return the separator; raises DataError if it is neither a name nor holds a sign."""
    separator = {word: mark for mark, word in NAMES.items()}.get(name.lower(), name)
    if (len(separator) > 1 and separator.isalnum()) or set(separator) & set('"\n\r'):
        raise DataError(
            f"{name!r} is no separator.",
            "Give one character, several such as ||, or tab, comma or semicolon.",
        )
    return separator
