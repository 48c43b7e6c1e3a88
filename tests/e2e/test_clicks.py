"""Rapid clicks, reloads and two tabs.

Nothing is trained; the tests look at the queue.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.config import RunConfig
from core.data.sources import demo_source
from core.runs.requests import TrainRequest
from core.settings import Settings
from core.storage.job import EXAMPLE_OWNER, Job, JobKind, JobState
from core.storage.locks import hold_lock
from core.storage.recovery import open_store
from core.storage.store import Store
from tests.support.app.browser import settle
from tests.support.app.server import serving

pytestmark = [pytest.mark.browser]


@pytest.fixture(autouse=True)
def no_supervisor(home: Path) -> Iterator[None]:
    with hold_lock(home / "supervisor.lock"):
        yield


@pytest.fixture
def lab(home: Path) -> Store:
    return open_store(Settings())


def list_launched(lab: Store) -> list[Job]:
    return [job for job in lab.list_jobs(JobKind.TRAIN) if job.owner != EXAMPLE_OWNER]


def click_five_times(button: Locator) -> None:
    """Click five times at once, before the server can answer."""
    expect(button).to_be_enabled()
    button.evaluate("button => { for (let click = 0; click < 5; click++) button.click() }")


def open_form(page: Page, server: str) -> Locator:
    page.goto(f"{server}/train")
    button = page.get_by_role("button", name="Start", exact=True)
    expect(button).to_be_enabled(timeout=60_000)
    return button


def arrive(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.get_by_text("Next in the queue").or_(page.get_by_text("to finish"))).to_be_visible(
        timeout=30_000
    )


def test_a_click_that_is_repeated_launches_one_run_and_a_reload_none(
    page: Page, server: str, lab: Store
) -> None:
    click_five_times(open_form(page, server))
    arrive(page)
    page.reload()
    arrive(page)

    assert len(list_launched(lab)) == 1


def test_a_double_click_launches_one_run(page: Page, server: str, lab: Store) -> None:
    open_form(page, server).dblclick()
    arrive(page)

    assert len(list_launched(lab)) == 1


def test_the_form_in_two_tabs_launches_a_run_from_each(page: Page, server: str, lab: Store) -> None:
    other = page.context.new_page()
    buttons = [open_form(tab, server) for tab in (page, other)]
    for button in buttons:
        click_five_times(button)
    for tab in (page, other):
        arrive(tab)

    assert len({job.id for job in list_launched(lab)}) == 2


def test_a_retry_that_is_clicked_again_launches_one_run(
    page: Page, server: str, lab: Store
) -> None:
    request = TrainRequest(config=RunConfig(), source=demo_source()).model_dump(mode="json")
    failed = lab.create(JobKind.TRAIN, "failed", request, "failed")
    lab.transition(failed, JobState.STARTING)
    lab.transition(
        failed,
        JobState.FAILED,
        cause="diverged",
        message="The loss is NaN.",
        proposal_json='{"learning_rate": 0.0005}',
    )

    page.goto(f"{server}/runs?run={failed.id}")
    button = page.get_by_role("button", name="Retry with learning rate 0.0005")
    expect(button).to_be_visible(timeout=60_000)
    click_five_times(button)
    arrive(page)

    assert len(list_launched(lab)) == 2


def test_a_button_does_not_move_under_a_press_while_its_expander_opens(
    page: Page, home: Path, tmp_path: Path
) -> None:
    with serving(
        tmp_path / "server.log",
        LORALAB_HOME=str(home),
        LORALAB_MODE="classroom",
        LORALAB_TEACHER_CODE="oak",
    ) as address:
        page.set_viewport_size({"width": 1440, "height": 1000})  # the page itself does not scroll
        page.goto(address)
        expect(page.get_by_role("textbox", name="Your name")).to_be_visible()
        settle(page)
        slowly = page.context.new_cdp_session(page)
        slowly.send("Animation.enable")
        slowly.send("Animation.setPlaybackRate", {"playbackRate": 0.2})
        page.get_by_text("I am the teacher").click()
        page.wait_for_function("document.querySelector('details').clientHeight > 80")  # it opens
        # the browser scrolls what has the focus into view, also inside what is not yet open
        page.get_by_role("textbox", name="Teacher's name").fill("Grace")
        page.get_by_role("textbox", name="Teacher's code").fill("oak")
        page.get_by_role("button", name="Open the class").click(delay=600)

        expect(page.get_by_role("button", name="Grace")).to_be_visible()
