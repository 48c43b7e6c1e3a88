import json

import pytest
from streamlit.proto.TextInput_pb2 import TextInput as TextInputProto
from streamlit.runtime.context import StreamlitHeaders
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.disputed_labels import DisputedLabel
from core.data.sources import demo_source
from core.errors import NotAllowed
from core.jobs.actions import dispute_labels
from core.people import membership
from core.people.classroom import (
    Ending,
    Rules,
    change_rules,
    clear_class,
    read_rules,
    sign_in_with_key,
)
from core.people.membership import remove_member
from core.runs.requests import TrainRequest
from core.storage import accounts
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.app.visitors import join, report
from tests.support.stored_runs import FINGERPRINT, make_finished
from ui.class_page import make_table_key
from ui.session.local_machine import is_own

REQUEST = TrainRequest(config=RunConfig(), source=demo_source()).model_dump(mode="json")


def finish(store: Store, job: Job, accuracy: float) -> None:
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    store.update(
        job,
        result_json=(
            f'{{"test": {{"hits": {round(accuracy * 500)}, "rows": 500}}, "train_seconds": 60}}'
        ),
    )
    store.transition(job, JobState.COMPLETED)


@pytest.mark.usefixtures("classroom")
@pytest.mark.parametrize(
    "page",
    [
        "pages/home.py",
        "pages/runs.py",
        "pages/train.py",
        "pages/board.py",
        "pages/data.py",
        "pages/evaluate.py",
    ],
)
def test_no_one_gets_past_the_sign_in_page_of_a_classroom_without_a_code(
    open_app: Open, page: str
) -> None:
    app = open_app(page)

    assert "Join the class" in page_text(app)
    assert {button.key for button in app.button} <= {"join-submit", "back-submit", "teach-submit"}


@pytest.mark.usefixtures("classroom")
def test_a_student_joins_launches_and_comes_back_with_the_key(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = join(open_app("pages/train.py"))
    key = app.session_state["visitor-key"]
    app.button(key="launch").click().run()

    (run,) = store.list_jobs(JobKind.TRAIN)
    assert [visitor.name for visitor in accounts.list_people(store) if visitor.id == run.owner] == [
        "Ada"
    ]

    again = open_app("pages/runs.py", run=run.id)
    again.text_input(key="back-key").set_value(key)
    again.button(key="back-submit").click().run()
    assert again.button(key="stop")


@pytest.mark.usefixtures("classroom")
def test_joins_that_are_left_are_shown_and_then_refused_with_the_time(
    open_app: Open, store: Store
) -> None:
    change_rules(store, Rules(joins=2))
    assert "joins are left" not in page_text(open_app())

    join(open_app())
    assert "1 of 2 joins are left for your network; one more in" in page_text(open_app())
    join(open_app(), name="Bob")
    last = join(open_app(), name="Cleo")

    assert "0 of 2 joins are left for your network" in page_text(last)
    assert "2 joins an hour are allowed for one network, and none is left." in page_text(last)
    assert "have your teacher raise the limit" in page_text(last)


@pytest.mark.usefixtures("classroom")
def test_teacher_signs_in_and_saves_rules_that_cannot_be_read(open_app: Open, store: Store) -> None:
    accounts.write_options(store, {"rules": "{"})

    app = join(open_app("pages/board.py"), "Grace", "oak")
    assert "The rules of the class cannot be read" in app.error[0].value
    app.button(key="rules-save").click().run()

    assert not app.error
    assert read_rules(store).open


@pytest.mark.usefixtures("classroom")
@pytest.mark.parametrize("name", ["Teacher", "T\u0435acher", "LoRA Lab", "Frau Lehrerin"])
def test_reserved_name_is_refused_in_words(open_app: Open, name: str) -> None:
    assert "is reserved" in page_text(join(open_app(), name=name))


@pytest.mark.usefixtures("classroom")
def test_a_wrong_code_is_refused_in_words(open_app: Open) -> None:
    assert "This is not the class code. It is on the teacher's screen." in page_text(
        join(open_app(), code="shark")
    ).replace("*", "")


@pytest.mark.usefixtures("classroom")
def test_another_ones_run_can_be_looked_at_and_cloned_only(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    join(open_app("pages/train.py")).button(key="launch").click().run()
    (run,) = store.list_jobs(JobKind.TRAIN)

    app = join(open_app("pages/runs.py", run=run.id), name="Bob")

    assert {button.key for button in app.button} & {
        "stop",
        "resume",
        "rename-save",
        "delete-confirm",
        "clone",
    } == {"clone"}


@pytest.mark.usefixtures("classroom")
def test_more_than_the_rules_allow_is_refused_with_what_is_allowed(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    change_rules(store, Rules(rows=500))

    app = join(open_app("pages/train.py"))
    assert not app.button(key="launch").disabled
    app.number_input(key="field-epochs").set_value(25).run()

    assert (
        "4,500 rows over all epochs are more than this class allows. Train on 20 or fewer."
        in page_text(app).replace("*", "")
    )
    assert app.button(key="launch").disabled


@pytest.mark.usefixtures("classroom")
def test_a_preset_says_what_the_rules_of_the_class_reduce(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    change_rules(store, Rules(rows=500))

    app = join(open_app("pages/train.py"))
    app.segmented_control(key="preset").set_value("quick").run()

    assert "The limits of this class reduce epochs from 25 to 2." in page_text(app)
    assert app.number_input(key="field-epochs").value == 2


@pytest.mark.usefixtures("classroom")
def test_the_board_ranks_no_run_that_the_texts_do_not_distinguish(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = join(open_app("pages/board.py"))
    assert "No finished runs in this class yet." in page_text(app)
    store = store.for_visitor(next(iter(accounts.list_people(store))))
    for name, accuracy in (("close", 0.89), ("best", 0.90), ("far", 0.70)):
        finish(store, store.create(JobKind.TRAIN, name, REQUEST, name), accuracy)

    board = app.run().dataframe[0].value

    assert list(board["Run"]) == ["best", "close", "far"]
    assert list(board["Place"]) == ["too close to call", "too close to call", "3"]
    assert set(board["Who"]) == {"Ada"}


@pytest.mark.usefixtures("classroom")
def test_a_board_of_one_run_explains_no_tie(open_app: Open, dataset: Dataset, store: Store) -> None:
    app = join(open_app("pages/board.py"))
    store = store.for_visitor(next(iter(accounts.list_people(store))))
    finish(store, store.create(JobKind.TRAIN, "only", REQUEST, "only"), 0.90)
    assert "Too close to call" not in page_text(app.run())

    finish(store, store.create(JobKind.TRAIN, "second", REQUEST, "second"), 0.89)
    assert "Too close to call" in page_text(app.run())


@pytest.mark.usefixtures("classroom")
def test_the_board_shows_accuracy_without_the_labels_that_the_teacher_disputes(
    open_app: Open, store: Store
) -> None:
    make_finished(store, demo_source(), "finished-run")
    student = store.for_visitor(Visitor("ada", "Ada", Role.STUDENT))
    for visitor, row in ((store, 39), (student, 38)):
        dispute_labels(visitor, FINGERPRINT, "news", [DisputedLabel(row=row, label="World")])

    app = join(open_app("pages/board.py"), name="Bob")

    (line,) = app.dataframe[0].value.to_dict("records")
    assert line["Accuracy"] == pytest.approx(0.85)
    assert line["Without disputed"] == pytest.approx(34 / 39, abs=0.0005)  # as percent: 0.1


@pytest.mark.usefixtures("classroom")
def test_the_teacher_sees_the_code_and_changes_the_rules(open_app: Open, store: Store) -> None:
    app = join(open_app("pages/board.py"), name="Grace", code="oak")
    assert "whale" in page_text(app)

    app.number_input(key="rule-rows").set_value(2000)
    app.button(key="rules-save").click().run()

    assert '"rows":2000' in accounts.read_options(store)["rules"]


@pytest.mark.usefixtures("classroom")
def test_codes_of_teachers_and_keys_are_masked(open_app: Open) -> None:
    masked = {
        field.key
        for field in open_app().text_input
        if field.proto.type == TextInputProto.Type.PASSWORD
    }

    assert masked == {"teach-code", "back-key"}


@pytest.mark.usefixtures("classroom")
def test_the_teachers_code_is_on_no_page(open_app: Open) -> None:
    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")

    for page in ("pages/board.py", "pages/home.py", "pages/runs.py"):
        assert "oak" not in page_text(teacher.switch_page(page).run()).split()


@pytest.mark.usefixtures("classroom")
def test_the_teachers_code_in_the_field_of_students_is_refused(open_app: Open) -> None:
    app = open_app()
    app.text_input(key="join-name").set_value("Grace")
    app.text_input(key="join-code").set_value("oak")
    app.button(key="join-submit").click().run()

    assert "This is not the class code" in page_text(app)


@pytest.mark.usefixtures("classroom")
def test_the_teacher_sees_wrong_codes(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Version/17.0 Safari/604.1"
    report(monkeypatch, ip_address="192.0.2.7", headers=StreamlitHeaders([("User-Agent", agent)]))
    join(open_app(), code="shark")
    join(open_app(), code="shark")

    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")

    (line,) = (
        table.value.to_dict("records")[0] for table in teacher.dataframe if "Tried" in table.value
    )
    assert (line["Tried"], line["Times"], line["Address"], line["Browser"]) == (
        "class code",
        2,
        "192.0.2.7",
        "Safari on iPad",
    )


@pytest.mark.usefixtures("classroom")
def test_a_classroom_links_to_its_board(open_app: Open) -> None:
    assert "Class" in {link.proto.label for link in join(open_app()).sidebar.get("page_link")}


@pytest.mark.usefixtures("classroom")
def test_a_student_sees_no_codes_and_no_rules(open_app: Open) -> None:
    app = join(open_app("pages/board.py"))

    assert "oak" not in page_text(app)
    assert not app.number_input


@pytest.mark.usefixtures("classroom")
def test_ending_the_class_sends_its_students_to_the_sign_in_page(
    open_app: Open, store: Store
) -> None:
    student = join(open_app("pages/runs.py"))
    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")

    teacher.button(key="reset-confirm").click().run()

    assert "Join the class" in page_text(student.run())
    assert "Join the class" not in page_text(teacher.run())


def test_a_public_page_launches_nothing(
    open_app: Open, dataset: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    app = open_app("pages/train.py")

    assert app.button(key="launch").disabled
    assert "This public page does not train." in page_text(app)


def test_where_the_owner_lets_them_guests_start_a_taste_run(
    open_app: Open, dataset: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")
    monkeypatch.setenv("LORALAB_GUEST_TASTE", "true")
    app = open_app("pages/train.py")

    app.number_input(key="field-rank").set_value(4).run()
    assert app.button(key="launch").disabled
    assert "only the preset Taste" in page_text(app)
    app.number_input(key="field-rank").set_value(16).run()
    app.button(key="launch").click().run()

    (job,) = store.list_jobs(JobKind.TRAIN, states=[JobState.QUEUED])
    assert job.owner.startswith("guest-")
    assert [
        button.key
        for button in app.button
        if button.key in ("stop", "rename-save", "delete-confirm")
    ] == ["stop"]
    other = open_app("pages/runs.py", run=job.id)
    assert not [button for button in other.button if button.key == "stop"], "it is another guest's"
    store.transition(job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=1.0)
    assert "Resume" not in page_text(open_app("pages/runs.py", run=job.id)), "guests cannot"


def test_a_visitor_from_elsewhere_is_refused_with_how_to_open_it_up(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, ip_address="192.0.2.7")
    app = open_app("pages/runs.py")

    assert "LORALAB_MODE" in page_text(app)
    assert not app.button


@pytest.mark.parametrize("peer", ["", "127.0.0.1", "::1", "::ffff:127.0.0.1", "127.1.2.3"])
def test_each_way_to_write_this_machine_is_let_in(
    open_app: Open, monkeypatch: pytest.MonkeyPatch, peer: str
) -> None:
    report(monkeypatch, ip_address=peer)

    assert "LORALAB_MODE" not in page_text(open_app("pages/runs.py"))


@pytest.mark.parametrize(
    ("peer", "own"),
    [("10.0.0.5", True), ("::ffff:10.0.0.5", True), ("10.0.0.6", False), ("nonsense", False)],
)
def test_an_address_of_this_machines_own_is_its_own(peer: str, own: bool) -> None:
    assert is_own(peer, lambda: {"10.0.0.5"}) is own


def test_names_are_kept_as_they_were_typed_and_never_as_markdown(
    open_app: Open, store: Store, classroom: None
) -> None:
    app = join(open_app("pages/board.py"), name="*<b>Ada</b>* ![x](y)")

    assert [visitor.name for visitor in accounts.list_people(store)] == ["*<b>Ada</b>* ![x](y)"]
    assert all("<b>Ada" not in str(element.value) for element in app.markdown)


def test_only_a_classroom_has_a_board(open_app: Open) -> None:
    assert "Class" not in {link.proto.label for link in open_app().sidebar.get("page_link")}
    assert "This server is not in classroom mode." in page_text(open_app("pages/board.py"))


def test_roles_are_what_the_codes_say(open_app: Open, store: Store, classroom: None) -> None:
    join(open_app(), name="Grace", code="oak")

    assert [visitor.role for visitor in accounts.list_people(store)] == [Role.TEACHER]


def return_with_cookie(monkeypatch: pytest.MonkeyPatch, app: AppTest) -> None:
    """Let the next pages be opened by the browser in which ``app`` has joined."""
    cookies = {"lora-lab-visit-web": app.session_state["visit-token"]}
    report(monkeypatch, cookies=cookies, headers=StreamlitHeaders([("Host", "lab.example.org")]))


@pytest.mark.usefixtures("classroom")
def test_browser_stays_joined_in_a_new_visit(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    return_with_cookie(monkeypatch, join(open_app()))

    again = open_app("pages/runs.py")

    assert "Join the class" not in page_text(again)
    assert again.session_state["visitor"].name == "Ada"


@pytest.mark.usefixtures("classroom")
def test_browser_of_someone_who_left_or_was_removed_has_to_join_again(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = join(open_app())
    return_with_cookie(monkeypatch, app)
    app.button(key="leave").click().run()
    assert "Join the class" in page_text(app)
    assert "Join the class" in page_text(open_app("pages/runs.py"))

    other = join(app, name="Bob")
    return_with_cookie(monkeypatch, other)
    remove_member(store, other.session_state["visitor"])
    assert "Join the class" in page_text(open_app("pages/runs.py"))


@pytest.mark.usefixtures("classroom")
def test_form_guess_and_name_are_there_in_a_new_visit(
    open_app: Open, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = join(open_app("pages/train.py"))
    app.number_input(key="field-rank").set_value(4)
    app.number_input(key="guess").set_value(83.0)
    app.text_input(key="run-name").set_value("mine").run()
    return_with_cookie(monkeypatch, app)

    again = open_app("pages/train.py")
    assert again.number_input(key="field-rank").value == 4
    assert again.number_input(key="guess").value == 83.0
    assert again.text_input(key="run-name").value == "mine"

    again.button(key="launch").click().run()
    after = open_app("pages/train.py")
    assert (after.number_input(key="field-rank").value, after.number_input(key="guess").value) == (
        4,
        None,
    )


@pytest.mark.usefixtures("classroom")
def test_typed_text_is_there_in_a_new_visit_and_of_its_writer_alone(
    open_app: Open, finished: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = join(open_app("pages/classify.py", run=finished.id))
    app.text_area(key="text").set_value("stocks fell").run()
    other = join(open_app("pages/classify.py", run=finished.id), name="Bob")
    return_with_cookie(monkeypatch, app)

    again = open_app("pages/classify.py", run=finished.id)

    assert again.text_area(key="text").value == "stocks fell"
    assert other.text_area(key="text").value == ""


@pytest.mark.usefixtures("classroom")
def test_a_draft_that_its_widget_does_not_offer_is_left_out(
    open_app: Open, dataset: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = join(open_app("pages/home.py"))
    drafts = {"preset": "gigantic", "field-rank": -3, "field-model": "none", "guess": "high"}
    membership.write_drafts(
        store.for_visitor(app.session_state["visitor"]),
        {name: json.dumps(value) for name, value in drafts.items()},
    )
    return_with_cookie(monkeypatch, app)

    again = open_app("pages/train.py")

    assert "Something went wrong" not in page_text(again)
    assert again.number_input(key="field-rank").value == 16


@pytest.mark.usefixtures("classroom")
def test_a_known_name_asks_for_the_key(open_app: Open) -> None:
    first = join(open_app())
    app = join(open_app("pages/runs.py"), name="ada")
    assert "Is that you?" in page_text(app)

    app.text_input(key="back-key").set_value(first.session_state["visitor-key"])
    app.button(key="back-submit").click().run()

    assert app.session_state["visitor"].name == "Ada"


@pytest.mark.usefixtures("classroom")
def test_the_notice_of_a_known_name_follows_the_language(open_app: Open) -> None:
    join(open_app())
    app = join(open_app("pages/runs.py"), name="Ada")
    assert "Ada has joined already." in page_text(app)

    app.selectbox(key="language-picker").set_value("de").run()

    assert "Ada ist schon" in page_text(app) and "has joined" not in page_text(app)


@pytest.mark.usefixtures("classroom")
def test_a_new_key_replaces_the_lost_one(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = join(open_app())
    old = app.session_state["visitor-key"]
    return_with_cookie(monkeypatch, app)
    again = open_app()
    again.button(key="new-key").click().run()
    key = again.session_state["visitor-key"]

    with pytest.raises(NotAllowed):
        sign_in_with_key(store, old, "here")
    assert sign_in_with_key(store, key, "here").name == "Ada"


@pytest.mark.usefixtures("classroom")
def test_the_teacher_sees_people_and_removes_one(open_app: Open, store: Store) -> None:
    student = join(open_app("pages/runs.py"))
    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")
    table = next(table.value for table in teacher.dataframe if "Last seen" in table.value)
    assert list(table["Name"]) == ["Ada", "Grace"]
    assert list(table["State"]) == ["here", "here"]

    ada = student.session_state["visitor"]
    teacher.selectbox(key="chosen-person").select(ada.id).run()
    teacher.button(key="person-remove-confirm").click().run()

    assert "Join the class" in page_text(student.run())


@pytest.mark.usefixtures("classroom")
def test_the_teacher_gives_a_key_and_a_name(open_app: Open, store: Store) -> None:
    ada = join(open_app()).session_state["visitor"]
    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")
    teacher.selectbox(key="chosen-person").select(ada.id).run()

    teacher.button(key="person-key-new").click().run()
    key = next(block.value for block in teacher.code if block.value.count("-") == 3)
    assert sign_in_with_key(store, key, "here") == ada

    teacher.text_input(key=f"person-name-{ada.id}").set_value("Ada-L.")
    teacher.button(key="person-name-save").click().run()
    assert "Ada-L." in {visitor.name for visitor in accounts.list_people(store)}
    chosen = teacher.selectbox(key="chosen-person")
    assert chosen.options == ["Ada-L.", "Grace"]
    assert chosen.proto.set_value  # the browser does not keep the earlier name


@pytest.mark.usefixtures("classroom")
def test_students_see_no_people_and_no_projector(open_app: Open) -> None:
    app = join(open_app("pages/board.py", view="projector"))

    assert not [button for button in app.button if button.key == "projector"]
    assert not [box for box in app.selectbox if box.key == "chosen-person"]


@pytest.mark.usefixtures("classroom")
def test_selected_runs_stay_selected_in_another_order_and_are_compared(
    open_app: Open, store: Store
) -> None:
    app = join(open_app("pages/board.py"))
    mine = store.for_visitor(next(iter(accounts.list_people(store))))
    jobs = {
        name: mine.create(JobKind.TRAIN, name, REQUEST, name) for name in ("a", "b", "c", "new")
    }
    for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.7)):
        finish(mine, jobs[name], accuracy)
    app.run()
    key = make_table_key([jobs[name].id for name in "abc"])
    app.session_state[key] = {"selection": {"rows": [1, 2], "columns": [], "cells": []}}
    app.run()
    assert app.session_state["class-chosen"] == [jobs["b"].id, jobs["c"].id]

    finish(mine, jobs["new"], 0.95)
    app.run()
    assert app.session_state["class-chosen"] == [jobs["b"].id, jobs["c"].id]

    app.button(key="class-compare").click().run()
    assert app.query_params["compared"] == f"{jobs['b'].id},{jobs['c'].id}"


@pytest.mark.usefixtures("classroom")
def test_the_projector_view_shows_how_to_join_and_no_secret(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(open_app())
    teacher = join(open_app("pages/board.py"), name="Grace", code="oak")
    report(monkeypatch, headers=StreamlitHeaders([("Host", "192.0.2.5:8501")]), url="")
    teacher.button(key="projector").click().run()

    shown = page_text(teacher)
    assert "1 student joined" in shown
    assert "Ada" in {line.value for line in teacher.text}
    key = teacher.session_state["visitor-key"]
    assert key not in shown, "the key of the teacher is masked"
    assert {"http://192.0.2.5:8501", "whale"} <= {block.value for block in teacher.code}
    assert "oak" not in shown.split()


@pytest.mark.usefixtures("classroom")
def test_the_code_of_the_address_is_filled_in(open_app: Open) -> None:
    assert open_app(code="whale").text_input(key="join-code").value == "whale"


@pytest.mark.usefixtures("classroom")
def test_students_read_where_their_runs_are_after_the_class(open_app: Open, store: Store) -> None:
    student = join(open_app("pages/runs.py"))
    clear_class(store, Ending.DELETE)

    assert "Your runs were deleted" in page_text(student.run())
