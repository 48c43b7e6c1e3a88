"""Values within what was read as JSON, or built to be written as JSON, whose type is ``object``."""

from typing import Any


def value_at(value: object, *path: str | int) -> Any:
    """The value at ``path``: keys of objects and places in lists. Fails where there is none."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(value, dict), f"{step!r} is looked up in {value!r}"
            value = value[step]
        else:
            assert isinstance(value, list), f"place {step} is looked up in {value!r}"
            value = value[step]
    return value
