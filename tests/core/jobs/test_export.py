import io
import zipfile
from pathlib import Path

import pytest
from proofs import proof_of
from small_news import write_small_news
from tiny import write_bert

from core.access import GUEST
from core.commands.taking import take_away
from core.data.sources import folder_source
from core.errors import ArtifactDamaged, NotAllowed
from core.exporting.formats import Format
from core.jobs import actions, worker
from core.jobs.export import export, exports_folder, find_export_jobs, read_proof
from core.presets import make_config
from core.settings import Settings
from core.states import Job, JobState, Kind
from core.store import Store

CONFIG = {"train_rows": 80, "batch_size": 8, "epochs": 1, "evaluation_interval": 5, "validation_rows": 10, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A home with one real run of a tiny model."""
    place = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.jobs.actions.ensure_supervisor", lambda settings: None)
        store = Store(Settings(home=place / "home", hub=False))
        config = make_config(None, {**CONFIG, "model": str(write_bert(place / "tiny"))})
        job = actions.launch_training(store, config, folder_source(write_small_news(place / "news")), name="*mine*")
        assert do(store, job).state is JobState.COMPLETED
    return store.settings, job.id


@pytest.fixture
def store(trained: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("core.jobs.actions.ensure_supervisor", lambda settings: None)
    return Store(trained[0])


@pytest.fixture
def job(store: Store, trained: tuple[Settings, str]) -> Job:
    return store.job(trained[1])


def do(store: Store, job: Job) -> Job:
    """What a worker does with it."""
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.job(job.id))
    return store.job(job.id)


def test_an_export_is_offered_with_its_proof_once_it_is_made(store: Store, job: Job) -> None:
    assert read_proof(store, job, Format.MERGED) is None

    done = do(store, actions.launch_export(store, job, Format.MERGED))

    proof = read_proof(store, job, Format.MERGED)
    assert done.state is JobState.COMPLETED
    assert proof is not None
    assert proof.holds
    with zipfile.ZipFile(io.BytesIO((exports_folder(store, job) / "merged.zip").read_bytes())) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
        card = archive.read(f"{job.id}-merged/README.md").decode()
    assert {
        "README.md",
        "train.py",
        "train.ipynb",
        "run.json",
        "config.json",
        "labels.json",
        "model.safetensors",
        "tokenizer.json",
    } <= names
    assert "\\*mine\\*" in card


def test_two_who_ask_at_once_get_one_job(store: Store, job: Job) -> None:
    first, second = (actions.launch_export(store, job, Format.ONNX) for _ in range(2))

    assert first.id == second.id
    assert [one.id for one in find_export_jobs(store, job, Format.ONNX)] == [first.id]


def test_a_copy_that_does_not_hold_is_never_offered(store: Store, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = proof_of(format=Format.ADAPTER, texts=10, labels_equal=9, max_probability_difference=0.5)
    monkeypatch.setattr("core.exporting.replay.prove", lambda *given: wrong)

    done = do(store, actions.launch_export(store, job, Format.ADAPTER))

    assert done.state is JobState.FAILED
    assert "9 of 10 labels agree" in done.message
    assert read_proof(store, job, Format.ADAPTER) is None


def test_a_run_without_an_adapter_says_so(store: Store, job: Job, tmp_path: Path) -> None:
    empty = store.create(Kind.TRAIN, "empty", job.request, "empty")

    with pytest.raises(ArtifactDamaged, match="no adapter"):
        export(store, empty, Format.ADAPTER, tmp_path, lambda progress: None, lambda: False)


def test_a_guest_exports_nothing(store: Store, job: Job) -> None:
    store.visitor = GUEST
    with pytest.raises(NotAllowed):
        actions.launch_export(store, job, Format.ADAPTER)


def test_the_command_writes_into_a_new_folder_only(
    store: Store, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORALAB_HOME", str(store.settings.home))
    take_away(job.id, Format.ADAPTER, tmp_path / "out", as_json=True)
    assert '"labels_equal": true' in capsys.readouterr().out
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()

    with pytest.raises(BaseException) as stopped:  # typer's exit
        take_away(job.id, Format.ADAPTER, tmp_path / "out", as_json=True)
    assert stopped.type.__name__ == "Exit"
    assert "is there already" in capsys.readouterr().out
