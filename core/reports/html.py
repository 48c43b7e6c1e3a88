"""A run or a comparison as one HTML file: pictures and style are in it, there is no script, and it
opens without a network.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from core.charts.base import Chart
from core.config import RunConfig
from core.reports.svg import to_svg

TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class ReportSection:
    """A heading with lines, a picture, a table whose cells are words, and a note. ``numbers`` are
    columns set to the right.
    """

    heading: str
    lines: Sequence[str] = ()
    svg: str = ""
    alt: str = ""
    table: pd.DataFrame | None = None
    numbers: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class HtmlReport:
    """What the file says, in its order. ``made_at`` is seconds since 1970."""

    title: str
    lead: Sequence[str]
    about: str
    sections: Sequence[ReportSection]
    made_at: float = field(default_factory=time.time)

    @property
    def origin(self) -> str:
        """Data and day."""
        return (
            f"{self.about} · {time.strftime('%-d %B %Y, %H:%M', time.localtime(self.made_at))} ·"
            " LoRA Lab"
        )


def render(report: HtmlReport) -> bytes:
    """The file. Every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(report=report).encode()


def picture(heading: str, chart: Chart, lines: Sequence[str] = (), note: str = "") -> ReportSection:
    """A section with a chart."""
    return ReportSection(heading, lines, to_svg(chart), chart.alt, note=note)


def shares(frame: pd.DataFrame, columns: Sequence[str], digits: int = 3) -> pd.DataFrame:
    """``frame`` with those columns as words of so many digits."""
    return frame.assign(
        **{name: frame[name].map(lambda value: f"{value:.{digits}f}") for name in columns}
    )


def configurations(configs: dict[str, RunConfig]) -> pd.DataFrame:
    """A line a field and a column a run; of several runs the fields in which they differ."""
    values = {name: config.model_dump() for name, config in configs.items()}
    first = next(iter(values.values()))
    fields = [
        name
        for name in first
        if len(values) == 1 or any(other[name] != first[name] for other in values.values())
    ]
    titles = [RunConfig.model_fields[name].title or name for name in fields]
    return pd.DataFrame(
        {
            "Field": titles,
            **{name: [_shown(each[key]) for key in fields] for name, each in values.items()},
        }
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "the model's usual ones"
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
