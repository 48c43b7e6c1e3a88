import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.access import Role, Visitor
from core.data.dataset import Dataset
from core.data.disputed_labels import DisputedLabel, change_disputed, read_disputed
from core.data.quality.findings import Check, DataFinding, QualityReport, save_report
from core.data.recipe import Fix, Recipe, Step, read_recipe, recipe_path, save_recipe, to_bytes
from core.jobs.launching import launch
from core.runs.requests import QualityRequest
from core.storage import accounts
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import sound_page_text

PAGE = "pages/quality.py"


@pytest.fixture
def checked(dataset: Dataset) -> Dataset:
    """Write three label suspects, one in test, and a text shared by train and test."""
    counts = {Check.LEAKAGE: 1, Check.SUSPECT: 3}
    findings = tuple(
        DataFinding(check, counts.get(check, 0), 0, f"{counts.get(check, 0)} of them")
        for check in Check
    )
    report = QualityReport(1, dataset.fingerprint, dataset.name, 240, 1.0, (), findings)
    test, train = dataset.read("test")["row"], dataset.read("train")["row"]
    rows = [
        (Check.LEAKAGE.value, "test", test[0], 5, 1.0, "same text as train row 0", -1),
        (Check.SUSPECT.value, "train", train[0], -1, 0.9, "", 2),
        (Check.SUSPECT.value, "train", train[1], -1, 0.8, "", 3),
        (Check.SUSPECT.value, "test", test[4], -1, 0.7, "", 3),
    ]
    save_report(
        dataset,
        report,
        pd.DataFrame(rows, columns=["check", "split", "row", "group", "score", "detail", "rival"]),
    )
    return dataset


@pytest.fixture
def job(store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Start a check."""
    job = launch(store, QualityRequest(fingerprint=dataset.fingerprint), dataset.name)
    store.transition(job, JobState.STARTING, started_at=store.clock())
    return store.read_job(job.id)


def test_data_that_was_not_checked_offers_the_check_and_shows_its_progress(
    open_app: Open, store: Store, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    assert "has not been checked yet" in sound_page_text(app)

    app.button(key="check").click().run()

    assert [job.state for job in store.list_jobs(JobKind.QUALITY)] == [JobState.QUEUED]
    assert "Waiting in the queue." in sound_page_text(app)


def test_a_check_running_says_how_far_it_is_and_can_be_stopped(
    open_app: Open, store: Store, job: Job
) -> None:
    store.transition(job, JobState.RUNNING, phase="looking for duplicates", done=60, total=240)
    app = open_app(PAGE)
    assert app.get("progress")[0].proto.value == 25

    app.button(key="stop").click().run()

    assert store.read_job(job.id).state is JobState.STOPPING


def test_a_failed_check_says_why_and_can_be_started_again(
    open_app: Open, store: Store, job: Job
) -> None:
    store.transition(
        job, JobState.FAILED, message="The disk is full.", fix="Make room.", ended_at=store.clock()
    )

    app = open_app(PAGE)

    assert "The check failed.** The disk is full. Make room." in sound_page_text(app)
    assert app.button(key="check").label == "Check data"


def test_findings_stand_first_and_the_worst_is_read(open_app: Open, checked: Dataset) -> None:
    app = open_app(PAGE)

    assert sound_page_text(app)
    assert app.subheader[0].value == "Held-out texts that also appear in training: 1 text"
    assert app.dataframe[0].value["texts"].tolist() == [1, 0, 3, 0, 0, 0, 0, 0, 0]
    assert app.dataframe[1].value["detail"].tolist() == ["same text as train row 0"]
    assert "The model is scored on texts that it has learned" in sound_page_text(app)


def test_a_finding_is_chosen_by_the_url_and_its_texts_stay_plain(
    open_app: Open, checked: Dataset
) -> None:
    app = open_app(PAGE, finding="label suspects")

    table = app.dataframe[1].value
    assert table["score"].tolist() == [0.9, 0.8, 0.7]
    assert table["competing class"].tolist() == ["Business", "Sci/Tech", "Sci/Tech"]
    train, test = checked.read("train")["text"], checked.read("test")["text"]
    assert table["text"].tolist() == [train[0], train[1], test[4]]
    assert not any("<b>tags</b>" in element.value for element in app.markdown)


def test_a_chosen_suspect_is_shown_with_its_nearest_texts(open_app: Open, checked: Dataset) -> None:
    train = checked.read("train")
    lines = [("train", train["row"][0], "train", train["row"][place], 0.5) for place in (4, 5)]
    near = pd.DataFrame(lines, columns=["split", "row", "near_split", "near_row", "similarity"])
    near.to_parquet(checked.folder / "quality" / "neighbours.parquet")
    app = open_app(PAGE, finding="label suspects")
    app.session_state["texts-label suspects"] = {"selection": {"rows": [0], "columns": []}}

    app.run()

    assert sound_page_text(app)
    assert app.dataframe[2].value["text"].tolist() == train["text"].iloc[[4, 5]].tolist()
    assert app.dataframe[2].value["class"].tolist() == [
        checked.classes[label] for label in train["label"].iloc[[4, 5]]
    ]


def test_a_damaged_report_counts_as_none(open_app: Open, checked: Dataset) -> None:
    (checked.folder / "quality" / "report.json").write_text("{")

    assert "has not been checked yet" in sound_page_text(open_app(PAGE))


def test_damaged_findings_are_said(open_app: Open, checked: Dataset) -> None:
    (checked.folder / "quality" / "findings.parquet").write_text("{")

    assert "findings.parquet is missing or damaged" in sound_page_text(open_app(PAGE))


def test_a_fix_goes_into_the_recipe_and_can_be_taken_back(
    open_app: Open, checked: Dataset, store: Store
) -> None:
    test, train = checked.read("test"), checked.read("train")
    path = checked.folder / "quality" / "findings.parquet"
    result = pd.read_parquet(path)
    near = [
        ("near duplicates", split, frame["row"][0], 5, 1.0, "", -1)
        for split, frame in (("train", train), ("test", test))
    ]
    pd.concat([result, pd.DataFrame(near, columns=result.columns)]).to_parquet(path)
    app = open_app(PAGE, finding="leakage")

    app.button(key="fix-leakage").click().run()

    assert [
        (step.check, step.rows) for step in read_recipe(store.settings, checked.fingerprint).steps
    ] == [("leakage", (train["row"][0],))]
    assert "Total: 1 training text removed." in sound_page_text(app)
    assert app.button(key="fix-leakage").disabled

    app.button(key="take-back-0").click().run()

    assert read_recipe(store.settings, checked.fingerprint).steps == ()
    assert not app.button(key="fix-leakage").disabled


def test_a_guest_reads_findings_and_is_offered_no_fix(
    open_app: Open, checked: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_MODE", "public")

    app = open_app(PAGE, finding=Check.LEAKAGE.value)

    assert "Held-out texts that also appear in training." in sound_page_text(app)
    assert not [button.key for button in app.button if str(button.key).startswith("fix-")]
    assert "Cleaning recipe" not in sound_page_text(app)


def test_only_the_chosen_suspects_are_relabeled(
    open_app: Open, checked: Dataset, store: Store
) -> None:
    app = open_app(PAGE, finding="label suspects")
    assert "Select training texts" in sound_page_text(app)
    app.session_state["texts-label suspects"] = {"selection": {"rows": [1], "columns": []}}
    app.run()

    app.button(key="chosen-relabel").click().run()

    (step,) = read_recipe(store.settings, checked.fingerprint).steps
    assert (step.rows, step.labels) == ((checked.read("train")["row"][1],), (3,))


def test_a_damaged_recipe_is_said_and_the_findings_stay(
    open_app: Open, checked: Dataset, store: Store
) -> None:
    path = recipe_path(store.settings, checked.fingerprint)
    path.parent.mkdir()
    path.write_text("{")

    app = open_app(PAGE, finding="label suspects")

    assert "The cleaning recipe of this dataset is damaged." in sound_page_text(app)
    assert len(app.dataframe) == 2


def test_a_recipe_from_a_file_takes_the_place_of_the_present_one(
    open_app: Open, checked: Dataset, store: Store
) -> None:
    row = int(checked.read("train")["row"][5])
    save_recipe(
        store.settings,
        Recipe(
            fingerprint=checked.fingerprint, steps=(Step(check="x", fix=Fix.REPAIR, rows=(row,)),)
        ),
    )
    expected = Recipe(
        fingerprint=checked.fingerprint, steps=(Step(check="leakage", fix=Fix.DROP, rows=(row,)),)
    )
    app = open_app(PAGE)

    app.file_uploader(key="recipe-file").upload(
        "mine.json", to_bytes(expected), "application/json"
    ).run()
    assert (
        "It fits this dataset: 1 step, 1 training text removed. It replaces the current recipe"
        " (1 step)." in sound_page_text(app)
    )
    app.button(key="use-recipe").click().run()

    assert read_recipe(store.settings, checked.fingerprint) == expected
    assert (
        "This is already the current recipe: 1 step, 1 training text removed."
        in sound_page_text(app)
    )


def test_a_student_who_uploads_a_recipe_sees_what_it_does_to_their_own(
    open_app: Open, checked: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Visitor("ada", "Ada", Role.STUDENT)
    monkeypatch.setenv("LORALAB_MODE", "classroom")
    accounts.add_person(store, ada, "x")
    of_all, expected = (
        Recipe(fingerprint=checked.fingerprint, steps=(Step(check=why, fix=Fix.DROP, rows=(0,)),))
        for why in ("a", "b")
    )
    save_recipe(store.settings, of_all)
    app = open_app(PAGE)
    app.session_state["visitor"] = ada
    app.run()

    app.file_uploader(key="recipe-file").upload(
        "mine.json", to_bytes(expected), "application/json"
    ).run()
    assert "It replaces" not in sound_page_text(app)
    app.button(key="use-recipe").click().run()

    assert "This is already the current recipe" in sound_page_text(app)
    assert read_recipe(store.settings, checked.fingerprint) == of_all


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "mine.json is not JSON."),
        (
            to_bytes(
                Recipe(fingerprint="f" * 12, steps=(Step(check="x", fix=Fix.DROP, rows=(1,)),))
            ),
            "is for data ffffffffffff, not",
        ),
    ],
)
def test_a_file_that_is_no_recipe_of_these_data_changes_nothing(
    open_app: Open, checked: Dataset, store: Store, content: bytes, words: str
) -> None:
    app = open_app(PAGE)

    app.file_uploader(key="recipe-file").upload("mine.json", content, "application/json").run()

    assert words in sound_page_text(app)
    assert not [button for button in app.button if button.key == "use-recipe"]
    assert read_recipe(store.settings, checked.fingerprint).steps == ()


def select(app: AppTest, key: str, rows: list[int]) -> AppTest:
    app.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    return app.run()


@pytest.mark.parametrize(
    ("button", "suggested"), [("dispute-chosen", ""), ("dispute-suggesting", "Sci/Tech")]
)
def test_a_doubtful_test_label_is_disputed_and_undone(
    open_app: Open, checked: Dataset, store: Store, button: str, suggested: str
) -> None:
    row = int(checked.read("test")["row"][4])
    app = select(
        open_app(PAGE, finding=Check.SUSPECT.value), f"texts-{Check.SUSPECT.value}", [0, 2]
    )

    app.button(key=button).click().run()

    (mark,) = read_disputed(store, checked.fingerprint).values()
    assert (mark.row, mark.label, mark.suggested) == (row, "World", suggested)
    select(app, "disputed-labels", [0]).button(key="undo-disputed").click().run()
    assert read_disputed(store, checked.fingerprint) == {}
    assert "None. Select doubtful labels of the test split above" in sound_page_text(app)


def test_marks_of_an_earlier_version_are_counted_and_not_applied(
    open_app: Open, checked: Dataset, store: Store
) -> None:
    change_disputed(store, "0" * 12, checked.name, [DisputedLabel(row=4, label="World")])

    words = sound_page_text(open_app(PAGE))

    assert "1 disputed label of another version of" in words
    assert "is not applied to this one" in words
