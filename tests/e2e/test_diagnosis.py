"""Inspect a result in a browser: click a cell, move the step, choose a row; the URL opens the same
view elsewhere.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.data.sources import demo_source
from core.settings import Settings
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.browser import settle
from tests.support.stored_runs import make_finished

pytestmark = [pytest.mark.browser]


@pytest.fixture
def runs(home: Path) -> list[Job]:
    """Create three finished runs on the same data; the last has the most correct texts."""
    store = Store(Settings())
    return [
        make_finished(store, demo_source(), f"run-{right}", right=right) for right in (28, 32, 36)
    ]


def open_elsewhere(page: Page) -> Page:
    """Open the URL in another browser context, which shares nothing with this one."""
    browser = page.context.browser
    assert browser
    fresh = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    fresh.goto(page.url)
    return fresh


def choose_first_row(page: Page, grid: Locator) -> None:
    expect(grid).to_be_visible()
    settle(page)
    grid.evaluate("grid => grid.scrollIntoView({block: 'center'})")  # away from the bar at the top
    grid.click(position={"x": 20, "y": 55})  # the box of the first row


def test_a_cell_lists_its_texts_and_a_row_opens_one(
    page: Page, runs: list[Job], server: str
) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(f"{server}/evaluate?run={runs[0].id}")
    cells = page.locator(".st-key-matrix-chart svg.marks .mark-text text")
    expect(cells.first).to_be_visible()
    settle(page)
    cells.first.click()  # World, predicted as World
    heading = page.get_by_text(re.compile("World predicted correctly: \\d+ texts"))
    expect(heading).to_be_visible()
    words = heading.inner_text()

    choose_first_row(page, page.locator(".st-key-cell-texts .dvn-scroller"))
    expect(page.locator(".st-key-whole-text").get_by_text("World news, item")).to_be_visible()

    fresh = open_elsewhere(page)
    expect(fresh.get_by_text(words)).to_be_visible()


def test_the_step_moves_the_matrix_and_the_address_keeps_it(
    page: Page, runs: list[Job], server: str
) -> None:
    page.goto(f"{server}/through_time?run={runs[0].id}")
    expect(page.get_by_text(re.compile("After step 50: "))).to_be_visible()
    slider = page.get_by_role("slider")
    settle(page)
    slider.press("ArrowLeft")
    moved = page.get_by_text(re.compile("After step 40: .* accuracy"))
    expect(moved).to_be_visible()
    words = moved.inner_text()
    expect(page).to_have_url(re.compile("step=40"))

    fresh = open_elsewhere(page)
    expect(fresh.get_by_text(words)).to_be_visible()


def choose(page: Page, box: Locator, name: str) -> None:
    """Choose from a list, which closes when what is below it is drawn."""
    box.scroll_into_view_if_needed()
    settle(page)
    box.click()
    page.get_by_role("option", name=name).click()


def test_a_comparison_is_shared_by_its_address(page: Page, runs: list[Job], server: str) -> None:
    page.goto(f"{server}/compare?compared={','.join(run.id for run in runs)}")
    pair = page.get_by_role("combobox", name=re.compile("Pair"))
    expect(pair).to_be_visible()
    choose(page, pair, "run-32 and run-36")
    only = page.get_by_text("Only run-32: 0 texts. Only run-36: 4 texts.")
    expect(only).to_be_visible()

    fresh = open_elsewhere(page)
    expect(fresh.get_by_text("Only run-32: 0 texts. Only run-36: 4 texts.")).to_be_visible()
    expect(fresh.get_by_text(re.compile("run-36 is .* better than run-28"))).to_be_visible()


def test_a_label_is_disputed_and_the_mark_survives_a_reload(
    page: Page, runs: list[Job], server: str
) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(f"{server}/errors?run={runs[2].id}")
    choose_first_row(page, page.locator(".st-key-error-list .dvn-scroller"))
    expect(page.get_by_role("button", name="Dispute label")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Dispute label").click()
    sentence = page.get_by_text(re.compile("Without 1 text with a disputed label: 92.3 %"))
    expect(sentence).to_be_visible()

    page.reload()
    expect(sentence).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("4 of 40 test texts"))).to_be_visible()
