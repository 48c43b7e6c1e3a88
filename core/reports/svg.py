"""A chart as a picture that needs no browser, no script and no network."""

from core.charts.base import Chart

WIDTH = 640  # px
TEXT = "#5f6368"  # 5.9:1 on the white of a report


def to_svg(chart: Chart, width: int = WIDTH) -> str:
    """The chart as an SVG element ``width`` px wide; all text in it is escaped."""
    # Holds a JavaScript engine of its own, only for who asks for a picture.
    import vl_convert  # noqa: PLC0415

    config = chart.spec.get("config")
    look = {
        **(config if isinstance(config, dict) else {}),
        "font": "sans-serif",
        "background": "white",
    }
    values = chart.data.astype(object).where(chart.data.notna(), None).to_dict("records")
    spec = {
        **{name: value for name, value in chart.spec.items() if name != "title"},
        "config": look,
        "width": width,
    }
    svg: str = vl_convert.vegalite_to_svg({**spec, "data": {"values": values}}).replace(
        '"gray"', f'"{TEXT}"'
    )
    return svg[svg.index("<svg") :]
