"""Pickles that write a file when loaded, placed wherever the app reads: none is ever loaded."""

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.data import saved, sources
from core.data.preparation import find_prepared, prepare
from core.data.recipe import read_recipe
from core.data.saved import ImportOptions
from core.demo import gallery
from core.errors import LoraLabError
from core.evaluation.error_analysis import read_tags
from core.jobs.tasks.classify_texts import read_classified
from core.models.catalog import find_model
from core.runs import artifacts, descriptions
from core.runs.requests import read_train_request
from core.runs.run_baselines import BaselineRequest, read_baselines, read_fitted
from core.settings import Settings
from core.storage import files, recovery
from core.storage.store import Store
from core.transfer.export.formats import Format, read_ready
from core.transfer.imports.archive import read_archive, read_upload
from tests.support.peft_files import adapter_files
from tests.support.security.file_audit import pickles_loaded
from tests.support.tiny_models import write_bert

ENDINGS = (
    ".pkl",
    ".bin",
    ".pt",
    ".parquet",
    ".json",
    ".safetensors",
    ".npy",
    ".npz",
    ".csv",
    ".jsonl",
    ".zip",
    ".joblib",
    "",
)


class Bomb:
    """Payload that writes a file when loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "a pickle was loaded"


def bombs(mark: Path) -> dict[str, bytes]:
    """Write the payload as a pickle of each protocol, a zip like torch's, and an array of
    objects.
    """
    result = {
        f"protocol {number}": pickle.dumps(Bomb(mark), number)
        for number in range(pickle.HIGHEST_PROTOCOL + 1)
    }
    torch_like, array = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(torch_like, "w") as archive:
        archive.writestr("archive/data.pkl", result["protocol 2"])
        archive.writestr("archive/version", "3\n")
    np.save(array, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    return {**result, "as torch writes": torch_like.getvalue(), "as numpy writes": array.getvalue()}


def read_everything(store: Store) -> int:
    """Read everything that the app reads of a home folder; return the number of refusals."""
    refused = 0

    def read(*calls: Callable[..., object]) -> None:
        nonlocal refused
        for call in calls:
            try:
                call()
            except (LoraLabError, OSError):
                refused += 1

    settings = store.settings
    source = sources.demo_source()
    for job in store.list_jobs():
        folder = store.get_folder(job)
        for split in ("test", "validation", "untrained"):
            read(lambda folder=folder, split=split: artifacts.read_predictions(folder, split))
        read(
            lambda job=job: descriptions.describe_run_details(store, job),
            lambda folder=folder: artifacts.find_adapter(folder),
            lambda folder=folder: artifacts.list_checkpoints(folder),
            lambda folder=folder: read_tags(folder),
            lambda folder=folder, job=job: read_classified(folder, job),
            lambda job=job: read_baselines(store, job, read_train_request(job).config, 4),
            lambda job=job: [read_ready(store, job, target) for target in Format],
            lambda folder=folder: artifacts.read_log_tail(folder),
            lambda folder=folder: files.read_json(folder / "job.json"),
        )
    read(
        lambda: find_prepared(settings, source),
        lambda: saved.list_saved(settings),
        lambda: [
            saved.read_saved_card(settings, folder.name) for folder in settings.datasets.iterdir()
        ],
        lambda: read_recipe(settings, "0123456789ab"),
        lambda: read_fitted(
            settings,
            BaselineRequest(fingerprint="x", train_rows=0, seed=0, model="minilm", max_tokens=8),
            4,
        ),
        lambda: [
            find_model(str(folder), settings, False)
            for folder in (settings.home / "models").iterdir()
        ],
        lambda: gallery.open_gallery(store),
    )
    return refused


@pytest.fixture
def full(store: Store, home: Path) -> Store:
    """Create a home with a file in every folder that is read."""
    opened = recovery.open_store(Settings())
    prepare(opened.settings, sources.demo_source(), lambda progress: None, lambda: False)
    table = home.parent / "mine.csv"
    table.write_text("text,label\n" + "\n".join(f"text {row},{'ab'[row % 2]}" for row in range(80)))
    saved.add_files(opened.settings, [table], "mine", ImportOptions())
    write_bert(home / "models" / "distilbert")
    for folder in (
        "recipes",
        "baselines/x",
        "batches",
        "maps",
        "calibrations",
        "jobs/example/checkpoints/00000010",
        "jobs/example/exports",
    ):
        (home / folder).mkdir(parents=True, exist_ok=True)
    gallery.open_gallery(opened)
    return opened


@pytest.fixture
def store(home: Path) -> Store:
    return recovery.open_store(Settings())


def test_the_bombs_go_off_where_they_are_loaded(mark: Path) -> None:
    for name, data in bombs(mark).items():
        if name.startswith("protocol"):
            with pickles_loaded() as loaded:
                pickle.loads(data)
            assert mark.is_dir() and loaded, name
            mark.rmdir()


@pytest.mark.parametrize(
    "kind", ["protocol 0", "protocol 2", "protocol 4", "as torch writes", "as numpy writes"]
)
def test_no_pickle_in_the_place_of_a_kept_file_is_loaded(
    full: Store, home: Path, mark: Path, kind: str
) -> None:
    data = bombs(mark)[kind]
    targets = [
        path
        for path in home.rglob("*")
        if path.is_file()
        and not path.name.startswith(("loralab.db", "."))
        and path.suffix != ".lock"
    ]
    assert {path.suffix for path in targets} >= {".parquet", ".json", ".safetensors"} and len(
        targets
    ) > 60
    for path in targets:
        path.write_bytes(data)

    with pickles_loaded() as loaded:
        refused = read_everything(full)

    assert loaded == [] and not mark.exists()
    assert refused > 8, "what was planted was hardly read"


def test_no_pickle_next_to_the_kept_files_is_loaded(full: Store, home: Path, mark: Path) -> None:
    for number, (_, data) in enumerate(bombs(mark).items()):
        for folder in [home, *(path for path in home.rglob("*") if path.is_dir())]:
            for ending in ENDINGS:
                (folder / f"planted{number}{ending}").write_bytes(data)
            (folder / "adapter_model.bin").write_bytes(data)
            (folder / "pytorch_model.bin").write_bytes(data)

    with pickles_loaded() as loaded:
        read_everything(full)

    assert loaded == [] and not mark.exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_pickle_that_someone_uploads_is_loaded(
    settings: Settings, tmp_path: Path, mark: Path, ending: str
) -> None:
    for name, data in bombs(mark).items():
        path = tmp_path / f"uploaded{ending}"
        path.write_bytes(data)
        with pickles_loaded() as loaded, pytest.raises(LoraLabError):
            saved.add_files(settings, [path], "mine", ImportOptions())
        assert loaded == [] and not mark.exists(), name
        with pickles_loaded() as loaded, pytest.raises(LoraLabError):
            read_upload(path.name, data)
        assert loaded == [] and not mark.exists(), name


def test_no_pickle_in_an_adapter_that_someone_uploads_is_loaded(tmp_path: Path, mark: Path) -> None:
    base = write_bert(tmp_path / "tiny")
    for name, data in bombs(mark).items():
        folder = tmp_path / "adapter"
        shutil.rmtree(folder, ignore_errors=True)
        files.write_folder(folder, {**adapter_files(base), "adapter_model.bin": data})
        with pickles_loaded() as loaded, pytest.raises(LoraLabError, match="pickle"):
            read_archive(folder)
        assert loaded == [] and not mark.exists(), name


def test_a_base_model_of_pickles_is_refused(tmp_path: Path, mark: Path, settings: Settings) -> None:
    folder = write_bert(tmp_path / "base")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bombs(mark)["as torch writes"])

    with pickles_loaded() as loaded:
        assert "pickle" in find_model(str(folder), settings, False).reason

    assert loaded == [] and not mark.exists()
