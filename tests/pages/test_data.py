from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.preparation import prepare
from core.data.saved import list_saved, save
from core.data.sources import Source, SourceKind
from core.data.splits.build_splits import BuildOptions, build
from core.data.tables.read import read_table
from core.jobs import worker
from core.settings import Settings
from core.storage.job import JobChanges, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.fake_hub import CONVERTED_REVISION, Hub
from tests.support.json_values import value_at
from tests.support.stored_runs import make_finished, make_run

PAGE = "pages/data.py"
LABELS = ("спорт", "Спорт", "мир", "**b**")


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("LORALAB_PATHS", str(tmp_path))


def write(folder: Path, rows: int = 60, labels: tuple[str, ...] = LABELS) -> Path:
    path = folder / "мои.csv"
    path.write_text(
        "note;topic\n"
        + "".join(f"текст номер {i};{labels[i % len(labels)]}\n" for i in range(rows)),
        "cp1251",
    )
    return path


def enter_paths(app: AppTest, *paths: Path) -> AppTest:
    app.button_group(key="bring-from").set_value("Path on this machine").run()
    return app.text_area(key="paths").set_value("\n".join(map(str, paths))).run()


def keep(name: str, labels: tuple[str, ...] = ("a", "b"), rows: int = 40) -> Source:
    lines = "".join(f"text {i} of 口コミ,{labels[i % len(labels)]}\n" for i in range(rows))
    table, choice = (
        read_table("a.csv", f"text,label\n{lines}".encode()),
        BuildOptions(("text",), "label"),
    )
    return save(Settings(), name, build([("train", table)], choice), choice, [table.file])


def test_a_file_becomes_a_dataset_that_is_used(
    open_app: Open, store: Store, tmp_path: Path
) -> None:
    app = enter_paths(open_app(PAGE), write(tmp_path))

    assert not app.exception and not app.error, page_text(app)
    assert "**мои.csv** · 60 rows, 2 columns" in page_text(app)
    assert (
        "text separated by semicolon · Cyrillic (Windows-1251) · first row is the header"
        in page_text(app)
    )
    assert "**60 of 60 rows kept**" in page_text(app)
    merge = next(toggle for toggle in app.toggle if toggle.label == "Merge 1 near-duplicate label")
    merge.set_value(True).run()
    app.text_input(key="dataset-name").set_value("Мои темы")
    app.button(key="save-dataset").click().run()

    (card,) = list_saved(Settings())
    assert (card.name, card.classes) == ("Мои темы", ("**b**", "Спорт", "мир"))
    assert app.query_params["dataset"] == app.query_params["data"] == "Мои темы"
    assert [job.state for job in store.list_jobs(JobKind.PREPARE)] == [JobState.QUEUED]
    assert app.subheader[0].value == "Мои темы"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty. Choose a file"),
        (b"\x1f\x8b\x08 gzip", "is compressed with gzip. Unpack it"),
        (b"text,label\n", "has a header and no rows"),
        (b"text,label\n" + b"a,b\n" * 30, "All rows have the label 'b'"),
        (b"text\na\nb\n", "The text or label column is missing. Choose a column for each."),
        (
            b"text,label\n" + b"".join(b"a text,%d\n" % i for i in range(600)),
            "has 600 different values; at most 200 classes are supported",
        ),
        (b"text,label\na,b\nc,d\n", "Too few training rows"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_do(
    open_app: Open, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "given.csv").write_bytes(content)

    app = enter_paths(open_app(PAGE), tmp_path / "given.csv")

    assert not app.exception
    assert words in " ".join(error.value for error in app.error).replace("\\", "").replace("**", "")


def test_more_files_than_the_page_reads_are_refused(open_app: Open, tmp_path: Path) -> None:
    app = enter_paths(open_app(PAGE), *(tmp_path / f"train-{number}.csv" for number in range(6)))

    assert "These are 6 files; the limit is 5" in app.error[0].value


def test_paths_are_not_offered_to_visitors_from_elsewhere(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORALAB_PATHS")

    app = open_app(PAGE)

    assert app.button_group(key="bring-from").options == ["Upload", "Hugging Face Hub"]
    assert "start the server with --server.address localhost" in page_text(app)


def test_a_path_that_is_not_there_is_said(open_app: Open, tmp_path: Path) -> None:
    assert "nowhere/a.csv cannot be opened" in page_text(
        enter_paths(open_app(PAGE), tmp_path / "nowhere" / "a.csv")
    )


def test_path_of_another_folder_is_refused(open_app: Open, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.txt").symlink_to("/etc/passwd")
    (folder / "b").mkdir()
    (folder / "b" / "1.txt").write_text("a text")

    for path in (Path("/etc/passwd"), folder):
        text = page_text(enter_paths(open_app(PAGE), path))

        assert "is not below a folder that this server may read" in text
        assert "LORALAB_PATHS" in text
        assert "root:" not in text


def test_a_name_that_is_taken_is_said_and_nothing_is_lost(open_app: Open, tmp_path: Path) -> None:
    keep("Reviews")
    app = enter_paths(open_app(PAGE), write(tmp_path, labels=("x", "y")))
    app.text_input(key="dataset-name").set_value("reviews")
    app.button(key="save-dataset").click().run()

    assert "There is already a dataset 'Reviews'." in page_text(app)
    assert "**60 of 60 rows kept**" in page_text(app)


def test_two_files_are_splits_by_their_names(open_app: Open, tmp_path: Path) -> None:
    for name, rows in (("train", 40), ("test", 6)):
        (tmp_path / f"{name}.csv").write_text(
            "text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(rows))
        )

    app = enter_paths(open_app(PAGE), tmp_path / "train.csv", tmp_path / "test.csv")

    table = next(frame.value for frame in app.dataframe if "test" in frame.value)
    assert table["train"].tolist() == [20, 20]
    assert table["test"].tolist() == [3, 3]


def test_a_folder_of_texts_is_read_with_the_chosen_encoding(open_app: Open, tmp_path: Path) -> None:
    for split, rows in (("train", 12), ("test", 3)):
        for label in ("pos", "neg"):
            folder = tmp_path / "films" / split / label
            folder.mkdir(parents=True)
            for number in range(rows):
                (folder / f"{number}.txt").write_text(f"{label} café {number}", "cp1252")

    app = enter_paths(open_app(PAGE), tmp_path / "films")

    assert not app.exception and not app.error, page_text(app)
    assert "**films/train** · 24 rows, 3 columns" in page_text(app)
    assert "**30 of 30 rows kept**" in page_text(app)
    boxes = [box for box in app.selectbox if (box.key or "").startswith("encoding|")]
    boxes[0].set_value("mac_roman").run()
    assert "Western European (Mac)" in page_text(app)


def test_a_text_added_to_a_folder_is_read(open_app: Open, tmp_path: Path) -> None:
    for label in ("pos", "neg"):
        (tmp_path / "films" / label).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "films" / label / f"{number}.txt").write_text(f"{label} film {number}")
    app = enter_paths(open_app(PAGE), tmp_path / "films")

    (tmp_path / "films" / "pos" / "more.txt").write_text("one more film")
    app.run()

    assert not app.exception and not app.error, page_text(app)
    assert "**films** · 25 rows, 3 columns" in page_text(app)


def test_texts_of_more_than_100_mb_are_not_read_in_the_server(
    open_app: Open, tmp_path: Path
) -> None:
    for label in ("pos", "neg"):
        (tmp_path / "films" / label).mkdir(parents=True)
        with (tmp_path / "films" / label / "1.txt").open("wb") as file:
            file.truncate(60_000_000)

    app = enter_paths(open_app(PAGE), tmp_path / "films")

    assert "films has 120 MB; the limit is 100 MB." in page_text(app)
    assert "python -m core data add" in page_text(app)


def test_without_a_network_the_hub_says_so(open_app: Open) -> None:
    app = open_app(PAGE)
    app.button_group(key="bring-from").set_value("Hugging Face Hub").run()
    app.text_input(key="hub-id").set_value("owner/name")
    app.button(key="hub-look-up").click().run()

    assert "The Hub cannot be reached." in page_text(app)


def look_up(app: AppTest, hub_id: str) -> AppTest:
    app.button_group(key="bring-from").set_value("Hugging Face Hub").run()
    app.text_input(key="hub-id").set_value(hub_id)
    return app.button(key="hub-look-up").click().run()


def test_a_hub_dataset_says_its_size_is_downloaded_by_a_job_and_keeps_its_story(
    open_app: Open, hub: Hub, store: Store
) -> None:
    app = look_up(open_app(PAGE), "some/pets")
    assert "**some/pets** · 3 KB · 2 files · revision cccccccccccc · license mit" in page_text(app)
    assert not [path for path in hub.asked if "resolve" in path]

    app.button(key="hub-download").click().run()
    (job,) = store.list_jobs(JobKind.FETCH)
    assert "Waiting for other jobs to finish." in page_text(app)
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.read_job(job.id))
    app.run()
    assert "**80 of 80 rows kept**" in page_text(app)
    app.text_input(key="dataset-name").set_value("Tiere")
    app.button(key="save-dataset").click().run()

    (card,) = list_saved(Settings())
    assert (
        card.origin == "some/pets on the Hugging Face Hub, configuration default, revision"
        f" {CONVERTED_REVISION}"
    )
    assert f"{card.origin}." in page_text(app)
    assert prepare(
        Settings(),
        Source(SourceKind.SAVED, "Tiere", Settings().datasets / "Tiere"),
        lambda progress: None,
        lambda: False,
    ).notes == (f"From {card.origin}.",)


def test_a_configuration_is_chosen_where_there_are_several(open_app: Open, hub: Hub) -> None:
    app = look_up(open_app(PAGE), "some/many")
    assert app.selectbox(key="hub-configuration-some/many").options == ["de", "en"]

    app.selectbox(key="hub-configuration-some/many").set_value("en").run()

    app.button(key="hub-download").click().run()
    (job,) = Store(Settings()).list_jobs(JobKind.FETCH)
    assert value_at(job.request, "pick", "configuration") == "en"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.FAILED, "The download failed. The Hub went away. Try again."),
        (JobState.CANCELLED, "The download was stopped; its files were deleted."),
    ],
)
def test_a_download_that_did_not_end_says_why_and_can_be_started_again(
    open_app: Open, hub: Hub, store: Store, state: JobState, words: str
) -> None:
    app = look_up(open_app(PAGE), "some/pets")
    app.button(key="hub-download").click().run()
    (job,) = store.list_jobs(JobKind.FETCH)
    steps = (
        (JobState.STARTING, JobState.RUNNING, JobState.STOPPING, state)
        if state is JobState.CANCELLED
        else (JobState.STARTING, state)
    )
    for step in steps:
        reason: JobChanges = {"message": "The Hub went away.", "fix": "Try again."}
        store.transition(job, step, **(reason if step is state else JobChanges()))
    app.run()

    assert words in (page_text(app) + " ".join(note.value for note in app.info)).replace("**", "")
    app.button(key="hub-download").click().run()
    assert [other.state for other in store.list_jobs(JobKind.FETCH)] == [JobState.QUEUED, state]


def test_the_picker_chooses_the_data_of_every_page_and_the_url_keeps_it(open_app: Open) -> None:
    source = keep("口コミ")
    prepare(Settings(), source, lambda progress: None, lambda: False)
    app = open_app("pages/home.py")
    assert app.selectbox(key="data-picker").options == ["Demo corpus", "口コミ"]

    app.selectbox(key="data-picker").set_value("口コミ").run()

    assert app.query_params["data"] == "口コミ"
    assert "**口コミ**, from" in page_text(app)
    app.switch_page("pages/train.py").run()
    assert app.query_params["data"] == "口コミ"
    app.selectbox(key="data-picker").set_value("").run()
    assert "data" not in app.query_params
    assert "**口コミ**, from" in page_text(open_app("pages/home.py", data="口コミ"))


def test_a_launched_run_is_on_the_chosen_data(open_app: Open, store: Store) -> None:
    source = keep("Reviews")
    app = open_app("pages/home.py", data="Reviews")

    app.button(key="taste-run").click().run()

    (job,) = store.list_jobs(JobKind.TRAIN)
    assert job.request["source"] == {
        "kind": "saved",
        "name": "Reviews",
        "folder": str(source.folder),
        "note": "",
    }


def test_data_in_the_url_that_is_gone_is_said_and_the_usual_is_used(open_app: Open) -> None:
    keep("Reviews")

    app = open_app("pages/home.py", data="Other")

    assert "Dataset 'Other' no longer exists; using Demo corpus." in page_text(app)


def test_deleting_keeps_the_runs_readable(open_app: Open, store: Store) -> None:
    source = keep("Reviews")
    job = make_finished(store, source, "on-reviews")
    app = open_app(PAGE, dataset="Reviews", data="Reviews")
    assert "1 run trained on it keeps its results" in page_text(app)

    app.button(key="delete-for-good").click().run()

    assert list_saved(Settings()) == []
    assert "No saved datasets yet." in page_text(app)
    assert open_app("pages/evaluate.py", run=job.id).subheader[0].value.startswith("85.0 %")
    assert not open_app("pages/runs.py", run=job.id).error
    assert not open_app("pages/home.py").exception


def test_a_dataset_in_use_by_a_waiting_run_is_not_deleted(open_app: Open, store: Store) -> None:
    make_run(store, keep("Reviews"), "waiting-run")
    app = open_app(PAGE, dataset="Reviews")

    app.button(key="delete-for-good").click().run()

    assert len(list_saved(Settings())) == 1
    assert "is in use by waiting-run" in app.toast[0].value.replace("\\", "")


@pytest.mark.parametrize("classes", [2, 50])
def test_every_data_page_opens_with_two_and_with_fifty_classes(
    open_app: Open, classes: int
) -> None:
    source = keep("Viele", tuple(f"Клас {i:02d}" for i in range(classes)), rows=12 * classes)
    prepare(Settings(), source, lambda progress: None, lambda: False)

    for page in ("home", "explore", "train", "data"):
        app = open_app(f"pages/{page}.py", data="Viele")
        assert not app.exception and not app.error, (page, page_text(app))
