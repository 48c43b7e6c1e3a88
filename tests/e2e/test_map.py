"""A map in a browser: create it, drag a box, read its texts, clear the box."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.app.browser import settle

pytestmark = [pytest.mark.browser, pytest.mark.worker]
MADE_SECONDS = 240  # a worker imports torch while other tests run


def test_a_box_in_the_map_lists_its_texts(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 1200})
    page.goto(f"{server}/embeddings?method=PCA")
    page.get_by_role("button", name="Prepare data").click()
    page.get_by_role("button", name="Create map").click(timeout=MADE_SECONDS * 1000)
    expect(page.get_by_role("heading", name=re.compile("Nearest-neighbor accuracy"))).to_be_visible(
        timeout=MADE_SECONDS * 1000
    )

    plot = page.locator(".st-key-map-0-chart svg.marks").first
    expect(plot.locator(".mark-symbol path").first).to_be_attached()  # drawn after it exists
    plot.scroll_into_view_if_needed()
    settle(page)
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] * 0.7, steps=8)
    page.mouse.up()

    chosen = page.get_by_role("heading", name=re.compile(r"[1-9]\d* texts? selected"))
    expect(chosen).to_be_visible()
    settle(page)
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    expect(chosen).to_be_hidden()
