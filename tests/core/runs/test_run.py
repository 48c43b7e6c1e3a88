import json
from pathlib import Path

import pytest

from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import ArtifactDamaged, JobNotFound
from core.evaluation.scores import Proportion
from core.models.catalog import ModelLocation
from core.progress import Phase
from core.runs import artifacts
from core.runs.requests import TrainRequest
from core.runs.run import Run, RunSeconds, choose_name, find_run, read_result
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.stored_runs import CLASSES, make_finished, make_run, predictions

REQUEST = TrainRequest(config=RunConfig(rank=4), source=demo_source(), preset="quick")


def job_with(result: str, state: JobState = JobState.COMPLETED, **changes: str) -> Job:
    values = {"name": "first", "request_json": REQUEST.model_dump_json(), **changes}
    return Job(
        "0a1b",
        JobKind.TRAIN,
        values["name"],
        state,
        1,
        "local",
        values["request_json"],
        0.0,
        result_json=result,
    )


def run_with(result: object, state: JobState = JobState.COMPLETED, **changes: str) -> Run:
    return Run(job_with(json.dumps(result), state, **changes), Path("0a1b"))


def test_a_run_gives_its_request_and_its_scores() -> None:
    scores = {"hits": 3, "rows": 4}
    run = run_with({"classes": ["a", "b"], "test": scores, "untrained": {"hits": 1, "rows": 4}})

    assert (run.config.rank, run.preset, run.source) == (4, "quick", demo_source())
    assert (run.classes, run.test, run.untrained) == (
        ("a", "b"),
        Proportion(3, 4),
        Proportion(1, 4),
    )
    assert run.validation is None


def test_a_run_without_a_name_is_called_by_its_id() -> None:
    assert run_with({}, name="").name == "0a1b"


def test_the_data_has_its_own_name_once_it_was_read() -> None:
    assert run_with({}).data_name == demo_source().name
    assert run_with({"data": "News"}).data_name == "News"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (JobState.RUNNING, "has not read its data yet"),
        (JobState.FAILED, "has no class names"),
    ],
)
def test_a_run_without_classes_says_why(state: JobState, message: str) -> None:
    with pytest.raises(ArtifactDamaged, match=message):
        _ = run_with({}, state).classes


@pytest.mark.parametrize(
    "run",
    [
        run_with({}, request_json="{"),
        run_with({}, request_json="{}"),
        run_with([]),
        run_with({"test": 1}),
    ],
)
def test_a_damaged_record_is_reported(run: Run) -> None:
    with pytest.raises(ArtifactDamaged):
        run.require_readable()


def test_a_finished_run_has_its_files(store: Store) -> None:
    run = Run.of(store, make_finished(store, demo_source(), "finished"))
    model = ModelLocation("minilm", True, "")

    assert run.has_adapter
    assert run.has_predictions("validation")
    assert len(run.read_predictions()) == 40
    request = run.build_classify_request(model)
    assert (request.run_id, request.adapter, request.classes) == (run.id, run.adapter, CLASSES)


def test_a_waiting_run_has_no_files(store: Store) -> None:
    run = Run.of(store, make_run(store, demo_source(), "waiting"))

    assert (run.has_adapter, run.has_predictions()) == (False, False)
    with pytest.raises(ArtifactDamaged):
        _ = run.adapter


def test_a_run_is_found_by_id_before_name(store: Store) -> None:
    first = make_run(store, demo_source(), "first")
    second = make_run(store, demo_source(), first.id)

    assert find_run(store, "first") == first
    assert find_run(store, first.id) == first
    assert find_run(store, second.id) == second
    with pytest.raises(JobNotFound, match="no run 'third'"):
        find_run(store, "third")


def test_the_next_name_is_the_first_free_number(store: Store) -> None:
    make_run(store, demo_source(), "quick-minilm-01")

    assert choose_name(store, "quick", "minilm") == "quick-minilm-02"
    assert choose_name(store, "quick", "/models/my-bert@0123abcd") == "quick-my-bert-01"


def forget_classes(store: Store, job: Job, macro_f1: float) -> Run:
    """Return the run with the macro-F1 that an earlier version recorded."""
    result = json.loads(job.result_json)
    result["test"]["macro_f1"] = macro_f1
    del result["test"]["macro_f1_classes"]
    content = json.dumps(result)
    store.replace_scores(job, content, job.request_json, job.fingerprint)
    return Run.of(store, store.read_job(job.id))


def test_scores_of_an_earlier_version_are_computed_again(store: Store) -> None:
    classes = (*CLASSES, "Weather")
    job = make_finished(store, demo_source(), "old", right=40, classes=classes)
    frame = predictions(40, 40, len(CLASSES)).assign(p4=0.0)
    files.write_parquet(artifacts.predictions_path(store.get_folder(job), "test"), frame)

    scores = forget_classes(store, job, 0.8).read_scores("test")

    assert scores is not None
    assert (scores.macro_f1, scores.macro_f1_classes, scores.hits) == (1.0, 4, 40)


def test_scores_of_an_earlier_version_stay_without_predictions(store: Store) -> None:
    job = make_finished(store, demo_source(), "old", right=40)
    artifacts.predictions_path(store.get_folder(job), "test").unlink()

    scores = forget_classes(store, job, 0.8).read_scores("test")

    assert scores is not None
    assert (scores.macro_f1, scores.macro_f1_classes) == (0.8, None)


def test_seconds_of_phases_are_those_of_parts_and_none_is_lost() -> None:
    phases = {
        Phase.IMPORTING: 5.0,
        Phase.PREPARING: 2.0,
        Phase.DOWNLOADING: 1.0,
        Phase.TRAINING: 60.0,
        Phase.SAVING: 0.5,
        Phase.MEASURING: 0.25,  # of no part
    }

    seconds = RunSeconds.of(phases)

    assert (seconds.imports, seconds.preparing, seconds.training) == (5.0, 3.0, 60.0)
    assert (seconds.saving, seconds.total) == (0.75, sum(phases.values()))


@pytest.mark.parametrize("seconds", ["NaN", "-1.0", "Infinity"])
def test_impossible_seconds_are_a_damaged_record(seconds: str) -> None:
    with pytest.raises(ArtifactDamaged, match="damaged"):
        read_result(job_with(f'{{"seconds": {{"training": {seconds}}}}}'))


@pytest.mark.parametrize(
    ("final", "agreement", "note"),
    [
        (
            "bf16",
            {"equal": 499, "texts": 500},
            "Validations and final scores are computed in bf16. 499 of 500 validation texts have"
            " the same label in fp32.",
        ),
        (
            "fp32",
            {"equal": 490, "texts": 500},
            "Validations while training are computed in bf16, final scores in fp32. 490 of 500"
            " validation texts have the same label in fp32.",
        ),
        (
            "fp32",
            None,
            "Validations while training are computed in bf16, final scores in fp32.",
        ),
        (None, None, "Validations while training are computed in bf16."),
    ],
)
def test_a_run_says_which_scores_are_in_bf16(
    final: str | None, agreement: dict[str, int] | None, note: str
) -> None:
    recorded = {
        "validation_precision": "bf16",
        "evaluation_precision": final,
        "agreement": agreement,
    }

    assert run_with(recorded).result.precision_note == note
    assert run_with({**recorded, "validation_precision": "fp32"}).result.precision_note == ""
    assert run_with({}).result.precision_note == ""
