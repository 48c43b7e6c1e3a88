"""Renders ``docs/hyperparameters.md`` from ``RunConfig`` and the presets. ``python -m core.config_docs`` writes the file."""

from pathlib import Path

from core.config import Group, RunConfig, bounds, choices, shown
from core.presets import PRESET_HELP, PRESETS, make_config

TARGET = Path(__file__).parents[1] / "docs" / "hyperparameters.md"

INTRODUCTION = """# Hyperparameters

Written by `python -m core.config_docs` from the one definition in `core/config.py`; a test keeps the two together. The form,
the command line (`--set NAME=VALUE`) and the error messages come from the same place."""


def render() -> str:
    """The Markdown: the presets, then for each group a table of the presets' values and the help of each field."""
    presets = [f"- **{preset.title()}**: {PRESET_HELP[preset]}" for preset in PRESETS]
    sections = [INTRODUCTION, "## Presets\n\n" + "\n".join(presets), *map(_section, Group)]
    return "\n\n".join(sections) + "\n"


def _section(group: Group) -> str:
    names = [name for name in RunConfig.model_fields if shown(name).group is group]
    head = ["Field", "Allowed", *(preset.title() for preset in PRESETS)]
    table = [head, ["---"] * len(head), *map(_row, names)]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([f"## {group}", "", *lines, "", *map(_help, names)]).rstrip()


def _row(name: str) -> list[str]:
    values = [_value(name, make_config(preset)) for preset in PRESETS]
    changed = [f"**{value}**" if name in PRESETS[preset] else value for preset, value in zip(PRESETS, values, strict=True)]
    return [f"`{name}`", _allowed(name), *changed]


def _help(name: str) -> str:
    field, unit = RunConfig.model_fields[name], shown(name).unit
    title = f"{field.title} (`{name}`{f', {unit}' if unit else ''})"
    return f"- **{title}.** {field.description}"


def _allowed(name: str) -> str:
    low, high = bounds(name)
    if options := choices(name):
        return ", ".join(options)
    if low is None or high is None:
        return "on, off" if RunConfig.model_fields[name].annotation is bool else "names" if name == "target_modules" else "a name"
    above = any(hasattr(item, "gt") for item in RunConfig.model_fields[name].metadata)
    return f"{'above ' if above else ''}{low:,} to {high:,}"


def _value(name: str, config: RunConfig) -> str:
    value = getattr(config, name)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value) or "usual"
    if value == 0 and name in ("train_rows", "test_rows"):
        return "all"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
