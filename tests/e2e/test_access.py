"""Barriers that axe finds: every page with the shipped example, light and dark. Serious and critical ones fail."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ui import navigation

pytestmark = [pytest.mark.browser]

AXE = files("axe_playwright_python") / "axe.min.js"
IMPACTS = ("serious", "critical")
# What Streamlit 1.67 draws itself and nothing in a page can change, by rule and selector.
OF_STREAMLIT: dict[str, tuple[str, ...]] = {}
SEARCH = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
  const found = await axe.run(document, {resultTypes: ['violations'], runOnly: tags});
  const told = (one, node) => ({rule: one.id, impact: node.impact, at: node.target.join(' '), html: node.html});
  return found.violations.flatMap(one => one.nodes.map(node => told(one, node)));
}"""


def findings(page: Page) -> list[dict[str, Any]]:
    page.evaluate(AXE.read_text())
    every = page.evaluate(SEARCH)
    return [one for one in every if one["impact"] in IMPACTS and not any(part in one["at"] for part in OF_STREAMLIT.get(one["rule"], ()))]


def settle(page: Page) -> None:
    """Wait until nothing is at work: the page runs no script and draws no skeleton."""
    expect(page.locator("[data-testid=stAppViewContainer] h1").first).to_be_visible(timeout=60_000)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached(timeout=60_000)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(browser: Browser, example_server: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    found = []
    for file, entry in navigation.ENTRIES.items():
        page.goto(f"{example_server}/{'' if file == navigation.HOME else Path(file).stem}?run=example")
        settle(page)
        found += [f"{entry.title}: {one['rule']} at {one['at']}\n    {one['html'][:300]}" for one in findings(page)]
    context.close()

    assert not found, "\n".join(found)
