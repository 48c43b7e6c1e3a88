"""Texts of strangers in a real browser: each is read as it was written, and nothing of it became an element, a link or a picture."""

import json
from pathlib import Path

import pytest
from hostile import TEMPLATES, hostile_texts
from playwright.sync_api import Page, expect

from core.data.sources import demo_source
from core.settings import Settings
from core.states import Job, JobState
from core.store import Store
from tests.pages.conftest import make_finished, make_run, start

pytestmark = [pytest.mark.browser]
TEXTS = hostile_texts(len(TEMPLATES))
MADE = "img, script, iframe, svg:not([data-testid]), a, b, i, em, del, code, pre, table, hr, ul, ol, h1, h2, h3, blockquote, .katex, br"
ELSEWHERE = "[src*='evil'], [href*='evil'], [href^='javascript'], [href^='mailto'], [onerror], [onload]"


@pytest.fixture
def runs(home: Path) -> list[Job]:
    """A failed run whose message holds every text, and finished ones that are called, and have classes called, like some of them."""
    store = Store(Settings())
    failed = start(store, make_run(store, demo_source(), "failed"))
    message = " / ".join(one.text for one in TEXTS)
    store.transition(failed, JobState.FAILED, cause="data", message=message, ended_at=1.0)
    names = [one.text for one in TEXTS if "\0" not in one.text]
    made = [make_finished(store, demo_source(), name, classes=names[at : at + 4]) for at, name in ((0, names[1]), (11, names[11]))]
    with store.transaction() as db:
        for job, name in zip(made, names[1:], strict=False):
            db.execute("UPDATE jobs SET name = ? WHERE id = ?", (name, job.id))
        db.execute("UPDATE jobs SET message = ? WHERE id = ?", (message.replace("\0", ""), failed.id))
    assert json.loads(json.dumps(message)) == message
    return [failed, *made]


def test_a_message_of_every_hostile_text_is_read_as_it_was_written(page: Page, runs: list[Job], server: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{server}/runs?run={runs[0].id}")
    alert = page.get_by_test_id("stAlert").filter(has_text=TEXTS[0].marker)
    expect(alert).to_be_visible(timeout=60_000)

    shown = alert.inner_text().replace("\u2060", "")
    made = alert.locator(MADE).evaluate_all("all => all.map(one => one.outerHTML)")

    assert [one.marker for one in TEXTS if one.marker not in shown] == []
    assert [one.text for one in TEXTS[:40] if one.text.isprintable() and one.text not in shown] == []
    assert not made
    assert page.locator(ELSEWHERE).count() == 0
    assert not [url for url in asked if "evil" in url]


def test_names_and_classes_make_no_element_anywhere(page: Page, runs: list[Job], server: str) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    for run in runs[1:]:
        for place in ("runs", "evaluate", "errors", "compare"):
            page.goto(f"{server}/{place}?run={run.id}")
            expect(page.locator("[data-testid=stAppViewContainer] h1").first).to_be_visible(timeout=60_000)
            expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached(timeout=60_000)

            assert page.locator(ELSEWHERE).count() == 0, place
            for one in TEXTS:
                inside = page.locator(".katex, a, em, del, script", has_text=one.marker)
                assert inside.count() == 0, (place, one.text)
    page.goto(f"{server}/evaluate?run={runs[1].id}")
    page.get_by_test_id("stSelectbox").first.click()
    expect(page.get_by_role("option").first).to_be_visible(timeout=30_000)
    assert page.get_by_role("option").locator("a, b, em, del, img, svg[onload], .katex").count() == 0
