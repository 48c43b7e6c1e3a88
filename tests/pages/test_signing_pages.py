"""A class and a public page with provider sign-in, using claims as verified by Streamlit."""

from functools import partial

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from core.access import Role, Visitor
from core.data.dataset import Dataset
from core.people.classroom import Rules, change_rules, clear_class
from core.storage import accounts
from core.storage.job import JobKind
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import unstyled_page_text

COMPLETE = {
    "redirect_uri": "https://lab.example/oauth2callback",
    "cookie_secret": "0123456789abcdef0123456789abcdef",
    "client_id": "lab",
    "client_secret": "secret",
    "server_metadata_url": "https://id.example/.well-known/openid-configuration",
}
ADA = {
    "is_logged_in": True,
    "iss": "https://id.example",
    "sub": "1",
    "name": "Ada",
    "email": "ada@school.example",
    "email_verified": True,
}
BOB = {**ADA, "sub": "2", "name": "Bob", "email": "bob@school.example"}
GRACE = {**ADA, "sub": "9", "name": "Grace", "email": "grace@school.example"}


def keys(app: AppTest) -> set[str | None]:
    return {button.key for button in app.button}


@pytest.fixture
def classroom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    monkeypatch.setenv("LORALAB_TEACHERS", "grace@school.example")


@pytest.fixture
def open_app(open_app: Open) -> Open:
    """Open a page of an app whose ``secrets.toml`` configures a provider."""
    return partial(open_app, secrets={"auth": COMPLETE})


def enter(open_app: Open, who: dict[str, object], page: str = "pages/runs.py") -> AppTest:
    app = open_app(page)
    app.user = who
    return app.run()


@pytest.mark.usefixtures("classroom")
def test_without_signing_in_there_is_the_provider_and_no_code(open_app: Open) -> None:
    app = open_app("pages/runs.py")

    assert "Join the class" in unstyled_page_text(app)
    assert keys(app) == {"sign-in-"}
    assert not app.text_input


@pytest.mark.usefixtures("classroom")
def test_who_has_signed_in_launches_as_that_person(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    enter(open_app, ADA, "pages/train.py").button(key="launch").click().run()

    (run,) = store.list_jobs(JobKind.TRAIN)
    (ada,) = accounts.list_people(store)
    assert (ada.name, ada.role, ada.id) == ("Ada", Role.STUDENT, run.owner)
    assert "stop" in keys(enter_run(open_app, ADA, run.id))
    assert "stop" not in keys(enter_run(open_app, BOB, run.id))
    assert "stop" in keys(enter_run(open_app, GRACE, run.id))


def enter_run(open_app: Open, who: dict[str, object], run: str) -> AppTest:
    app = open_app("pages/runs.py", run=run)
    app.user = who
    app.query_params["run"] = run
    return app.run()


@pytest.mark.usefixtures("classroom")
def test_the_teacher_of_the_settings_has_the_rules(open_app: Open) -> None:
    app = enter(open_app, GRACE, "pages/board.py")
    assert app.number_input(key="rule-rows")
    assert "Students sign in" in unstyled_page_text(app) and "Class code" not in unstyled_page_text(
        app
    ), "no code opens this door"
    assert not enter(open_app, ADA, "pages/board.py").number_input


@pytest.mark.usefixtures("classroom")
def test_who_is_no_teacher_any_more_has_them_no_more(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(open_app, GRACE, "pages/board.py")
    monkeypatch.setenv("LORALAB_TEACHERS", "")

    assert not enter(open_app, GRACE, "pages/board.py").number_input
    assert [visitor.role for visitor in accounts.list_people(store)] == [Role.STUDENT]


@pytest.mark.usefixtures("classroom")
def test_a_visit_kept_from_the_class_code_is_no_one_where_people_sign_in(
    open_app: Open, store: Store
) -> None:
    app = open_app("pages/runs.py")
    app.session_state["visitor"] = Visitor("local", "me", Role.TEACHER)

    assert "Join the class" in unstyled_page_text(app.run())


@pytest.mark.usefixtures("classroom")
def test_a_closed_class_lets_in_no_new_student(open_app: Open, store: Store) -> None:
    enter(open_app, ADA)
    change_rules(store, Rules(open=False))

    assert "The class is closed." in unstyled_page_text(enter(open_app, BOB))
    assert "sign-out" in keys(enter(open_app, BOB))
    assert "The class is closed." not in unstyled_page_text(enter(open_app, ADA)), (
        "who is there stays"
    )


@pytest.mark.usefixtures("classroom")
def test_after_the_end_of_a_class_its_students_come_in_by_a_click_only(
    open_app: Open, store: Store
) -> None:
    app = enter(open_app, ADA)
    clear_class(store)

    app.run()
    assert "The class has ended, Ada" in unstyled_page_text(app)

    app.button(key="join-again").click().run()
    assert "The class has ended" not in unstyled_page_text(app)


@pytest.mark.usefixtures("classroom")
def test_who_is_on_no_list_reads_their_id(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALAB_STUDENTS", "bob@school.example")

    assert "you are not on the list of this class. Your id is oidc-" in unstyled_page_text(
        enter(open_app, ADA)
    )
    assert "not on the list" not in unstyled_page_text(enter(open_app, BOB))


@pytest.mark.usefixtures("classroom")
def test_what_is_missing_is_said_at_the_sign_in_page_and_no_other_way_opens(
    open_app: Open,
) -> None:
    lacking = {name: value for name, value in COMPLETE.items() if name != "client_secret"}
    app = enter(partial(open_app, secrets={"auth": lacking}), ADA)

    assert (
        "Sign-in is not available yet. [auth] in secrets.toml lacks client_secret."
        in unstyled_page_text(app).replace("⁠", "")
    )
    assert not app.text_input and not app.button


def test_the_owner_of_a_public_page_acts_and_others_look(
    open_app: Open, dataset: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    monkeypatch.setenv("LORALAB_TEACHERS", "grace@school.example")

    assert open_app("pages/train.py").button(key="launch").disabled
    assert enter(open_app, ADA, "pages/train.py").button(key="launch").disabled
    assert not accounts.list_people(store)
    enter(open_app, GRACE, "pages/train.py").button(key="launch").click().run()
    assert len(store.list_jobs(JobKind.TRAIN)) == 1


def test_on_the_machine_itself_no_one_signs_in(open_app: Open) -> None:
    app = enter(open_app, ADA)

    assert "sign-out" not in keys(app) and "sign-in-" not in keys(app)


def test_the_section_of_secrets_is_what_counts(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    app = open_app("pages/runs.py", secrets={"auth": {"client_id": "lab"}})

    assert "lacks redirect_uri, cookie_secret." in unstyled_page_text(app)


@pytest.mark.usefixtures("classroom")
def test_the_sidebar_has_the_name_in_the_class(open_app: Open, store: Store) -> None:
    enter(open_app, ADA)
    (ada,) = accounts.list_people(store)
    accounts.rename_person(store, ada, "Ada L.")

    app = enter(open_app, ADA)

    labels = [str(getattr(block.proto, "popover", "")) for block in list_blocks(app.sidebar)]
    assert any("Ada L" in label for label in labels)


def list_blocks(block: Block) -> list[Block]:
    """List a block of a page and those in it."""
    inner = [child for child in block.children.values() if isinstance(child, Block)]
    return [block, *(each for child in inner for each in list_blocks(child))]
