"""Linked selection of the Explore page in a browser: each click filters everything else, and the
URL restores it.
"""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.app.browser import settle

pytestmark = [pytest.mark.browser, pytest.mark.worker]
PREPARED_SECONDS = 180  # a process imports datasets while other tests run


def finding(page: Page, words: str, seconds: int = 30) -> None:
    expect(page.get_by_role("heading", name=re.compile(f"^{words}$"))).to_be_visible(
        timeout=1000 * seconds
    )


def mark(page: Page, chart: str, number: int = 0) -> Locator:
    """Return a bar of a finished chart, or a word of a cloud."""
    settle(page)
    shape = ".mark-text text" if "cloud" in chart else ".mark-rect path"
    return page.locator(f".st-key-{chart}-chart svg.marks {shape}").nth(number)


def test_clicks_filter_everything_and_the_address_restores_the_view(
    page: Page, server: str
) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(f"{server}/explore")
    page.get_by_role("button", name="Prepare data").click()
    finding(page, "360 texts in train", PREPARED_SECONDS)

    mark(page, "balance").click()  # the first bar is World's
    finding(page, "90 of 360 texts in train match")
    expect(page.locator(".st-key-lift-class").get_by_role("button")).to_contain_text("World")

    word = mark(page, "words-cloud-0")
    chosen = word.text_content() or ""
    word.click()
    expect(page.get_by_label("Whole word")).to_have_value(chosen)
    expect(page.locator(".st-key-word-examples")).to_contain_text(f"{chosen} occurs")
    heading = page.get_by_role(
        "heading", name=re.compile("of 360 texts in train match")
    ).inner_text()
    assert int(heading.split()[0]) < 90

    expect(page).to_have_url(re.compile("classes=World"))
    expect(page).to_have_url(re.compile(f"word={chosen}"))
    address = page.url
    browser = page.context.browser
    assert browser is not None
    fresh = browser.new_page()
    fresh.goto(address)
    finding(fresh, re.escape(heading))
    expect(fresh.locator(".st-key-word-examples")).to_contain_text(f"{chosen} occurs")
    fresh.close()

    mark(page, "words-cloud-0").click()  # a second click clears it
    finding(page, "90 of 360 texts in train match")
    settle(page)
    page.get_by_role("button", name="Show all").click()
    finding(page, "360 texts in train")
    mark(page, "lengths", number=4).click()
    finding(page, r"\d+ of 360 texts in train match")
