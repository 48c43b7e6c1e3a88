import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.output import format_runs
from core.config import RunConfig
from core.data.sources import demo_source
from core.runs.requests import TrainRequest
from core.settings import Settings
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from tests.support.command_line import read_json, run
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def test_doctor_says_what_is_ready(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_STOPWATCH", "fp32=1,bf16=0.2,onednn=0.5")
    news = write_small_news(tmp_path / "small-news")

    outcome = read_json("doctor", "--data", str(news))

    assert {
        name: outcome["data"][name]
        for name in ("source", "name", "train_rows", "validation_rows", "test_rows")
    } == {
        "source": "folder",
        "name": "small-news",
        "train_rows": 240,
        "validation_rows": 24,
        "test_rows": 80,
    }
    assert len(outcome["data"]["fingerprint"]) == 12
    assert {model["id"]: model["available"] for model in outcome["models"]} == {
        "minilm": True,
        "distilbert": False,
    }
    assert (outcome["precision"], outcome["home"]) == ("fp32", str(home))
    assert outcome["products"] == "oneDNN"
    assert outcome["cores"] >= 1


def test_a_new_home_lists_the_example_and_shows_its_matrix() -> None:
    (listed,) = read_json("runs")
    shown = read_json("show", listed["run"])

    assert (listed["run"], listed["state"]) == ("example", "completed")
    assert shown["classes"] == ["World", "Sports", "Business", "Sci/Tech"]
    assert sum(map(sum, shown["confusion"])) == shown["test"]["rows"] == 300
    right = sum(shown["confusion"][index][index] for index in range(4))
    assert right / 300 == shown["test"]["accuracy"]
    assert [row["support"] for row in shown["per_class"]] == [
        sum(row) for row in shown["confusion"]
    ]
    assert shown["config"]["rank"] == 8
    assert {metric["split"] for metric in shown["metrics"]} == {"train", "validation"}


def test_a_launched_run_is_queued_stopped_resumed_and_deleted(tmp_path: Path) -> None:
    news, model = write_small_news(tmp_path / "news"), write_bert(tmp_path / "tiny")

    launched = read_json(
        "train",
        "--preset",
        "taste",
        "--model",
        str(model),
        "--data",
        str(news),
        "--set",
        "rank=4",
        "--name",
        "mine",
        "--guess",
        "85",
    )

    assert launched["state"] == "queued"
    shown = read_json("show", "mine")
    assert (shown["config"]["rank"], shown["guess"]) == (4, 0.85)
    assert read_json("stop", "mine")["state"] == "cancelled"
    assert read_json("resume", launched["run"])["state"] == "queued"
    assert read_json("delete", "mine", "--yes") == {
        "run": launched["run"],
        "name": "mine",
        "state": "deleted",
    }
    assert run("show", "mine").exit_code == 1


def test_a_failed_run_is_retried_with_what_it_proposes_and_its_log_can_be_read(
    store: Store,
) -> None:
    request = TrainRequest(config=RunConfig(rank=4), source=demo_source()).model_dump(mode="json")
    job = store.create(JobKind.TRAIN, "mine", request, "key")
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.FAILED, proposal_json='{"batch_size": 8}')
    (store.get_folder(job) / "worker.log").write_text("out of memory\n")

    assert read_json("log", "mine") == {"log": "out of memory\n"}
    again = read_json("retry", "mine")["run"]

    config = read_json("show", again)["config"]
    assert (config["batch_size"], config["rank"]) == (8, 4)
    assert "proposes no change" in run("retry", again).output


def test_an_estimate_names_its_units_and_says_where_its_speed_comes_from(tmp_path: Path) -> None:
    news, model = write_small_news(tmp_path / "news"), write_bert(tmp_path / "tiny")
    options = (
        "--model",
        str(model),
        "--data",
        str(news),
        "--no-measure",
        "--set",
        "train_rows=160",
        "--set",
        "evaluation_interval=4",
        "--set",
        "epochs=1",
    )

    outcome = read_json("estimate", *options)
    text = run("estimate", *options).stdout

    assert (outcome["steps"], outcome["validations"]) == (10, 3)
    assert outcome["low_seconds"] < outcome["likely_seconds"] < outcome["high_seconds"]
    assert outcome["likely_seconds"] == pytest.approx(
        sum(outcome["of_likely_seconds"].values()), abs=0.3
    )
    assert outcome["peak_memory_mb"] > 500
    assert (outcome["measured_on_this_machine"], outcome["source"]) == (
        False,
        "based on a typical 2-core machine; this one has not been measured",
    )
    assert outcome["config"]["train_rows"] == 160
    assert "has not been measured" in text
    assert "10, 3 validations" in text
    assert (outcome["unknown_tokens"]["share"], outcome["warnings"]) == (0, [])


def test_texts_that_the_tokenizer_does_not_know_are_a_warning(tmp_path: Path) -> None:
    news = tmp_path / "news"
    news.mkdir()
    lines = [f"{label},{word} team" for word in ("Привет", "мир") for label in "ab" * 20]
    for split in ("train", "test"):
        (news / f"{split}.csv").write_text("\n".join(["label,text", *lines]), encoding="utf-8")
    options = ("--model", str(write_bert(tmp_path / "tiny")), "--data", str(news))
    warning = "50.0 % of the tokens of the training texts are unknown to the tokenizer of"

    outcome = read_json("estimate", *options, "--no-measure")
    launched = run("train", *options)

    assert outcome["unknown_tokens"]["share"] == 0.5
    assert set(outcome["unknown_tokens"]["words"]) == {"Привет", "мир"}
    assert outcome["warnings"][0].startswith(warning)
    assert warning in run("estimate", *options, "--no-measure").stdout
    assert warning in launched.stderr


def test_a_budget_proposes_what_fits(tmp_path: Path) -> None:
    news, model = write_small_news(tmp_path / "news"), write_bert(tmp_path / "tiny")
    options = ("--model", str(model), "--data", str(news), "--no-measure", "--set", "rank=4")

    outcome = read_json("estimate", *options, "--minutes", "5")
    short = run("estimate", *options, "--minutes", "0.01")

    assert outcome["likely_seconds"] <= 300
    assert (outcome["minutes"], outcome["config"]["rank"], outcome["config"]["train_rows"]) == (
        5,
        4,
        216,
    )
    assert outcome["chosen_for_the_budget"]["epochs"] == 3
    assert (outcome["accuracy_low"], outcome["accuracy_high"]) == (None, None)
    assert "No earlier run on this data" in outcome["note"]
    assert (short.exit_code, "Allow at least" in short.stderr) == (1, True)


def test_a_run_with_a_budget_trains_what_fits(tmp_path: Path) -> None:
    news, model = write_small_news(tmp_path / "news"), write_bert(tmp_path / "tiny")
    # a queued run, so that nothing is measured next to it
    read_json("train", "--model", str(model), "--data", str(news))

    launched = read_json(
        "train", "--model", str(model), "--data", str(news), "--minutes", "5", "--name", "five"
    )

    assert launched["state"] == "queued"
    config = read_json("show", "five")["config"]
    assert (config["train_rows"], config["epochs"]) == (216, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nope"], "There is no run 'nope'"),
        (["train", "--set", "ranc=8"], "Did you mean rank"),
        (["train", "--set", "rank=0"], "from 1 to 1,024"),
        (["train", "--set", "rank"], "FIELD=VALUE"),
        (["train", "--data", "/no/such/folder"], "does not exist"),
        (["train", "--model", "/no/such/model"], "There is no folder"),
        (["estimate", "--model", "/no/such/model"], "There is no folder"),
        (
            ["sweep", "example", "--field", "model", "--values", "minilm,/no/such/model", "--dry"],
            "There is no folder",
        ),
        (["report", "example", "--to", "rows.csv"], "rows.csv is no HTML file"),
        (["resume", "example"], "example-minilm is completed"),
        (["classify", "example", " "], "empty"),
    ],
)
def test_bad_input_gets_one_plain_sentence(arguments: list[str], words: str) -> None:
    result = run(*arguments, "--json")

    assert result.exit_code == 1
    assert words in result.stderr
    assert set(json.loads(result.stdout)) == {"error", "fix"}
    assert "Traceback" not in result.output


@pytest.mark.parametrize("minutes", ["nan", "inf", "-3"])
def test_a_budget_is_a_finite_number_of_minutes(minutes: str) -> None:
    result = run("estimate", "--minutes", minutes)

    assert result.exit_code == 2
    assert "--minutes" in result.stderr


def test_ids_of_any_length_stay_apart_from_the_state() -> None:
    listed = format_runs(
        [
            {"run": "a1b2c3d4", "state": "completed", "name": "short"},
            {"run": "gallery-1", "state": "completed", "name": "long"},
        ]
    )

    assert [line.split() for line in listed.splitlines()] == [
        ["a1b2c3d4", "completed", "short"],
        ["gallery-1", "completed", "long"],
    ]


def test_a_damaged_database_is_repaired_on_request(settings: Settings) -> None:
    read_json("runs")
    settings.database.write_bytes(b"damaged" * 1000)

    assert "doctor --repair" in run("runs").stderr
    assert "1 runs" in run("doctor", "--repair").stderr
    assert [job["run"] for job in read_json("runs")] == ["example"]


@pytest.mark.worker
def test_waiting_prints_the_scores_and_nothing_else_on_stdout(
    tmp_path: Path, supervised: None
) -> None:
    news, model = write_small_news(tmp_path / "news"), write_bert(tmp_path / "tiny")
    command = [
        sys.executable,
        "-m",
        "core",
        "train",
        "--model",
        str(model),
        "--data",
        str(news),
        "--set",
        "train_rows=80",
        "--wait",
        "--json",
    ]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["state"] == "completed"
    assert {"accuracy", "macro_f1"} <= set(result["test"]) & set(result["untrained"]) & set(
        result["validation"]
    )
    assert (
        min(
            result[name]
            for name in ("train_seconds", "total_seconds", "rows_per_second", "peak_memory_mb")
        )
        > 0
    )
    assert Store(Settings()).read_job(result["run"]).state is JobState.COMPLETED
    (answer,) = read_json("classify", result["run"], "the team won")
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
