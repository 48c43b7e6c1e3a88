"""Untrusted texts in a real browser: shown as written, never as an element, a link or a picture."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.data.sources import demo_source
from core.settings import Settings
from core.storage.job import Job, JobState
from core.storage.store import Store
from tests.support.security.hostile_inputs import TEMPLATES, hostile_texts
from tests.support.stored_runs import make_run, start

pytestmark = [pytest.mark.browser]
TEXTS = hostile_texts(len(TEMPLATES))
MADE = (
    "img, script, iframe, svg:not([data-testid]), a, b, i, em, del, code, pre, table, hr, ul, ol,"
    " h1, h2, h3, blockquote, .katex, br"
)
ELSEWHERE = (
    "[src*='evil'], [href*='evil'], [href^='javascript'], [href^='mailto'], [onerror], [onload]"
)


@pytest.fixture
def failed(home: Path) -> Job:
    """Create a failed run whose message contains every text."""
    store = Store(Settings())
    run = start(store, make_run(store, demo_source(), "failed"))
    message = " / ".join(item.text for item in TEXTS).replace("\0", "")
    store.transition(run, JobState.FAILED, cause="data", message=message, ended_at=1.0)
    return store.read_job(run.id)


def test_a_message_of_every_hostile_text_is_read_as_it_was_written(
    page: Page, failed: Job, server: str
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{server}/runs?run={failed.id}")
    alert = page.get_by_test_id("stAlert").filter(has_text=TEXTS[0].marker)
    expect(alert).to_be_visible(timeout=60_000)

    shown = alert.inner_text().replace("\u2060", "")
    created = alert.locator(MADE).evaluate_all("all => all.map(one => one.outerHTML)")

    assert [item.marker for item in TEXTS if item.marker not in shown] == []
    assert [
        item.text for item in TEXTS[:40] if item.text.isprintable() and item.text not in shown
    ] == []
    assert not created
    assert page.locator(ELSEWHERE).count() == 0
    assert not [url for url in requests if "evil" in url]
