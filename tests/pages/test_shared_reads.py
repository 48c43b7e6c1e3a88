"""Pages draw the same for every visitor whether the server reads the database once for all of them
or once for each.
"""

import json
import re
from collections import Counter

import pytest
from streamlit.testing.v1 import AppTest

from core.data.sources import Source
from core.storage import accounts
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import all_of
from tests.support.app.visitors import join
from tests.support.stored_runs import make_finished, make_run
from ui import navigation
from ui.session import visitors

# ids of sessions and elements, and times that pass between two drawings
PASSING = re.compile(r"\$\$\w+-\S+|[0-9a-f]{16,}|\b\d+ (s|min)\b( ago)?|just now|a moment ago")


@pytest.fixture
def class_home(store: Store, source: Source, running: Job, failed: Job) -> Store:
    """Create runs of two students, one of them imported by each, and a queued one."""
    for person in ("ada", "ben"):
        for name, imported in (("trained", False), ("imported", True)):
            job = make_finished(store, source, f"{name}-by-{person}")
            result = job.result | ({"imported": f"{person}.zip"} if imported else {})
            with store.transaction() as db:
                db.execute(
                    "UPDATE jobs SET owner = ?, result_json = ? WHERE id = ?",
                    (person, json.dumps(result), job.id),
                )
    make_run(store, source, "waiting-run")
    return store


def sign_in(app: AppTest, store: Store, role: str) -> AppTest:
    if role == "guest":
        return app
    app = join(app, role.capitalize(), "oak" if role == "teacher" else "whale")
    del app.session_state[visitors.TICKET]  # no browser answers whether it keeps its cookie
    (person,) = [each for each in accounts.list_people(store) if each.name == role.capitalize()]
    if role != "teacher":  # the runs above are theirs
        with store.transaction() as db:
            db.execute("UPDATE jobs SET owner = ? WHERE owner = ?", (person.id, role))
    return app


def drawn(app: AppTest) -> Counter[str]:
    assert not app.exception, app.exception
    return Counter(PASSING.sub("", text) for text in all_of(app))


ROLES = ("guest", "ada", "ben", "teacher")
OTHERS = {"ada": "ben", "ben": "ada", "guest": "ada"}


def test_every_page_is_the_same_for_every_role(
    open_app: Open, class_home: Store, classroom: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = {role: sign_in(open_app(navigation.RUNS), class_home, role) for role in ROLES}
    for page in navigation.ENTRIES:
        for app in apps.values():  # whatever they see is in the snapshot now
            app.switch_page(page).run()
        shared = {role: drawn(app.switch_page(page).run()) for role, app in apps.items()}
        with monkeypatch.context() as environment:
            environment.setenv("LORALAB_SNAPSHOT", "false")
            alone = {role: drawn(app.switch_page(page).run()) for role, app in apps.items()}

        for role in ROLES:
            difference = shared[role] - alone[role], alone[role] - shared[role]
            assert (page, role, *difference) == (page, role, Counter(), Counter())
            hidden = f"imported-by-{OTHERS.get(role)}"
            assert not any(hidden in text for text in shared[role])


def test_a_change_is_on_every_page_at_once(
    open_app: Open, class_home: Store, classroom: None
) -> None:
    author, other = (
        sign_in(open_app(navigation.RUNS), class_home, each) for each in ("ada", "ben")
    )
    (job,) = [each for each in class_home.list_jobs() if each.name == "trained-by-ada"]
    author.query_params["run"] = job.id
    author.run().text_input(key=f"rename-text-{job.id}-{job.version}").set_value("new name")
    author.button(key="rename-save").click().run()

    assert any("new name" in text for text in all_of(author))
    assert any("new name" in text for text in all_of(other.run()))


def test_a_member_who_is_blocked_sees_nothing_more(
    open_app: Open, class_home: Store, classroom: None
) -> None:
    app = sign_in(open_app(navigation.RUNS), class_home, "ada")
    (person,) = [each for each in accounts.list_people(class_home) if each.name == "Ada"]
    accounts.set_standing(class_home, person, accounts.Standing.BLOCKED)

    texts = list(all_of(app.run()))

    assert app.text_input(key="join-code")
    assert not any("trained-by" in text for text in texts)
