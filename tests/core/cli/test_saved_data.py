from pathlib import Path

import pytest

from core.storage.store import Store
from tests.support.command_line import read_json, run
from tests.support.fake_hub import CONVERTED_REVISION, Hub


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text(
        "id;note;mood\n"
        + "".join(f"{i};Čaj číslo {i};{('dobrý', 'špatný', 'Dobrý ')[i % 3]}\n" for i in range(60)),
        "utf-8",
    )
    return path


def test_a_file_is_added_listed_reported_and_deleted(reviews: Path) -> None:
    added = read_json(
        "data",
        "add",
        str(reviews),
        "--text",
        "note",
        "--label",
        "mood",
        "--name",
        "čaje",
        "--merge",
    )

    assert (added["name"], added["classes"]) == ("čaje", ["Dobrý", "špatný"])
    assert (added["train_rows"], added["validation_rows"], added["test_rows"]) == (48, 0, 12)
    assert added["report"]["merged"] == [["dobrý", "Dobrý"]]
    assert (added["files"][0]["encoding"], added["files"][0]["separator"]) == ("utf-8", ";")
    assert [row["name"] for row in read_json("data", "list")] == ["čaje"]
    assert read_json("data", "report", "čaje") == added
    assert "čaje: 60 of 60 rows kept" in run("data", "report", "čaje").stdout
    assert read_json("data", "delete", "čaje", "--yes") == {
        "name": "čaje",
        "state": "deleted",
        "runs": 0,
    }
    assert read_json("data", "list") == []


def test_labels_are_renamed_and_left_out(reviews: Path) -> None:
    words = ["--rename", "dobrý=good", "--rename", "Dobrý=good", "--rename", "špatný=bad"]
    assert read_json(
        "data", "add", str(reviews), "--text", "note", "--label", "mood", "--name", "tea", *words
    )["classes"] == ["bad", "good"]

    left = read_json(
        "data",
        "add",
        str(reviews),
        "--label",
        "mood",
        "--name",
        "tea",
        "--replace",
        "--leave-out",
        "Dobrý",
    )

    assert left["classes"] == ["dobrý", "špatný"]
    assert left["report"]["dropped"][0]["rows"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--text", "nothing", "--label", "mood"],
            "has no column 'nothing'. Its columns are 'id', 'note', 'mood'.",
        ),
        (["--label", "mood", "--leave-out", "x"], "There is no label 'x'. The labels are"),
        (["--label", "mood", "--separator", "ab"], "'ab' is no separator."),
        (
            ["--label", "mood", "--encoding", "klingon"],
            "There is no encoding 'klingon'. Choose",
        ),
    ],
)
def test_what_cannot_be_done_is_said(reviews: Path, arguments: list[str], message: str) -> None:
    result = run("data", "add", str(reviews), "--name", "tea", *arguments)

    assert result.exit_code == 1
    assert message in result.output


def test_a_hub_dataset_without_a_network_is_said() -> None:
    result = run("data", "add", "owner/name", "--name", "tea")

    assert result.exit_code == 1
    assert "The Hub cannot be reached." in result.output


def test_a_hub_dataset_is_added_and_reports_its_revision(hub: Hub) -> None:
    card = read_json("data", "add", "hub:some/pets", "--name", "pets")

    assert (card["classes"], card["train_rows"], card["test_rows"]) == (["Hund", "Katze"], 60, 20)
    assert (
        card["origin"] == "some/pets on the Hugging Face Hub, configuration default, revision"
        f" {CONVERTED_REVISION}"
    )
    assert f"  from     {card['origin']}" in run("data", "report", "pets").output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["hub:some/many"], "has several configurations: de, en. Write some/many:CONFIGURATION."),
        (["hub:some/pets", "more.csv"], "A dataset of the Hub is added on its own."),
        (["hub:pets"], "'hub:pets' is not a dataset id."),
    ],
)
def test_a_hub_dataset_that_cannot_be_added_is_said(
    hub: Hub, given: list[str], message: str
) -> None:
    result = run("data", "add", *given, "--name", "pets")

    assert result.exit_code == 1
    assert message in result.output


def test_a_run_takes_a_saved_name_as_its_data(
    reviews: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_json("data", "add", str(reviews), "--text", "note", "--label", "mood", "--name", "tea")

    launched = read_json("train", "--preset", "taste", "--data", "tea")

    source = store.read_job(launched["run"]).request["source"]
    assert isinstance(source, dict)
    assert (source["kind"], source["name"]) == ("saved", "tea")
    assert (
        "neither a saved dataset nor a folder 'nothing'"
        in run("estimate", "--data", "nothing").output
    )


def test_a_dataset_of_a_waiting_run_is_kept(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_json("data", "add", str(reviews), "--text", "note", "--label", "mood", "--name", "tea")
    read_json("train", "--preset", "taste", "--data", "tea", "--name", "waits")

    assert "The dataset 'tea' is in use by waits." in run("data", "delete", "tea", "--yes").output
    assert len(read_json("data", "list")) == 1
