"""The whole workflow in a browser: explore, launch, watch, reload, read a cell, classify."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.app.browser import SECONDS, settle

pytestmark = [pytest.mark.browser, pytest.mark.worker]
TRAINED_SECONDS = 240  # two processes import torch while other tests run
TRAINED = TRAINED_SECONDS * SECONDS
# the step of the live progress, 0 if there is none
STEP = """(() => {
  const bar = document.querySelector("[data-testid=stProgress]");
  const step = bar && bar.innerText.match(/step ([\\d,]+) of/);
  return step ? Number(step[1].replace(",", "")) : 0;
})()"""


def fill(page: Page, field: str, value: str) -> None:
    settle(page)
    box = page.locator(f".st-key-field-{field} input")
    box.fill(value)
    box.press("Enter")
    expect(box).to_have_value(value)


def test_the_whole_loop(page: Page, server: str, tiny_model: Path) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(server)
    expect(page.get_by_role("heading", level=1)).to_have_text("LoRA Lab")

    page.get_by_role("link", name="Explore").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Explore")  # Home has the same button
    page.get_by_role("button", name="Prepare data").click()
    expect(page.get_by_role("heading", name="360 texts in train")).to_be_visible(timeout=TRAINED)
    page.get_by_role("textbox", name="Search").fill("goal")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(
        page.get_by_role("heading", name=re.compile(r"\d+ of 360 texts in train match"))
    ).to_be_visible()

    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    settle(page)
    page.get_by_role("radio", name="Other…").or_(
        page.get_by_text("Other…", exact=True)
    ).first.click()
    page.get_by_role("textbox", name="Folder or Hub id with revision").fill(str(tiny_model))
    page.get_by_role("textbox", name="Folder or Hub id with revision").press("Enter")
    fill(page, "train_rows", "0")
    fill(page, "epochs", "30")
    fill(page, "evaluation_interval", "40")
    page.get_by_role("button", name="Start", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.get_by_text("Learning curves")).to_be_visible(timeout=TRAINED)
    first = wait_for_step(page, beyond=0)
    wait_for_step(page, beyond=first)  # without a reload
    page.reload()
    expect(page.get_by_text("Learning curves")).to_be_visible()
    expect(page.get_by_text(re.compile(r"accuracy on 80 test texts"))).to_be_visible(
        timeout=TRAINED
    )

    page.get_by_role("link", name="See which texts it misclassifies").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Evaluate")
    click_first_cell(page)
    expect(page.get_by_text(re.compile(r"World predicted correctly: \d+ text"))).to_be_visible()

    page.get_by_role("link", name="Classify").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Classify")
    page.get_by_role("button", name="A late goal").click()
    expect(page.get_by_role("textbox", name="Text")).to_have_value(
        re.compile("header")
    )  # wait as a person would
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile(r"\(\d+\.\d %\)"))).to_be_visible(
        timeout=TRAINED
    )
    expect(page.get_by_text("Untrained").first).to_be_visible()


def wait_for_step(page: Page, beyond: int) -> int:
    """Return the live step after ``beyond``; the page refreshes on its own."""
    page.wait_for_function(f"{STEP} > {beyond}", timeout=TRAINED)
    return int(page.evaluate(STEP))


def click_first_cell(page: Page) -> None:
    """Click the upper left cell of the first matrix: true and predicted class World."""
    cells = page.locator(".st-key-matrix-chart svg.marks .mark-text text")
    expect(cells.first).to_be_visible()
    settle(page)
    cells.first.click()
