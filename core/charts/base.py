"""Shared parts of all charts: the chart type, colors, and conversion of an Altair chart to a spec
without data.

A spec is built once per set of style arguments and its data is passed separately, because passing a
ready spec to Streamlit takes 5 ms and building one 80 to 150 ms. Colors of axes, titles and text
come from the page's theme.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa

from core.translation import ENGLISH, LANGUAGES, translate

Spec = dict[str, object]

# contrast of 3:1 on the light and the dark page, distinguishable with color blindness
CLASS_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
CLASS_SHAPES = ("circle", "square", "triangle-up", "diamond")
CLASS_DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 3), (10, 3, 2, 3))
# contrast of 3:1 as well
RUN_COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#8C6D1F",
    "#7B61C4",
    "#C0392B",
    "#3A8FB7",
    "#6B8E23",
    "#7F7F7F",
)
HUE = "#0072B2"
FADED = "#8793A0"  # contrast of 3:1 on both pages
ACCENT = "#D55E00"
TEXT_COLORS = {  # the same hues for text: contrast of 4.5:1 on the light and the dark page
    False: ("#0060A0", "#A84800", "#00734F", "#9C4674"),
    True: ("#5DB3EE", "#F59A5B", "#3CC79B", "#E3A3C6"),
}
# Streamlit replaces it by the theme's gray, which has a contrast of 4.5:1 (.streamlit/config.toml)
THEME_TEXT = "gray"

DRAWING_COLUMNS = frozenset(
    {
        "shade",
        "on_dark",
        "chosen",
        "kept",
        "label",
        "kind",
        "late",
        "middle",
        "order",
        "x",
        "y",
        "size",
        "start",
        "end",
    }
)
LABEL_ROOM = 1.25  # length of the axis as a multiple of the longest bar
NARROW_LABEL_ROOM = 1.6
NARROW = "width > 0 && containerSize()[0] < 420"  # a phone; false without a page, as in reports
# px of a class name before it is cut off; the tooltip has the whole name
NAME_PIXELS = f"{NARROW} ? 130 : 220"
LETTER = 8.0  # px: width of a letter at FONT, a little more than the mean
LONG_NAME = 14  # letters of a legend entry of which only one fits into a narrow row

AXIS_LIMIT, LEGEND_LIMIT = 220, 260  # px of a name on an axis and in a legend
HEADS = (0.5, 0.3, 0.7, 0.85, 0.15)
SHORTENED_LETTERS = (12, 16, 21, 27)  # of names in a matrix and on other axes, narrow and wide
SPARE = 1.25  # for names of wide letters, before Vega cuts off their ends
FONT = 14  # px: legible from the back of a classroom
CONFIG: Spec = {
    "axis": {
        "labelFontSize": FONT,
        "titleFontSize": FONT,
        "labelLimit": AXIS_LIMIT,
        "titlePadding": 10,
        "labelPadding": 8,
        "labelFlush": False,
    },
    "axisDiscrete": {"labelOverlap": False, "grid": False},
    "legend": {
        "labelFontSize": FONT,
        "titleFontSize": FONT,
        "labelLimit": LEGEND_LIMIT,
        "symbolSize": 140,
        "symbolOpacity": 1,  # not that of the first marks, which may be a pale background
        "symbolStrokeWidth": 2.5,
    },
    "title": {"fontSize": 17, "anchor": "start", "offset": 12},
    # Streamlit's theme would add a tooltip to each label and rule
    "mark": {"tooltip": None},
    "view": {"stroke": "transparent"},
    "text": {"fontSize": FONT},
}


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite spec without data, its data, title, text alternative, and a note shown below.

    ``whole`` is the readable table of a chart that draws only a part of its data. Draw a chart with
    ``st.vega_lite_chart(chart.arrow, chart.spec, alt=chart.alt)``. The spec is shared between calls
    and must not be changed.
    """

    spec: Spec
    data: pd.DataFrame = field(repr=False)
    title: str
    alt: str
    note: str = ""
    whole: pd.DataFrame | None = field(default=None, repr=False)

    @cached_property
    def arrow(self) -> pa.Table:
        """The data as an Arrow table, converted once."""
        return pa.Table.from_pandas(self.data, nthreads=1)

    @property
    def table(self) -> pd.DataFrame:
        """The data as a readable table, without columns that only control the drawing."""
        if self.whole is not None:
            return self.whole
        read = self.data.drop(
            columns=[name for name in self.data.columns if name in DRAWING_COLUMNS]
        )
        return read.dropna(how="all", ignore_index=True)  # rows of rules and marks


def name_labels(names: Iterable[str]) -> str:
    """Return the expression for the names of a legend or axis in the language of the visit."""
    named = json.dumps({name: translate(name) for name in names}, ensure_ascii=False)
    return f"({named})[datum.label]"


def finish(chart: alt.TopLevelMixin, title: str = "", language: str = ENGLISH) -> Spec:
    """Convert ``chart`` to a spec without data, with shared font sizes and an optional title.

    Axes and tooltips have the separators of ``language``, which is that of the chart's texts.
    """
    spec = remove_data(chart.to_dict())
    assert isinstance(spec, dict)
    separators = LANGUAGES[language]
    number = {
        "decimal": separators.decimal,
        "thousands": separators.thousands,
        "grouping": [3],
        "currency": ["", ""],
    }
    spec["config"] = CONFIG if language == ENGLISH else {**CONFIG, "locale": {"number": number}}
    wrap_legends(spec)
    shorten_names(spec)
    return spec | ({"title": {"text": title}} if title else {})


def wrap_legends(value: object) -> None:
    """Arrange horizontal legends in columns on narrow pages, where one row would be cut off."""
    if isinstance(value, dict):
        legend, scale = value.get("legend"), value.get("scale")
        if isinstance(legend, dict) and legend.get("orient") in ("top", "bottom"):
            names = scale.get("domain") if isinstance(scale, dict) else None
            longest = max(map(len, map(str, names)), default=0) if isinstance(names, list) else 0
            columns = 1 if longest > LONG_NAME else 2
            usual = legend.get("columns", 0)  # 0 is one row
            legend["columns"] = {"expr": f"{NARROW} ? {columns} : {usual}"}
        for item in value.values():
            wrap_legends(item)
    elif isinstance(value, list):
        for item in value:
            wrap_legends(item)


def shorten_names(value: object) -> None:
    """Shorten the names on axes and in legends in their middle: long names often begin alike, and
    Vega would cut off where they differ.
    """
    if isinstance(value, dict):
        limits = {"axis": AXIS_LIMIT, "legend": LEGEND_LIMIT}
        for part in limits if value.get("type") in ("nominal", "ordinal") else ():
            guide = value.get(part)
            if isinstance(guide, dict) and "labelExpr" not in guide:
                limit = guide.get("labelLimit", limits[part])
                pixels = f"({limit['expr']})" if isinstance(limit, dict) else str(limit)
                guide["labelExpr"] = shorten(pixels)
                guide["labelLimit"] = {"expr": f"{pixels} * {SPARE}"}
        for item in value.values():
            shorten_names(item)
    elif isinstance(value, list):
        for item in value:
            shorten_names(item)


def shorten(pixels: str, letter: float = LETTER, head: float = 0.5) -> str:
    """Return the expression for a label that is shortened to about ``pixels``; ``head`` of the
    letters that are left are its first ones.
    """
    letters = f"floor({pixels} / {letter})"
    first = f"floor({letters} * {head})"
    start = f"length(datum.label) - {letters} + {first} + 1"
    ends = f"substring(datum.label, 0, {first}) + '…' + substring(datum.label, {start})"
    return f"length(datum.label) > {letters} ? {ends} : datum.label"


def choose_head(names: Sequence[str]) -> float:
    """Choose the ``head`` of ``shorten`` that leaves most names distinct: half, unless names have
    the same beginning and the same end.
    """

    def count_distinct(head: float) -> int:
        return sum(
            len({shorten_name(name, letters, head) for name in names})
            for letters in SHORTENED_LETTERS
        )

    return max(HEADS, key=count_distinct)


def shorten_name(name: str, letters: int, head: float) -> str:
    """Shorten a name as the expression of ``shorten`` does."""
    if len(name) <= letters:
        return name
    first = int(letters * head)
    return f"{name[:first]}…{name[len(name) - letters + first + 1 :]}"


def make_name_axis(names: Sequence[str], **options: Any) -> alt.Axis:
    """Return an axis of class names, which are shortened so that they stay distinct."""
    pixels = f"({NAME_PIXELS})"
    return alt.Axis(
        labelExpr=shorten(pixels, head=choose_head(names)),
        labelLimit=alt.ExprRef(f"{pixels} * {SPARE}"),
        **options,
    )


def remove_data(value: object) -> object:
    """Remove the empty data that Altair adds to each layer."""
    if isinstance(value, dict):
        items = {
            key: item
            for key, item in value.items()
            if key != "datasets" and (key, item) != ("data", {"name": "empty"})
        }
        return {key: remove_data(item) for key, item in items.items()}
    return [remove_data(item) for item in value] if isinstance(value, list) else value


def set_title(spec: Spec, title: str) -> Spec:
    """Return a copy of ``spec`` with a title."""
    return spec | {"title": {"text": title}}


def draw_labeled_bars(base: alt.Chart, bars: alt.Chart, column: str, title: str) -> alt.LayerChart:
    """Add the text of ``label`` after each bar of ``column``, with room on the axis so that it is
    not clipped.
    """
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT).encode(
        text="label:N", color=alt.value(THEME_TEXT)
    )
    factor = f"({NARROW} ? {NARROW_LABEL_ROOM} : {LABEL_ROOM})"
    room = base.transform_calculate(room=f"datum.{column} * {factor}").mark_point(opacity=0, size=0)
    return alt.layer(bars, numbers, room.encode(x=alt.X("room:Q", title=title)))


def make_click_selection(*fields: str) -> alt.Parameter:
    """Create the selection parameter ``chosen`` of toggled marks; only a click on a mark changes
    it.
    """
    return alt.selection_point(name="chosen", fields=list(fields), toggle="true", clear=False)


def fade_unchosen(opacity: float = 0.3) -> Any:
    """Return the opacity of a mark, reduced where its column ``kept`` is false."""
    return alt.when("datum.kept === false").then(alt.value(opacity)).otherwise(alt.value(1))


def choose_class_colors(classes: Sequence[str], chosen: str | None = None) -> list[str]:
    """Return a color per class: distinct for up to four, otherwise one hue with ``chosen``
    highlighted.
    """
    if len(classes) <= len(CLASS_COLORS):
        return list(CLASS_COLORS[: len(classes)])
    return [HUE if chosen is None or name == chosen else FADED for name in classes]


def choose_class_dashes(classes: Sequence[str]) -> list[tuple[int, ...]]:
    """Return a dash pattern per class, so that color is not the only distinction; solid beyond
    four classes.
    """
    return (
        list(CLASS_DASHES[: len(classes)])
        if len(classes) <= len(CLASS_DASHES)
        else [CLASS_DASHES[0]] * len(classes)
    )


def format_share(share: float) -> str:
    """Format a proportion: ``91.2 %``; small values never become 0."""
    return "under 0.1 %" if 0 < share < 0.0005 else f"{share * 100:.1f} %"
