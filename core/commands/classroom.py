"""``python -m core classroom``: the codes that open a class, for the person who starts the server."""

from typing import Any

import typer

from core.classroom import read_codes, read_rules
from core.commands.printing import Json, print_result
from core.jobs.rebuild import open_store
from core.settings import Settings


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(classroom)


def classroom(as_json: Json = False) -> None:
    """Show the class code, the teacher's code and the rules of the class."""

    def codes() -> Any:
        store = open_store(Settings())
        found = read_codes(store)
        return {
            "mode": store.settings.mode,
            "class_code": found.student,
            "teacher_code": found.teacher,
            "rules": read_rules(store).model_dump(),
        }

    print_result(codes, as_json, _as_text)


def _as_text(codes: dict[str, Any]) -> str:
    hint = "" if codes["mode"] == "classroom" else "\nThe server is not a classroom yet: start it with LORALAB_MODE=classroom."
    return f"class code    {codes['class_code']}\nteacher code  {codes['teacher_code']}{hint}"
