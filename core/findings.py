"""What a check finds: how much it matters, a sentence, and the values that mend it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.config import RunConfig, shown

COUNTED = ("rows", "tokens", "steps", "epochs")


class Level(StrEnum):
    """How much a finding matters; an error blocks the launch."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with ``field``, and the values that mend it, if any do."""

    level: Level
    field: str
    message: str
    fix: Mapping[str, object] | None = None

    @property
    def fix_label(self) -> str:
        """What a button that applies the fix says; empty without one."""
        parts = [f"{RunConfig.model_fields[name].title} to {_written(name, value)}" for name, value in (self.fix or {}).items()]
        return f"Set {' and '.join(parts)}" if parts else ""


def _written(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value == ():
        return "the model's usual ones"
    if value == 0 and name in ("train_rows", "test_rows"):
        return "all"
    number = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    unit = shown(name).unit
    return f"{number} {unit.removesuffix('s') if value == 1 else unit}" if unit in COUNTED else number
