"""Conditions for which a test in a browser waits before it acts or looks, as a person would."""

import tomllib
from typing import Literal

from playwright.sync_api import Locator, Page, expect

from tests.support.app.server import ROOT

SECONDS = 1000  # Playwright counts milliseconds
PATIENCE = 60 * SECONDS  # a page is drawn in less, also on a busy machine with two slow cores
THEMES = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
IS_STILL = """() => !document.getAnimations().some(animation =>
  animation.playState === 'running' && Number.isFinite(animation.effect.getComputedTiming().endTime)
)"""


def wait_for_scripts(page: Page) -> None:
    """Wait until no script runs: one that still draws moves what is below, and sets fields back to
    what it has read.
    """
    idle = page.locator(
        "[data-testid=stApp][data-test-script-state=notRunning]"
        "[data-test-connection-state=CONNECTED]"
    )
    expect(idle).to_be_attached(timeout=PATIENCE)


def settle(page: Page, title: str = "") -> None:
    """Wait until the page with this title, if given, is finished: no script runs, no skeleton is
    drawn and nothing moves.

    A press on a button that moves before it is released is not a click.
    """
    if title:
        heading = "LoRA Lab" if title == "Home" else title
        expect(page.locator(".st-key-page-header h1")).to_have_text(heading, timeout=PATIENCE)
    wait_for_scripts(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_function(IS_STILL, timeout=PATIENCE)


def choose_theme(page: Page, theme: Literal["light", "dark"]) -> None:
    """Switch the browser to a theme and wait until the page is drawn in its colors."""
    page.emulate_media(color_scheme=theme)
    digits = THEMES[theme]["backgroundColor"].removeprefix("#")
    color = ", ".join(str(part) for part in bytes.fromhex(digits))
    expect(page.get_by_test_id("stApp")).to_have_css(
        "background-color", f"rgb({color})", timeout=PATIENCE
    )
    settle(page)


def open_expander(page: Page, title: str) -> Locator:
    """Open an expander and wait until it is open; return it."""
    expander = page.get_by_test_id("stExpander").filter(has=page.get_by_text(title, exact=True))
    expander.locator("summary").click()
    expect(expander.locator("details")).to_have_attribute("open", "")
    settle(page)
    return expander
