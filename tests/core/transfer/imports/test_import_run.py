import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from core.access import GUEST, MACHINE_OWNER, Role, Visitor
from core.cli.transferring import import_command
from core.errors import DataError, ModelUnavailable, NotAllowed
from core.evaluation.predictions import Predictions
from core.jobs.workers.classify import classify_texts
from core.people.classroom import Rules
from core.runs import artifacts
from core.runs.leaderboard import read_leaderboard
from core.runs.requests import read_train_request
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.recovery import open_store
from core.storage.store import Store
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from tests.support.faults.disks import FailingDisk, writing_to
from tests.support.json_values import value_at
from tests.support.peft_files import CLASSES, adapter_files, tensors, zipped
from tests.support.tiny_models import write_bert, write_distilbert

pytestmark = pytest.mark.slow

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a tiny model as this machine's base model, so that its identity is known."""
    folder = write_bert(tmp_path / "tiny")
    monkeypatch.setenv("LORALAB_MODEL", str(folder))
    return folder


@pytest.fixture
def lab(base: Path) -> Store:
    return Store(Settings())


def do_import(store: Store, contents: dict[str, bytes], **options: Any) -> Job:
    return import_run(store, read_upload("mine.zip", zipped(contents)), **options)


def assert_rejected(store: Store, contents: dict[str, bytes], message: str, **options: Any) -> None:
    """Check that the import fails with ``message`` and leaves no files."""
    with pytest.raises((DataError, ModelUnavailable), match=message):
        do_import(store, contents, **options)
    assert store.list_jobs() == []
    assert list(store.settings.jobs.iterdir()) == []


def run_files(**changes: object) -> dict[str, bytes]:
    """Return ``run.json`` and ``predictions.jsonl`` as an export writes them."""
    lines = [
        {
            "row": row,
            "text": f"text {row}",
            "label": CLASSES[row % 4],
            "probabilities": dict(zip(CLASSES, (0.7, 0.1, 0.1, 0.1), strict=True)),
        }
        for row in range(8)
    ]
    metadata = {
        "name": "quick",
        "config": {
            "train_rows": 80,
            "epochs": 3,
            "rank": 4,
            "alpha": 8,
            "max_tokens": 32,
            "target_modules": ["query", "value"],
        },
        "data": {"name": "AG News", "fingerprint": "0123456789ab"},
        "train_seconds": 12.5,
        "metrics": [{"step": 1, "split": "train", "epoch": 0.1, "loss": 1.3, "at": 5.0}],
        "test": {"accuracy": 1.0, "rows": 10, "hits": 10},
        **changes,
    }
    return {
        "run.json": json.dumps(metadata).encode(),
        "predictions.jsonl": "\n".join(map(json.dumps, lines)).encode(),
    }


def test_an_adapter_becomes_a_finished_run_that_classifies(lab: Store, base: Path) -> None:
    job = do_import(lab, adapter_files(base), name="mine")

    assert (job.state, job.name, job.owner) == (JobState.COMPLETED, "mine", MACHINE_OWNER.id)
    (answer,) = classify_texts(lab, job, ["the team won the game"], hub=False)
    assert set(value_at(answer, "probabilities")) == set(CLASSES)
    assert read_train_request(job).config.max_tokens == 64


def test_the_imported_adapter_has_the_tensors_of_the_file(lab: Store, base: Path) -> None:
    job = do_import(lab, adapter_files(base))

    stored = load((lab.get_folder(job) / "adapter" / WEIGHTS).read_bytes())
    assert all(np.array_equal(stored[name], tensor) for name, tensor in tensors().items())
    assert artifacts.find_adapter(lab.get_folder(job)).is_dir()


def test_an_export_keeps_config_data_curves_and_predictions(lab: Store, base: Path) -> None:
    job = do_import(lab, {**adapter_files(base), **run_files()})

    config = read_train_request(job).config
    assert (job.name, job.fingerprint) == ("quick", "0123456789ab")
    assert (config.train_rows, config.epochs, config.rank, config.max_tokens, config.model) == (
        80,
        3,
        4,
        64,
        str(base),
    )
    assert job.result["train_seconds"] == 12.5
    assert [metric.loss for metric in lab.read_metrics(job.id)] == [1.3]
    predictions = Predictions.of(artifacts.read_predictions(lab.get_folder(job), "test"), 4)
    assert predictions.frame["text"].tolist()[0] == "text 0"
    assert predictions.loss[1] == pytest.approx(-np.log(0.1))


def test_scores_are_computed_from_the_predictions(lab: Store, base: Path) -> None:
    job = do_import(lab, {**adapter_files(base), **run_files()})

    assert job.result["test"] == {
        "accuracy": 0.25,
        "macro_f1": pytest.approx(0.1),
        "macro_f1_classes": 4,
        "rows": 8,
        "hits": 2,
    }


def test_an_imported_run_is_not_on_the_leaderboard(lab: Store, base: Path) -> None:
    do_import(lab, {**adapter_files(base), **run_files()})

    assert read_leaderboard(lab, Rules()) == []


def test_values_of_the_adapter_take_precedence_over_run_json(lab: Store, base: Path) -> None:
    job = do_import(
        lab, {**adapter_files(base), **run_files(config={"rank": 99, "alpha": 1, "nonsense": True})}
    )

    assert (read_train_request(job).config.rank, read_train_request(job).config.alpha) == (4, 8)


def test_the_run_survives_the_loss_of_the_database(lab: Store, base: Path) -> None:
    job = do_import(lab, adapter_files(base))
    lab.settings.database.unlink()

    assert open_store(lab.settings).read_job(job.id) == job


def test_a_valid_half_precision_adapter_is_read(lab: Store, base: Path) -> None:
    halves = save({name: tensor.astype(np.float16) for name, tensor in tensors().items()})

    job = do_import(lab, {**adapter_files(base), WEIGHTS: halves})

    stored = load((lab.get_folder(job) / "adapter" / WEIGHTS).read_bytes())
    assert {tensor.dtype for tensor in stored.values()} == {np.dtype(np.float32)}


def test_no_field_of_an_untrusted_configuration_reaches_the_run(lab: Store, base: Path) -> None:
    job = do_import(
        lab,
        adapter_files(
            base, init_lora_weights="gaussian", runtime_config={"x": 1}, loftq_config={"bits": 4}
        ),
    )

    content = files.read_json(lab.get_folder(job) / "adapter" / CONFIG)
    assert isinstance(content, dict)
    assert not {"init_lora_weights", "runtime_config", "loftq_config"} & set(content)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("r", 1_000_000, "r is 1000000"),
        ("r", 0, "r is 0"),
        ("r", "4", "r is '4'"),
        ("lora_alpha", 1e9, "lora_alpha is"),
        ("lora_alpha", float("nan"), "lora_alpha is nan"),
        ("peft_type", "IA3", "peft_type is 'IA3'"),
        ("task_type", "CAUSAL_LM", "task_type is 'CAUSAL_LM'"),
        ("target_modules", "(a+)+$", "target_modules is"),
        ("target_modules", ["c_attn"], "has no target module 'c_attn'"),
        ("bias", "all", "bias is 'all'"),
        ("auto_mapping", {"base_model_class": "Evil", "parent_library": "os"}, "auto_mapping is"),
        ("rank_pattern", {"query": 0}, "rank_pattern is"),
        ("layers_to_transform", [7], "matches no module"),
    ],
)
def test_a_configuration_out_of_bounds_is_rejected(
    lab: Store, base: Path, field: str, value: object, message: str
) -> None:
    assert_rejected(lab, adapter_files(base, **{field: value}), message)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("local/tiny", "0123456789ab", "which no run on this machine has used"),
        ("/srv/models/bert", None, "not the id of a Hub model"),
        ("../../etc", None, "not the id of a Hub model"),
        ("org/unknown-model", None, "is not one of minilm, distilbert"),
        ("sentence-transformers/all-MiniLM-L6-v2", "a" * 40, "at revision aaaa"),
        ("org/unknown-model", "a" * 40, "cannot be reached"),
    ],
)
def test_a_base_that_is_not_allowed_is_rejected(
    lab: Store, base: Path, name: str, revision: str | None, message: str
) -> None:
    assert_rejected(
        lab, adapter_files(base, base_model_name_or_path=name, revision=revision), message
    )


def test_a_folder_that_an_untrusted_file_names_is_never_opened(lab: Store, base: Path) -> None:
    assert_rejected(
        lab,
        adapter_files(base, base_model_name_or_path=str(base), revision=None),
        "not the id of a Hub model",
    )


def test_an_adapter_for_another_base_is_rejected(lab: Store, base: Path) -> None:
    wide = {**adapter_files(base), WEIGHTS: save(tensors(hidden=48))}

    assert_rejected(lab, wide, "but the base model needs 4 × 32")


def test_an_adapter_for_another_kind_of_base_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_distilbert(tmp_path / "distil")
    monkeypatch.setenv("LORALAB_MODEL", str(other))

    assert_rejected(Store(Settings()), adapter_files(other), "has no target module 'query'")


def test_a_head_that_was_not_saved_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = write_bert(tmp_path / "bare", pooler=False)
    monkeypatch.setenv("LORALAB_MODEL", str(bare))

    assert_rejected(
        Store(Settings()),
        adapter_files(bare),
        "has no tensor bert.pooler.dense.weight. bert.pooler.dense is new in this base model",
    )


def without(name: str) -> bytes:
    packed: bytes = save({key: tensor for key, tensor in tensors().items() if name not in key})
    return packed


def test_wrong_tensors_are_rejected(lab: Store, base: Path) -> None:
    good = adapter_files(base)
    bad = tensors()
    bad["base_model.model.classifier.bias"][0] = np.inf
    cases = {
        "but the base model needs 4 × 32": save(tensors(rank=8)),
        "has no tensor bert.encoder.layer.1": without("layer.1"),
        "no trained classifier": without("classifier.weight"),
        "has no tensor classifier.bias": without("classifier.bias"),
        "evil', which does not exist in the base model": save(
            {**tensors(), "base_model.model.evil": np.zeros(3, np.float32)}
        ),
        "'bert.x' does not start with base_model.model.": save(
            {**tensors(), "bert.x": np.zeros(3, np.float32)}
        ),
        "NaN or infinite values": save(bad),
        "has 60 classes": save(tensors(classes=60)),
        "which is not floating-point": save(
            {**tensors(), "base_model.model.ids": np.zeros(3, np.int64)}
        ),
    }
    for message, weights in cases.items():
        assert_rejected(lab, {**good, WEIGHTS: weights}, message)


def test_truncated_or_foreign_weights_are_rejected(lab: Store, base: Path, tmp_path: Path) -> None:
    good = adapter_files(base)
    whole = good[WEIGHTS]
    for data in (
        b"",
        whole[:5],
        whole[:300],
        whole[:-1],
        b"\x80\x04cos\nmkdir\n(S'x'\ntR.",
        b"\xff" * 64,
    ):
        assert_rejected(lab, {**good, WEIGHTS: data}, "damaged or not a safetensors file")


def test_missing_weights_are_rejected(lab: Store, base: Path) -> None:
    assert_rejected(
        lab, {CONFIG: adapter_files(base)[CONFIG]}, "contains no adapter_model.safetensors"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "c"], "there are 3 names"),
        (["a", "b", "c", "c"], "have the same name"),
        (["a", "b", "c", " \n"], "1 to 80 characters"),
        (["a", "b", "c", "x" * 81], "1 to 80 characters"),
    ],
)
def test_class_names_are_bounded(lab: Store, base: Path, names: list[str], message: str) -> None:
    assert_rejected(lab, adapter_files(base), message, classes=names)


def test_hostile_class_names_become_plain_text_on_one_line(lab: Store, base: Path) -> None:
    hostile = ["<script>alert(1)</script>", "**a**\n# b", "=cmd()|x\x00\x1b[31m", "\ud800\u202e"]
    labels = json.dumps(
        {"id2label": {str(number): name for number, name in enumerate(hostile)}, "max_tokens": 64}
    ).encode()

    job = do_import(
        lab, {**adapter_files(base), "labels.json": labels}, name="<b>x\n\x07</b>" + "y" * 500
    )

    assert job.result["classes"] == [
        "<script>alert(1)</script>",
        "**a** # b",
        "=cmd()|x[31m",
        "\ufffd",
    ]
    assert (job.name[:9], len(job.name)) == ("<b>x </b>", 120)


def test_class_names_can_be_passed(lab: Store, base: Path) -> None:
    without_names = {
        name: data for name, data in adapter_files(base).items() if name != "labels.json"
    }
    assert_rejected(lab, without_names, "has 4 classes but no class names")

    assert do_import(lab, without_names, classes=["a", "b", "c", "d"]).result["classes"] == [
        "a",
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": [{"step": 1}]},
        {"metrics": [{"step": 1, "split": "train", "epoch": 0.1, "loss": float("nan"), "at": 5.0}]},
        {"metrics": [{"step": 1, "split": "evil", "epoch": 0.1, "loss": 1.0, "at": 5.0, "x": 1}]},
        {"metrics": 5},
        {"config": {"epochs": -3}},
    ],
)
def test_a_damaged_run_json_is_rejected(lab: Store, base: Path, changes: dict[str, object]) -> None:
    assert_rejected(lab, {**adapter_files(base), **run_files(**changes)}, "run.json")


@pytest.mark.parametrize(
    "line",
    [
        '{"row": 1}',
        "[]",
        "nonsense",
        '{"row": 99, "text": "x", "label": "Evil", "probabilities": {}}',
    ],
)
def test_damaged_predictions_are_rejected(lab: Store, base: Path, line: str) -> None:
    contents = {**adapter_files(base), **run_files()}
    contents["predictions.jsonl"] += b"\n" + line.encode()

    assert_rejected(lab, contents, "predictions.jsonl is damaged")


def test_a_guest_cannot_import(lab: Store, base: Path) -> None:
    lab = lab.for_visitor(GUEST)

    with pytest.raises(NotAllowed, match="import a run"):
        do_import(lab, adapter_files(base))


def test_only_an_admin_may_choose_a_folder_as_base(lab: Store, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "other")
    contents = adapter_files(folder, base_model_name_or_path="/elsewhere")
    student = lab.for_visitor(Visitor("ada", "Ada", Role.STUDENT))

    with pytest.raises(NotAllowed, match="use a model from a folder"):
        do_import(student, contents, base=str(folder))
    assert lab.list_jobs() == []
    do_import(lab, contents, base=str(folder))
    # a folder that a run already uses may be chosen
    assert do_import(student, contents, base=str(folder)).owner == "ada"


@pytest.mark.parametrize("nth", [1, 5, 10])
def test_a_failing_disk_leaves_no_files(lab: Store, base: Path, nth: int) -> None:
    full = FailingDisk(nth, errno.ENOSPC, lasting=True)
    with writing_to(full), pytest.raises(OSError, match="No space"):
        do_import(lab, adapter_files(base))

    assert list(lab.settings.jobs.iterdir()) == []


def test_the_command_imports_a_folder(
    lab: Store, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for name, data in adapter_files(base).items():
        (tmp_path / "mine" / name).write_bytes(data)

    import_command(tmp_path / "mine", "", "", as_json=True)

    printed = json.loads(capsys.readouterr().out)
    assert (printed["name"], printed["state"], printed["classes"]) == (
        "mine",
        "completed",
        list(CLASSES),
    )
