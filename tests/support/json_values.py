"""Access to values of type ``object`` inside JSON."""

from typing import Any


def value_at(value: object, *path: str | int) -> Any:
    """Return the value at ``path`` (keys of objects, positions in lists); fail if there is none."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(value, dict), f"{step!r} is looked up in {value!r}"
            value = value[step]
        else:
            assert isinstance(value, list), f"place {step} is looked up in {value!r}"
            value = value[step]
    return value
