"""A class with provider sign-in in a browser, with a local provider."""

import base64
import json

import pytest
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Page, expect

from core.access import Role
from core.settings import Settings
from core.storage.accounts import list_people
from core.storage.store import Store
from tests.support.app.oidc_provider import Lesson

pytestmark = [pytest.mark.browser]
SECONDS = 1000


def sign_in(page: Page, lesson: Lesson, who: str) -> None:
    page.goto(f"{lesson.url}/board")
    page.get_by_role("button", name="Sign in").click(timeout=60 * SECONDS)
    page.locator(f"#{who}").click(timeout=30 * SECONDS)


def popover(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("button", name=name).click(timeout=60 * SECONDS)


def test_a_teacher_and_a_student_sign_in_and_out(lesson: Lesson, browser: Browser) -> None:
    teacher, student = browser.new_context().new_page(), browser.new_context().new_page()
    sign_in(teacher, lesson, "grace")
    sign_in(student, lesson, "ada")

    popover(student, "Ada")
    expect(student.get_by_text("Your id here is")).to_be_visible()
    popover(teacher, "Grace")
    teacher.goto(f"{lesson.url}/board")  # a new visit with only the cookie
    expect(teacher.get_by_role("button", name="Rules")).to_be_visible(timeout=60 * SECONDS)
    student.goto(f"{lesson.url}/board")
    popover(student, "Ada")
    expect(student.get_by_role("button", name="Rules")).to_have_count(0)
    student.get_by_role("button", name="Sign out").click()
    expect(student.get_by_role("button", name="Sign in")).to_be_visible(timeout=60 * SECONDS)

    result = {visitor.name: visitor.role for visitor in list_people(Store(Settings()))}
    assert result == {"Grace": Role.TEACHER, "Ada": Role.STUDENT}


def test_a_cookie_that_the_server_did_not_sign_opens_nothing(
    lesson: Lesson, browser: Browser
) -> None:
    claims = {
        "is_logged_in": True,
        "iss": lesson.provider.url,
        "sub": "1",
        "email": "grace@school.example",
        "email_verified": True,
    }
    value = json.dumps({**claims, "name": "Grace", "origin": lesson.url, "provider": "default"})
    context = browser.new_context(
        extra_http_headers={"X-User": "grace@school.example", "Streamlit-User": value}
    )
    for name, text in (("_streamlit_user", value), ("visitor", value)):
        encoded = base64.urlsafe_b64encode(text.encode()).decode()
        context.add_cookies([{"name": name, "value": f"{encoded}.sig", "url": lesson.url}])
    page = context.new_page()

    page.goto(f"{lesson.url}/board")

    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=60 * SECONDS)
    assert list_people(Store(Settings())) == []


def test_a_token_with_another_signature_opens_nothing(lesson: Lesson, browser: Browser) -> None:
    lesson.provider.signing_key = RSAKey.generate_key(2048, {"use": "sig", "kid": "published"})
    page = browser.new_context().new_page()

    sign_in(page, lesson, "grace")

    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=60 * SECONDS)
    assert list_people(Store(Settings())) == []
