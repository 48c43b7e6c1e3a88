"""Barriers that axe finds: every page with the shipped example, light and dark. Serious and critical ones fail."""

import re
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ui import navigation

pytestmark = [pytest.mark.browser]

AXE = files("axe_playwright_python") / "axe.min.js"
IMPACTS = ("serious", "critical")
# What Streamlit 1.67 draws itself and nothing in a page can change, by rule and selector.
OF_STREAMLIT: dict[str, tuple[str, ...]] = {}
SEARCH = """async rules => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
  const found = await axe.run(document, {resultTypes: ['violations'], runOnly: rules.length ? rules : tags});
  const told = (one, node) => ({rule: one.id, impact: node.impact, at: node.target.join(' '), html: node.html});
  return found.violations.flatMap(one => one.nodes.map(node => told(one, node)));
}"""


def findings(page: Page, *rules: str) -> list[str]:
    """What ``rules`` find that is serious, or all rules where none is named."""
    every: list[dict[str, Any]] = page.evaluate(SEARCH, list(rules))
    ours = [one for one in every if not any(part in one["at"] for part in OF_STREAMLIT.get(one["rule"], ()))]
    return [f"{one['rule']} at {one['at']}\n    {one['html'][:300]}" for one in ours if one["impact"] in IMPACTS]


def settle(page: Page, title: str) -> None:
    """Wait until the page of that title stands: no script runs and no skeleton is drawn."""
    heading = "LoRA Lab" if title == "Home" else title
    expect(page.locator(".st-key-page-header h1")).to_have_text(heading, timeout=60_000)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached(timeout=60_000)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=30_000)


def test_axe_finds_nothing_serious_on_any_page_light_or_dark(browser: Browser, example_server: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="light", reduced_motion="reduce")
    page, found = context.new_page(), []
    page.goto(f"{example_server}/runs?run=example")
    settle(page, "Runs")
    page.evaluate(AXE.read_text())
    for file, entry in navigation.ENTRIES.items():
        if file == navigation.BOARD:  # there in a classroom alone
            continue
        page.locator(".st-key-navigation a", has_text=re.compile(f"{entry.title}$")).click()  # its icon is a word before
        settle(page, entry.title)
        found += [f"{entry.title}, light: {one}" for one in findings(page)]
        page.emulate_media(color_scheme="dark")
        settle(page, entry.title)
        found += [f"{entry.title}, dark: {one}" for one in findings(page, "color-contrast")]  # no other rule knows colours
        page.emulate_media(color_scheme="light")
    context.close()

    assert not found, "\n".join(found)
