"""Accessibility violations that axe finds on every page, in light and dark.

Serious and critical ones fail.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.sources import demo_source
from core.runs.requests import TrainRequest
from core.settings import Settings
from core.storage import accounts
from core.storage.job import JobKind, JobState
from core.storage.recovery import open_store
from core.storage.store import Store
from tests.support.app.browser import choose_theme, open_expander, settle
from tests.support.app.server import serving
from ui import navigation

pytestmark = [pytest.mark.browser]

AXE = files("axe_playwright_python") / "axe.min.js"
IMPACTS = ("serious", "critical")
# Violations of Streamlit 1.67 itself that a page cannot change, by rule and selector.
OF_STREAMLIT: dict[str, tuple[str, ...]] = {}
SEARCH = """async rules => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
  const runOnly = rules.length ? rules : tags;
  const result = await axe.run(document, {resultTypes: ['violations'], runOnly});
  return result.violations.flatMap(violation => violation.nodes.map(node => ({
    rule: violation.id, impact: node.impact, at: node.target.join(' '), html: node.html,
  })));
}"""


def findings(page: Page, *rules: str) -> list[str]:
    """List the serious violations of ``rules``, or of all rules if none is named."""
    every: list[dict[str, Any]] = page.evaluate(SEARCH, list(rules))
    ours = [
        item
        for item in every
        if not any(part in item["at"] for part in OF_STREAMLIT.get(item["rule"], ()))
    ]
    return [
        f"{item['rule']} at {item['at']}\n    {item['html'][:300]}"
        for item in ours
        if item["impact"] in IMPACTS
    ]


def look(page: Page, where: str) -> list[str]:
    """List the serious violations in the light and in the dark theme."""
    outcome = [f"{where}, light: {item}" for item in findings(page)]
    choose_theme(page, "dark")
    outcome += [
        f"{where}, dark: {item}" for item in findings(page, "color-contrast")
    ]  # no other rule depends on colors
    choose_theme(page, "light")
    return outcome


def test_axe_finds_nothing_serious_on_any_page_light_or_dark(
    browser: Browser, example_server: str
) -> None:
    context = browser.new_context(
        viewport={"width": 1440, "height": 1000}, color_scheme="light", reduced_motion="reduce"
    )
    page, outcome = context.new_page(), []
    page.goto(f"{example_server}/runs?run=example")
    settle(page, "Runs")
    page.evaluate(AXE.read_text())
    for file, entry in navigation.ENTRIES.items():
        if file == navigation.CLASS:  # only in a classroom
            continue
        page.locator(
            ".st-key-navigation a", has_text=re.compile(f"{entry.title}$")
        ).click()  # its icon is a word before
        settle(page, entry.title)
        outcome += look(page, entry.title)
    context.close()

    assert not outcome, "\n".join(outcome)


def test_axe_finds_nothing_serious_at_the_sign_in_page_of_a_class_or_on_its_page(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    store = open_store(Settings(home=home, hub=False))
    for number, name in enumerate(("Ada", "Bob")):
        student = Visitor(name.lower(), name, Role.STUDENT)
        accounts.add_person(store, student, name)
        finish(store, student, hits=400 + 50 * number)
    variables = {
        "MODE": "classroom",
        "CLASS_CODE": "whale",
        "TEACHER_CODE": "oak",
        "HOME": str(home),
    }
    outcome: list[str] = []
    with serving(
        tmp_path / "server.log", **{f"LORALAB_{name}": value for name, value in variables.items()}
    ) as address:
        context = browser.new_context(
            viewport={"width": 1440, "height": 1000}, color_scheme="light", reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto(f"{address}/board")
        page.evaluate(AXE.read_text())
        expect(page.get_by_role("textbox", name="Your name")).to_be_visible()
        settle(page)
        outcome += look(page, "Door")
        open_expander(page, "I am the teacher")
        page.get_by_role("textbox", name="Teacher's name").fill("Grace")
        page.get_by_role("textbox", name="Teacher's code").fill("oak")
        page.get_by_role("button", name="Open the class").click()
        settle(page, "Class")
        expect(page.get_by_role("button", name="End the class")).to_be_visible()
        outcome += look(page, "Class")
        context.close()

    assert not outcome, "\n".join(outcome)


def finish(store: Store, who: Visitor, hits: int) -> None:
    """Complete a run of the student with a test score."""
    store = store.for_visitor(who)
    request = TrainRequest(
        config=RunConfig(train_rows=1000), source=demo_source(), guess=0.8
    ).model_dump(mode="json")
    job = store.create(JobKind.TRAIN, f"of {who.name}", request, who.id)
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    result = {
        "test": {"hits": hits, "rows": 500, "accuracy": hits / 500, "macro_f1": hits / 500},
        "train_seconds": 60,
    }
    store.update(job, result_json=json.dumps(result))
    store.transition(job, JobState.COMPLETED)
